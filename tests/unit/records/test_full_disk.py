"""A disk that takes no more: said as such, rolled back, and over when there is room again."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records.engine import Records

PAGES = 20


def test_a_full_disk_is_told_apart_from_a_fault_and_passes(tmp_path: Path) -> None:
    records = Records(f"sqlite:///{tmp_path}/r.db")

    def limit(pages: int) -> None:
        records.write_now(lambda c: c.execute(sa.text(f"PRAGMA max_page_count = {pages}")).scalar())

    def put(size: int) -> None:
        records.write_now(lambda c: c.execute(sa.text("INSERT INTO t VALUES (:x)"), {"x": "x" * size}))

    records.write_now(lambda c: c.execute(sa.text("CREATE TABLE t (x TEXT)")))
    put(10)
    # What SQLite does at its page limit is what it does at the end of a disk.
    limit(PAGES)
    with pytest.raises(StoreUnavailable, match="disk is full"):
        put(PAGES * 8192)
    assert records.read_now(lambda c: c.execute(sa.text("SELECT count(*) FROM t")).scalar()) == 1
    limit(PAGES * 100)
    put(PAGES * 8192)
    with pytest.raises(sa.exc.OperationalError, match="no such table"):
        records.write_now(lambda c: c.execute(sa.text("INSERT INTO nowhere VALUES (1)")))
    records.close()


@pytest.mark.parametrize("what", ["not there", "no database", "damaged"])
def test_a_file_that_cannot_be_read_is_told_apart_from_a_fault_too(tmp_path: Path, what: str) -> None:
    path = tmp_path / "there" / "r.db"
    records = Records(f"sqlite:///{path}")
    records.write_now(lambda c: c.execute(sa.text("CREATE TABLE t (x TEXT)")))
    records.write_now(lambda c: c.execute(sa.text("INSERT INTO t VALUES (:x)"), {"x": "x" * 20_000}))
    records.close()
    whole = path.read_bytes()
    if what == "not there":
        path.parent.rename(tmp_path / "elsewhere")
    else:
        path.write_bytes(
            b"x" * len(whole) if what == "no database" else whole[:4096] + b"\xff" * (len(whole) - 4096)
        )
    with pytest.raises(StoreUnavailable, match="cannot be read or written"):
        records.read_now(lambda c: c.execute(sa.text("SELECT x FROM t")).all())
    records.close()
    if what == "not there":
        (tmp_path / "elsewhere").rename(path.parent)
    else:
        path.write_bytes(whole)
    assert records.read_now(lambda c: c.execute(sa.text("SELECT count(*) FROM t")).scalar()) == 1
    with pytest.raises(sa.exc.OperationalError, match="no such table"):
        records.read_now(lambda c: c.execute(sa.text("SELECT * FROM nowhere")).all())
    records.close()


async def test_emptying_the_log_says_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(f"sqlite:///{tmp_path}/r.db")

    def full() -> None:
        raise sa.exc.OperationalError("PRAGMA", {}, sqlite3.OperationalError("database or disk is full"))

    with monkeypatch.context() as there:
        there.setattr(records.engine, "connect", full)
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await records.clear_log()
    assert await records.clear_log()
    records.close()
