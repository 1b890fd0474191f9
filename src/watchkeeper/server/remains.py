"""A trace whose content has passed its retention: its steps and what the columns know of them, without texts."""

from collections.abc import Mapping
from typing import Any

from watchkeeper.model.span import LLM, Context, ErrorInfo, RawSpan, Span, Tool, Totals, Trace, Usage
from watchkeeper.server.services import Services

# The columns that say who and what a row belongs to, as fields of a `Context`.
_ABOUT = (
    "session_id", "user_id", "agent_name", "prompt_name", "prompt_version",
    "scenario", "service", "environment", "release", "variant",
)  # fmt: skip


async def remains(services: Services, project: str, trace_id: str) -> Trace | None:
    """The trace as its rows tell it, `content_gone`; None where no row of the trace is left."""
    row = await services.columns.named("page_trace_left", project, trace=trace_id)
    if not row.rows:
        return None
    steps = await services.columns.named("page_steps_left", project, trace=trace_id)
    spans = [_span(trace_id, dict(zip(steps.columns, values, strict=True))) for values in steps.rows]
    return _trace(trace_id, dict(zip(row.columns, row.rows[0], strict=True)), spans)


def _context(row: Mapping[str, Any]) -> Context:
    return Context(**{name: row[name] for name in _ABOUT}, region=row.get("region"))


def _usage(row: Mapping[str, Any]) -> dict[str, int | None]:
    return {
        name: row[name]
        for name in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_output_tokens")
    }


def _llm(row: Mapping[str, Any]) -> LLM | None:
    if row["kind"] not in ("llm", "embedding") and row["request_model"] is row["response_model"] is None:
        return None
    params = {name: row[name] for name in ("temperature", "max_tokens") if row[name] is not None}
    return LLM(
        provider=row["provider"], request_model=row["request_model"], response_model=row["response_model"],
        params=params, finish_reason=row["finish_reason"], usage=Usage(**_usage(row)), cost=row["cost"],
        pricing_version=row["pricing_version"], ttft_ms=row["ttft_ms"], duplicate_of=row["duplicate_of"],
    )  # fmt: skip


def _span(trace_id: str, row: Mapping[str, Any]) -> Span:
    failed, tool = row["error_class"], row["tool_name"]
    # The short attributes that stay are what there is of the span as it was sent.
    raw = RawSpan(
        trace_id, row["span_id"], row["parent_id"], row["name"], "unspecified", row["start"], row["ended"],
        row["status"], None, dict(row["attributes"]), [], [], {},
    )  # fmt: skip
    return Span(
        trace_id, row["span_id"], row["parent_id"], row["name"], row["kind"], row["start"], row["ended"],
        row["status"], row["dialect"], _context(row),
        error=None if failed is None else ErrorInfo(failed, row["error_message"]),
        llm=_llm(row), tool=None if tool is None else Tool(tool), raw=raw,
    )  # fmt: skip


def _trace(trace_id: str, row: Mapping[str, Any], spans: list[Span]) -> Trace:
    known = {s.span_id for s in spans}
    orphans = sorted({s.parent_id for s in spans if s.parent_id is not None and s.parent_id not in known})
    took = row["duration_ms"]
    return Trace(
        trace_id=trace_id, spans=spans, context=_context(row), complete=row["complete"],
        totals=Totals(**_usage(row), cost=row["cost"], pricing_version=row["pricing_version"]),
        start_ns=row["start"], end_ns=0 if took is None else row["start"] + int(took * 1e6),
        error_class=row["error_class"], orphan_parents=orphans, content_gone=True,
    )  # fmt: skip
