"""Compares an assembled trace with what a recorded scenario says a correct ingestion yields.

The rules are those of the recordings' README: a field in `not_emitted` must be None (or empty), one in
`found_on_another_span` is in the trace but need not be on the call, and totals count each provider call once.
"""

import json
from typing import Any

from watchkeeper.model.span import Span, Trace


def differences(expected: dict[str, Any], trace: Trace, note: str = "") -> list[str]:
    """What is wrong with `trace`, one line each; empty when it is as expected."""
    out: list[str] = []

    def check(field: str, want: Any, got: Any) -> None:
        if want != got:
            out.append(f"{field}: want {want!r:.160}, got {got!r:.160}")

    check("trace_id", expected["trace_id"], trace.trace_id)
    check("spans", expected["spans"], len(trace.spans))
    check("roots", sorted(expected["roots"]), sorted(s.name for s in trace.spans if s.parent_id is None))
    check("orphan_parents", sorted(expected["orphan_parents"]), trace.orphan_parents)
    check("open_spans", expected.get("open_spans", 0), sum(1 for s in trace.spans if s.end_ns == 0))
    check("log_events", expected.get("log_events", {}), trace.log_events)
    _calls(expected, trace, check)
    _totals(expected, trace, check)
    _steps(expected, trace, check)
    _context(expected, trace, check, note)
    return out


def _calls(expected: dict[str, Any], trace: Trace, check: Any) -> None:
    by_id = {s.span_id: s for s in trace.spans}
    calls = trace.llm_calls
    wanted = expected["llm_calls"]
    check("llm_calls", len(wanted), len(calls))
    if all("span_id" in c for c in wanted):
        check("llm_call spans", sorted(c["span_id"] for c in wanted), sorted(s.span_id for s in calls))
    for i, want in enumerate(wanted):
        span = by_id.get(want["span_id"]) if "span_id" in want else (calls[i] if i < len(calls) else None)
        if span is None or span.llm is None:
            check(f"call {i}", want.get("name"), None)
            continue
        _call(want, span, trace, lambda f, a, b, i=i: check(f"call {i} {f}", a, b))
        for other in want.get("same_call_also_on", []):
            twin = by_id[other]
            check(f"call {i} duplicate {other}", True, twin.llm is None or twin.llm.duplicate_of is not None)


def _call(want: dict[str, Any], span: Span, trace: Trace, check: Any) -> None:
    llm = span.llm
    assert llm is not None
    silent = set(want.get("not_emitted", []))
    elsewhere = set(want.get("found_on_another_span", []))
    got: dict[str, Any] = {
        "name": span.name,
        "provider": llm.provider,
        "request_model": llm.request_model,
        "model": llm.request_model,
        "response_model": llm.response_model,
        "system_message": llm.system is not None,
        "input_messages": len(llm.input_messages) if llm.input_messages else None,
        "last_user_text": next(
            (m.text for m in reversed(llm.input_messages) if m.role == "user" and m.text), None
        ),
        "output_text": llm.output_text,
        "refusal": llm.refusal,
        "finish_reason": llm.finish_reason,
        "input_tokens": llm.usage.input_tokens,
        "output_tokens": llm.usage.output_tokens,
        "cached_input_tokens": llm.usage.cached_input_tokens,
        "reasoning_output_tokens": llm.usage.reasoning_output_tokens,
        "input_tokens_as_sent": llm.usage.input_tokens_as_sent,
        "temperature": llm.params.get("temperature"),
        "error_class": span.error.class_ if span.error is not None else None,
        "span_status_error": span.status == "error",
    }
    for field, value in got.items():
        if field in silent:
            check(f"{field} (not emitted)", None, value or None)
        elif field == "output_text" and want.get("partial"):
            continue
        elif field in want and field not in elsewhere:
            if field == "system_message" and not llm.input_messages and not want[field]:
                continue
            check(field, want[field], value)
    for field in elsewhere:
        check(f"{field} (elsewhere)", True, _anywhere(trace, want[field]))
    if "finish_reason_provider" in want and "finish_reason" not in silent:
        check("finish_reason_raw", want["finish_reason_provider"], llm.finish_reason_raw)
    if "error_raw" in want:
        check("error_raw", want["error_raw"], span.error.raw_type if span.error else None)
    if "provider_raw" in want:
        check(
            "provider_raw", want["provider_raw"], {k: llm.provider_raw.get(k) for k in want["provider_raw"]}
        )
    if want.get("stream") is not None:
        check("stream", True, llm.stream is None or llm.stream == want["stream"])
    if "tool_calls" in want and "tool_calls" not in silent:
        calls = [{"name": c.name, "arguments": c.arguments} for c in llm.tool_calls]
        check(
            "tool_calls",
            [{"name": c["name"], "arguments": c["arguments"]} for c in want["tool_calls"]],
            calls,
        )
    if want.get("choices", 1) > 1:
        check("choices", want["choices"], len(llm.output_messages))
    if "output_text_prefix" in want:
        check("output_text_prefix", True, (llm.output_text or "").startswith(want["output_text_prefix"]))
    for field in ("cost_usd_as_sent", "cost_usd"):
        if field in want:
            check(field, want[field], llm.cost_client)
    if "ttft_as_sent" in want and want.get("stream"):
        check("ttft known", True, llm.ttft_ms is not None and 0 <= llm.ttft_ms < 60_000)


