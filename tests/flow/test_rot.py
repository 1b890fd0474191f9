"""Rotten files (D3): flipped bits and emptied files in data parts, table definitions, records and secrets. The server starts,
says what was damaged and where it is kept, and everything else is there, also for what comes afterwards.

`WATCHKEEPER_CHAOS=full` makes it 200 places.
"""

import contextlib
import functools
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import FULL, new_seed, progress, sized
from tests.flow.crashing import batch, compare, ids_of, in_sql
from tests.flow.sending import Connection, hex_id, request
from tests.serving import Server
from watchkeeper.store import damage

PLACES = sized(1, 200)
BATCHES = 10
# Everything that is done to parts afterwards: merges, and what has grown old dropped.
AFTERWARDS = """
import asyncio, sys, time
from watchkeeper.store.clickhouse import open_columns
from watchkeeper.store.columns import Retention
columns = open_columns(sys.argv[1])
def merge(client):
    for (table,) in client.query("SHOW TABLES").result_rows:
        client.command(f"OPTIMIZE TABLE {table} FINAL")
        client.command(f"SELECT * FROM {table} FORMAT Null")
async def work():
    await columns._rows.run(merge)
    await columns.expire(time.time_ns() + 60 * 86_400 * 10**9, Retention(30, 30, 400))
    left = await columns.sql("default", "select count() from spans")
    await columns.close()
    print("left", left.rows[0][0])
asyncio.run(work())
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stopped data directory with parts of several ages, a mutation behind it, feedback, a label and a silence."""
    data = tmp_path_factory.mktemp("rot") / "data"
    with Server(data) as server:
        connection = Connection(server.port)
        for number in range(BATCHES):
            assert connection.post("/v1/traces", request(batch("rot", number)))[0] == 200
        connection.close()
        gone = hex_id("rot", 0, 0)
        server.eventually("select count() as n from traces", lambda r: r[0]["n"] == 4 * BATCHES)
        for number in range(1, BATCHES):
            trace_id = hex_id("rot", number, 0)
            server.json("POST", "/api/feedback", {"trace_id": trace_id, "rating": "down", "comment": "bad"})
            server.json("POST", "/api/reviews", {"trace_id": trace_id, "reason": f"number {number}"})
        server.json("POST", "/api/erasures", {"trace_ids": [gone], "confirm": True})
    yield data


def wanted() -> list[tuple[str, str]]:
    """Every span of the base."""
    gone = hex_id("rot", 0, 0)
    return [i for number in range(BATCHES) for i in ids_of(batch("rot", number)) if i[0] != gone]


def spoil(path: Path, dice: random.Random) -> str:
    """Flip one bit of a file, or empty it; what was done."""
    content = bytearray(path.read_bytes())
    if not content or dice.random() < 0.2:
        path.write_bytes(b"")
        return f"{path.name} emptied"
    at, bit = dice.randrange(len(content)), dice.randrange(8)
    content[at] ^= 1 << bit
    path.write_bytes(bytes(content))
    return f"{path.name} bit {bit} of byte {at} of {len(content)}"


@functools.cache
def read_from(table: Path) -> set[Path]:
    """The parts of a table that are read: no other part of the partition covers them."""
    made: set[Path] = set()
    named = [(p, p.name.split("_")) for p in table.glob("*_*_*_*") if p.is_dir()]
    for part, (partition, first, last, level, *mutation) in named:
        covered = any(
            other != part
            and n[0] == partition
            and int(n[1]) <= int(first)
            and int(n[2]) >= int(last)
            and (int(n[3]), int((n[4:] or ["0"])[0])) > (int(level), int((mutation or ["0"])[0]))
            for other, n in named
        )
        made |= set() if covered else {part}
    return made


def files_of(data: Path) -> dict[str, list[Path]]:
    """The files of a data directory by what they are."""
    store = data / "columns" / "store"
    parts = [p for p in store.rglob("*") if p.is_file() and p.parent in read_from(p.parent.parent)]
    large = [p for p in parts if p.suffix == ".bin" or p.stat().st_size > 2000]
    return {
        "data": large,
        "part": parts,
        "definition": [*store.glob("*/*/*.sql"), *store.glob("*/*/*.txt"), data / "columns" / "tables.json"],
        "records": [data / "records.db"],
        "secrets": [data / "secrets.json", data / "secrets.copy.json"],
    }


