"""Traces for scorer tests, and the labelled conversations as traces."""

import json
from pathlib import Path
from typing import Any

from watchkeeper.model.score import Subject
from watchkeeper.model.span import (
    LLM,
    Context,
    Document,
    ErrorInfo,
    Message,
    Part,
    Retrieval,
    Span,
    Tool,
    ToolCall,
    Totals,
    Trace,
)

START = 1_750_000_000_000_000_000


def span(number: int, kind: str, name: str, **more: Any) -> Span:
    return Span(
        trace_id="a" * 32,
        span_id=f"{number:016x}",
        parent_id=None if number == 1 else f"{1:016x}",
        name=name,
        kind=kind,
        start_ns=START + number * 10**9,
        end_ns=START + number * 10**9 + 5 * 10**8,
        status=more.pop("status", "ok"),
        dialect="test",
        context=Context(),
        **more,
    )


def trace(
    input: str | None = None,
    output: str | None = None,
    *,
    documents: list[str] | None = None,
    tools: list[Tool] | None = None,
    spans: list[Span] | None = None,
    trace_id: str = "a" * 32,
    context: Context | None = None,
    cost: float | None = None,
    llm: dict[str, Any] | None = None,
) -> Trace:
    """One model call with what it was given; `llm` sets fields of the call."""
    made: list[Span] = []
    call = LLM(output_text=output, **(llm or {}))
    if input is not None and not call.input_messages:
        call.input_messages = [Message("user", [Part("text", text=input)])]
    made.append(span(1, "llm", "chat", llm=call, input_text=input, output_text=output))
    if documents is not None:
        found = [Document(id=f"doc-{i}", content=d) for i, d in enumerate(documents, 1)]
        made.append(span(2, "retrieval", "search", retrieval=Retrieval(documents=found)))
    for i, tool in enumerate(tools or [], 10):
        made.append(span(i, "tool", tool.name or "tool", tool=tool))
    made += spans or []
    return Trace(
        trace_id, made, context or Context(), Totals(cost=cost), START, START + 20 * 10**9, True,
        input_text=input, output_text=output,
    )  # fmt: skip


def subject(input: str | None = None, output: str | None = None, **more: Any) -> Subject:
    return Subject(trace(input, output, **more))


def failing(class_: str) -> Span:
    return span(40, "http", "POST", status="error", error=ErrorInfo(class_, message=f"{class_} happened"))


def airline_traces(shared: Path) -> list[Trace]:
    """The tool-calling conversations, one trace each: a model span per assistant message, a tool span per tool result."""
    described = json.loads((shared / "taubench_airline_tools.json").read_text(encoding="utf-8"))
    out: list[Trace] = []
    for line in (shared / "taubench_airline.jsonl").read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        results = {m["tool_call_id"]: m["content"] for m in run["messages"] if m["role"] == "tool"}
        spans: list[Span] = []
        for number, message in enumerate(run["messages"], 100):
            if message["role"] != "assistant":
                continue
            calls = [
                ToolCall(c["id"], c["function"]["name"], c["function"]["arguments"])
                for c in message.get("tool_calls") or []
            ]
            call = LLM(
                system=described["system_prompt"],
                output_text=message["content"],
                tool_calls=calls,
                tool_definitions=described["tools"],
                finish_reason="tool_calls" if calls else "stop",
            )
            spans.append(span(number * 10, "llm", "chat", llm=call, output_text=message["content"]))
            spans += [
                span(
                    number * 10 + i,
                    "tool",
                    c.name or "",
                    tool=Tool(c.name, c.id, c.arguments, results.get(c.id or "")),
                )
                for i, c in enumerate(calls, 1)
            ]
        said = [m["content"] for m in run["messages"] if m["role"] == "assistant" and m["content"]]
        asked = next(m["content"] for m in run["messages"] if m["role"] == "user")
        out.append(
            Trace(
                run["id"],
                spans,
                Context(),
                Totals(),
                START,
                START + 10**12,
                True,
                input_text=asked,
                output_text=said[-1] if said else None,
            )
        )
    return out
