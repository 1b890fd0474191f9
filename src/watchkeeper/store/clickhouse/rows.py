"""Our facts as columns of ClickHouse. Each `*_COLUMNS` names what the function beside it returns, in order."""

import math
from typing import Any

import msgspec
import xxhash

from watchkeeper.model.alert import Deploy
from watchkeeper.model.score import Score
from watchkeeper.model.series import Point, cohort_text
from watchkeeper.model.span import LLM, Context, RawSpan, Span
from watchkeeper.model.times import DAY, MINUTE
from watchkeeper.store.columns import KeepingRow, LogRow, MetricRow, SpanRow, TraceRow, believable, plausible

MAX_NS = 2**63 - 1
MAX_COUNT = 2**63 - 1
# Long values are content: they are in the stored span, and the columns would hold them a second time. An attribute that
# is longer shows how it begins; a step that is no model call shows as much of its output as attributes may hold.
SHORT_CHARS, BEGINNING_CHARS = 256, 64
CUT = "…"
# Facts about the client's runtime, the same on every span: in the stored content, not in the searchable map.
DULL = ("telemetry.", "process.", "os.", "host.", "container.", "k8s.pod.uid")

_json = msgspec.json.Encoder(enc_hook=str)


def valid(value: Any) -> Any:
    """The same with text made valid Unicode: lone surrogates become question marks."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {valid(k): valid(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [valid(v) for v in value]
    return value


def document(item: Any) -> str:
    """A record as one JSON document."""
    try:
        return _json.encode(item).decode()
    except UnicodeEncodeError:
        return _json.encode(valid(msgspec.to_builtins(item, enc_hook=str))).decode()


def day_of(time_ns: int, arrived_ns: int) -> int:
    """The partition day, in days since 1970: the event's own where plausible, else that of its arrival."""
    return (time_ns if plausible(time_ns, arrived_ns) else arrived_ns) // DAY


