"""Importing exports: file formats, bad lines, batches that were acknowledged are not sent again."""

import codecs
import gzip
import json
import signal
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from tests.unit.cli.conftest import Fake
from watchkeeper.cli import history, tables
from watchkeeper.cli.errors import CliError
from watchkeeper.cli.main import main
from watchkeeper.dialects import derive
from watchkeeper.dialects.history import Index
from watchkeeper.model.numerals import counted
from watchkeeper.wire.otlp import decode


def runs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"00000000-0000-4000-8000-{n:012d}",
            "trace_id": "00000000-0000-4000-8000-000000000000",
            "run_type": "chain",
            "name": f"run {n}",
            "start_time": "2026-10-01T08:00:00.000001",
            "end_time": "2026-10-01T08:00:01",
        }
        for n in range(count)
    ]


def sent_spans(fake: Fake) -> list[str]:
    return [
        s.name
        for _, path, body, _ in fake.asked
        if path == "/v1/traces"
        for s in decode("traces", body).spans
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the format that the suffix says."""
    text = "".join(json.dumps(r) + "\n" for r in rows)
    kind = path.suffix
    if kind == ".jsonl":
        path.write_text(text)
    elif kind == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif kind == ".json":
        path.write_text(json.dumps({"runs": rows}))
    elif kind == ".csv":
        pyarrow.csv.write_csv(pa.Table.from_pylist(rows), path)
    elif kind == ".parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif kind == ".feather":
        pyarrow.feather.write_feather(pa.Table.from_pylist(rows), path)
    else:
        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_stream(sink, pa.Table.from_pylist(rows).schema) as out,
        ):
            out.write_table(pa.Table.from_pylist(rows))
    return path


@pytest.mark.parametrize(
    "name", ["r.jsonl", "r.jsonl.gz", "r.json", "r.csv", "r.parquet", "r.feather", "r.arrow"]
)
def test_every_file_format_gives_the_same_spans(tmp_path: Path, name: str) -> None:
    fake = Fake()
    path = write(tmp_path / name, runs(3))
    assert main(["import", str(path), "--server", fake.url]) == 0
    assert sent_spans(fake) == ["run 0", "run 1", "run 2"]


@pytest.mark.parametrize("orient", ["columns", "split"])
def test_a_dataframe_is_read_however_pandas_wrote_it(tmp_path: Path, orient: str) -> None:
    rows = runs(3)
    table: dict[str, Any] = {name: {str(n): row[name] for n, row in enumerate(rows)} for name in rows[0]}
    if orient == "split":
        table = {"columns": [*rows[0]], "index": [0, 1, 2], "data": [[*row.values()] for row in rows]}
    (tmp_path / "r.json").write_text(json.dumps(table))
    assert [record for _, _, record in tables.records(tmp_path / "r.json")] == rows


def test_a_damaged_file_gives_what_can_be_read_of_it_and_costs_no_other_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    lines = "".join(json.dumps(r) + "\n" for r in runs(400)).encode()
    packed = gzip.compress(lines, mtime=0)
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) - 30])
    (tmp_path / "c.json").write_bytes(b"{")
    write(tmp_path / "d.jsonl", runs(2))
    files = [str(tmp_path / name) for name in ("a.jsonl.gz", "c.json", "d.jsonl")]
    assert main(["import", *files, "--format", "langsmith", "--server", fake.url]) == 2
    told = capsys.readouterr()
    assert "a.jsonl.gz: the rest: cannot be read: " in told.err and "c.json: is not JSON" in told.err
    assert sent_spans(fake)[-2:] == ["run 0", "run 1"] and len(sent_spans(fake)) > 100
    assert "imported 2 langsmith files" in told.out


def test_a_note_that_cannot_be_written_is_said_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    path = write(tmp_path / "r.jsonl", runs(2))
    assert main(["import", str(path), "--server", fake.url, "--resume", str(tmp_path / "no" / "st")]) == 2
    assert "cannot write" in capsys.readouterr().err and fake.asked == []


def test_a_bad_line_is_named_counted_and_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    path = tmp_path / "runs.jsonl"
    good = [json.dumps(r) for r in runs(2)]
    path.write_text(
        "\n".join([good[0], "{oops", "", '["a"]', json.dumps({"id": "x", "run_type": "llm"}), good[1]])
    )
    assert main(["import", str(path), "--server", fake.url]) == 2
    assert sent_spans(fake) == ["run 0", "run 1"]
    told = capsys.readouterr()
    assert "line 2: it is not JSON" in told.err and "line 4: it is a JSON list" in told.err
    assert "line 5: it has no time it began" in told.err
    assert "2 spans" in told.out and "3 records could not be imported" in told.out


def test_times_of_a_parquet_file_keep_their_nanoseconds(tmp_path: Path) -> None:
    table = pa.table({"start_time": pa.array([1_790_841_600_123_456_789], pa.timestamp("ns", tz="UTC"))})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    ((_, _, row),) = tables.records(tmp_path / "t.parquet")
    assert row == {"start_time": 1_790_841_600_123_456_789}


def test_decimals_and_dates_of_a_parquet_file_are_numbers_and_texts(tmp_path: Path) -> None:
    cost = pa.array([Decimal("0.0123")], pa.decimal128(18, 6))
    pyarrow.parquet.write_table(
        pa.table({"total_cost": cost, "day": [date(2026, 10, 1)]}), tmp_path / "t.parquet"
    )
    ((_, _, row),) = tables.records(tmp_path / "t.parquet")
    assert row == {"total_cost": 0.0123, "day": "2026-10-01"}


def test_an_interrupted_import_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(history, "BATCH_SPANS", 10)
    fake, state = Fake(), tmp_path / "state.json"
    path = write(tmp_path / "r.jsonl", runs(25))
    fake.answers = [(200, {}, b""), (400, {}, b"no")]
    assert main(["import", str(path), "--server", fake.url, "--resume", str(state)]) == 2
    assert len(sent_spans(fake)) == 20
    fake.asked.clear()
    assert main(["import", str(path), "--server", fake.url, "--resume", str(state)]) == 0
    assert sent_spans(fake) == [f"run {n}" for n in range(10, 25)]
    assert "imported before and not sent again: 10 records" in capsys.readouterr().out
    fake.asked.clear()
    assert main(["import", str(path), "--server", fake.url, "--resume", str(state)]) == 0
    assert sent_spans(fake) == []


class _Kills(list[tuple[int, dict[str, str], bytes]]):
    """Answers of which the last one finds nobody: whoever asked is killed first."""

    asker: subprocess.Popen[bytes]

    def pop(self, index: Any = -1) -> tuple[int, dict[str, str], bytes]:
        answer = super().pop(index)
        if not self:
            self.asker.kill()
            self.asker.wait()
        return answer


def test_an_import_that_is_killed_in_mid_send_goes_on_and_loses_nothing(
    fake: Fake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state, path = tmp_path / "state.json", write(tmp_path / "r.jsonl", runs(history.BATCH_SPANS * 2 + 100))
    arguments = ["import", str(path), "--server", fake.url, "--resume", str(state)]
    kills = _Kills([(200, {}, b""), (200, {}, b"")])
    fake.answers = kills
    kills.asker = subprocess.Popen([sys.executable, "-m", "watchkeeper", *arguments])
    assert kills.asker.wait(timeout=60) == -signal.SIGKILL
    first = sent_spans(fake)
    fake.asked.clear()
    assert main(arguments) == 0
    again = sent_spans(fake)
    # What was sent and not acknowledged comes twice, under the same ids; what was acknowledged does not.
    assert first == [f"run {n}" for n in range(history.BATCH_SPANS * 2)]
    assert again == [f"run {n}" for n in range(history.BATCH_SPANS, history.BATCH_SPANS * 2 + 100)]
    assert f"imported before and not sent again: {history.BATCH_SPANS:,} records" in capfd.readouterr().out


def test_a_file_to_resume_from_that_is_something_else_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("[]")
    with pytest.raises(CliError, match="to resume from"):
        history.Progressed(state)


def test_what_nobody_exported_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    (tmp_path / "x.csv").write_text("question,answer\na,b\n")
    assert main(["import", str(tmp_path / "x.csv"), "--server", fake.url]) == 2
    assert "--format, one of braintrust, langfuse, langsmith, mlflow, phoenix" in capsys.readouterr().err
    (tmp_path / "x.parquet").write_bytes(b"PAR?")
    assert main(["import", str(tmp_path / "x.parquet"), "--server", fake.url]) == 2
    assert "cannot be read as parquet" in capsys.readouterr().err
    assert fake.asked == []


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
@pytest.mark.parametrize(
    "row",
    [
        {"trace_id": "a" * 32, "span_id": "b" * 16, "kind": "llm", "dialect": "gen_ai", "output_text": "So."},
        {"trace_id": "a" * 32, "root_name": "answer", "llm_calls": 1, "input_text": "Why?", "output_text": "So."},
        {"trace_id": "a" * 32, "scorer": "thumbs", "value": 1.0, "scored_at": "2026-11-21T10:00:00Z"},
    ],
)  # fmt: skip
def test_a_table_of_ours_is_told_how_it_is_exported_to_be_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, row: dict[str, Any]
) -> None:
    fake = Fake()
    assert main(["import", str(write(tmp_path / name, [row, row])), "--server", fake.url]) == 2
    told = capsys.readouterr().err
    assert told.count("'watchkeeper export' wrote") == 1 and "--traces" in told and "dataset" not in told
    assert fake.asked == []


def test_one_record_of_any_size_is_sent_in_requests_of_some_megabytes(tmp_path: Path) -> None:
    fake = Fake()
    big = [{**r, "inputs": {"question": "x" * 400_000}} for r in runs(20)]
    assert main(["import", str(write(tmp_path / "r.jsonl", big)), "--server", fake.url]) == 0
    sizes = [len(body) for _, path, body, _ in fake.asked if path == "/v1/traces"]
    assert len(sent_spans(fake)) == 20 and len(sizes) > 2 and max(sizes) < 4 << 20


CALL = {
    "id": "obs-1", "traceId": "t-1", "type": "GENERATION", "name": "draft", "startTime": "2026-10-01T08:00:00.100Z",
    "endTime": "2026-10-01T08:00:02Z", "input": "Where?", "output": "Here.",
}  # fmt: skip
TRACE = {"id": "t-1", "timestamp": "2026-10-01T08:00:00Z", "name": "answer", "userId": "u-1", "tags": []}
SCORE = {"id": "s", "name": "helpful", "value": 1, "dataType": "NUMERIC", "source": "API", "traceId": "t-1",
         "timestamp": "2026-10-02T00:00:00Z"}  # fmt: skip
SPAN = {"name": "chat", "context": {"trace_id": "ab" * 16, "span_id": "cd" * 8}, "span_kind": "LLM", "parent_id": None,
        "start_time": "2026-10-01T08:00:00+00:00", "end_time": "2026-10-01T08:00:01+00:00", "status_code": "OK",
        "attributes": {"llm.model_name": "m"}, "events": []}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "names", "scores"),
    [
        ({"trace": {**TRACE, "scores": [SCORE]}, "observations": [CALL]}, ["answer", "draft"], 1),
        ({"trace": TRACE, "observations": [CALL], "scores": [SCORE]}, ["answer", "draft"], 1),
        ({"id": "session-1", "createdAt": "2026-10-01T08:00:00Z", "traces": [{**TRACE, "scores": [SCORE]}], "comments": []},
         ["answer"], 1),
        ([{**TRACE, "observations": [CALL], "scores": [SCORE]}], ["answer", "draft"], 1),
        ({"data": [CALL], "meta": {"totalItems": 1}}, ["draft"], 0),
        ([{"traceId": "ab" * 16, "status": "OK", "spans": [SPAN]}], ["chat"], 0),
    ],
    ids=["a trace's page", "with scores beside it", "a session's page", "the API", "a page of the API", "traces of spans"],
)  # fmt: skip
def test_what_was_downloaded_from_a_page_is_imported_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: Any, names: list[str], scores: int
) -> None:
    fake = Fake()
    (tmp_path / "trace-t-1.json").write_text(json.dumps(document, indent=2))
    (tmp_path / "lines.jsonl").write_text(json.dumps(document[0] if isinstance(document, list) else document))
    for name in ("trace-t-1.json", "lines.jsonl"):
        fake.asked.clear()
        assert main(["import", str(tmp_path / name), "--server", fake.url]) == 0
        assert sent_spans(fake) == names
        said = f"{counted(len(names), 'span')} and {counted(scores, 'score')} from"
        assert said in capsys.readouterr().out


def test_a_text_that_was_cut_within_a_character_costs_that_character_only(tmp_path: Path) -> None:
    fake = Fake()
    line = json.dumps({**CALL, "output": "cut \ud83d"})
    (tmp_path / "o.jsonl").write_text(line + "\n")
    assert main(["import", str(tmp_path / "o.jsonl"), "--server", fake.url]) == 0
    body = next(body for _, path, body, _ in fake.asked if path == "/v1/traces")
    assert "cut \ufffd" in decode("traces", body).spans[0].attributes.values()


def test_a_row_that_is_not_utf8_is_named_and_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    rows = [
        ",".join(CALL),
        ",".join(CALL.values()),
        ",".join({**CALL, "id": "o2", "output": "Gr\xfc\xdfe"}.values()),
    ]
    (tmp_path / "o.csv").write_bytes("\n".join(rows).encode("latin-1"))
    assert main(["import", str(tmp_path / "o.csv"), "--server", fake.url]) == 2
    assert sent_spans(fake) == ["draft"]
    assert "line 3: it is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.json", "runs.csv"])
def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path, name: str) -> None:
    row = {"id": "a", "name": "b"}
    text = "id,name\r\na,b\r\n" if name.endswith("csv") else json.dumps(row) + "\r\n"
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + text.encode())
    assert [record for _, _, record in tables.records(tmp_path / name)] == [row]


@pytest.mark.parametrize("between", [";", "\t", ","])
@pytest.mark.parametrize("packed", [False, True])
def test_a_table_is_read_whatever_stands_between_its_cells(
    tmp_path: Path, between: str, packed: bool
) -> None:
    rows = ["\ufeffid", '"a, b; c;\td"', "name"], ["1", '"x;y,z"', "two"]
    data = "\r\n".join(between.join(row) for row in rows).encode()
    path = tmp_path / ("t.csv.gz" if packed else "t.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    (found,) = [record for _, _, record in tables.records(path)]
    assert found == {"id": "1", "a, b; c;\td": "x;y,z", "name": "two"}


def test_maps_and_bytes_of_a_columnar_export_are_read(tmp_path: Path) -> None:
    """As Langfuse's blob storage export writes Parquet: maps of counts and costs, texts as bytes."""
    table = pa.table(
        {
            "id": ["o1"], "trace_id": ["t1"], "type": ["GENERATION"], "name": [b"answer"],
            "start_time": pa.array([1_790_841_600_000_000], pa.timestamp("us")),
            "end_time": pa.array([1_790_841_602_000_000], pa.timestamp("us")),
            "provided_model_name": ["gpt-4.1"],
            "usage_details": pa.array([[("input", 7), ("output", 3)]], pa.map_(pa.string(), pa.uint64())),
            "cost_details": pa.array([[("total", Decimal("0.25"))]], pa.map_(pa.string(), pa.decimal128(38, 12))),
            "metadata": pa.array([[("tier", "gold")]], pa.map_(pa.string(), pa.string())),
            "tags": pa.array([["a", "b"]], pa.list_(pa.string())),
        }
    )  # fmt: skip
    pyarrow.parquet.write_table(table, tmp_path / "o.parquet")
    (record,) = [found for _, _, found in tables.records(tmp_path / "o.parquet")]
    assert isinstance(record, dict)
    assert record["usage_details"] == {"input": 7, "output": 3} and record["cost_details"] == {"total": 0.25}
    assert (
        record["metadata"] == {"tier": "gold"} and record["tags"] == ["a", "b"] and record["name"] == "answer"
    )
    (taken,) = history._taken(tmp_path, "1", "langfuse", record, Index(), history.Tally())  # pyright: ignore[reportPrivateUsage]
    (call,) = derive(taken.spans, []).spans
    assert call.llm is not None and call.llm.request_model == "gpt-4.1"
    assert (call.llm.usage.input_tokens, call.llm.usage.output_tokens, call.llm.cost_client) == (
        7,
        3,
        0.25,
    )