def holds(data: Path, done: list[str]) -> list[damage.Damage]:
    """Start a server on damaged data and hold it to the goal; what it set aside."""
    server = Server(data).start()
    try:
        connection = Connection(server.port)
        deadline = time.monotonic() + 300  # a guard against a hang
        while "\nwatchkeeper_store_unchecked_parts 0\n" not in server.call("GET", "/metrics")[2].decode():
            assert time.monotonic() < deadline, done
            time.sleep(0.5)
        while set(compare(wanted(), in_sql_when_well(server))[0]):
            assert time.monotonic() < deadline, (done, compare(wanted(), in_sql(server)))
            time.sleep(0.5)
        for number in range(1, BATCHES):
            assert server.call("GET", f"/api/traces/{hex_id('rot', number, 0)}")[0] in (200, 404), done
        for page in ("/", "/traces", "/alerts", "/settings", "/metrics"):
            assert server.call("GET", page)[0] == 200, (done, page)
        fresh = batch("after", 0)
        assert connection.post("/v1/traces", request(fresh))[0] == 200, done
        connection.close()
        server.eventually(
            "select count() as n from traces where scenario = 'after'", lambda r: r[0]["n"] == 4
        )
        erased = server.json("POST", "/api/erasures", {"trace_ids": [fresh[0]["traceId"]], "confirm": True})
        assert erased["columns"]["spans"] >= 3, done
        found = damage.found(data)
        told = server.json("GET", "/readyz").get("damaged", [])
        assert told == [f"{d.what}: {d.kept}" for d in found], done
        metrics = server.call("GET", "/metrics")[2].decode()
        assert f"\nwatchkeeper_damaged {len(found)}\n" in metrics, done
    finally:
        status = server.stop()
    assert status == 0, done
    said = "\n".join(server.lines)
    for one in found:
        assert (data / one.kept).exists() and one.what in said, (done, one)
    ran = subprocess.run(
        [sys.executable, "-c", AFTERWARDS, f"chdb://{data}/columns"], capture_output=True, text=True
    )
    assert ran.stdout.strip().endswith("left 0"), (done, ran.stdout, ran.stderr[-3000:])
    return found


def in_sql_when_well(server: Server) -> list[tuple[str, str]]:
    """Every span SQL shows; none while a damaged part still stands in the way."""
    query = {"query": "select trace_id, span_id, attributes, output_text from spans"}
    status, _, body = server.call("POST", "/api/sql", query)
    assert status in (200, 400, 503), (status, body)
    return [(r[0], r[1]) for r in json.loads(body)["rows"]] if status == 200 else []


def test_a_start_on_many_rotten_files_names_them_keeps_them_and_loses_nothing_else(
    base: Path, tmp_path: Path
) -> None:
    """One bit of a large column of spans, an emptied file of traces, a definition, the records, the secrets: all at once."""
    data = tmp_path / "data"
    shutil.copytree(base, data, symlinks=True)
    store = data / "columns" / "store"
    tables = {p.stem: p for p in store.glob("*/*/*.sql")}

    def part_file(table: str, name: str) -> Path:
        uuid = next(line for line in tables[table].read_text().split("'") if line.count("-") == 4)
        return max(
            (store / uuid[:3] / uuid).glob(f"*_*_*/{name}"), key=lambda p: (p.parent.stat().st_mtime, p)
        )

    spoiled = [part_file("spans", "data.bin"), part_file("traces", "count.txt"), tables["coverage"]]
    spoiled += [next(store.glob("*/*/mutation_*.txt")), data / "secrets.json"]
    for path in spoiled:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 16
        path.write_bytes(b"" if path.suffix == ".txt" else bytes(content))
    tables["scores"].write_bytes(b"")
    with contextlib.closing(sqlite3.connect(data / "records.db")) as records:
        indexes = "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'review_items'"
        page = records.execute(indexes).fetchone()[0]
    with (data / "records.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)
    found = holds(data, ["all at once"])
    said = " ".join(d.what for d in found)
    for name in (
        "table spans",
        "table traces",
        "coverage.sql",
        "scores.sql",
        "mutation_",
        "records",
        "secrets",
    ):
        assert name in said, (name, said)
    assert json.loads((data / "secrets.json").read_text()) == json.loads((base / "secrets.json").read_text())


@pytest.mark.skipif(not FULL, reason="a campaign: WATCHKEEPER_CHAOS=full")
def test_a_start_after_a_bit_was_flipped_anywhere_goes_on(base: Path, tmp_path: Path) -> None:
    seed = new_seed()
    dice = random.Random(seed)
    noticed = 0
    for number in range(PLACES):
        data = tmp_path / f"data{number}"
        shutil.copytree(base, data, symlinks=True)
        kinds = files_of(data)
        kind = dice.choices(list(kinds), (40, 20, 20, 15, 5))[0]
        done = [f"seed {seed} place {number}", kind, spoil(dice.choice(kinds[kind]), dice)]
        found = holds(data, done)
        noticed += bool(found)
        print(done, [(d.what, d.saved, d.lost) for d in found])
        progress("D3 places", number + 1, PLACES, f"{noticed} noticed, seed {seed}")
        shutil.rmtree(data)
    print(f"D3: {PLACES} places, {noticed} noticed")


def test_without_its_copy_a_damaged_definition_keeps_the_store_from_opening(
    base: Path, tmp_path: Path
) -> None:
    """The control: it is the mending that lets a server start."""
    data = tmp_path / "data"
    shutil.copytree(base, data, symlinks=True)
    (data / "columns" / "tables.json").unlink()
    next((data / "columns" / "store").glob("*/*/spans.sql")).write_bytes(b"")
    ran = subprocess.run(
        [sys.executable, "-c", AFTERWARDS, f"chdb://{data}/columns"], capture_output=True, text=True
    )
    assert ran.returncode != 0 and "does not open" in ran.stderr
