"""The same provider call told by several spans: who carries it, and what the others add.

Eight ways it happens: two instrumentations report one response id, or tell it at the same time; a wrapper span repeats its
child's call; Logfire ends the call at the first byte and tells the rest on a second span; a provider's own SDK tells the call an instrumentation told;
Langfuse's client tells what its callback told; what a call used is told again on a span of its own, or what all calls of a run did.
"""

from collections.abc import Container
from typing import Any

from watchkeeper.dialects import spellings
from watchkeeper.dialects.draft import last_user_text
from watchkeeper.dialects.values import as_float
from watchkeeper.model.span import LLM, Span

# Anthropic's and Mistral's.
_SDKS = ("com.anthropic.sdk", "mistralai_sdk_tracer")
# What only LangChain says of its models.
_CALLBACK = "langfuse.observation.metadata.ls_provider"
# The runs of one trace that are looked at for what they used.
_MOST_ACCOUNTS = 100


def mark(spans: list[Span]) -> None:
    """Set `llm.duplicate_of` on every span that repeats a call another span carries. `spans` are sorted; the LLM
    objects are the caller's own copies."""
    calls = [s for s in spans if s.kind in ("llm", "embedding") and s.llm is not None]
    for span in calls:
        _llm(span).duplicate_of = None
    if len(calls) < 2:
        return
    below = _below(spans, calls)
    sums = _sums(calls, below)
    _by_response(calls)
    _by_request(calls)
    _by_time(calls, {(o, s.span_id) for o, told in below.items() for s in told})
    _by_sdk(calls)
    _by_callback(calls)
    _by_count(calls)
    _by_run(calls)
    _wrappers(calls, below, sums)
    for span in calls:
        llm = _llm(span)
        if span.kind == "llm" and llm.duplicate_of is None:
            span.output_text = span.output_text or llm.output_text or llm.refusal
            span.input_text = span.input_text or last_user_text(llm.input_messages)


def _llm(span: Span) -> LLM:
    assert span.llm is not None
    return span.llm


def _is_exchange(span: Span) -> bool:
    """LiteLLM's raw request span: the provider's own words, but never the carrier of the call."""
    return (
        span.dialect == "litellm"
        and span.raw is not None
        and "gen_ai.operation.name" not in span.raw.attributes
        and "llm.request.type" not in span.raw.attributes
    )


def _worth(span: Span) -> tuple[bool, bool, bool, bool, bool, int, str]:
    """Orders the candidates for one call: content first, then usage, then success; the earliest wins a tie.

    Of a call without an answer the question is all the content there is.
    """
    llm = _llm(span)
    content = _says(llm) and bool(llm.input_messages)
    unknown = llm.usage.input_tokens is None
    return (
        _is_exchange(span),
        not content,
        not llm.input_messages,
        unknown,
        span.error is not None,
        span.start_ns,
        span.span_id,
    )


def _says(llm: LLM) -> bool:
    return any(m.parts for m in llm.output_messages)


def _settle(group: list[Span]) -> None:
    """The best of the group carries the call; the others point to it and lend what it lacks."""
    group = [s for s in group if _llm(s).duplicate_of is None]
    if len(group) < 2:
        return
    best, *others = sorted(group, key=_worth)
    for other in others:
        _llm(other).duplicate_of = best.span_id
        if _is_sdk(other):
            _measured(_llm(best), _llm(other))
        _lend(_llm(best), _llm(other))
        if _is_exchange(other):
            _received(_llm(best), _llm(other))


def _received(best: LLM, exchange: LLM) -> None:
    """What the provider received outranks what the application passed in: roles may have been rewritten between."""
    if exchange.input_messages:
        best.input_messages, best.system = exchange.input_messages, exchange.system
    if [c.name for c in best.tool_calls] == [c.name for c in exchange.tool_calls]:
        calls = [p for m in best.output_messages for p in m.parts if p.type == "tool_call"]
        for call, part, told in zip(best.tool_calls, calls, exchange.tool_calls, strict=False):
            call.id = part.id = call.id or told.id


