"""Coding agents (Claude Code, Codex CLI) that send log records only: a trace made of their events.

One trace per session or conversation: a root for the session, a call per request to the model, a span per tool.
Ids are hashes of what the records say, so the same records give the same spans in any order.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from watchkeeper.dialects.draft import Draft, finish
from watchkeeper.dialects.replies import Tokens
from watchkeeper.dialects.values import (
    as_bool,
    as_float,
    as_int,
    as_list,
    as_text,
    decode,
    first,
    is_redacted,
    word,
)
from watchkeeper.model.span import LogRecord, Message, Part, RawSpan, Span

_SYSTEMS = {
    "claude_code": "anthropic",
    "codex": "openai",
    "gemini_cli": "google",
    "qwen-code": None,
    "opencode": None,
}
_SESSION = (
    "session.id",
    "conversation.id",
    "conversation_id",
    "session_id",
    "thread.id",
    "gen_ai.conversation.id",
)
_REQUESTS = ("api_request", "api_response", "websocket_request", "sse_event")
_FAILURES = ("api_error",)
_TOOLS = ("tool_result", "tool_call")
_ERRORS = ("error", "error.message", "error_message")
_STATUS = ("status_code", "http.response.status_code")
_COUNTS = ("input_tokens", "output_tokens", "input_token_count", "output_token_count", "cost_usd")


def _split(name: str) -> tuple[str, str]:
    system, _, event = name.partition(".")
    return (system, event) if system in _SYSTEMS else ("", "")


def is_agent_event(log: LogRecord) -> bool:
    """Whether a record is an event of a coding agent that may come without any span."""
    return bool(_split(log.name)[0])


def session_of(log: LogRecord) -> str | None:
    """The session or conversation a record belongs to."""
    return word(first(log.attributes, *_SESSION)) or word(first(log.resource, *_SESSION))


def trace_id_of(log: LogRecord) -> str:
    """The record's trace id; for one without, the id of the trace its session stands for, '' when it names none.

    Gemini CLI's spans have a trace each: what happened in a session is told whole by its records alone.
    """
    session = session_of(log)
    if log.trace_id and not (session and log.name.startswith("gemini_cli.")):
        return log.trace_id
    return _hash("trace", session, size=16) if session else ""


def _hash(*parts: str | None, size: int = 8) -> str:
    text = "\x1f".join(p or "" for p in parts)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def spans_from_logs(logs: list[LogRecord]) -> list[Span]:
    """Spans made of coding agents' records; records of other kinds, and those without a session, give none."""
    sessions: dict[str, list[LogRecord]] = {}
    for log in logs:
        trace_id = trace_id_of(log)
        if trace_id and is_agent_event(log):
            sessions.setdefault(trace_id, []).append(log)
    out: list[Span] = []
    for trace_id, records in sessions.items():
        records.sort(key=lambda r: (r.time_ns, r.name, r.log_id))
        out += _session(trace_id, records)
    return out


def _raw(log: LogRecord, trace_id: str, span_id: str, parent: str | None, name: str, span_ns: int) -> RawSpan:
    return RawSpan(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent,
        name=name,
        otel_kind="internal",
        start_ns=max(log.time_ns - span_ns, 1),
        end_ns=log.time_ns,
        status="unset",
        status_message=None,
        attributes=dict(log.attributes),
        events=[],
        links=[],
        resource=log.resource,
        scope_name=log.scope_name,
        time_suspect=log.time_suspect,
    )


def _session(trace_id: str, records: list[LogRecord]) -> list[Span]:
    head, last = records[0], records[-1]
    system = _split(head.name)[0]
    root_id = _hash(trace_id, "root")
    out: list[Span] = []
    prompts: list[str] = []
    by_id: dict[str, str] = {}
    answers = _answers(records)
    sent = _sent(records)
    for log in records:
        _, event = _split(log.name)
        if event == "user_prompt":
            prompt = as_text(first(log.attributes, "prompt", "user_prompt", "content"))
            if prompt and prompt not in ("<REDACTED>", "[REDACTED]"):
                prompts.append(prompt)
                by_id.setdefault(word(log.attributes.get("prompt_id")) or "", prompt)
            continue
        turn = word(log.attributes.get("prompt_id"))
        # Where prompts have ids, a request under another id asked something else (Qwen Code's extraction of memories).
        asked = by_id.get(turn) if turn and "" not in by_id else prompts[-1] if prompts else None
        made = _span(
            log, event, system, trace_id, root_id, _Said(asked, sent.get(id(log)), answers.get(id(log)))
        )
        if made is not None:
            out.append(made)
    raw = _raw(head, trace_id, root_id, None, f"{system} session", 0)
    raw.attributes = {"session.id": session_of(head)} if session_of(head) else {}
    raw.start_ns = min([head.time_ns, *(s.start_ns for s in out)])
    raw.end_ns = last.time_ns
    draft = Draft(raw)
    draft.kind = "agent"
    draft.agent = system
    _who(draft, head)
    draft.input_text = prompts[-1] if prompts else None
    draft.output_text = next(reversed(answers.values()), None)
    return [finish(draft, system), *out]


class _Said(NamedTuple):
    """What other records tell of a request: the user's prompt, what was sent, what was answered."""

    prompt: str | None
    request: Any
    answer: str | None


def _sent(records: list[LogRecord]) -> dict[int, Any]:
    """The conversation that a request's record tells, by the identity of the record of what came back."""
    pairs = _pairs(
        records,
        ("prompt_id", "model", "subagent_name"),
        lambda event, log: event == "api_request" and "request_text" in log.attributes,
        lambda event, _: event in ("api_response", "api_error"),
    )
    return {id(answer): request.attributes["request_text"] for request, answer in pairs}


