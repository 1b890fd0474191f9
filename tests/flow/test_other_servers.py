"""The product with its columns behind ClickHouse's interface and its records on PostgreSQL: in two processes, across a server
that goes away and comes back, and with addresses that are wrong."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.clickhouse import Double
from tests.flow.sending import call, hex_id, request, span
from tests.flow.test_judging import CONFIG, Provider
from tests.postgres import fresh
from tests.serving import Server
from tests.waiting import until
from watchkeeper.cli.main import main
from watchkeeper.store.clickhouse.store import open_columns
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.damage import set_aside


@pytest.fixture
def clickhouse(tmp_path: Path) -> Iterator[Double]:
    made = Double(tmp_path / "clickhouse").start()
    yield made
    made.kill()


@pytest.fixture
def addresses(clickhouse: Double, postgres_server: str) -> dict[str, str]:
    """As a user sets them: the only difference to one process on one machine."""
    return {"WATCHKEEPER_COLUMNS_URL": clickhouse.url(), "WATCHKEEPER_RECORDS_URL": fresh(postgres_server)}


def send(server: Server, *spans: dict[str, Any]) -> tuple[int, dict[str, str]]:
    status, headers, _ = server.call("POST", "/v1/traces", raw=request(list(spans), service__name="bot"))
    return status, headers


def asked(name: str) -> dict[str, Any]:
    return call(hex_id(name), hex_id(name, digits=16), f"question {name}?", "an answer")


def judged(server: Server) -> dict[str, int]:
    rows = server.sql("select trace_id, count() as n from scores where source = 'judge' group by trace_id")
    return {str(row["trace_id"]): int(row["n"]) for row in rows}


def followed(server: Server) -> int:
    """How often a process has looked at what the others changed."""
    name = 'watchkeeper_loop_runs_total{loop="following other processes"}'
    lines = server.call("GET", "/metrics")[2].decode().splitlines()
    return next((int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(name)), 0)


def of_itself(server: Server, name: str) -> str:
    """What a process says that one of Watchkeeper's own monitors read last."""
    rules = {r["name"]: str(r["says"]) for r in server.json("GET", "/api/self-monitoring")}
    return rules.get(f"watchkeeper.{name}", "")


def test_two_processes_are_one_product(tmp_path: Path, addresses: dict[str, str]) -> None:
    provider = Provider()
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(CONFIG.format(port=provider.port).replace("timeout: 1s", "timeout: 60s"))
    one = Server(tmp_path / "one", "--config", str(config), env=addresses).start()
    other = Server(tmp_path / "other", "--config", str(config), env=addresses).start()
    try:
        names = [f"n{i}" for i in range(12)]
        for at, name in enumerate(names):
            assert send((one, other)[at % 2], asked(name))[0] == 200
        # One trace of which each process gets a part: it is whole in both.
        root, child = hex_id("split", "root", digits=16), hex_id("split", "child", digits=16)
        assert send(one, span(hex_id("split"), root))[0] == 200
        assert send(other, span(hex_id("split"), child, parent=root))[0] == 200
        until(lambda: set(judged(other)) == {hex_id(n) for n in names})
        for server in (one, other):
            assert set(judged(server).values()) == {1}
            assert len(server.json("GET", f"/api/traces/{hex_id('split')}")["spans"]) == 2
        assert provider.answered == dict.fromkeys(names, 1), "no judgement was paid for twice"

        # What is erased through one does not come back through the other.
        one.json("POST", "/api/erasures", {"trace_ids": [hex_id("n0")], "confirm": True})
        heard = followed(other)
        until(lambda: followed(other) >= heard + 2)
        assert send(other, asked("n0"))[0] == 200
        assert not other.sql(f"select 1 from spans where trace_id = '{hex_id('n0')}'")

        # What either finds damaged is seen by whoever watches, and told by both.
        (tmp_path / "rotten").write_text("")
        set_aside(tmp_path / "other" / "damaged", tmp_path / "rotten", "a file of the test", "it says so")
        until(lambda: "a file of the test" in of_itself(one, "damage"))
        assert of_itself(other, "damage") == of_itself(one, "damage")

        # The one that led is killed; the other judges from then on.
        one.kill()
        assert send(other, asked("late"))[0] == 200
        until(lambda: hex_id("late") in judged(other))
        status, _, said = other.call("POST", "/api/backups", {})
        assert status == 409 and b"pg_dump" in said
        assert other.stop() == 0
    finally:
        for server in (one, other):
            if server.process is not None and server.process.poll() is None:
                server.kill()
        provider.close()


def test_a_column_store_that_goes_away_costs_nothing_that_was_acknowledged(
    tmp_path: Path, clickhouse: Double, addresses: dict[str, str]
) -> None:
    with Server(tmp_path / "data", env=addresses) as server:
        assert send(server, asked("before"))[0] == 200
        clickhouse.kill()
        status, headers = send(server, asked("during"))
        assert status == 503 and headers["retry-after"]
        status, headers, said = server.call("POST", "/api/sql", {"query": "select 1"})
        assert status == 503 and headers["retry-after"] and b"cannot be reached" in said
        assert server.call("GET", "/traces")[0] == 503
        clickhouse.start()
        until(lambda: send(server, asked("during"))[0] == 200)
        wanted = {hex_id("before"), hex_id("during")}
        until(lambda: {str(r["trace_id"]) for r in server.sql("select trace_id from traces")} == wanted)


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ("clickhouse://keeper:{wrong}@127.0.0.1:{port}/watch", "Authentication failed"),
        ("clickhouse://keeper:{right}@127.0.0.1:{port}/elsewhere", "Database elsewhere does not exist"),
        ("clickhouse://keeper:{right}@127.0.0.1:1/watch", "] Connection refused\n"),
        ("clickhouse://keeper:{right}@no.invalid:1/watch", "does not open: Failed to resolve 'no.invalid' ("),
        ("mysql://keeper:{right}@127.0.0.1:{port}/watch", "clickhouse://user:password@host"),
    ],
)
def test_a_wrong_address_ends_the_start_with_what_is_wrong(
    tmp_path: Path, clickhouse: Double, capsys: pytest.CaptureFixture[str], columns: str, wanted: str
) -> None:
    right, wrong = quote("p@ss word/1", safe=""), "notthis"
    url = columns.format(port=clickhouse.port, right=right, wrong=wrong)
    started = ["serve", "--data-dir", str(tmp_path / "data"), "--port", "0", "--grpc-port", "0"]
    assert main([*started, "--columns", url]) == 2
    said = capsys.readouterr().err
    assert wanted in said, said
    assert right not in said and wrong not in said and "p@ss" not in said


def test_an_encrypted_address_is_spoken_to_with_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    try:
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate of this test and is not installed")
    server = Double(tmp_path / "clickhouse", "--certificate", str(certificate), "--key", str(key)).start()
    try:
        with pytest.raises(StoreUnavailable, match="certificate verify failed"):
            open_columns(server.url())
        made = open_columns(f"{server.url()}?ca_cert={certificate}")
        made.close_now()
    finally:
        server.kill()
