"""A damaged SQLite database of records: what can be read of it goes into a new one, and its file is kept."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchkeeper.store.damage import FOLDER, Damage, set_aside
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

# The whole check follows every index; of a larger database only the tables are looked at, for the sake of the start.
WHOLE_BYTES = 64 * 1024 * 1024
# The bytes of the header that are the same in every database of ours: a flipped one there would cost everything.
CONSTANT = (slice(0, 24), slice(44, 60))


def rescue(data_dir: Path) -> Damage | None:
    """Look at the records of a data directory before they are opened. A damaged database is set aside and replaced by
    one with every row that could be read; None when all is well. Whenever it is interrupted, the next call goes on."""
    path, made = data_dir / migrate.FILE, data_dir / f"{migrate.FILE}.saved"
    if made.exists():
        if path.exists():
            made.unlink()
        else:
            made.replace(path)
    if not path.exists():
        return None
    reason = _fault(path, data_dir)
    if reason is None:
        return None
    saved = _copy_rows(path, data_dir, made)
    damage = set_aside(data_dir / FOLDER, path, "the records database", reason, saved)
    for beside in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{beside}", f"{data_dir / damage.kept}{beside}")
    made.replace(path)
    return damage


def _fault(path: Path, data_dir: Path) -> str | None:
    size = path.stat().st_size
    if size == 0:
        # A first start that was killed leaves an empty file too, but no tables in the column store.
        log = Path(f"{path}-wal")
        used = (data_dir / "columns" / "tables.json").exists() and not (log.exists() and log.stat().st_size)
        return "the file is empty" if used else None
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
            how = "integrity_check" if size <= WHOLE_BYTES else "quick_check"
            said = str(connection.execute(f"PRAGMA {how}(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if said == "ok" else said


def _copy_rows(path: Path, data_dir: Path, made: Path) -> int:
    """Make `made`, of this version's schema, with every row that can be read; how many."""
    fresh = data_dir / f"{migrate.FILE}.new"
    fresh.unlink(missing_ok=True)
    records = Records(f"sqlite:///{fresh}")
    try:
        migrate.upgrade(records)
    finally:
        records.close()
    source = data_dir / f"{migrate.FILE}.read"
    old, new = bytearray(path.read_bytes()), fresh.read_bytes()
    for part in CONSTANT:
        old[part] = new[part]
    source.write_bytes(old)
    log = Path(f"{path}-wal")
    if log.exists():
        Path(f"{source}-wal").write_bytes(log.read_bytes())
    try:
        with (
            contextlib.closing(sqlite3.connect(source)) as reader,
            contextlib.closing(sqlite3.connect(fresh)) as writer,
        ):
            reader.text_factory = _text
            total = sum(_copy_table(reader, writer, table) for table in metadata.tables)
            writer.commit()
            writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        for beside in ("", "-wal", "-shm"):
            Path(f"{source}{beside}").unlink(missing_ok=True)
    with open(fresh, "rb") as file:
        os.fsync(file.fileno())
    fresh.replace(made)
    return total


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _copy_table(reader: sqlite3.Connection, writer: sqlite3.Connection, table: str) -> int:
    try:
        there = {str(r[1]) for r in reader.execute(f'PRAGMA table_info("{table}")')}
    except sqlite3.DatabaseError:
        return 0  # not even the list of tables can be read: nothing of this database can
    wanted = [str(r[1]) for r in writer.execute(f'PRAGMA table_info("{table}")') if str(r[1]) in there]
    if not wanted:
        return 0
    names = ", ".join(f'"{n}"' for n in wanted)
    marks = ", ".join("?" * len(wanted))
    count = 0
    for row in _rows(reader, table, names):
        # A row that breaks a rule of its table was damaged itself.
        with contextlib.suppress(sqlite3.Error):
            count += writer.execute(
                f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})', row
            ).rowcount
    return count


def _rows(reader: sqlite3.Connection, table: str, names: str) -> Iterator[tuple[Any, ...]]:
    """The rows before the damage from the front, those behind it from the back."""
    last: int | None = None
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in reader.execute(f'SELECT rowid, {names} FROM "{table}" NOT INDEXED ORDER BY rowid'):
            last = int(row[0])
            yield row[1:]
        return
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in reader.execute(f'SELECT rowid, {names} FROM "{table}" NOT INDEXED ORDER BY rowid DESC'):
            if last is not None and int(row[0]) <= last:
                return
            yield row[1:]
