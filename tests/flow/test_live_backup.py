"""A backup of a running server, taken during ingest: nothing acknowledged before is missing, and it restores."""

import threading
from pathlib import Path

import pytest

from tests.flow.sending import call, hex_id, request
from tests.serving import Server
from watchkeeper.cli.main import main


def test_a_backup_during_ingest_holds_everything_acknowledged_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, copy, again = tmp_path / "data", tmp_path / "copy", tmp_path / "again"
    acknowledged: list[str] = []
    stop = threading.Event()
    with Server(data) as server:

        def send() -> None:
            n = 0
            while not stop.is_set():
                trace_id = hex_id("backup", n)
                spans = [call(trace_id, hex_id(trace_id, k, digits=16), "q", "a") for k in range(5)]
                if server.call("POST", "/v1/traces", raw=request(spans, service__name="b"))[0] == 200:
                    acknowledged.append(trace_id)
                n += 1
                stop.wait(0.02)

        sender = threading.Thread(target=send)
        sender.start()
        while len(acknowledged) < 30:
            stop.wait(0.05)
        server.json("POST", "/api/datasets", {"name": "kept", "description": "in the records"})
        before = list(acknowledged)
        assert main(["backup", str(copy), "--data-dir", str(data)]) == 0
        stop.set()
        sender.join()
        assert "of the running server" in capsys.readouterr().out
        assert (
            server.call("POST", "/v1/traces", raw=request([call(hex_id("x"), "a" * 16, "q", "a")]))[0] == 200
        )
        assert len(acknowledged) > len(before), "it went on taking what came"
        assert list((data / "backups").iterdir()) == []
    assert main(["restore", str(copy), "--data-dir", str(again)]) == 0
    with Server(again) as server:
        rows = server.sql("select trace_id, count() as n from spans group by trace_id")
        found = {str(r["trace_id"]): r["n"] for r in rows}
        assert {i: found.get(i) for i in before} == dict.fromkeys(before, 5)
        assert [d["name"] for d in server.json("GET", "/api/datasets")] == ["kept"]
    cold, thawed = tmp_path / "cold", tmp_path / "thawed"
    assert main(["backup", str(cold), "--data-dir", str(again)]) == 0
    assert main(["restore", str(cold), "--data-dir", str(thawed)]) == 0
    with Server(thawed) as server:
        assert len(server.sql("select distinct trace_id from spans")) == len(found), (
            "of a stopped one as well"
        )
    (copy / "records.db").write_bytes((copy / "records.db").read_bytes()[:-1])
    assert main(["restore", str(copy), "--data-dir", str(tmp_path / "third")]) != 0
