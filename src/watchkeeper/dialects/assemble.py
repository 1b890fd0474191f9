"""Spans and logs of one trace, in any order and any number of times, to the one trace they stand for."""

import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from watchkeeper.dialects import agents, claude_code, common, duplicates, events, messages, tool_spans
from watchkeeper.dialects.draft import Draft, last_user_text
from watchkeeper.dialects.normalise import normalise
from watchkeeper.dialects.spellings import error_class
from watchkeeper.dialects.values import as_dict, as_int, as_text, decode, first
from watchkeeper.model.errors import TRANSPORT, root_cause
from watchkeeper.model.span import (
    Context,
    ErrorInfo,
    LogRecord,
    Message,
    Part,
    RawSpan,
    Span,
    Totals,
    Trace,
)

_INHERITED = ("session_id", "user_id", "scenario", "environment", "region", "release", "variant")
_FIELDS = (*_INHERITED, "agent_name", "workflow", "prompt_name", "prompt_version", "service")
_JOINED = frozenset((*events.MESSAGE_EVENTS, "gen_ai.choice", *events.DETAILS, events.ANSWERED, "gen_ai.content.prompt",
                     "gen_ai.content.completion", "gen_ai.guardrail.result", *common.EXCEPTIONS))  # fmt: skip
_DUMP = re.compile(r"(?:[A-Z]\w+\()?\w+=\S")
_encoder = msgspec.json.Encoder(order="deterministic")


def derive(raws: Iterable[RawSpan], logs: list[LogRecord]) -> Trace:
    """The trace of these records, read anew from what clients sent."""
    return assemble([normalise(raw) for raw in raws], logs)


def assemble(spans: list[Span], logs: list[LogRecord]) -> Trace:
    """The trace of these spans and logs (all of one trace id). Inputs are not changed.

    Several versions of a span: the latest end wins, then the one with more attributes. Order-free and idempotent:
    any permutation or repetition of the same input gives an equal trace.
    """
    unique = _unique_logs(logs)
    chosen = _latest(spans)
    for made in agents.spans_from_logs(_untold(unique, chosen)):
        chosen.setdefault(made.span_id, made)
    joined = _join(chosen, unique)
    ordered = sorted(joined, key=lambda s: (s.start_ns, s.span_id))
    duplicates.mark(ordered)
    _wake_evaluations(ordered, unique)
    _refused(ordered)
    _announced(ordered)
    _restore(ordered)
    tool_spans.complete(ordered)
    tool_spans.once(ordered)
    context = _contexts(ordered)
    known = {s.span_id for s in ordered}
    orphans = sorted({s.parent_id for s in ordered if s.parent_id is not None and s.parent_id not in known})
    # A time nobody can believe says nothing of when the trace was, unless it has no other.
    timed = [s for s in ordered if s.raw is None or not s.raw.time_suspect] or ordered
    ends = [s.end_ns for s in timed]
    given, answer = _texts(ordered)
    counted: dict[str, int] = {}
    for log in unique:
        counted[log.name or "log"] = counted.get(log.name or "log", 0) + 1
    roots = [s for s in ordered if s.parent_id is None]
    return Trace(
        trace_id=ordered[0].trace_id if ordered else (unique[0].trace_id if unique else ""),
        spans=ordered,
        context=context,
        totals=totals(ordered),
        start_ns=min((s.start_ns for s in timed if s.start_ns > 0), default=0),
        end_ns=0 if not ends or 0 in ends else max(ends),
        complete=bool(roots) and all(s.end_ns > 0 for s in roots),
        error_class=_error_class(ordered, roots),
        input_text=given,
        output_text=answer,
        log_events=dict(sorted(counted.items())),
        orphan_parents=orphans,
    )


def _unique_logs(logs: list[LogRecord]) -> list[LogRecord]:
    seen: dict[str, LogRecord] = {}
    for log in logs:
        seen.setdefault(log.log_id or _encoder.encode(log).decode(), log)
    return sorted(seen.values(), key=lambda r: (r.time_ns, r.name, r.log_id))