def week_of(time_ns: int) -> int:
    """The week, Monday to Sunday, counted from the one 1970 began in (on a Thursday)."""
    return (time_ns // DAY + 3) // 7


def moment(time_ns: int) -> int:
    """A time the store can hold: 1970 to 2262."""
    return min(max(time_ns, 0), MAX_NS)


def number(value: Any) -> float | None:
    """A finite float, or None: NaN and infinities are nobody's measurement."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            return None
        return value if math.isfinite(value) else None
    return None


def count(value: Any) -> int | None:
    """A non-negative whole number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    whole = int(value)
    return whole if 0 <= whole <= MAX_COUNT else None


def text_of(value: Any) -> str:
    """An attribute's value as the text of the searchable map: of more than 256 characters the first 64 and a visible mark."""
    if isinstance(value, str):
        text = value
    elif value is True:
        text = "true"
    elif value is False:
        text = "false"
    elif value is None:
        text = ""
    elif isinstance(value, (int, float)):
        text = str(value)
    else:
        text = document(value)
    return text if len(text) <= SHORT_CHARS else text[:BEGINNING_CHARS] + CUT


# The spans of one request share their resource.
_LAST: list[tuple[dict[str, Any], dict[str, str]]] = [({}, {})]


def _resource_of(raw: RawSpan) -> dict[str, str]:
    resource, text = _LAST[0]
    if resource is not raw.resource:
        text = {k: text_of(v) for k, v in raw.resource.items() if not k.startswith(DULL)}
        _LAST[0] = (raw.resource, text)
    return text


def attributes_of(span: Span) -> dict[str, str]:
    """The span's own attributes, and the telling ones of its resource, as text."""
    raw = span.raw
    if raw is None:
        return {}
    found = _resource_of(raw).copy()
    for key, value in raw.attributes.items():
        found[key] = value if type(value) is str and len(value) <= SHORT_CHARS else text_of(value)
    return found


def output_of(span: Span) -> str | None:
    """What a model answered, whole; of any other step the first 256 characters and a visible mark."""
    text = span.output_text
    if text is None or span.kind == "llm" or len(text) <= SHORT_CHARS:
        return text
    return text[:SHORT_CHARS] + CUT


CONTEXT_COLUMNS = (
    "session_id", "user_id", "agent_name", "prompt_name", "prompt_version",
    "scenario", "service", "environment", "release", "variant",
)  # fmt: skip


def context_of(c: Context) -> tuple[str | None, ...]:
    """The columns of `CONTEXT_COLUMNS`."""
    return (
        c.session_id, c.user_id, c.agent_name, c.prompt_name, c.prompt_version,
        c.scenario, c.service, c.environment, c.release, c.variant,
    )  # fmt: skip


LLM_COLUMNS = (
    "provider", "request_model", "response_model", "temperature", "max_tokens",
    "input_tokens", "output_tokens", "cached_input_tokens", "reasoning_output_tokens",
    "cost", "pricing_version", "ttft_ms", "finish_reason", "duplicate_of",
)  # fmt: skip
_NO_LLM: tuple[None, ...] = (None,) * len(LLM_COLUMNS)


def llm_of(llm: LLM | None) -> tuple[Any, ...]:
    """The columns of `LLM_COLUMNS`."""
    if llm is None:
        return _NO_LLM
    usage, params = llm.usage, llm.params
    return (
        llm.provider, llm.request_model, llm.response_model,
        number(params.get("temperature")), count(params.get("max_tokens")),
        count(usage.input_tokens), count(usage.output_tokens),
        count(usage.cached_input_tokens), count(usage.reasoning_output_tokens),
        number(llm.cost), llm.pricing_version, number(llm.ttft_ms), llm.finish_reason, llm.duplicate_of,
    )  # fmt: skip


SPAN_COLUMNS = (
    "project", "trace_id", "span_id", "parent_id", "name", "kind", "time", "duration_ms", "status",
    "error_class", "error_message", "dialect", "tool_name", "output_text", "attributes",
    "day", "received_at", "version", *LLM_COLUMNS, *CONTEXT_COLUMNS,
)  # fmt: skip


def span_row(row: SpanRow) -> tuple[Any, ...]:
    """One row of `spans`. The version is the end time: of two spans with one id, the later end wins."""
    s, error = row.span, row.span.error
    return (
        row.project, s.trace_id, s.span_id, s.parent_id, s.name, s.kind, moment(s.start_ns), s.duration_ms,
        s.status, error.class_ if error is not None else None, error.message if error is not None else None,
        s.dialect, s.tool.name if s.tool is not None else None, output_of(s), attributes_of(s),
        day_of(s.start_ns, row.received_ns), row.received_ns, moment(s.end_ns),
        *llm_of(s.llm), *context_of(s.context),
    )  # fmt: skip


CONTENT_COLUMNS = ("project", "trace_id", "span_id", "body", "day", "received_at", "version")


def content_row(row: SpanRow) -> tuple[Any, ...]:
    """One row of `content`: the redacted raw span as one JSON document."""
    s = row.span
    return (
        row.project, s.trace_id, s.span_id, document(s.raw) if s.raw is not None else "",
        day_of(s.start_ns, row.received_ns), row.received_ns, moment(s.end_ns),
    )  # fmt: skip


LOG_COLUMNS = ("project", "trace_id", "span_id", "log_id", "time", "name", "body", "day", "received_at")


def log_row(row: LogRow) -> tuple[Any, ...]:
    """One row of `logs`."""
    log = row.log
    return (
        row.project, log.trace_id, log.span_id, log.log_id, moment(log.time_ns), log.name,
        document(log), day_of(log.time_ns, row.received_ns), row.received_ns,
    )  # fmt: skip


METRIC_COLUMNS = ("project", "name", "unit", "time", "value", "n", "attributes", "day", "received_at")


def metric_row(row: MetricRow) -> tuple[Any, ...]:
    """One row of `measurements`; keys in order, because equal points must be equal rows."""
    told = {k: text_of(v) for k, v in sorted(row.attributes.items()) if not k.startswith(DULL)}
    return (
        row.project, row.name, row.unit, moment(row.time_ns), number(row.value) or 0.0, count(row.count) or 0, told,
        day_of(row.time_ns, row.received_ns), row.received_ns,
    )  # fmt: skip


def _rank(score: Score) -> tuple[bool, bool, int]:
    whole = score.span_id == ""
    return (whole, not whole and score.passed is False, score.scored_ns)


def values_of(scores: list[Score]) -> dict[str, float]:
    """The `scores` map of one trace. A scorer shows its score of the whole trace if there is one, else of a failing span, else
    of the last; latest first: `value`, or 1 and 0 for passed and failed. A label alone is not shown."""
    best: dict[str, Score] = {}
    for score in scores:
        if score.value is not None or score.passed is not None:
            other = best.get(score.scorer)
            if other is None or _rank(score) > _rank(other):
                best[score.scorer] = score
    shown = {n: number(s.value) if s.value is not None else float(bool(s.passed)) for n, s in best.items()}
    return {name: value for name, value in shown.items() if value is not None}


# A trace of hours has a start in each of its minutes; the one it had was most likely among the first.
STARTS = 60
CHECK_COLUMNS = tuple(
    f"checks.{name}" for name in ("scorer", "version", "span_id", "value", "label", "passed", "reason")
)
TRACE_COLUMNS = (
    "project", "trace_id", "time", "duration_ms", "root_name", "complete",
    "spans", "llm_calls", "tool_calls", "errors", "error_class", "input_text", "output_text", "models", "provider",
    "input_tokens", "output_tokens", "cached_input_tokens", "reasoning_output_tokens", "cost", "pricing_version",
    "ttft_ms", "finish_reason", "region", "scores", "failed_checks",
    "inclusion_probability", "policy", "keep_probability", "time_suspect", "earlier", "day", "received_at", "assembled_at",
    *CHECK_COLUMNS, *CONTEXT_COLUMNS,
)  # fmt: skip


def _checks(checks: list[Score]) -> tuple[list[Any], ...]:
    return (
        [c.scorer for c in checks], [c.version for c in checks], [c.span_id for c in checks],
        [number(c.value) for c in checks], [c.label for c in checks], [c.passed for c in checks],
        [c.reason for c in checks],
    )  # fmt: skip


def over_weeks(row: TraceRow) -> bool:
    """Whether the times known of a trace lie in more than one week, so that an earlier row may be in another partition."""
    times = [s.start_ns for s in row.trace.spans]
    times += [row.trace.start_ns, row.received_ns or row.assembled_ns, row.assembled_ns]
    return week_of(min(times)) != week_of(max(times))


def _earlier(row: TraceRow, time_ns: int) -> list[int]:
    """Other minutes (seconds since 1970) that the trace may have begun in when some of its spans had not come yet: of so many, the
    first. Empty for one that is written for the first time."""
    if not row.again:
        return []
    began = {s.start_ns // MINUTE * 60 for s in row.trace.spans if plausible(s.start_ns, row.assembled_ns)}
    return sorted(began - {time_ns // MINUTE * 60})[:STARTS]


def trace_row(row: TraceRow, others: list[Score]) -> tuple[Any, ...]:
    """One row of `traces`; `others` are the scores of this trace that live in the table `scores`."""
    t, totals = row.trace, row.trace.totals
    root, calls = t.root, t.llm_calls
    arrived = row.received_ns or row.assembled_ns
    models = sorted({m for s in calls if s.llm and (m := s.llm.response_model or s.llm.request_model)})
    first = calls[0].llm if calls else None
    last = calls[-1].llm if calls else None
    ttft = [s.llm.ttft_ms for s in calls if s.llm is not None and s.llm.ttft_ms is not None]
    kept = [s.keep_probability for s in t.spans if s.keep_probability is not None]
    timed = believable(row)
    time_ns = t.start_ns if timed else arrived
    return (
        row.project, t.trace_id, moment(time_ns), t.duration_ms if timed else None, root.name if root else "", t.complete,
        len(t.spans), len(calls), len(t.tools), sum(s.error is not None or s.status == "error" for s in t.spans),
        t.error_class, t.input_text, t.output_text, models, first.provider if first else None,
        count(totals.input_tokens), count(totals.output_tokens), count(totals.cached_input_tokens),
        count(totals.reasoning_output_tokens), number(totals.cost), totals.pricing_version,
        number(ttft[0]) if ttft else None, last.finish_reason if last else None, t.context.region,
        values_of(row.checks + others), sorted({c.scorer for c in row.checks if c.passed is False}),
        row.inclusion_probability, row.policy, (min(kept) if kept else 1.0) * row.kept, not timed,
        _earlier(row, time_ns), time_ns // DAY, arrived, row.assembled_ns,
        *_checks(row.checks), *context_of(t.context),
    )  # fmt: skip


SCORE_COLUMNS = (
    "project", "trace_id", "span_id", "session_id", "scorer", "version", "source", "judge_model", "author",
    "value", "label", "passed", "reason", "cost", "inclusion_probability", "policy", "time", "scored_at",
    "day", "row_version", "stored_at",
)  # fmt: skip


def score_row(s: Score, stored_ns: int) -> tuple[Any, ...]:
    """One row of `scores`; of a key the one scored or weighed last wins. `stored_ns` is when it is written."""
    return (
        s.project, s.trace_id, s.span_id, s.session_id, s.scorer, s.version, s.source, s.judge_model, s.author,
        number(s.value), s.label, s.passed, s.reason, number(s.cost), s.inclusion_probability, s.policy,
        moment(s.time_ns), moment(s.scored_ns), day_of(s.time_ns, s.scored_ns), moment(max(s.scored_ns, s.weighed_ns)),
        moment(stored_ns),
    )  # fmt: skip


KEEPING_COLUMNS = (
    "project", "trace_id", "kept", "probability", "reason", "decided_at", "session", "time", "ended",
)  # fmt: skip


def keeping_row(r: KeepingRow) -> tuple[Any, ...]:
    """One row of `keeping`. The session's hash is ClickHouse's `xxHash64`."""
    session = xxhash.xxh64_intdigest(r.session_id.encode(errors="replace")) if r.session_id else 0
    return (
        r.project, r.trace_id, int(r.kept), r.probability, r.reason, moment(r.decided_ns), session,
        moment(r.start_ns), moment(r.end_ns),
    )  # fmt: skip


DEPLOY_COLUMNS = ("project", "name", "version", "time", "note")


def deploy_row(d: Deploy) -> tuple[Any, ...]:
    """One row of `deploys`."""
    return (d.project, d.name, d.version, moment(d.time_ns), d.note)


POINT_COLUMNS = (
    "project", "metric", "cohort", "tick", "seconds", "n", "sw", "sw2", "swx", "swx2", "sw2x", "sw2x2",
    "edges", "hist_w", "hist_w2", "version", "row_version",
)  # fmt: skip


def point_row(p: Point, version: int) -> tuple[Any, ...]:
    """One row of `points`; `edges` is the histogram's axis as text."""
    return (
        p.key.project, p.key.metric, cohort_text(p.key.cohort), p.start_ns // 10**9,
        (p.end_ns - p.start_ns) // 10**9, p.n, p.sw, p.sw2, p.swx, p.swx2, p.sw2x, p.sw2x2,
        p.axis.text, list(p.hist_w), list(p.hist_w2), p.version, version,
    )  # fmt: skip