def _answers(records: list[LogRecord]) -> dict[int, str]:
    """What was answered to which request, by the record's identity: the answer's record follows its request's."""
    pairs = _pairs(
        records,
        ("prompt.id", "model", "query_source"),
        lambda event, _: event == "api_request",
        lambda event, log: event == "assistant_response" and _response(log) is not None,
    )
    return {id(request): said for request, answer in pairs if (said := _response(answer)) is not None}


def _response(log: LogRecord) -> str | None:
    said = as_text(log.attributes.get("response"))
    return said if said and not is_redacted(said) else None


def _pairs(
    records: list[LogRecord],
    keys: tuple[str, ...],
    opens: Callable[[str, LogRecord], bool],
    closes: Callable[[str, LogRecord], bool],
) -> Iterator[tuple[LogRecord, LogRecord]]:
    """A record that opens a turn, told by these attributes, with the next that closes it."""
    waiting: dict[tuple[str | None, ...], LogRecord] = {}
    for log in records:
        event = _split(log.name)[1]
        turn = tuple(word(log.attributes.get(key)) for key in keys)
        if opens(event, log):
            waiting[turn] = log
        elif turn in waiting and closes(event, log):
            yield waiting.pop(turn), log


def _who(draft: Draft, log: LogRecord) -> None:
    draft.session = session_of(log)
    draft.user = word(first(log.attributes, "user.id", "user.account_uuid", "user.email", "user.account_id"))


def _span(log: LogRecord, event: str, system: str, trace_id: str, root_id: str, said: _Said) -> Span | None:
    attributes = log.attributes
    duration = int((as_float(first(attributes, "duration_ms", "duration")) or 0) * 1e6)
    span_id = (
        log.span_id
        if log.span_id and log.trace_id == trace_id
        else _hash(trace_id, log.log_id or f"{log.time_ns}{log.name}")
    )
    if event in _REQUESTS or event in _FAILURES:
        if event != "api_response" and first(attributes, *_COUNTS) is None and not _failed(log, event):
            # Codex and Gemini CLI announce the request, and tell its usage with what came back.
            return None
        raw = _raw(log, trace_id, span_id, root_id, log.name, duration)
        return _call(raw, log, event, system, said)
    if event in _TOOLS:
        name = word(first(attributes, "tool_name", "function_name")) or log.name
        raw = _raw(log, trace_id, span_id, root_id, name, duration)
        return _tool(raw, log, system)
    return None


def _failed(log: LogRecord, event: str) -> bool:
    status = as_int(first(log.attributes, *_STATUS))
    said_so = as_bool(log.attributes.get("success")) is False or first(log.attributes, *_ERRORS) is not None
    return event in _FAILURES or said_so or (status is not None and status >= 400)


def _call(raw: RawSpan, log: LogRecord, event: str, system: str, said: _Said) -> Span:
    attributes = log.attributes
    draft = Draft(raw)
    draft.kind = "llm"
    _who(draft, log)
    draft.agent = word(attributes.get("subagent_name")) or system
    provider = _SYSTEMS[system]
    if provider:
        draft.provider_raw["client"] = provider
    draft.request_model = word(first(attributes, "model", "slug"))
    draft.response_id = word(first(attributes, "request_id", "response.id", "response_id"))
    cached = as_int(
        first(attributes, "cache_read_tokens", "cached_token_count", "cached_content_token_count")
    )
    written = as_int(attributes.get("cache_creation_tokens"))
    draft.tokens = Tokens(
        as_int(first(attributes, "input_tokens", "input_token_count")),
        as_int(first(attributes, "output_tokens", "output_token_count")),
        cached,
        written,
        as_int(first(attributes, "reasoning_token_count", "thoughts_token_count")),
        # Anthropic counts cached tokens beside the input.
        exclusive=system == "claude_code",
        total=as_int(attributes.get("total_token_count")),
    )
    reasons = as_list(attributes.get("finish_reasons"))
    draft.finish_raw = word(reasons[0]) if reasons else word(attributes.get("stop_reason"))
    draft.take_reply("response_text", attributes.get("response_text"))
    if said.answer is not None and not draft.outputs:
        draft.outputs = [Message("assistant", [Part("text", text=said.answer)])]
    draft.cost_client = as_float(attributes.get("cost_usd"))
    draft.ttft_ms = as_float(attributes.get("ttft_ms"))
    draft.take_inputs("request_text", said.request)
    if said.prompt and draft.inputs is None:
        draft.inputs = [Message("user", [Part("text", text=said.prompt)])]
    if _failed(log, event):
        draft.failed = True
        draft.error_message = as_text(first(attributes, *_ERRORS))
        draft.error_status = as_int(first(attributes, *_STATUS))
        draft.attempts = as_int(attributes.get("attempt"))
    return finish(draft, system)


def _tool(raw: RawSpan, log: LogRecord, system: str) -> Span:
    attributes = log.attributes
    draft = Draft(raw)
    draft.kind = "tool"
    _who(draft, log)
    draft.agent = system
    draft.tool_name = word(first(attributes, "tool_name", "function_name", "name"))
    draft.tool_call_id = word(first(attributes, "call_id", "tool_use_id", "tool_call_id"))
    draft.tool_arguments = _arguments(attributes)
    draft.tool_result = decode(first(attributes, "output", "result", "tool_output"))
    if as_bool(attributes.get("success")) is False:
        draft.tool_error = as_text(first(attributes, *_ERRORS, "output")) or "error"
        draft.failed = True
    return finish(draft, system)


def _arguments(attributes: dict[str, Any]) -> Any:
    return decode(first(attributes, "arguments", "tool_input", "tool_parameters", "function_args"))
