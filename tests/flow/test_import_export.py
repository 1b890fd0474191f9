"""History in by the command line, everything out again, and in once more elsewhere."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.serving import Server
from tests.unit.dialects.test_history import LANGFUSE_CALL, LANGFUSE_TRACE, LANGSMITH, PHOENIX
from watchkeeper.cli.main import main

SCORE = {"id": "1", "name": "helpful", "value": 1, "dataType": "NUMERIC", "source": "API",
         "traceId": LANGFUSE_TRACE["id"], "timestamp": "2026-10-02T00:00:00Z", "comment": "said so"}  # fmt: skip
ROOT = {"id": LANGSMITH["trace_id"], "trace_id": LANGSMITH["trace_id"], "run_type": "chain", "name": "agent",
        "start_time": "2026-10-01T08:00:00", "end_time": "2026-10-01T08:00:03", "outputs": {"answer": "On its way."},
        "inputs": {"question": "Where is my parcel?"}}  # fmt: skip
FACTS = (
    "select trace_id, root_name, spans, llm_calls, input_tokens, output_tokens, user_id, session_id, input_text, "
    "output_text, helpful from traces order by trace_id"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("import") / "data") as one:
        yield one


def imported(server: Server, project: str, *paths: Path) -> int:
    return main(["import", *map(str, paths), "--server", server.url, "--project", project])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder with an export of each product."""
    folder = tmp_path_factory.mktemp("exports")
    rows: dict[str, list[dict[str, Any]]] = {
        "observations.jsonl": [LANGFUSE_CALL], "traces.jsonl": [LANGFUSE_TRACE], "scores.jsonl": [SCORE],
        "phoenix.jsonl": [PHOENIX], "runs.jsonl": [LANGSMITH, ROOT],
    }  # fmt: skip
    for name, records in rows.items():
        (folder / name).write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def facts(server: Server, project: str, wanted: int) -> list[dict[str, Any]]:
    server.headers["x-watchkeeper-project"] = project
    server.eventually("select 1 from scores where scorer = 'helpful'", bool)
    # A new scorer is a column as soon as the call that stored it returns, which is a moment after its row shows.
    while server.call("POST", "/api/sql", {"query": FACTS})[0] == 400:
        time.sleep(0.1)
    return server.eventually(FACTS, lambda rows: len(rows) == wanted and any(r["helpful"] for r in rows))


def test_history_is_there_once_however_often_it_is_imported(server: Server, files: Path) -> None:
    assert imported(server, "history", files) == 0
    first = facts(server, "history", 3)
    assert {(r["spans"], r["llm_calls"]) for r in first} == {(2, 1), (1, 1)}
    assert {r["input_tokens"] for r in first} == {12, 22}
    assert [r["helpful"] for r in first if r["root_name"] == "answer"] == [1.0]
    assert imported(server, "history", files) == 0
    assert facts(server, "history", 3) == first
    spans = server.sql("select count() as n, uniqExact(span_id) as u from spans")
    assert spans == [{"n": 5, "u": 5}]
    scored = server.sql(
        "select scorer, source, reason from scores where scorer = 'helpful' and reason = 'said so'"
    )
    assert scored == [{"scorer": "helpful", "source": "external", "reason": "said so"}]


def test_what_is_exported_whole_is_the_same_elsewhere(server: Server, files: Path, tmp_path: Path) -> None:
    assert imported(server, "history", files) == 0
    before = facts(server, "history", 3)
    status, _, _ = server.call(
        "POST", "/api/feedback", {"trace_id": before[0]["trace_id"], "rating": "down", "comment": "wrong"}
    )
    assert status == 201
    out = tmp_path / "traces.jsonl"
    arguments = ["export", "--traces", "-o", str(out), "--server", server.url, "--project", "history"]
    assert main(arguments) == 0
    assert len(out.read_text().splitlines()) == 3
    assert imported(server, "copy", out) == 0
    assert facts(server, "copy", 3) == before
    told = server.eventually("select scorer, value, reason from scores where scorer = 'thumbs'", bool)
    assert told == [{"scorer": "thumbs", "value": 0.0, "reason": "wrong"}]


def test_otlp_out_is_otlp_in(server: Server, files: Path, tmp_path: Path) -> None:
    assert imported(server, "history", files) == 0
    before = facts(server, "history", 3)
    out = tmp_path / "requests.jsonl"
    arguments = ["export", "--traces", "--format", "otlp", "-o", str(out), "--server", server.url]
    assert main([*arguments, "--project", "history"]) == 0
    assert all("resourceSpans" in line or "resourceLogs" in line for line in out.read_text().splitlines())
    assert imported(server, "otlp", out) == 0
    # Scores that came inside the telemetry are among its logs.
    assert facts(server, "otlp", 3) == before
    for trace_id in (r["trace_id"] for r in before):
        there, here = (
            json.loads(server.call("GET", f"/api/traces/{trace_id}", headers={"x-watchkeeper-project": p})[2])
            for p in ("history", "otlp")
        )
        for trace in (there, here):
            for scored in (trace, *trace["spans"]):
                scored["scores"] = []
        assert here == there
    assert main([*arguments, "--table", "spans"]) == 2


def test_a_table_becomes_a_file_of_the_format_its_name_says(
    server: Server, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert imported(server, "tables", files) == 0
    facts(server, "tables", 3)
    base = ["--server", server.url, "--project", "tables"]
    out = tmp_path / "spans.parquet"
    assert main(["export", "--table", "spans", "--where", "kind = 'llm'", "-o", str(out), *base]) == 0
    table = pyarrow.parquet.read_table(out)
    assert table.num_rows == 3 and "attributes" in table.column_names
    capsys.readouterr()
    assert main(["export", "--query", "select count() as n from traces", "--format", "csv", *base]) == 0
    assert capsys.readouterr().out.split() == ["n", "3"]
    assert (
        main(["export", "--query", "select * from system.tables", "-o", str(tmp_path / "no.csv"), *base]) == 2
    )
    assert "not available" in capsys.readouterr().err and not list(tmp_path.glob("no.csv*"))
    opened = server.json("GET", "/api/audit?limit=50")["lines"]
    assert any(line["action"] == "export" and "kind = 'llm'" in line["target"] for line in opened)


def test_who_may_not_see_content_may_not_export(server: Server) -> None:
    status, _, body = server.call("GET", "/api/export?format=xml")
    assert status == 400 and b"format" in body
    status, _, body = server.call("GET", "/api/export?query=select+1&where=1")
    assert status == 400 and b"into the query" in body


def test_a_step_without_its_parent_is_a_trace_when_the_import_ends(
    server: Server, files: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "run.jsonl"
    alone.write_text(json.dumps(LANGSMITH) + "\n")
    assert imported(server, "orphans", alone) == 0
    server.headers["x-watchkeeper-project"] = "orphans"
    # A missing root would be waited for a minute; this asks for a third of it.
    rows = server.eventually("select trace_id, complete from traces", bool)
    assert [r["trace_id"] for r in rows] == [LANGSMITH["trace_id"].replace("-", "")]
