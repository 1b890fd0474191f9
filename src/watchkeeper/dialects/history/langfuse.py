"""Langfuse exports: the API's camelCase (traces with or without their observations and scores), the pages' table export
and the blob store's snake_case, legacy and enriched."""

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

from watchkeeper.dialects.history import common
from watchkeeper.dialects.history.common import Index, Taken, Unreadable, empty, optional, put, put_all
from watchkeeper.dialects.values import as_dict, as_float, as_list, as_text, decode

SOURCE = "langfuse"
_TYPES = frozenset(
    (
        "generation",
        "span",
        "event",
        "embedding",
        "retriever",
        "tool",
        "agent",
        "chain",
        "guardrail",
        "evaluator",
    )
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_TRACE_MARKS = frozenset(
    (
        "user_id",
        "session_id",
        "release",
        "public",
        "bookmarked",
        "html_path",
        "project_id",
        "tags",
        "observations",
    )
)
# What is mapped below, under whichever name; everything else is kept under `langfuse.export.`.
_CONTEXT = frozenset(
    ("id", "name", "input", "output", "metadata", "user_id", "session_id", "release", "version", "environment", "tags",
     "trace_tags", "trace_name")
)  # fmt: skip
_OF_TRACE = _CONTEXT | {"timestamp", "latency", "observations", "scores"}
_OF_OBSERVATION = _CONTEXT | frozenset(
    (
        "trace_id", "type", "parent_observation_id", "start_time", "end_time", "model", "provided_model_name",
        "model_parameters", "usage_details", "cost_details", "usage", "level", "status_message",
        "completion_start_time", "prompt_name", "prompt_version", "calculated_total_cost", "total_cost",
        "input_usage", "output_usage", "prompt_tokens", "completion_tokens",
    )
)  # fmt: skip
_OF_SCORE = frozenset(
    ("trace_id", "observation_id", "name", "value", "string_value", "data_type", "source", "comment", "timestamp",
     "created_at")
)  # fmt: skip
# Only the pages' table exports have these, and a column for every score, named like it.
_TABLE_MARKS = frozenset(("comments", "observation_count", "trace_timestamp", "latency_ms"))
_OWN = _OF_TRACE | _OF_OBSERVATION | {"comments", "tool_calls", "tool_call_names", "tool_definitions"}


def _snake(record: dict[str, Any]) -> dict[str, Any]:
    return {_CAMEL.sub("_", key).lower(): value for key, value in _cells(record).items()}


def _cells(record: dict[str, Any]) -> dict[str, Any]:
    """A record whose texts are JSON in quotes, as older versions write the cells of a CSV file, as what they say."""
    if not str(record.get("id", "")).startswith('"'):
        return record
    return {k: decode(v) if isinstance(v, str) and v[:1] == '"' else v for k, v in record.items()}


def _shape(record: dict[str, Any]) -> str | None:
    if str(record.get("type", "")).lower() in _TYPES and "trace_id" in record:
        return "observation"
    named = "name" in record and ("trace_id" in record or "session_id" in record)
    if named and {"data_type", "string_value", "source"} & record.keys() and "run_type" not in record:
        return "score"
    if "id" in record and "timestamp" in record and _TRACE_MARKS & record.keys():
        return "trace"
    return None


def recognise(record: dict[str, Any]) -> bool:
    """Whether this is a trace, an observation or a score of Langfuse."""
    return _shape(_snake(record)) is not None


def note(record: dict[str, Any], index: Index) -> None:
    """Remember the traces that have a record of their own: their first observations hang below it."""
    table = _snake(record)
    if _shape(table) == "trace":
        index.traces[str(table["id"])] = common.time_ns(table["timestamp"]) or 0


def read(record: dict[str, Any], index: Index) -> Taken:
    """A trace with what is in it, an observation, or a score."""
    table = _snake(record)
    shape = _shape(table)
    if shape == "observation":
        made = _observation(table, index)
        taken = Taken(spans=[made])
        _add_scores(taken, _columns(record, table), str(table["trace_id"]), made.start_ns, str(table["id"]))
        return taken
    if shape == "score":
        return _score(table)
    if shape == "trace":
        taken = _trace(table, index)
        _add_scores(taken, _columns(record, table), str(table["id"]), taken.spans[0].start_ns)
        return taken
    if "id" in table and {"type", "trace_id", "start_time"} <= table.keys():
        # A type that is newer than what we know; of an unknown file it would be anybody's.
        return Taken(spans=[_observation(table, index)])
    raise Unreadable("it is no trace, observation or score of Langfuse")


def _columns(record: dict[str, Any], table: dict[str, Any]) -> dict[str, list[Any]]:
    """The scores that a row of a table export has as columns of its own, taken out of the row in snake_case."""
    if not _TABLE_MARKS & table.keys():
        return {}
    found: dict[str, list[Any]] = {}
    for key in record:
        name = _CAMEL.sub("_", key).lower()
        values = None if name in _OWN else as_list(table.get(name))
        if values and all(isinstance(v, (int, float, str)) for v in values):
            found[key] = values
    return found


def _root(trace: str) -> str:
    return f"langfuse-trace:{trace}"


def _trace(table: dict[str, Any], index: Index) -> Taken:
    trace = common.required(table, "id")
    start = common.start_of(table, "timestamp")
    attributes: dict[str, Any] = {"langfuse.observation.type": "span"}
    put(attributes, "langfuse.trace.name", table.get("name"))
    put(attributes, "langfuse.observation.input", _payload(table.get("input")))
    put(attributes, "langfuse.observation.output", _payload(table.get("output")))
    _context(attributes, table)
    put_all(attributes, "langfuse.trace.metadata.", table.get("metadata"))
    common.keep_rest(attributes, "langfuse.export.", table, _OF_TRACE)
    latency = as_float(table.get("latency"))
    made = common.span(
        source=SOURCE, trace=trace, ident=_root(trace), parent=None,
        name=optional(table, "name") or "trace", start_ns=start,
        end_ns=start + int((latency or 0.0) * 1e9), attributes=attributes,
    )  # fmt: skip
    out = Taken(spans=[made])
    for item in as_list(table.get("observations")) or []:
        # The table export lists only the ids here; the observations are records of their own.
        if isinstance(item, dict):
            inner = _snake(cast(dict[str, Any], item))
            try:
                out.spans.append(_observation({"trace_id": trace, **inner}, index))
            except Unreadable as error:
                out.faults.append(f"an observation: {error}")
    _add_scores(out, table.get("scores"), trace, start)
    return out


def _add_scores(taken: Taken, scores: Any, trace: str, start: int, observation: str | None = None) -> None:
    """Scores inside a record: full records, or a table export's name → values."""
    found = taken.logs
    scores = decode(scores)
    if isinstance(scores, list):
        for item in cast(list[Any], scores):
            if isinstance(item, dict):
                said = {"trace_id": trace, "timestamp": start, **_snake(cast(dict[str, Any], item))}
                try:
                    found += _score(said).logs
                except Unreadable as error:
                    taken.faults.append(str(error))
    elif isinstance(scores, dict):
        span = common.span_id(observation) if observation else ""
        for name, given in cast(dict[str, Any], scores).items():
            values = [v for v in as_list(given) or [given] if not empty(v) and not isinstance(v, dict)]
            if not values:
                continue
            value, label, said = _together(values)
            found.append(
                common.evaluation(common.trace_id(trace), span, start, name, value, label, said, SOURCE, None)
            )


def _together(values: list[Any]) -> tuple[float | None, Any, str | None]:
    """Several scores of one name as one: the mean of numbers, the commonest of words, and what went into it."""
    numbers = [n for v in values if (n := as_float(v)) is not None]
    if len(numbers) == len(values):
        said = f"mean of {len(numbers)} scores" if len(numbers) > 1 else None
        return sum(numbers) / len(numbers), None, said
    words = Counter(str(v) for v in values)
    said = ", ".join(f"{word} ({n})" for word, n in words.most_common()) if len(words) > 1 else None
    return None, words.most_common(1)[0][0], said


def _context(attributes: dict[str, Any], table: dict[str, Any]) -> None:
    put(attributes, "user.id", optional(table, "user_id"))
    put(attributes, "session.id", optional(table, "session_id"))
    put(attributes, "langfuse.release", optional(table, "release"))
    put(attributes, "langfuse.version", optional(table, "version"))
    put(attributes, "langfuse.environment", optional(table, "environment"))
    put(attributes, "langfuse.trace.tags", as_list(table.get("tags")) or as_list(table.get("trace_tags")))
    put(attributes, "langfuse.trace.name", optional(table, "trace_name"))


def _observation(table: dict[str, Any], index: Index) -> Any:
    trace = common.required(table, "trace_id")
    kind = common.required(table, "type").lower()
    start = common.start_of(table, "start_time", "timestamp")
    end = common.time_ns(table.get("end_time"))
    attributes: dict[str, Any] = {"langfuse.observation.type": kind}
    put(attributes, "langfuse.observation.input", _payload(table.get("input")))
    put(attributes, "langfuse.observation.output", _payload(table.get("output")))
    put(attributes, "langfuse.observation.model.name", optional(table, "provided_model_name", "model"))
    put(attributes, "langfuse.observation.model.parameters", _payload(table.get("model_parameters")))
    _usage(attributes, table)
    put(attributes, "langfuse.observation.level", optional(table, "level"))
    put(attributes, "langfuse.observation.status_message", as_text(table.get("status_message")))
    put(attributes, "langfuse.observation.prompt.name", optional(table, "prompt_name"))
    put(attributes, "langfuse.observation.prompt.version", optional(table, "prompt_version"))
    first = common.time_ns(table.get("completion_start_time"))
    if first is not None and first >= start:
        put(attributes, "langfuse.observation.completion_start_time", _iso(first))
    _context(attributes, table)
    put_all(attributes, "langfuse.observation.metadata.", table.get("metadata"))
    common.keep_rest(attributes, "langfuse.export.", table, _OF_OBSERVATION)
    parent = optional(table, "parent_observation_id")
    if parent is None and trace in index.traces:
        parent = _root(trace)
    failed = attributes.get("langfuse.observation.level") == "ERROR"
    return common.span(
        source=SOURCE, trace=trace, ident=common.required(table, "id"), parent=parent,
        name=optional(table, "name") or kind, start_ns=start,
        end_ns=end if end is not None else start, attributes=attributes,
        failed=failed, message=attributes.get("langfuse.observation.status_message"),
    )  # fmt: skip


def _iso(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}+00:00"


def _payload(value: Any) -> Any:
    return None if empty(value) else as_text(value)


def _usage(attributes: dict[str, Any], table: dict[str, Any]) -> None:
    """Token counts and the client's cost, from whichever of four spellings; all zeros are how Langfuse says unknown."""
    details = as_dict(table.get("usage_details"))
    if not details:
        usage = as_dict(table.get("usage")) or {}
        details = usage if str(usage.get("unit") or "TOKENS").upper() == "TOKENS" else {}
    if not any(as_float(v) for v in details.values()):
        details = {
            "input": table.get("input_usage", table.get("prompt_tokens")),
            "output": table.get("output_usage", table.get("completion_tokens")),
        }
    counted = {k: int(n) for k, v in details.items() if (n := as_float(v)) is not None and k != "unit"}
    if any(counted.values()):
        attributes["langfuse.observation.usage_details"] = as_text(counted)
    costs = {
        k: n for k, v in (as_dict(table.get("cost_details")) or {}).items() if (n := as_float(v)) is not None
    }
    total = as_float(table.get("calculated_total_cost")) or as_float(table.get("total_cost"))
    if total and "total" not in costs:
        costs["total"] = total
    if any(costs.values()):
        attributes["langfuse.observation.cost_details"] = as_text(costs)


def _score(table: dict[str, Any]) -> Taken:
    name = common.required(table, "name")
    trace = optional(table, "trace_id")
    if trace is None:
        return Taken(skipped="scores of whole sessions are not imported")
    value, label = table.get("value"), table.get("string_value")
    if isinstance(value, str) and as_float(value) is None:
        value, label = None, label or value
    kind = str(table.get("data_type") or "").upper()
    if kind == "CATEGORICAL" and not empty(label):
        # Langfuse numbers the categories of a scale, or writes 0 for all of them: the word is the score.
        value = None
    observation = optional(table, "observation_id")
    author = (
        optional(table, "author_user_id", "author_user_name")
        or str(table.get("source") or "").lower()
        or None
    )
    when = common.time_ns(table.get("timestamp")) or common.time_ns(table.get("created_at")) or 0
    made = common.evaluation(
        common.trace_id(trace), common.span_id(observation) if observation else "", when, name, value, label,
        as_text(table.get("comment")), SOURCE, author,
    )  # fmt: skip
    common.keep_rest(made.attributes, "langfuse.export.", table, _OF_SCORE)
    return Taken(logs=[made])