def _untold(logs: list[LogRecord], chosen: dict[str, Span]) -> list[LogRecord]:
    """The records that no span tells: neither the one they belong to, nor a coding agent's own beside its records."""
    apart = [log for log in logs if log.span_id not in chosen]
    if not apart:
        return apart
    told = {
        s.name.partition(".")[0] for s in chosen.values() if s.kind == "llm" and s.dialect == claude_code.NAME
    }
    return [log for log in apart if log.name.partition(".")[0] not in told] if told else apart


def _latest(spans: list[Span]) -> dict[str, Span]:
    chosen: dict[str, Span] = {}
    for span in spans:
        other = chosen.get(span.span_id)
        if other is None or (other is not span and _version(span) > _version(other)):
            chosen[span.span_id] = span
    return chosen


def _version(span: Span) -> tuple[int, int, bytes]:
    size = len(span.raw.attributes) + len(span.raw.events) if span.raw is not None else 0
    return (span.end_ns, size, _encoder.encode(span.raw))


def _join(chosen: dict[str, Span], logs: list[LogRecord]) -> list[Span]:
    """Copies of the spans, read again together with their log records where there are any."""
    by_span: dict[str, list[LogRecord]] = {}
    answered = _answered(chosen) if logs else {}
    for log in logs:
        if log.span_id in chosen and (log.name in _JOINED or events.is_exchange(log.body)):
            by_span.setdefault(_owner(log, chosen, answered), []).append(log)
    out: list[Span] = []
    for span_id, span in chosen.items():
        own = by_span.get(span_id)
        if own and span.raw is not None:
            out.append(normalise(span.raw, own))
            continue
        llm = span.llm
        if llm is not None:
            llm = msgspec.structs.replace(llm, usage=msgspec.structs.replace(llm.usage))
        context = msgspec.structs.replace(span.context)
        out.append(
            msgspec.structs.replace(span, llm=llm, context=context, evaluations=list(span.evaluations))
        )
    return out


def _answered(chosen: dict[str, Span]) -> dict[str, str]:
    """The span of the first call with each response id."""
    found: dict[str, str] = {}
    for span in sorted(chosen.values(), key=lambda s: (s.start_ns, s.span_id)):
        if span.llm is not None and span.llm.response_id:
            found.setdefault(span.llm.response_id, span.span_id)
    return found


def _owner(log: LogRecord, chosen: dict[str, Span], answered: dict[str, str]) -> str:
    """The span a record tells about: of an answer told beside the application's own span (OpenLIT's streams), the call's."""
    wanted = log.attributes.get("gen_ai.response.id")
    if isinstance(wanted, str) and log.name in events.DETAILS and chosen[log.span_id].llm is None:
        return answered.get(wanted, log.span_id)
    return log.span_id


def _wake_evaluations(ordered: list[Span], logs: list[LogRecord]) -> None:
    """Evaluation events go to the span they name, else to the call with their response id, else to the first span."""
    if not ordered:
        return
    by_id = {s.span_id: s for s in ordered}
    for log in logs:
        if log.name != "gen_ai.evaluation.result":
            continue
        body: Any = log.body
        values = (
            {**cast(dict[str, Any], body), **log.attributes} if isinstance(body, dict) else log.attributes
        )
        target = by_id.get(log.span_id)
        if target is None:
            wanted = values.get("gen_ai.response.id")
            target = next(
                (s for s in ordered if s.llm and wanted and s.llm.response_id == wanted), ordered[0]
            )
        if target.raw is None:
            continue
        draft = Draft(target.raw)
        draft.evaluations = target.evaluations
        common.evaluation_event(draft, values, log.time_ns)