def _is_sdk(span: Span) -> bool:
    """The span of a provider's own SDK, which has seen the whole answer."""
    return span.raw is not None and span.raw.scope_name.startswith(_SDKS)


def _measured(best: LLM, own: LLM) -> None:
    """An SDK's own counts outrank an instrumentation's: some read a stream's first event only, or leave cached tokens out."""
    told, usage = own.usage, best.usage
    if told.input_tokens is None or told.output_tokens is None:
        return
    if (usage.input_tokens, usage.output_tokens) != (told.input_tokens, told.output_tokens):
        if usage.input_tokens != told.input_tokens and usage.input_tokens_as_sent is None:
            usage.input_tokens_as_sent = usage.input_tokens
        usage.input_tokens, usage.output_tokens = told.input_tokens, told.output_tokens
        best.cost, best.pricing_version = own.cost, own.pricing_version


def _lend(best: LLM, other: LLM) -> None:
    if _says(other) and not _says(best):
        best.output_messages, best.tool_calls = other.output_messages, other.tool_calls
    for field in ("request_model", "response_model", "response_id", "provider", "stream", "system", "output_text",
                  "refusal", "finish_reason", "finish_reason_raw", "cost_client", "ttft_ms", "tpot_ms",
                  "cost", "pricing_version"):  # fmt: skip
        if getattr(best, field) is None:
            setattr(best, field, getattr(other, field))
    for field in ("input_messages", "output_messages", "tool_calls", "tool_definitions", "params"):
        if not getattr(best, field):
            setattr(best, field, getattr(other, field))
    for field in ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
                  "reasoning_output_tokens"):  # fmt: skip
        if getattr(best.usage, field) is None:
            setattr(best.usage, field, getattr(other.usage, field))


def _by_response(calls: list[Span]) -> None:
    groups: dict[str, list[Span]] = {}
    for span in calls:
        identity = _llm(span).response_id
        if identity and len(identity) > 4:
            groups.setdefault(identity, []).append(span)
    for group in groups.values():
        if len(group) > 1:
            by_provider: dict[str, list[Span]] = {}
            for span in group:
                by_provider.setdefault(_llm(span).provider or "", []).append(span)
            unknown = by_provider.pop("", [])
            parts = list(by_provider.values())
            if unknown:
                parts = [parts[0] + unknown, *parts[1:]] if parts else [unknown]
            for part in parts:
                _settle(part)


def _by_request(calls: list[Span]) -> None:
    """Logfire's streaming: the call span has no answer, a zero-length log span with the same request has it."""
    groups: dict[tuple[str | None, str], list[Span]] = {}
    for span in calls:
        request: Any = span.raw.attributes.get("request_data") if span.raw is not None else None
        if span.dialect == "logfire" and isinstance(request, str):
            groups.setdefault((span.parent_id, request), []).append(span)
    for group in groups.values():
        told = [s for s in group if s.end_ns - s.start_ns < 1_000_000 and _is_told(s)]
        waiting = [s for s in group if s not in told]
        for answer in told:
            call = min(
                (s for s in waiting if _awaits(s, answer)),
                key=lambda s: abs(s.start_ns - _began(answer)),
                default=None,
            )
            if call is not None:
                waiting.remove(call)
                _llm(answer).duplicate_of = call.span_id
                _lend(_llm(call), _llm(answer))


def _awaits(call: Span, answer: Span) -> bool:
    """Whether the call may be the one a stream's answer was told for: of the same question, and not answered itself."""
    one, told = _llm(call), _llm(answer)
    asked = not (one.input_messages and told.input_messages) or one.input_messages == told.input_messages
    # One that has this very answer was lent it when the trace was put together before.
    open_ = one.output_messages in ([], told.output_messages) and one.response_id in (None, told.response_id)
    return asked and open_ and call.error is None