def _anywhere(trace: Trace, value: Any) -> bool:
    text = json.dumps(
        [s.raw.attributes for s in trace.spans if s.raw is not None], ensure_ascii=False, default=str
    )
    return str(value) in text


def _totals(expected: dict[str, Any], trace: Trace, check: Any) -> None:
    for field, got in (
        ("total_input_tokens", trace.totals.input_tokens),
        ("total_output_tokens", trace.totals.output_tokens),
    ):
        if field in expected:
            check(field, expected[field], got)
    carriers = {s.span_id for s in trace.llm_calls}
    wanted = {c.get("span_id") for c in expected["llm_calls"]}
    for other in expected.get("other_spans_with_usage", []):
        # The hand-made scenarios name the call itself here.
        if None not in wanted and other in carriers:
            check(f"{other} counted", False, True)


def _steps(expected: dict[str, Any], trace: Trace, check: Any) -> None:
    if "tool_spans" in expected:
        tools = {s.span_id: s for s in trace.tools}
        check("tool_spans", sorted(t["span_id"] for t in expected["tool_spans"]), sorted(tools))
        for want in expected["tool_spans"]:
            span = tools.get(want["span_id"])
            if span is not None and span.tool is not None:
                check("tool name", want["name"], span.tool.name)
                check(f"tool error {want['span_id']}", want["error"], span.tool.error is not None)
                if want.get("error_text_present"):
                    check("tool error text", True, "503" in (span.tool.error or ""))
    if "retrieved_documents" in expected:
        got = [{"id": d.id, "score": d.score} for d in _first_documents(trace)]
        check("documents", expected["retrieved_documents"], got)
    if "retrieval_spans" in expected:
        check(
            "retrieval_spans",
            expected["retrieval_spans"],
            sum(1 for s in trace.spans if s.kind == "retrieval"),
        )
    if "agent_spans" in expected:
        check("agent_spans", expected["agent_spans"], sum(1 for s in trace.spans if s.kind == "agent"))
    for want in expected.get("embedding_calls", []):
        span = next((s for s in trace.spans if s.span_id == want["span_id"]), None)
        check("embedding kind", "embedding", span.kind if span else None)
        if span is not None and span.llm is not None:
            check("embedding model", True, want["model"] in (span.llm.request_model, span.llm.response_model))
            # Some clients do not pass usage of embeddings on: unknown, but never another number.
            check("embedding tokens", True, span.llm.usage.input_tokens in (want["input_tokens"], None))
    if "truncated" in expected:
        check("truncated", expected["truncated"], bool(trace.context.metadata.get("watchkeeper.truncated")))


def _first_documents(trace: Trace) -> list[Any]:
    return next(
        (s.retrieval.documents for s in trace.spans if s.retrieval is not None and s.retrieval.documents), []
    )


def _context(expected: dict[str, Any], trace: Trace, check: Any, note: str) -> None:
    context = trace.context
    silent = set(expected.get("not_emitted", []))
    for field in ("session_id", "user_id", "agent_name"):
        if field in silent:
            check(f"{field} (not emitted)", None, getattr(context, field))
        elif field in expected:
            check(field, expected[field], getattr(context, field))
    if expected.get("conversation_id_present"):
        check("conversation id", True, context.session_id is not None)
    if "tags" in expected:
        check("tags", expected["tags"], context.tags)
    for key, value in expected.get("metadata", {}).items():
        check(f"metadata.{key}", value, context.metadata.get(key))
    prompt = expected.get("prompt", {})
    if "name" in prompt:
        check("prompt name", prompt["name"], context.prompt_name)
    if "version" in prompt:
        check("prompt version", str(prompt["version"]), context.prompt_version)
    if "template" in prompt:
        check("prompt template", prompt["template"], context.metadata.get("prompt.template"))
    if "guardrail" in expected:
        _guardrail(expected["guardrail"], trace, check)
    if "evaluation" in expected and "own ingestion endpoint" not in note:
        _evaluations(expected["evaluation"], trace, check)


def _guardrail(want: dict[str, Any], trace: Trace, check: Any) -> None:
    found = [s.guardrail for s in trace.spans if s.guardrail is not None and s.guardrail.name == want["name"]]
    check("guardrail found", 1, len(found))
    if found and "result" in want:
        check("guardrail result", want["result"], found[0].result)
    if found and "triggered" in want:
        check("guardrail triggered", want["triggered"], found[0].triggered)


def _evaluations(wanted: list[dict[str, Any]], trace: Trace, check: Any) -> None:
    got = [e for s in trace.spans for e in s.evaluations]
    check("evaluations", len(wanted), len(got))
    for want, have in zip(wanted, got, strict=False):
        check("evaluation name", want["name"], have.name)
        if isinstance(want["value"], bool):
            check("evaluation label", str(want["value"]).lower(), have.label)
        else:
            check("evaluation value", want["value"], have.value)
        if "label" in want:
            check("evaluation label", want["label"], have.label)