def _restore(ordered: list[Span]) -> None:
    """Content a client left out of a call although the trace holds it.

    Some clients drop the assistant message whose calls the following tool results answer: it is the output of an
    earlier call. A call that failed before its messages were recorded was asked what its agent was asked.
    """
    by_id = {s.span_id: s for s in ordered}
    made: dict[str, Message] = {}
    ran = {s.tool.call_id: as_text(s.tool.result) for s in ordered if s.tool is not None and s.tool.call_id}
    asked: set[str] = set()
    for span in ordered:
        llm = span.llm
        if llm is None or span.kind != "llm":
            continue
        given = llm.input_messages
        if any(p.type == "tool_result" for m in given for p in m.parts):
            given = _with_ids(given, made, ran)
            llm.input_messages = _with_calls(given, made)
        for message in llm.output_messages:
            for part in message.parts:
                if part.type == "tool_call" and part.id:
                    made.setdefault(part.id, message)
        parent = by_id.get(span.parent_id or "")
        if parent is None:
            continue
        if not given and span.error is not None and parent.span_id not in asked and parent.input_text:
            said = _asked_of(parent, parent.input_text)
            llm.input_messages = [m for m in said if m.role != "system"]
            llm.system = llm.system or next((m.text for m in said if m.role == "system"), None)
            span.input_text = span.input_text or last_user_text(said)
        asked.add(parent.span_id)


def _asked_of(step: Span, text: str) -> list[Message]:
    """The conversation that a step prints; what an agent was asked is a question also where it is none."""
    printed = decode(text) if text[0] in "[{" else None
    listed = (as_dict(printed) or {}).get("messages", printed)
    items: list[Any] = listed if isinstance(listed, list) else []
    if items and all(isinstance(item, dict) and "role" in item for item in items):
        return messages.read(items, "user") or []
    return [Message("user", [Part("text", text=text)])] if step.kind == "agent" else []


def _refused(ordered: list[Span]) -> None:
    """Why a call failed that does not say so: the status of the last request beneath it, or what the step around it says."""
    silent = {
        s.span_id: (s, s.error)
        for s in ordered
        if s.llm is not None and s.error is not None and s.error.class_ == "other"
    }
    for span in ordered if silent else ():
        failed, told = silent.get(span.parent_id or "", (None, None))
        if failed is not None and told is not None and span.kind == "http" and span.raw is not None:
            status = as_int(first(span.raw.attributes, *common.STATUS_KEYS))
            found = error_class(None, None, status)
            if found is not None:
                failed.error = ErrorInfo(found, told.message or f"HTTP {status}", told.raw_type)
    if any(error.message is None for _, error in silent.values()):
        failures = {s.span_id: s.error for s in ordered if s.error is not None and s.error.message}
        around = duplicates.enclosing({s.span_id: s.parent_id for s in ordered}, failures)
        for span, error in silent.values():
            why = failures.get(around.get(span.span_id) or "")
            if span.error is error and error.message is None and why is not None:
                span.error = ErrorInfo(why.class_, why.message, error.raw_type or why.raw_type)


def _announced(ordered: list[Span]) -> None:
    """Calls that an answer asked for and only the tools' spans beneath it tell (AgentOps)."""
    waiting = {
        s.span_id: s
        for s in ordered
        if s.llm is not None and s.llm.finish_reason == "tool_calls" and not s.llm.tool_calls
    }
    if not waiting:
        return
    for span in ordered:
        tool, asker = span.tool, waiting.get(span.parent_id or "")
        if tool is None or tool.call_id is None or asker is None or asker.llm is None:
            continue
        llm, call = asker.llm, Part("tool_call", id=tool.call_id, name=tool.name, arguments=tool.arguments)
        said = llm.output_messages[0] if llm.output_messages else Message("assistant", [])
        said = msgspec.structs.replace(said, parts=[*said.parts, call])
        llm.output_messages = [said, *llm.output_messages[1:]]
        llm.tool_calls = messages.tool_calls(said)


