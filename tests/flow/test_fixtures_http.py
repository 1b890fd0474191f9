"""Every recorded request over real HTTP and gRPC, in order, reversed and doubled: what comes out of the API and SQL."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
import msgspec
import pytest

from tests.contract.comparer import differences
from tests.flow.crashing import ledger_of, unbalanced
from tests.flow.sending import Connection
from tests.serving import Server, free_port
from tests.shared import ROOT, shared_path
from tests.waiting import HANG_SECONDS
from watchkeeper.model import span as model

INDEX = ROOT / "fixtures/otlp/index.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in INDEX.open()] if INDEX.exists() else []
REQUESTS = {row["file"]: row for row in ROWS if row["kind"] == "request"}
SCENARIOS = [row for row in ROWS if row["kind"] == "expect"]
VARIANTS = ("ordered", "reversed", "doubled")
METHOD = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"
SERVICES = {"traces": ("trace", "Trace"), "logs": ("logs", "Logs"), "metrics": ("metrics", "Metrics")}


def arranged(files: list[str], variant: str) -> list[str]:
    if variant == "reversed":
        return files[::-1]
    return [f for f in files for _ in range(2)] if variant == "doubled" else files


class Sender:
    """Sends recorded files as they were sent: same path, content type, encoding and transport."""

    def __init__(self, port: int, grpc_port: int) -> None:
        self._port, self._local = port, threading.local()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")

    def send(self, file: str, project: str) -> None:
        row, body = REQUESTS[file], shared_path(f"fixtures/otlp/{file}").read_bytes()
        if row["transport"] == "grpc":
            method = self._channel.unary_unary(METHOD.format(*SERVICES[row["signal"]]))
            assert (
                method(body, metadata=[("x-watchkeeper-project", project)], timeout=HANG_SECONDS) is not None
            )
            return
        if not hasattr(self._local, "connection"):
            self._local.connection = Connection(self._port)
        headers = {"x-watchkeeper-project": project}
        if row["content_encoding"]:
            headers["content-encoding"] = row["content_encoding"]
        status, _, answer = self._local.connection.post(row["path"], body, row["content_type"], **headers)
        assert status == 200, f"{file}: {status} {answer[:300]!r}"
        assert b"rejected" not in answer, f"{file}: {answer[:300]!r}"

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that was sent everything, each variant in its own project."""
    shared_path("fixtures/otlp/index.jsonl")
    grpc_port = free_port()
    data = tmp_path_factory.mktemp("fixtures") / "data"
    with Server(data, "--grpc-port", str(grpc_port)) as server:
        sender = Sender(server.port, grpc_port)

        def scenario(job: tuple[dict[str, Any], str]) -> None:
            row, variant = job
            for file in arranged(row["files"], variant):
                sender.send(file, variant)

        jobs = [(row, variant) for variant in VARIANTS for row in SCENARIOS]
        with ThreadPoolExecutor(6) as pool:
            for _ in pool.map(scenario, jobs):
                pass
        sender.close()
        yield server


def as_trace(document: dict[str, Any]) -> Any:
    """The API's JSON as the object that the comparer of the dialects' contract reads."""
    spans = [_as_span(s) for s in document["spans"]]
    usage = {k: v for k, v in document["usage"].items() if k in model.Totals.__struct_fields__}
    context = {
        k: document[k]
        for k in model.Context.__struct_fields__
        if k in document and (document[k] is not None or k not in ("tags", "metadata"))
    }
    return SimpleNamespace(
        trace_id=document["trace_id"],
        spans=spans,
        orphan_parents=document["orphan_parents"],
        log_events=document["log_events"],
        context=model.Context(**context),
        totals=model.Totals(**usage),
        llm_calls=[s for s in spans if s.kind == "llm" and s.llm is not None and s.llm.duplicate_of is None],
        tools=[s for s in spans if s.kind == "tool" and s.tool is not None],
    )


def _as_span(given: dict[str, Any]) -> Any:
    error, llm = given["error"], given["llm"]
    return SimpleNamespace(
        span_id=given["span_id"],
        parent_id=given["parent_id"],
        name=given["name"],
        kind=given["kind"],
        status=given["status"],
        end_ns=0 if given["duration_ms"] is None else 1,
        error=None if error is None else model.ErrorInfo(error["class"], error["message"], error["raw_type"]),
        llm=None if llm is None else msgspec.convert(llm, model.LLM),
        tool=None if given["tool"] is None else msgspec.convert(given["tool"], model.Tool),
        retrieval=(
            None if given["retrieval"] is None else msgspec.convert(given["retrieval"], model.Retrieval)
        ),
        guardrail=(
            None if given["guardrail"] is None else msgspec.convert(given["guardrail"], model.Guardrail)
        ),
        evaluations=msgspec.convert(given["evaluations"], list[model.Evaluation]),
        raw=SimpleNamespace(attributes=given["attributes"]),
    )


