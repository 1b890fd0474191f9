"""Recorded OTLP requests imported: every kind of file, of any size, and what is wrong with one costs only itself."""

import gzip
import json
import os
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.unit.cli.conftest import Fake
from watchkeeper.cli.importing import Request, contents, files_of, requests
from watchkeeper.cli.main import main
from watchkeeper.wire.inflate import zstd
from watchkeeper.wire.otlp import status_response

SPAN = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "x", "startTimeUnixNano": "1795238000000000000"}
REQUEST = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN, {**SPAN, "spanId": "zz"}]}]}]}


def test_it_imports_every_kind_of_file(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(REQUEST).encode()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.json").write_bytes(b"\xef\xbb\xbf" + text)
    (tmp_path / "in" / "two.json.gz").write_bytes(gzip.compress(text))
    (tmp_path / "in" / "many.jsonl").write_bytes(text + b"\n\n" + b'{"resourceLogs": []}\n')
    (tmp_path / "in" / "readme.md").write_text("no")
    assert main(["import", str(tmp_path / "in"), "--server", fake.url]) == 2, "a span each has a bad id"
    said = capsys.readouterr()
    assert "imported 3 of 3 files: 3 records stored, 3 rejected" in said.out
    assert sorted(path for _, path, _, _ in fake.asked) == [
        "/api/traces/settle",
        "/v1/logs",
        "/v1/traces",
        "/v1/traces",
        "/v1/traces",
    ]
    assert all(headers["content-type"] == "application/json" for *_, headers in fake.asked)


def test_it_tells_protobuf_signals_apart(tmp_path: Path) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    record.time_unix_nano, record.body.string_value = 1795238000000000000, "hello"
    traces = ExportTraceServiceRequest()
    traces.resource_spans.add().scope_spans.add().spans.add(
        trace_id=b"\x01" * 16, span_id=b"\x02" * 8, name="x", start_time_unix_nano=1795238000000000000
    )
    (tmp_path / "a.pb").write_bytes(logs.SerializeToString())
    (tmp_path / "b.pb").write_bytes(traces.SerializeToString())
    (tmp_path / "c-logs.pb").write_bytes(b"")

    def signal_of(path: Path, wanted: str | None = None) -> str:
        ((_, request),) = requests(path, path.read_bytes(), ".pb", wanted)
        assert isinstance(request, Request)
        return request.signal

    assert [signal_of(p) for p in files_of([tmp_path])] == ["logs", "traces", "logs"]
    assert signal_of(tmp_path / "a.pb", "metrics") == "metrics"


def test_a_broken_or_refused_line_of_requests_costs_only_itself(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]})
    (tmp_path / "lines.json").write_text("\n".join([good, "{oops", good, "[1]", good]))
    fake.json(200, {})
    fake.json(413, {"message": "too large"})
    assert main(["import", str(tmp_path), "--server", fake.url]) == 2
    said = capsys.readouterr()
    assert "lines.json:2: is not JSON" in said.err and "lines.json:4: is not an OTLP request" in said.err
    assert "lines.json:3: the server answered 413: too large" in said.err
    assert "1 of 1 file: 2 records stored, 0 rejected, 3 requests could not be imported" in said.out


@pytest.mark.parametrize("answer", [200, 400])
def test_small_requests_of_one_kind_are_sent_together_and_a_refused_one_is_named(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: int
) -> None:
    lines = [
        {"resourceSpans": [{"scopeSpans": [{"spans": [{**SPAN, "spanId": f"{n + 1:016x}"}]}]}]}
        for n in range(9)
    ]
    (tmp_path / "lines.jsonl").write_text(
        "\n".join(map(json.dumps, [*lines, {"resourceLogs": []}, lines[0]]))
    )
    fake.json(answer, {} if answer == 200 else {"message": "not that one"})
    if answer == 400:
        fake.json(200, {})
        fake.json(400, {"message": "not that one"})
    assert main(["import", str(tmp_path), "--server", fake.url]) == (0 if answer == 200 else 2)
    said = capsys.readouterr()
    sent = [json.loads(body) for _, path, body, _ in fake.asked if path == "/v1/traces"]
    assert sent[0] == {"resourceSpans": [one["resourceSpans"][0] for one in lines]}
    if answer == 200:
        assert len(sent) == 2 and "10 records stored" in said.out
    else:
        assert sent[1:] == [*lines, lines[0]] and "9 records stored" in said.out
        assert "lines.jsonl:2: the server answered 400: not that one" in said.err