def _began(answer: Span) -> int:
    """When the stream began whose answer is told once it has ended."""
    lasted = as_float(answer.raw.attributes.get("duration")) if answer.raw is not None else None
    return answer.start_ns - int((lasted or 0) * 1e9)


def _is_told(span: Span) -> bool:
    """Whether this is what Logfire tells of a stream after it, though it may be nothing."""
    marks: dict[str, Any] = span.raw.attributes if span.raw is not None else {}
    return bool(_llm(span).output_messages) or marks.get("logfire.span_type") == "log"


def _by_time(calls: list[Span], nested: set[tuple[str, str]]) -> None:
    """A call whose response id is not told by both: two instrumentations tell it side by side, at the same time.

    `nested` are calls and those beneath them, which `_wrappers` settles.
    """
    # Of one instrumentation alone, which may tell thousands at once, nothing is told twice so.
    if not _of_several(calls):
        return
    alike: dict[tuple[str | None, object], list[Span]] = {}
    for span in calls:
        llm = _llm(span)
        asked, counts, failed = last_user_text(llm.input_messages), _count(span), span.error is not None
        for said in (asked, counts if any(counts) else None, failed or None):
            if said:
                alike.setdefault((span.parent_id, said), []).append(span)
        if asked and (failed or any(counts) or span.kind == "embedding"):
            # Two callbacks may each build a tree of their own: then all that is said must be the same.
            names = tuple(c.name for c in llm.tool_calls)
            given = [m.text for m in llm.input_messages] if span.kind == "embedding" else [asked]
            alike.setdefault(("", (*given, counts, failed, llm.output_text, *names)), []).append(span)
    settled = nested
    for group in alike.values():
        if not _of_several(group):
            continue
        for i, outer in enumerate(group):
            for at in range(i + 1, len(group)):
                inner = group[at]
                if inner.start_ns >= outer.end_ns:
                    break
                if (outer.span_id, inner.span_id) not in settled and _beside(outer, inner):
                    settled.add((outer.span_id, inner.span_id))
                    _settle([outer, inner])


def _of_several(spans: list[Span]) -> bool:
    """Whether more than one instrumentation tells them."""
    return len({s.raw.scope_name for s in spans if s.raw is not None}) > 1


def _beside(outer: Span, inner: Span) -> bool:
    if outer.kind != inner.kind or not at_once(outer, inner):
        return False
    if outer.raw is None or inner.raw is None or outer.raw.scope_name == inner.raw.scope_name:
        return False
    one, other = _llm(outer), _llm(inner)
    if one.response_id is not None and other.response_id is not None:
        return False
    asked, again = last_user_text(one.input_messages), last_user_text(other.input_messages)
    if outer.error is not None and inner.error is not None:
        models = {one.request_model, other.request_model} - {None}
        unknown = not (one.input_messages and other.input_messages)
        return len(models) < 2 and (unknown or asked == again)
    names, told = _families(one), _families(other)
    counts = _count(outer)
    same = bool(asked) and asked == again
    if not same and any(counts) and counts == _count(inner):
        # One may tell the question in its own way: then the other has the whole of it within its time.
        same = inner.end_ns <= outer.end_ns or not (asked and again)
    return same and not names.isdisjoint(told)


def at_once(outer: Span, inner: Span) -> bool:
    """Whether the later of two spans passed its time, for the most part, beside the earlier one.

    Callbacks are told of an end in the order in which they were told of the start: neither span lies within the other.
    """
    shared = min(outer.end_ns, inner.end_ns) - inner.start_ns
    return 2 * shared >= min(outer.end_ns - outer.start_ns, inner.end_ns - inner.start_ns)


def _by_sdk(calls: list[Span]) -> None:
    """An SDK's own span beneath or beside an instrumentation's that did not pass the response id on."""
    for own in calls:
        if not _is_sdk(own) or _llm(own).duplicate_of is not None:
            continue
        around = [s for s in calls if s is not own and _encloses(s, own)]
        if around:
            same = _llm(own).usage.input_tokens
            around.sort(key=lambda s: (_llm(s).usage.input_tokens != same, -s.start_ns, s.span_id))
            _settle([around[0], own])