def _with_ids(given: list[Message], made: dict[str, Message], ran: dict[str, str | None]) -> list[Message]:
    """Results that a client passes on without their ids, given those of the calls they answer where there are as many.

    A call whose tool's span tells what it returned (`ran`) is answered by that; the others are answered in order.
    """
    results = [p for m in given for p in m.parts if p.type == "tool_result"]
    if all(p.id for p in results):
        return given
    calls = [p for m in given for p in m.parts if p.type == "tool_call"]
    calls = calls or [p for m in made.values() for p in m.parts if p.type == "tool_call"]
    left = {p.id: p for p in calls if p.id}
    if len(left) != len(results):
        return given
    paired: list[Part] = []
    for result in results:
        text = as_text(decode(result.result))
        fits = sorted((c for c in left if ran.get(c) in (text, None)), key=lambda c: ran.get(c) is None)
        if result.result is None:
            # That there was a result is all that is told.
            fits = [c for c, p in left.items() if result.name in (p.name, None)]
        if not fits:
            return given
        call = left.pop(fits[0])
        value = decode(ran.get(fits[0])) if result.result is None else result.result
        paired.append(
            msgspec.structs.replace(result, id=call.id, name=result.name or call.name, result=value)
        )
    told = iter(paired)
    return [
        msgspec.structs.replace(m, parts=[next(told) if p.type == "tool_result" else p for p in m.parts])
        for m in given
    ]


def _with_calls(given: list[Message], made: dict[str, Message]) -> list[Message]:
    calls = [p for m in given for p in m.parts if p.type == "tool_call"]
    present = {p.id for p in calls}
    # A client may pass a call on under its item's id: then it is there, and its result names another id.
    answered = {p.id for m in given for p in m.parts if p.type == "tool_result"}
    asked = [(p.name, p.arguments) for p in calls if p.id not in answered]
    for message in made.values() if asked else ():
        told = [p for p in message.parts if p.type == "tool_call"]
        present.update(p.id for p in told if (p.name, p.arguments) in asked)
    out: list[Message] = []
    for message in given:
        for part in message.parts:
            call = made.get(part.id or "") if part.type == "tool_result" else None
            if call is not None and part.id not in present:
                if out and _is_empty(out[-1]):
                    # The message is there, only what it called for was left out.
                    out.pop()
                out.append(Message("assistant", call.parts, call.name))
                present.update(p.id for p in call.parts if p.type == "tool_call")
        out.append(message)
    return out


def _is_empty(message: Message) -> bool:
    """Whether the model said nothing in this message."""
    return message.role == "assistant" and not message.text and all(p.type == "text" for p in message.parts)


def totals(spans: list[Span]) -> Totals:
    """Sums over the provider calls, each once; None where no call knows the number."""
    out = Totals()
    versions: set[str] = set()
    for span in spans:
        llm = span.llm
        if span.kind not in ("llm", "embedding") or llm is None or llm.duplicate_of is not None:
            continue
        if span.kind == "llm":
            for field in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_output_tokens"):
                value = getattr(llm.usage, field)
                if value is not None:
                    setattr(out, field, (getattr(out, field) or 0) + value)
        if llm.cost is not None:
            out.cost = (out.cost or 0.0) + llm.cost
            if llm.pricing_version:
                versions.add(llm.pricing_version)
    out.pricing_version = max(versions) if versions else None
    return out


def _contexts(ordered: list[Span]) -> Context:
    """The trace's context, root first; what a span lacks is filled from its ancestors, then from the trace."""
    roots = [s for s in ordered if s.parent_id is None]
    trace = Context()
    hidden = any("session_id" in s.context.metadata.get("watchkeeper.redacted", ()) for s in roots)
    for span in [*roots, *ordered]:
        for field in _FIELDS:
            if getattr(trace, field) is None:
                setattr(trace, field, getattr(span.context, field))
        if not trace.tags:
            trace.tags = span.context.tags
        for key, value in span.context.metadata.items():
            trace.metadata.setdefault(key, value)
    if hidden:
        trace.session_id = None
    trace.agent_name = _agent(ordered, roots) or trace.agent_name
    named = {s.span_id: s.context.agent_name for s in ordered if s.context.agent_name is not None}
    agents_above = duplicates.enclosing({s.span_id: s.parent_id for s in ordered}, named)
    for span in ordered:
        context = span.context
        if hidden:
            context.session_id = None
        for field in _INHERITED:
            if getattr(context, field) is None:
                setattr(context, field, getattr(trace, field))
        if context.agent_name is None:
            context.agent_name = named.get(agents_above.get(span.span_id) or "")
    return trace