def wrong(server: Server, variant: str, scenarios: list[dict[str, Any]]) -> list[str]:
    """Every difference between what the API shows in a project and what the recordings say."""
    found: list[str] = []
    for row in scenarios:
        for want in row["traces"]:
            path = f"/api/traces/{want['trace_id']}"
            status, _, body = server.call("GET", path, headers={"x-watchkeeper-project": variant})
            label = f"{row['client']}-{row['scenario']} {want['trace_id'][:8]}"
            if status != 200:
                found.append(f"{label}: {status} {body[:200]!r}")
                continue
            trace = as_trace(json.loads(body))
            found += [f"{label}: {d}" for d in differences(want, trace, row.get("note", ""))]
    return found


def spans_in_sql(server: Server, variant: str) -> dict[str, int]:
    server.headers["x-watchkeeper-project"] = variant
    rows = server.sql("select trace_id, count() as n, uniqExact(span_id) as ids from spans group by trace_id")
    server.headers.clear()
    assert [r for r in rows if r["n"] != r["ids"]] == [], "a span is there twice"
    return {r["trace_id"]: r["n"] for r in rows}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_recorded_trace_reads_as_expected_over_the_api(loaded: Server, variant: str) -> None:
    found = wrong(loaded, variant, SCENARIOS)
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:40])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_recorded_span_is_in_sql_exactly_once(loaded: Server, variant: str) -> None:
    expected = {t["trace_id"]: t["spans"] for row in SCENARIOS for t in row["traces"] if t["spans"]}
    assert spans_in_sql(loaded, variant) == expected


def test_every_trace_gets_its_row_with_the_totals_of_its_calls(loaded: Server) -> None:
    ended = {
        t["trace_id"]: t
        for row in SCENARIOS
        for t in row["traces"]
        if t["spans"] and not t.get("open_spans") and not t["orphan_parents"]
    }
    counts = {trace_id: t["spans"] for trace_id, t in ended.items()}
    for variant in VARIANTS:
        loaded.headers["x-watchkeeper-project"] = variant
        rows = loaded.eventually(
            "select trace_id, spans, input_tokens, output_tokens from traces",
            # A trace whose requests came apart from each other has a row of the first of them before.
            lambda rows: counts.items() <= {r["trace_id"]: r["spans"] for r in rows}.items(),
        )
        loaded.headers.clear()
        got = {r["trace_id"]: r for r in rows}
        assert len(got) == len(rows), "a trace has two rows"
        for trace_id, want in ended.items():
            row = got[trace_id]
            for side in ("input", "output"):
                if f"total_{side}_tokens" in want:
                    assert row[f"{side}_tokens"] == want[f"total_{side}_tokens"], (variant, trace_id)


def test_the_ledger_of_the_server_balances(loaded: Server) -> None:
    """received = stored + deduplicated + refused + dropped, for every project and signal."""
    count = ledger_of(loaded)
    assert {p for p, _ in count} >= set(VARIANTS)
    assert not unbalanced(count)
    # The control: one span that nobody accounts for is found out.
    one = count["ordered", "traces"]
    assert unbalanced({("ordered", "traces"): {**one, "stored": one["stored"] - 1}})
    assert count["doubled", "traces"]["received"] == 2 * count["ordered", "traces"]["received"]
    assert count["doubled", "traces"]["stored"] == count["ordered", "traces"]["stored"]


def test_the_comparison_goes_red_when_something_is_missing_or_told_differently(loaded: Server) -> None:
    """The control of the tests above: an expectation that is not what was sent must be found out."""
    row = json.loads(json.dumps(SCENARIOS[0]))
    row["traces"][0]["spans"] += 1
    row["traces"][0]["llm_calls"][0]["output_text"] = "something else"
    row["traces"][0]["total_input_tokens"] += 1
    assert len(wrong(loaded, "ordered", [row])) >= 3
    lost = json.loads(json.dumps(SCENARIOS[0]))
    lost["traces"][0]["trace_id"] = "0" * 31 + "1"
    assert len(wrong(loaded, "ordered", [lost])) == 1