def _by_callback(calls: list[Span]) -> None:
    """LangChain's call that Langfuse's callback tells and its OpenAI client tells again, not beneath it where it was awaited."""
    told: dict[Any, list[Span]] = {}
    again: list[tuple[Any, Span]] = []
    for span in calls:
        llm = _llm(span)
        if span.dialect != "langfuse" or span.raw is None or llm.duplicate_of is not None or not _says(llm):
            continue
        names = [c.name for c in llm.tool_calls]
        said = (_count(span), last_user_text(llm.input_messages), llm.output_text, *names)
        if _CALLBACK in span.raw.attributes:
            told.setdefault(said, []).append(span)
        else:
            again.append((said, span))
    for said, inner in again:
        for outer in told.get(said, ()):
            apart = inner.parent_id != outer.span_id
            if (
                apart
                and _within(inner, outer)
                and not _families(_llm(outer)).isdisjoint(_families(_llm(inner)))
            ):
                told[said].remove(outer)
                _settle([outer, inner])
                break


def _by_count(calls: list[Span]) -> None:
    """A span that only tells what was used, right after a call beside it that used as much (AG2), is that call."""
    told: dict[Any, list[Span]] = {}
    for span in calls:
        llm = _llm(span)
        if llm.duplicate_of is not None or span.raw is None or llm.usage.input_tokens is None:
            continue
        beside = told.setdefault((span.parent_id, span.raw.scope_name, _count(span)), [])
        if (
            beside
            and _is_account(span)
            and beside[-1].name != span.name
            and beside[-1].end_ns <= span.start_ns
        ):
            call = beside.pop()
            llm.duplicate_of = call.span_id
            _lend(_llm(call), llm)
        else:
            beside.append(span)


def _is_account(span: Span) -> bool:
    return _only_counts(_llm(span)) and span.end_ns - span.start_ns < 10_000_000


def _only_counts(llm: LLM) -> bool:
    """Whether nothing is told of a call but what it used."""
    return not (
        llm.input_messages or llm.output_messages or llm.response_id or llm.finish_reason_raw or llm.params
    )


def _by_run(calls: list[Span]) -> None:
    """A span that only tells what was used in a run, beside the calls of that run (OpenClaw), is none of them."""
    known = [s for s in calls if s.raw is not None and _llm(s).duplicate_of is None and any(_count(s))]
    accounts = [s for s in known if _only_counts(_llm(s))]
    # A client that hides what was said tells nothing but counts of every call: those are no accounts.
    if len({s.name for s in known}) < 2 or len(accounts) > _MOST_ACCOUNTS:
        return
    for span in accounts:
        run = [s for s in known if s.name != span.name and _scope(s) == _scope(span) and _within(s, span)]
        if run and _count(span) == tuple(map(sum, zip(*map(_count, run), strict=True))):
            _llm(span).duplicate_of = run[-1].span_id


def _scope(span: Span) -> str:
    return span.raw.scope_name if span.raw is not None else ""


def _within(inner: Span, outer: Span) -> bool:
    return outer.start_ns <= inner.start_ns and inner.end_ns <= outer.end_ns


def _encloses(outer: Span, own: Span) -> bool:
    llm = _llm(outer)
    if _is_sdk(outer) or llm.duplicate_of is not None:
        return False
    if len({llm.response_id, _llm(own).response_id} - {None}) > 1:
        return False
    if outer.span_id != own.parent_id and outer.parent_id != own.parent_id:
        return False
    names, told = _families(llm), _families(_llm(own))
    same = not names or not told or not names.isdisjoint(told)
    return same and outer.start_ns <= own.start_ns <= outer.end_ns


def _families(llm: LLM) -> set[str]:
    return {spellings.family(m) for m in (llm.request_model, llm.response_model) if m is not None}


