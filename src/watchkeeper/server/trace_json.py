"""One trace as the stable JSON of the API."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from watchkeeper.model.calibration import Standing, is_provisional
from watchkeeper.model.score import Score
from watchkeeper.model.span import LLM, Evaluation, Guardrail, Message, Retrieval, Span, Tool, Trace, Usage
from watchkeeper.server.answers import iso

HIDDEN = None
Trust = Mapping[str, Standing]


def _message(message: Message, content: bool) -> dict[str, Any]:
    if not content:
        return {"role": message.role, "text": HIDDEN, "parts": [{"type": p.type} for p in message.parts]}
    parts = [msgspec.to_builtins(p) for p in message.parts]
    return {"role": message.role, "text": message.text, "parts": parts}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_output_tokens": usage.reasoning_output_tokens,
        "input_tokens_as_sent": usage.input_tokens_as_sent,
    }


def _llm(llm: LLM, content: bool) -> dict[str, Any]:
    return {
        "provider": llm.provider,
        "provider_raw": llm.provider_raw,
        "request_model": llm.request_model,
        "response_model": llm.response_model,
        "response_id": llm.response_id,
        "params": llm.params,
        "stream": llm.stream,
        "system": llm.system if content else HIDDEN,
        "input_messages": [_message(m, content) for m in llm.input_messages],
        "output_messages": [_message(m, content) for m in llm.output_messages],
        "output_text": llm.output_text if content else HIDDEN,
        "refusal": llm.refusal if content else HIDDEN,
        "tool_calls": [
            {"id": c.id, "name": c.name, "arguments": c.arguments if content else HIDDEN}
            for c in llm.tool_calls
        ],
        "tool_definitions": llm.tool_definitions,
        "finish_reason": llm.finish_reason,
        "finish_reason_raw": llm.finish_reason_raw,
        "usage": _usage(llm.usage),
        "cost": llm.cost,
        "cost_client": llm.cost_client,
        "pricing_version": llm.pricing_version,
        "ttft_ms": llm.ttft_ms,
        "tpot_ms": llm.tpot_ms,
        "attempts": llm.attempts,
        "duplicate_of": llm.duplicate_of,
    }


def _retrieval(found: Retrieval, content: bool) -> dict[str, Any]:
    return {
        "query": found.query if content else HIDDEN,
        "top_k": found.top_k,
        "documents": [
            {
                "id": d.id,
                "score": d.score,
                "content": d.content if content else HIDDEN,
                "metadata": d.metadata,
            }
            for d in found.documents
        ],
    }


def _tool(tool: Tool, content: bool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "call_id": tool.call_id,
        "arguments": tool.arguments if content else HIDDEN,
        "result": tool.result if content else HIDDEN,
        "error": tool.error,
    }


def _guardrail(guard: Guardrail, content: bool) -> dict[str, Any]:
    # A reason quotes what it found.
    reasons = guard.reasons if content else HIDDEN
    return {**msgspec.to_builtins(guard), "reasons": reasons}


def _evaluation(said: Evaluation, content: bool) -> dict[str, Any]:
    explanation = said.explanation if content else HIDDEN
    said_by = said.author if content else HIDDEN
    return {
        "name": said.name, "value": said.value, "label": said.label, "explanation": explanation, "author": said_by,
    }  # fmt: skip


def score_json(score: Score, trust: Trust | None = None) -> dict[str, Any]:
    """One score. `provisional`: its scorer is a model that has not been calibrated in this version, None where `trust` is
    unknown."""
    known = None if trust is None else trust.get(score.scorer)
    # A local classifier's score is stored with the checks of its trace.
    source = known.kind if known is not None and score.source == "check" else score.source
    return {
        "scorer": score.scorer,
        "version": score.version,
        "source": source,
        "provisional": None
        if trust is None
        else is_provisional(score.scorer, score.version, score.source, trust),
        "span_id": score.span_id or None,
        "judge_model": score.judge_model or None,
        "author": score.author or None,
        "value": score.value,
        "label": score.label,
        "passed": score.passed,
        "reason": score.reason,
        "cost": score.cost,
        "inclusion_probability": score.inclusion_probability or None,
        "policy": score.policy or None,
        "time": iso(score.time_ns),
        "scored_at": iso(score.scored_ns),
    }


def span_json(
    span: Span, scores: Iterable[Score], content: bool = True, trust: Trust | None = None
) -> dict[str, Any]:
    """One span; without `content` its prompts, outputs, documents, tool data and raw attributes are null."""
    error = None
    if span.error is not None:
        error = {"class": span.error.class_, "message": span.error.message, "raw_type": span.error.raw_type}
    raw = span.raw
    return {
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "time": iso(span.start_ns),
        "duration_ms": span.duration_ms,
        "queue_ms": span.queue_ms,
        "status": span.status,
        "error": error,
        "dialect": span.dialect,
        "attributes": (raw.attributes if raw else {}) if content else HIDDEN,
        "resource": raw.resource if raw else {},
        "events": [
            {"name": e.name, "time": iso(e.time_ns), "attributes": e.attributes if content else HIDDEN}
            for e in (raw.events if raw else [])
        ],
        "links": [
            {"trace_id": link.trace_id, "span_id": link.span_id} for link in (raw.links if raw else [])
        ],
        "llm": _llm(span.llm, content) if span.llm else None,
        "retrieval": _retrieval(span.retrieval, content) if span.retrieval else None,
        "tool": _tool(span.tool, content) if span.tool else None,
        "guardrail": _guardrail(span.guardrail, content) if span.guardrail else None,
        "evaluations": [_evaluation(e, content) for e in span.evaluations],
        "scores": [score_json(s, trust) for s in scores],
    }


def trace_json(
    trace: Trace, scores: Iterable[Score], content: bool = True, trust: Trust | None = None
) -> dict[str, Any]:
    """One trace with its spans and scores, as `docs/api.md` describes it."""
    by_span: dict[str, list[Score]] = defaultdict(list)
    everything = sorted(scores, key=lambda s: (s.scorer, s.span_id, s.scored_ns))
    for score in everything:
        by_span[score.span_id].append(score)
    context, totals, root = trace.context, trace.totals, trace.root
    return {
        "trace_id": trace.trace_id,
        "time": iso(trace.start_ns),
        "duration_ms": trace.duration_ms,
        "root_name": root.name if root else None,
        "session_id": context.session_id,
        "user_id": context.user_id,
        "scenario": context.scenario,
        "agent_name": context.agent_name,
        "prompt_name": context.prompt_name,
        "prompt_version": context.prompt_version,
        "service": context.service,
        "environment": context.environment,
        "region": context.region,
        "release": context.release,
        "variant": context.variant,
        "tags": context.tags,
        "metadata": context.metadata if content else HIDDEN,
        "complete": trace.complete,
        "error_class": trace.error_class,
        "input_text": trace.input_text if content else HIDDEN,
        "output_text": trace.output_text if content else HIDDEN,
        "content_hidden": not content,
        "content_gone": trace.content_gone,
        "usage": {
            "input_tokens": totals.input_tokens,
            "output_tokens": totals.output_tokens,
            "cached_input_tokens": totals.cached_input_tokens,
            "reasoning_output_tokens": totals.reasoning_output_tokens,
            "cost": totals.cost,
        },
        "log_events": trace.log_events,
        "orphan_parents": trace.orphan_parents,
        "spans": [span_json(s, by_span.get(s.span_id, ()), content, trust) for s in trace.spans],
        "scores": [score_json(s, trust) for s in everything],
    }