def _agent(ordered: list[Span], roots: list[Span]) -> str | None:
    """The outermost agent that names itself."""
    for span in [*roots, *ordered]:
        if span.kind == "agent" and span.context.agent_name:
            return span.context.agent_name
    return None


def _error_class(ordered: list[Span], roots: list[Span]) -> str | None:
    """A transport error that reached the user: the root failed, or the last call did. A retried one did not.

    What a tool or a guardrail raised is no transport error on the spans around it, nor on a call that was answered.
    """
    calls = [s for s in ordered if s.kind == "llm" and s.llm is not None and s.llm.duplicate_of is None]
    raised = {s.error.message for s in ordered if s.kind in ("tool", "guardrail") and s.error is not None}
    failed = [
        s.error.class_
        for s in ordered
        if s.error is not None
        and s.error.class_ in TRANSPORT
        and (s.error.message not in raised or (s.kind in ("llm", "embedding") and s.output_text is None))
    ]
    if any(s.status == "error" for s in roots):
        return root_cause([*failed])
    last = calls[-1].error if calls else None
    repeated = last is not None and last.message in raised and calls[-1].output_text is not None
    if last is not None and last.class_ in TRANSPORT and not repeated:
        return last.class_
    return None


def _texts(ordered: list[Span]) -> tuple[str | None, str | None]:
    """What a person would call the question and the answer.

    The root says it; where the root is the application's own request around them, the agents and workflows below say
    it better than the prompts that were made of it.
    """
    given = answer = None
    # A step that failed may give the words of its call's failure where an answer belongs (Agno).
    failures = {s.error.message for s in ordered if s.error is not None and s.kind == "llm"}
    told = {s.span_id: None if s.error and s.output_text in failures else s.output_text for s in ordered}
    root = next((s for s in ordered if s.parent_id is None and s.kind != "http"), None)
    if root is not None:
        own = root.dialect == "watchkeeper" or root.kind == "llm"
        given = root.input_text if own or _is_prose(root.input_text) else None
        answer = told[root.span_id] if own or _is_prose(told[root.span_id]) else None
    calls = [s for s in ordered if s.kind == "llm" and s.llm is not None and s.llm.duplicate_of is None]
    top = root or next((s for s in ordered if s.parent_id is None), None)
    if top is not None and top.kind in ("other", "http"):
        steps = [s for s in ordered if s.parent_id == top.span_id and s.kind in ("agent", "workflow")]
        given = given or next((s.input_text for s in steps if _is_prose(s.input_text)), None)
        answer = answer or next((t for s in reversed(steps) if _is_prose(t := told[s.span_id])), None)
    if given is None:
        # An agent was asked in a person's words what its prompt wraps into instructions.
        asked = next((s for s in ordered if s.kind == "agent"), None)
        given = asked.input_text if asked is not None and _is_prose(asked.input_text) else None
    if given is None:
        given = next((s.input_text for s in calls if s.input_text), None)
    if answer is None:
        answer = next((s.output_text for s in reversed(calls) if s.output_text), None)
    if given is None or answer is None:
        for span in ([root] if root is not None else []) + ordered:
            if span.kind in ("agent", "workflow", "other"):
                given = given or _spoken(span.input_text, "user")
                said = told[span.span_id]
                said = said if not calls or _is_prose(said) else None
                if top is not None and top.error is not None and span is not top:
                    # What a step gave on the way to a failure is no answer.
                    continue
                answer = answer or _spoken(said, "assistant")
    return given, answer


def _spoken(text: str | None, role: str) -> str | None:
    """What `role` said last in a conversation that a step prints, the text itself where it is none."""
    printed = decode(text) if text and text[0] in "[{" else None
    listed = (as_dict(printed) or {}).get("messages", printed)
    if not isinstance(listed, list) or not isinstance(next(iter(cast(list[Any], listed)), None), dict):
        return text
    said = [m.text for m in messages.read(listed, role) or () if m.role == role and m.text]
    return said[-1] if said else text


def _is_prose(text: str | None) -> bool:
    """Whether a person would call it a question or an answer, rather than a dump of an object."""
    return text is not None and text[:1] not in "{[<" and _DUMP.match(text) is None