def _below(spans: list[Span], calls: list[Span]) -> dict[str, list[Span]]:
    """For a call span around others of its kind those that are nearest to it."""
    own = {s.span_id: s for s in calls}
    nearest = enclosing({s.span_id: s.parent_id for s in spans}, own)
    below: dict[str, list[Span]] = {}
    for span in calls:
        outer_id = nearest.get(span.span_id)
        if outer_id is not None and own[outer_id].kind == span.kind:
            below.setdefault(outer_id, []).append(span)
    return below


def _sums(calls: list[Span], below: dict[str, list[Span]]) -> set[str]:
    """A span whose usage is the sum of several calls beneath it is none of them, though it may have the last one's id."""
    found: set[str] = set()
    for outer in reversed(calls):
        inner = {_llm(s).response_id or s.span_id: s for s in below.get(outer.span_id, ())}
        if len(inner) > 1 and _count(outer) == tuple(
            map(sum, zip(*map(_count, inner.values()), strict=True))
        ):
            _llm(outer).duplicate_of = list(inner.values())[-1].span_id
            found.add(outer.span_id)
    return found


def _count(span: Span) -> tuple[int, int]:
    usage = _llm(span).usage
    return usage.input_tokens or 0, usage.output_tokens or 0


def _wrappers(calls: list[Span], below: dict[str, list[Span]], sums: set[str]) -> None:
    """A call span around other call spans repeats them when it has no usage, the same response, or their usage."""
    own = {s.span_id: s for s in calls}
    # Innermost first: a child starts after its parent.
    for span in reversed(calls):
        told = below.get(span.span_id)
        if told is None or span.span_id in sums:
            continue
        outer = _carrier(span, own)
        inner = list({c.span_id: c for s in told if (c := _carrier(s, own)) is not outer}.values())
        again = any(s.span_id in sums and _count(s) == _count(outer) for s in told)
        if not inner or not (again or _repeats(_llm(outer), inner)):
            continue
        leaf = inner[-1]
        if len(inner) == 1 and _worth(outer)[:4] < _worth(leaf)[:4]:
            _settle([outer, leaf])
        else:
            _llm(outer).duplicate_of = leaf.span_id
            if len(inner) == 1:
                _lend(_llm(leaf), _llm(outer))
    for span in calls:
        if _llm(span).duplicate_of is not None:
            _llm(span).duplicate_of = _carrier(span, own).span_id


def _carrier(span: Span, own: dict[str, Span]) -> Span:
    """The span that carries this span's call, through any chain of duplicates."""
    seen: set[str] = set()
    while (target := _llm(span).duplicate_of) is not None and target not in seen:
        seen.add(target)
        span = own[target]
    return span


def enclosing(parents: dict[str, str | None], wanted: Container[str]) -> dict[str, str | None]:
    """For every span its nearest ancestor in `wanted`; linear in the spans, cycles and missing parents give None."""
    found: dict[str, str | None] = {}
    for span_id in parents:
        path: list[str] = []
        seen: set[str] = set()
        here: str = span_id
        answer: str | None = None
        while here not in seen:
            if here in found:
                answer = found[here]
                break
            seen.add(here)
            path.append(here)
            parent = parents.get(here)
            if parent is None:
                break
            if parent in wanted and parent not in seen:
                answer = parent
                break
            here = parent
        for step in path:
            found[step] = answer
    return found


def _repeats(outer: LLM, inner: list[Span]) -> bool:
    usage = outer.usage
    if usage.input_tokens is None and usage.output_tokens is None:
        return True
    counts = [_count(s) for s in inner]
    mine = (usage.input_tokens or 0, usage.output_tokens or 0)
    total = (sum(c[0] for c in counts), sum(c[1] for c in counts))
    if mine in counts or mine == total:
        return True
    models = {_llm(inner[0]).request_model, _llm(inner[0]).response_model} - {None}
    return counts == [(0, 0)] and (not models or outer.request_model in models)
