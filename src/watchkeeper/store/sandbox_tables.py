"""The tables user SQL sees: each a sub-query over a physical table, bound to the project, hidden columns left out."""

import re
from collections.abc import Container

PROJECT = "wk_project"
RECEIVED = "wk_received"
FACTS = "wk_facts"
TRACES = "wk_traces"
# Names that may stand in the engine's quotes: nothing that ends them or is read before them.
NAME = re.compile(r'[^\s"`\\{}\x00-\x1f\x7f]([^"`\\{}\x00-\x1f\x7f]{0,260}[^\s"`\\{}\x00-\x1f\x7f])?\Z')

_CONTEXT = (
    "session_id", "user_id", "agent_name", "prompt_name", "prompt_version", "scenario", "service", "environment",
    "release", "variant",
)  # fmt: skip
_SPANS = (
    "trace_id", "span_id", "parent_id", "name", "kind", "time", "duration_ms", "status", "error_class",
    "error_message", "dialect", "provider", "request_model", "response_model", "temperature", "max_tokens",
    "input_tokens", "output_tokens", "cached_input_tokens", "reasoning_output_tokens", "cost", "pricing_version",
    "ttft_ms", "finish_reason", "tool_name", "output_text", *_CONTEXT, "duplicate_of", "attributes",
)  # fmt: skip
_TRACES = (
    "trace_id", "time", "duration_ms", "root_name", "complete", "spans", "llm_calls", "tool_calls", "errors",
    "error_class", "input_text", "output_text", "models", "provider", "input_tokens", "output_tokens",
    "cached_input_tokens", "reasoning_output_tokens", "cost", "pricing_version", "ttft_ms", "finish_reason",
    *_CONTEXT, "region", "failed_checks", "inclusion_probability", "policy", "keep_probability",
    "time_suspect",
)  # fmt: skip
# Beside its own columns, what the sub-query for `traces` reads by name, where an alias of that name would stand before the
# column, and what conditions take for the attributes of spans.
_TAKEN = frozenset([*_TRACES, "project", "scores", "attributes"])
_PREFIXES = re.compile(r"^(score_)+")
_SCORES = (
    "trace_id", "span_id", "session_id", "scorer", "version", "source", "judge_model", "author", "value", "label",
    "passed", "reason", "cost", "inclusion_probability", "policy", "time", "scored_at",
)  # fmt: skip
COLUMNS: dict[str, tuple[str, ...]] = {
    "spans": _SPANS,
    "traces": _TRACES,
    "scores": _SCORES,
    "deploys": ("name", "version", "time", "note"),
    "alerts": (
        "id", "monitor", "cohort", "state", "severity", "owner", "runbook", "summary", "time", "since", "fired_at",
        "resolved_at", "updated_at",
    ),
    "coverage": (
        "scorer", "version", "time", "seconds", "eligible", "selected", "scored", "failed", "late",
    ),
    "measurements": ("name", "unit", "time", "value", "n", "attributes"),
    "series": ("metric", "cohort", "time", "seconds", "version", "n", "n_eff", "mean", "low", "high"),
}  # fmt: skip

TIMES = frozenset({"time", "scored_at", "since", "fired_at", "resolved_at", "updated_at"})
"""The columns above that are times."""

_CHECKS = {
    "span_id": "check_span", "scorer": "check_scorer", "version": "check_version", "source": "'check'",
    "judge_model": "''", "author": "''", "value": "check_value", "label": "check_label", "passed": "check_passed",
    "reason": "check_reason", "cost": "CAST(NULL AS Nullable(Float64))", "inclusion_probability": "1.0",
    "policy": "''", "scored_at": "fromUnixTimestamp64Nano(toInt64(assembled_at), 'UTC')",
}  # fmt: skip

