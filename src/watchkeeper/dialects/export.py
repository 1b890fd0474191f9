"""A trace as the JSON of the public interface."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from watchkeeper.model.score import Score
from watchkeeper.model.span import LLM, Message, Retrieval, Span, ToolCall, Trace, Usage


def _time(ns: int) -> str | None:
    if ns <= 0:
        return None
    seconds, rest = divmod(ns, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _usage(usage: Usage, llm: LLM) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_output_tokens": usage.reasoning_output_tokens,
        "input_tokens_as_sent": usage.input_tokens_as_sent,
        "cost": llm.cost,
        "cost_as_sent": llm.cost_client,
        "pricing_version": llm.pricing_version,
    }


def _message(message: Message) -> dict[str, Any]:
    return {
        "role": message.role,
        "text": message.text,
        "parts": msgspec.to_builtins(message.parts),
        "name": message.name,
        "finish_reason": message.finish_reason,
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def _llm(llm: LLM) -> dict[str, Any]:
    return {
        "provider": llm.provider,
        "provider_raw": llm.provider_raw,
        "request_model": llm.request_model,
        "response_model": llm.response_model,
        "response_id": llm.response_id,
        "params": llm.params,
        "stream": llm.stream,
        "system": llm.system,
        "input_messages": [_message(m) for m in llm.input_messages],
        "output_messages": [_message(m) for m in llm.output_messages],
        "output_text": llm.output_text,
        "refusal": llm.refusal,
        "tool_calls": [_call(c) for c in llm.tool_calls],
        "tool_definitions": llm.tool_definitions,
        "finish_reason": llm.finish_reason,
        "finish_reason_raw": llm.finish_reason_raw,
        "usage": _usage(llm.usage, llm),
        "ttft_ms": llm.ttft_ms,
        "tpot_ms": llm.tpot_ms,
        "attempts": llm.attempts,
        "duplicate_of": llm.duplicate_of,
    }


def _score(score: Score) -> dict[str, Any]:
    return msgspec.to_builtins(score)


def _raw(span: Span) -> dict[str, Any]:
    raw = span.raw
    if raw is None:
        return {"attributes": {}, "events": [], "links": [], "time_suspect": False}
    return {
        "attributes": raw.attributes,
        "events": [
            {"name": e.name, "time": _time(e.time_ns), "attributes": e.attributes} for e in raw.events
        ],
        "links": [{"trace_id": k.trace_id, "span_id": k.span_id} for k in raw.links],
        "time_suspect": raw.time_suspect,
    }


def _retrieval(found: Retrieval) -> dict[str, Any]:
    documents = [
        {"id": d.id, "score": d.score, "content": d.content, "metadata": d.metadata} for d in found.documents
    ]
    return {"query": found.query, "top_k": found.top_k, "documents": documents}


def _span(span: Span, scores: list[Score]) -> dict[str, Any]:
    context, error = span.context, span.error
    failure = None
    if error is not None:
        failure = {"class": error.class_, "message": error.message, "type": error.raw_type}
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "time": _time(span.start_ns),
        "duration_ms": span.duration_ms,
        "status": span.status,
        "error": failure,
        "dialect": span.dialect,
        **_raw(span),
        "input_text": span.input_text,
        "output_text": span.output_text,
        "session_id": context.session_id,
        "user_id": context.user_id,
        "agent_name": context.agent_name,
        "prompt_name": context.prompt_name,
        "prompt_version": context.prompt_version,
        "llm": None if span.llm is None else _llm(span.llm),
        "retrieval": None if span.retrieval is None else _retrieval(span.retrieval),
        "tool": None if span.tool is None else msgspec.structs.asdict(span.tool),
        "guardrail": None if span.guardrail is None else msgspec.structs.asdict(span.guardrail),
        "evaluations": msgspec.to_builtins(span.evaluations),
        "keep_probability": span.keep_probability,
        "truncated": context.metadata.get("watchkeeper.truncated", []),
        "scores": [_score(s) for s in scores if s.span_id == span.span_id],
    }


def to_json(trace: Trace, scores: list[Score] | None = None) -> dict[str, Any]:
    """`trace` with its scores as plain JSON values, in the shape of the interface; times are ISO 8601 UTC."""
    given = scores or []
    context, totals = trace.context, trace.totals
    return {
        "trace_id": trace.trace_id,
        "time": _time(trace.start_ns),
        "duration_ms": trace.duration_ms,
        "session_id": context.session_id,
        "user_id": context.user_id,
        "agent_name": context.agent_name,
        "workflow": context.workflow,
        "prompt_name": context.prompt_name,
        "prompt_version": context.prompt_version,
        "scenario": context.scenario,
        "service": context.service,
        "environment": context.environment,
        "region": context.region,
        "release": context.release,
        "variant": context.variant,
        "tags": context.tags,
        "metadata": context.metadata,
        "complete": trace.complete,
        "truncated": bool(context.metadata.get("watchkeeper.truncated")),
        "error_class": trace.error_class,
        "input_text": trace.input_text,
        "output_text": trace.output_text,
        "usage": {
            "input_tokens": totals.input_tokens,
            "output_tokens": totals.output_tokens,
            "cached_input_tokens": totals.cached_input_tokens,
            "reasoning_output_tokens": totals.reasoning_output_tokens,
            "cost": totals.cost,
            "pricing_version": totals.pricing_version,
        },
        "log_events": trace.log_events,
        "orphan_parents": trace.orphan_parents,
        "spans": [_span(s, given) for s in trace.spans],
        "scores": [_score(s) for s in given if not s.span_id],
    }
