"""`watchkeeper serve` as a user runs it: start, sign in, send, ask, stop; and what it refuses, in words."""

import json
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.serving import Server, free_port

NOW = 1_795_238_000 * 10**9


def trace(number: int) -> dict[str, object]:
    return {
        "traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "chat",
        "startTimeUnixNano": str(NOW + number * 10**6), "endTimeUnixNano": str(NOW + number * 10**6 + 10**9),
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
        ],
    }  # fmt: skip


def request(*numbers: int) -> dict[str, object]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": [trace(n) for n in numbers]}]}]}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "watchkeeper", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Server, Path]]:
    data = tmp_path_factory.mktemp("serve") / "data"
    with Server(data, no_auth=False) as server:
        yield server, data


def test_it_signs_in_by_the_link_it_printed(served: tuple[Server, Path]) -> None:
    server, _ = served
    (line,) = [line for line in server.lines if "one-time link" in line]
    found = re.search(r"token=(\S+)", line)
    assert found is not None
    status, headers, page = server.call("GET", f"/login?token={found[1]}")
    assert (
        status == 200
        and found[1].encode() in page
        and "script-src 'self'" in headers["content-security-policy"]
    )
    form = {"content-type": "application/x-www-form-urlencoded"}
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", "/login", f"token={found[1]}&next=/", form)
    answer = connection.getresponse()
    cookie = answer.headers["set-cookie"].partition(";")[0]
    answer.read()
    assert answer.status == 303
    connection.request("GET", "/api/users", headers={"cookie": cookie})
    answer = connection.getresponse()
    assert answer.status == 200 and json.loads(answer.read())[0]["email"] == "admin@localhost"
    connection.close()


def test_it_serves_keys_telemetry_questions_and_scores(served: tuple[Server, Path]) -> None:
    server, data = served
    where = ("--data-dir", str(data))
    ingest = run("keys", "create", "app", "--role", "ingest", *where).stdout.strip()
    editor = run("keys", "create", "ci", "--role", "editor", *where).stdout.strip()
    send, ask = {"authorization": f"Bearer {ingest}"}, {"authorization": f"Bearer {editor}"}
    assert server.call("POST", "/v1/traces", request(1))[0] == 401
    for _ in range(2):
        assert server.call("POST", "/v1/traces", request(1, 2, 3), send)[0] == 200
    assert server.call("GET", "/api/traces", headers=send)[0] == 403
    trace_id = f"{1:032x}"
    assert (
        server.call("POST", "/api/scores", {"trace_id": trace_id, "scorer": "mine", "value": 0.5}, send)[0]
        == 201
    )
    counted = run("sql", "select count() as n from spans", "--format", "json", *where)
    assert json.loads(counted.stdout) == {"n": 3}, counted.stderr
    status, _, body = server.call("GET", f"/api/traces/{trace_id}", headers=ask)
    assert status == 200 and json.loads(body)["spans"][0]["llm"]["request_model"] == "m"
    assert {s["scorer"] for s in json.loads(body)["scores"]} >= {"mine"}
    refused = server.call("POST", "/api/sql", {"query": "select * from system.tables"}, ask)
    assert refused[0] == 400 and json.loads(refused[2])["hint"]
    metrics = server.call("GET", "/metrics", headers=ask)[2].decode()
    assert 'outcome="stored",project="default",reason="",signal="traces"} 3' in metrics
    assert 'outcome="deduplicated",project="default",reason="",signal="traces"} 3' in metrics


def test_it_names_the_holder_of_a_data_directory(served: tuple[Server, Path]) -> None:
    server, data = served
    assert server.process is not None
    second = run("serve", "--data-dir", str(data), "--port", str(free_port()))
    assert second.returncode == 2 and f"process {server.process.pid}" in second.stderr
    live = run("backup", str(data.parent / "copy"), "--data-dir", str(data))
    assert live.returncode == 0 and "running server" in live.stdout, live.stderr


def test_it_says_which_port_is_busy(served: tuple[Server, Path], tmp_path: Path) -> None:
    server, _ = served
    busy = run(
        "serve",
        "--data-dir",
        str(tmp_path / "d"),
        "--port",
        str(server.port),
        "--grpc-port",
        "0",
        "--no-auth",
    )
    assert busy.returncode == 2 and f"port {server.port}" in busy.stderr and "Traceback" not in busy.stderr


def test_it_imports_recorded_requests_and_drains_on_sigterm(tmp_path: Path) -> None:
    file = tmp_path / "recorded.jsonl"
    file.write_text("\n".join(json.dumps(request(n)) for n in range(10, 30)))
    with Server(tmp_path / "data") as server:
        done = run("import", str(file), "--server", server.url)
        assert done.returncode == 0 and "20 records stored" in done.stdout, done.stderr
        assert server.stop() == 0
    with Server(tmp_path / "data") as again:
        assert again.sql("select count() as n from spans") == [{"n": 20}]
        assert again.json("GET", "/api/audit")["broken"] is None