# The weighted mean of a series and its 95 % interval, all from the stored sums: Hájek's estimator m = Σwx/Σw with the linearised
# variance Σw²(x−m)²/(Σw)²; for 0/1 series Wilson's interval on the Korn–Graubard size m(1−m)/V, which is not zero wide where
# all are alike, and ends at 0 or 1 there. One score has a mean and no interval.
_SERIES = """
SELECT metric, cohort, toDateTime64(tick, 3, 'UTC') AS time, seconds, version, n, n_eff, mean,
  multiIf(isNull(mean) OR (n < 2 AND NOT binary), NULL, binary, if(mean <= 0, 0., greatest(0., centre - half)), mean - 1.96 * sqrt(variance)) AS low,
  multiIf(isNull(mean) OR (n < 2 AND NOT binary), NULL, binary, if(mean >= 1, 1., least(1., centre + half)), mean + 1.96 * sqrt(variance)) AS high
FROM (
  SELECT *, if(sw2 > 0, sw * sw / sw2, 0) AS n_eff, if(sw > 0, swx / sw, NULL) AS mean,
    if(sw > 0, greatest(sw2x2 - 2 * mean * sw2x + mean * mean * sw2, 0) / (sw * sw), NULL) AS variance,
    edges IN ('0|1|1|0', '0.0|1.0|1|0') AS binary,
    if(variance > 0 AND mean > 0 AND mean < 1, least(mean * (1 - mean) / variance, toFloat64(n)), n_eff) AS size,
    (mean + 3.8416 / (2 * size)) / (1 + 3.8416 / size) AS centre,
    1.96 / (1 + 3.8416 / size) * sqrt(greatest(mean * (1 - mean), 0) / size + 3.8416 / (4 * size * size)) AS half
  FROM {db}.points FINAL WHERE {bound}
)"""


def quoted(name: str) -> str:
    """An identifier in ClickHouse's quotes. Raises ValueError for a name that could end them."""
    if not NAME.match(name):
        raise ValueError(f"{name!r} cannot be the name of a column")
    return f'"{name}"'


def scorer_column(scorer: str) -> str:
    """What a scorer's column is called: its own name, or `score_<name>` where that is taken by a column of `traces`, or by
    another scorer that is called so."""
    return beside(scorer, _TAKEN)


def beside(scorer: str, taken: Container[str]) -> str:
    """What a scorer is called beside names that are `taken`: as itself, or `score_<name>` where it, or another scorer that is
    called so, would stand for one of them.

    >>> [beside(name, ["cost"]) for name in ("grounded", "cost", "score_cost")]
    ['grounded', 'score_cost', 'score_score_cost']
    """
    return f"score_{scorer}" if _PREFIXES.sub("", scorer) in taken else scorer


def scorer_value(scorer: str) -> str:
    """The latest value of a scorer as an expression over the physical `traces`; NULL = not scored."""
    quoted(scorer)
    name = scorer.replace("'", "''")
    # Parts of the map, because functions of it copy the map of every row.
    return f"arrayElementOrNull(scores.values, indexOf(scores.keys, '{name}'))"


def body(table: str, database: str, scorers: list[str]) -> str:
    """The SELECT that stands for a logical table; binds the parameter `wk_project`. `scorers` only matters to
    `traces`. Raises KeyError for any other table."""
    columns = COLUMNS[table]
    db = quoted(database)
    bound = f"project = {{{PROJECT}:String}}"
    if table == "series":
        return _SERIES.format(db=db, bound=bound)
    if table == "scores":
        # NULL means unknown: what was chosen by no chance has no probability.
        plain = ", ".join(f"nullIf({c}, 0) AS {c}" if c == "inclusion_probability" else c for c in columns)
        made = ", ".join(f"{_CHECKS[c]} AS {c}" if c in _CHECKS else c for c in columns)
        checks = (
            "checks.scorer AS check_scorer, checks.version AS check_version, checks.span_id AS check_span, "
            "checks.value AS check_value, checks.label AS check_label, checks.passed AS check_passed, "
            "checks.reason AS check_reason"
        )
        return (
            f"SELECT {plain} FROM {db}.scores FINAL WHERE {bound} UNION ALL "
            f"SELECT {made} FROM (SELECT trace_id, session_id, time, assembled_at, {checks} FROM {db}.traces FINAL "
            f"WHERE {bound}) ARRAY JOIN check_scorer, check_version, check_span, check_value, check_label, "
            "check_passed, check_reason"
        )
    expressions = [quoted(c) for c in columns]
    if table == "traces":
        expressions += [f"{scorer_value(s)} AS {quoted(scorer_column(s))}" for s in scorers]
    if table == "alerts":
        expressions[columns.index("time")] = "since AS time"
    if table == "coverage":
        expressions[columns.index("time")] = "toDateTime64(time, 3, 'UTC') AS time"
    return f"SELECT {', '.join(expressions)} FROM {db}.{quoted(table)} FINAL WHERE {bound}"
