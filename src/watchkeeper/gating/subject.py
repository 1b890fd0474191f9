"""A target's answer to a case, as the trace that production would have recorded: the same scorers read both."""

import hashlib
from typing import Any

import msgspec

from watchkeeper.model.review import Case
from watchkeeper.model.score import Subject
from watchkeeper.model.span import (
    LLM,
    Context,
    Document,
    Message,
    Part,
    Retrieval,
    Span,
    Tool,
    ToolCall,
    Totals,
    Trace,
    Usage,
)


class Answer(msgspec.Struct):
    """What a target returned for one case. Only `output` is needed; what is absent is taken from the case's recording
    (documents) or unknown (usage, cost). `error` is set when the target failed, and then nothing is scored; `excused` when
    the case could not be asked or settled at all, which says nothing about the target. `attempts` counts retries."""

    case_id: str
    output: str | None = None
    documents: list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    finish_reason: str | None = None
    model: str | None = None
    usage: dict[str, int] | None = None
    cost: float | None = None
    latency_ms: float | None = None
    repeat: int = 0
    error: str | None = None
    excused: bool = False
    attempts: int = 1


def input_text(case: Case) -> str:
    """What the case asks, as text."""
    if isinstance(case.input, dict):
        return str(case.input.get("text") or case.input.get("messages") or case.input)
    return str(case.input)


def _span(case: Case, number: int, kind: str, name: str, end_ns: int) -> Span:
    trace_id = hashlib.sha256(case.id.encode()).hexdigest()[:32]
    return Span(
        trace_id=trace_id,
        span_id=f"{number:016x}",
        parent_id=None if number == 1 else f"{1:016x}",
        name=name,
        kind=kind,
        start_ns=1,
        end_ns=end_ns,
        status="ok",
        dialect="gate",
        context=Context(scenario=case.scenario),
    )


def _text(case: Case) -> str | None:
    if isinstance(case.input, dict):
        text = case.input.get("text")
        return None if text is None else str(text)
    return str(case.input)


def _messages(case: Case, text: str | None) -> list[Message]:
    given = case.input.get("messages") if isinstance(case.input, dict) else None
    if given:
        try:
            return msgspec.convert(given, list[Message])
        except msgspec.ValidationError:
            pass  # A hand-written case may hold provider-shaped messages; its text is then what the scorers read.
    return [Message("user", [Part("text", text=text)])] if text is not None else []


def _tools(answer: Answer) -> list[ToolCall]:
    return [
        ToolCall(id=c.get("id"), name=c.get("name"), arguments=c.get("arguments"))
        for c in answer.tool_calls or []
    ]


def trace_of(case: Case, answer: Answer) -> Trace:
    """The trace of one answer: a root, a retrieval when documents are known, one model call, and its tool runs."""
    text = _text(case)
    end_ns = 1 + int((answer.latency_ms or 0.0) * 1e6)
    root = _span(case, 1, "workflow", case.scenario or "case", end_ns)
    root.input_text, root.output_text = text, answer.output
    spans = [root]
    documents = answer.documents if answer.documents is not None else case.context.get("documents")
    if documents:
        retrieval = _span(case, 2, "retrieval", "retrieve", end_ns)
        found = [msgspec.convert(d, Document, strict=False) for d in documents]
        retrieval.retrieval = Retrieval(query=text, documents=found)
        spans.append(retrieval)
    call = _span(case, 3, "llm", "answer", end_ns)
    usage = answer.usage or {}
    tool_calls = _tools(answer)
    call.input_text, call.output_text = text, answer.output
    call.llm = LLM(
        request_model=answer.model,
        response_model=answer.model,
        system=case.context.get("system"),
        input_messages=_messages(case, text),
        output_messages=[Message("assistant", [Part("text", text=answer.output)])] if answer.output else [],
        output_text=answer.output,
        tool_calls=tool_calls,
        finish_reason=answer.finish_reason or ("tool_calls" if tool_calls and not answer.output else None),
        usage=Usage(
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            cached_input_tokens=usage.get("cached_input_tokens"),
        ),
        cost=answer.cost,
    )
    spans.append(call)
    for number, given in enumerate(answer.tool_calls or [], start=4):
        if "result" in given or "error" in given:
            tool = _span(case, number, "tool", str(given.get("name")), end_ns)
            error = given.get("error")
            tool.tool = Tool(
                given.get("name"), given.get("id"), given.get("arguments"), given.get("result"), error
            )
            tool.status = "error" if error else "ok"
            spans.append(tool)
    return Trace(
        trace_id=root.trace_id,
        spans=spans,
        context=root.context,
        totals=Totals(usage.get("input_tokens"), usage.get("output_tokens"), cost=answer.cost),
        start_ns=1,
        end_ns=end_ns,
        complete=True,
        input_text=text,
        output_text=answer.output,
    )


def subjects_of(case: Case, answer: Answer) -> list[Subject]:
    """The subjects of one answer: the trace, then each of its spans."""
    trace = trace_of(case, answer)
    whole = Subject(trace=trace, expected=case.expected)
    return [whole, *(Subject(trace=trace, span=s, expected=case.expected) for s in trace.spans)]
