"""Every recorded scenario, in every order, gives the expected traces."""

import functools
import json
import random
from typing import Any

import pytest

from tests.contract.comparer import differences
from tests.shared import ROOT, shared_path
from watchkeeper import dialects, wire
from watchkeeper.model.span import LogRecord, RawSpan, Trace
from watchkeeper.pipeline.apart import LEAST_SPANS, Apart, run
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.server.trace_json import trace_json

_INDEX = ROOT / "fixtures/otlp/index.jsonl"
_ROWS: list[dict[str, Any]] = [json.loads(line) for line in _INDEX.open()] if _INDEX.exists() else []
_REQUESTS = {row["file"]: row for row in _ROWS if row["kind"] == "request"}
_SCENARIOS = [row for row in _ROWS if row["kind"] == "expect"]
_IDS = [f"{row['client']}-{row['scenario']}" for row in _SCENARIOS]
_ORDERS = ("file order", "reversed", "shuffled", "doubled")


@functools.cache
def _decoded(file: str) -> tuple[tuple[RawSpan, ...], tuple[LogRecord, ...]]:
    row = _REQUESTS[file]
    body = wire.inflate(shared_path(f"fixtures/otlp/{file}").read_bytes(), row["content_encoding"])
    decoded = wire.decode(row["signal"], body, row["content_type"])
    assert decoded.rejected == []
    return tuple(decoded.spans), tuple(decoded.logs)


def _records(files: list[str]) -> list[RawSpan | LogRecord]:
    return [record for file in files for part in _decoded(file) for record in part]


def _arrange(records: list[RawSpan | LogRecord], order: str, seed: str) -> list[RawSpan | LogRecord]:
    if order == "reversed":
        return records[::-1]
    if order == "shuffled":
        mixed = list(records)
        random.Random(seed).shuffle(mixed)
        return mixed
    return records + records if order == "doubled" else records


def _traces(records: list[RawSpan | LogRecord]) -> dict[str, Trace]:
    spans: dict[str, list[Any]] = {}
    logs: dict[str, list[LogRecord]] = {}
    for record in records:
        if isinstance(record, RawSpan):
            spans.setdefault(record.trace_id, []).append(dialects.normalise(record))
        else:
            logs.setdefault(dialects.trace_id_of(record), []).append(record)
    return {key: dialects.assemble(spans.get(key, []), logs.get(key, [])) for key in {*spans, *logs} - {""}}


@pytest.mark.parametrize("row", _SCENARIOS, ids=_IDS)
def test_it_reads_every_recorded_scenario_as_expected_in_any_order(row: dict[str, Any]) -> None:
    records = _records(row["files"])
    results = {order: _traces(_arrange(records, order, row["scenario"])) for order in _ORDERS}
    first = results["file order"]
    for order, traces in results.items():
        assert traces == first, f"{order} differs from the order of the files"
    assert set(first) == {t["trace_id"] for t in row["traces"]}
    found = [
        d for want in row["traces"] for d in differences(want, first[want["trace_id"]], row.get("note", ""))
    ]
    assert not found, "\n".join(found)


def test_it_gives_the_same_trace_again_from_its_own_spans() -> None:
    for row in _SCENARIOS:
        for trace in _traces(_records(row["files"])).values():
            raws = [span.raw for span in trace.spans if span.raw is not None]
            logs = [
                r for r in _records(row["files"]) if isinstance(r, LogRecord) and r.trace_id == trace.trace_id
            ]
            assert dialects.assemble([dialects.normalise(raw) for raw in raws], logs) == trace


def test_its_json_is_plain_and_complete() -> None:
    if not _SCENARIOS:
        shared_path("fixtures/otlp/index.jsonl")
    for row in _SCENARIOS:
        for trace in _traces(_records(row["files"])).values():
            document = trace_json(trace, [])
            json.dumps(document, allow_nan=False)
            assert len(document["spans"]) == len(trace.spans)
            assert all(
                s["attributes"] == r.raw.attributes
                for s, r in zip(document["spans"], trace.spans, strict=True)
                if r.raw
            )


def test_the_checks_say_the_same_of_every_trace_in_the_process_beside() -> None:
    if not _SCENARIOS:
        shared_path("fixtures/otlp/index.jsonl")
    traces = [t for row in _SCENARIOS for t in _traces(_records(row["files"])).values()]
    traces *= 1 + LEAST_SPANS // sum(len(t.spans) for t in traces)
    plan = make_plan([], salt="s").scheduled
    apart = Apart(lambda: 0)
    try:
        apart.start()
        assert apart.sent(plan, traces) == run(plan, traces)
    finally:
        apart.close()


def test_every_agents_question_and_answer_are_what_a_person_would_call_them() -> None:
    rows = [r for r in _SCENARIOS if r["scenario"] in ("agent_tool_error_retry", "crew_kickoff")]
    if not rows:
        shared_path("fixtures/otlp/index.jsonl")
    for row in rows:
        told = [t for t in _traces(_records(row["files"])).values() if len(t.spans) > 1]
        for trace in told:
            assert trace.input_text == "Where is my order A-1042?", row["client"]
            assert "should arrive on Thursday" in (trace.output_text or ""), row["client"]
            assert all(s.tool is None or isinstance(s.tool.arguments, dict) for s in trace.spans), row[
                "client"
            ]
            assert [s.tool.arguments for s in trace.tools if s.tool][1:] in (
                [],
                [{"tracking_id": "TRK-77"}] * 2,
            ), row["client"]