def test_what_the_server_rejects_of_a_request_it_took_is_not_called_stored(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN, {**SPAN, "spanId": f"{7:016x}"}]}]}]}
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, [one, one])))
    told = {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no such project"}}
    for answer in (told, told, {}):
        fake.json(200, answer)
    assert main(["import", str(tmp_path), "--server", fake.url]) == 2
    said = capsys.readouterr()
    assert "lines.jsonl:1: the server rejected 1 record: no such project" in said.err
    assert "lines.jsonl:2" not in said.err
    assert "imported 1 of 1 file: 3 records stored, 1 rejected" in said.out


def test_a_request_of_any_size_is_sent_in_parts(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("watchkeeper.cli.importing.BATCH_BYTES", 2000)
    spans = [{**SPAN, "spanId": f"{n + 1:016x}"} for n in range(60)]
    (tmp_path / "a.json").write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    assert main(["import", str(tmp_path), "--server", fake.url]) == 0
    assert "60 records stored" in capsys.readouterr().out
    sent = [body for _, path, body, _ in fake.asked if path == "/v1/traces"]
    assert len(sent) > 3 and max(map(len, sent)) <= 2000


def test_messages_as_the_collector_writes_them_are_read_one_by_one(tmp_path: Path) -> None:
    one = ExportTraceServiceRequest()
    one.resource_spans.add().scope_spans.add().spans.add(
        trace_id=b"\x01" * 16, span_id=b"\x02" * 8, name="x", start_time_unix_nano=1795238000000000000
    )
    body = one.SerializeToString()
    framed = (len(body).to_bytes(4, "big") + body) * 3
    found = [r for _, r in requests(tmp_path / "spans.pb", framed, ".pb", None)]
    assert [r.body for r in found if isinstance(r, Request)] == [body] * 3


def test_it_reads_what_the_collectors_file_exporter_compresses(tmp_path: Path) -> None:
    text = json.dumps(REQUEST).encode()
    protobuf = ExportTraceServiceRequest()
    protobuf.resource_spans.add().scope_spans.add().spans.add(
        trace_id=b"\x01" * 16, span_id=b"\x02" * 8, name="x", start_time_unix_nano=1795238000000000000
    )
    plain = [text, protobuf.SerializeToString(), b'{"no": 1}', text]
    frames = b"".join(len(z).to_bytes(4, "big") + z for z in map(zstd.compress, plain))
    for name in ("data.json", "data-2026.jsonl", "data", "data.zst"):
        path = tmp_path / name
        path.write_bytes(frames[:-9])
        (_, lines), (_, binary), (where, bad), (_, cut) = requests(path, *contents(path), None)
        assert lines == Request("traces", plain[0], "application/json")
        assert binary == Request("traces", plain[1], "application/x-protobuf")
        assert isinstance(bad, str) and where == f"{path}:3" and "is not an OTLP request" in bad
        assert isinstance(cut, str) and "ends before its end mark" in cut
    # And a file that was compressed afterwards.
    path.write_bytes(zstd.compress(text + b"\n" + text))
    assert [r.body for _, r in requests(path, *contents(path), None) if isinstance(r, Request)] == [
        text,
        text,
    ]


def test_it_goes_on_after_a_file_it_cannot_import(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text("{broken")
    (tmp_path / "b.json").write_text('{"something": 1}')
    (tmp_path / "c.json").write_text(json.dumps(REQUEST))
    (tmp_path / "d.json.gz").write_bytes(b"\x1f\x8bnot gzip")
    assert main(["import", str(tmp_path), "--server", fake.url]) == 2
    said = capsys.readouterr()
    assert (
        "a.json: is not JSON" in said.err
        and "b.json: is not an OTLP request" in said.err
        and "d.json.gz" in said.err
    )
    assert "imported 1 of 4 files" in said.out
    assert main(["import", "nothing-here", "--server", fake.url]) == 2


def test_it_waits_when_the_server_is_busy(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("watchkeeper.cli.importing.time.sleep", waited.append)
    (tmp_path / "a.json").write_text(json.dumps({"resourceSpans": []}))
    fake.answers = [(503, {"retry-after": "2"}, b""), (429, {"retry-after": "1"}, b""), (200, {}, b"{}")]
    assert main(["import", str(tmp_path), "--server", fake.url]) == 0
    assert waited == [2.0, 1.0]
    fake.json(413, {"code": 8, "message": "too large"})
    assert main(["import", str(tmp_path), "--server", fake.url]) == 2
    assert "answered 413: too large" in capsys.readouterr().err


def test_refusals_in_protobuf_and_waits_given_as_a_date_are_read(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("watchkeeper.cli.importing.time.sleep", waited.append)
    (tmp_path / "traces.pb").write_bytes(ExportTraceServiceRequest().SerializeToString() or b"\n\0")
    body, kind = status_response(16, "this is not a valid API key", "protobuf")
    fake.answers = [
        (503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""),
        (503, {"retry-after": "86400"}, b""),
        (401, {"content-type": kind}, body),
    ]
    assert main(["import", str(tmp_path), "--server", fake.url]) == 2
    assert waited == [1.0, 30.0]
    assert "answered 401: this is not a valid API key\n" in capsys.readouterr().err


def test_what_is_empty_or_no_file_is_called_that(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nothing").touch()
    assert main(["import", str(tmp_path / "nothing"), "--server", fake.url]) == 2
    os.mkfifo(tmp_path / "pipe")
    assert main(["import", str(tmp_path / "pipe"), "--server", fake.url]) == 2
    said = capsys.readouterr().err
    assert "nothing: is empty" in said and "pipe: is neither a file nor a folder" in said
