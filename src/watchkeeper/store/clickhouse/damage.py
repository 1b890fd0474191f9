"""Rotten files of the embedded column store: table definitions mended before it opens, damaged parts set aside while it runs."""

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from watchkeeper.store.damage import Damage, set_aside

MB = 1024 * 1024
COPY = "tables.json"
NO_SUCH_PART = 232
# What the engine says of files that do not hold what they should: cut, flipped, missing.
DAMAGE_CODES = frozenset({33, 40, 107, 117, 228, 246, 271, 432})
AGAIN_SECONDS = 86_400.0
LATELY_SECONDS = 600.0
_MUTATION = re.compile(r"format version: 1\ncreate time: [-0-9]{10} [:0-9]{8}\ncommands: [\x20-\x7e]+\n")
_UNLIMITED = {"max_execution_time": 0, "max_memory_usage": 0}
# Small blocks: rows of a megabyte must not add up to the memory of the process.
_COPYING = {**_UNLIMITED, "max_block_size": 1024, "min_insert_block_size_bytes": 32 * MB}
# What is damaged may be beside the rows; they are read without it.
_ROWS_ONLY = {"use_skip_indexes": 0, "use_statistics": 0, "use_statistics_for_part_pruning": 0}


class _Tables(msgspec.Struct):
    """The files that define the tables, by path below the store, and a digest of them: the copy may be damaged too."""

    files: dict[str, str]
    digest: str


def _digest(files: dict[str, str]) -> str:
    return hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()


def remember(path: Path) -> None:
    """Keep a copy of what defines the tables of the store at `path`; nothing where it cannot be written."""
    named = sorted([*path.glob("store/*/*/*.sql"), *path.glob("store/*/*/format_version.txt")])
    files = {str(p.relative_to(path)): p.read_text() for p in named}
    fresh = path / (COPY + ".new")
    with contextlib.suppress(OSError):
        fresh.write_bytes(msgspec.json.encode(_Tables(files, _digest(files))))
        fresh.replace(path / COPY)


def forget_tables(path: Path) -> None:
    """Drop the copy before a definition changes: mending would undo the change."""
    (path / COPY).unlink(missing_ok=True)


def mend(path: Path, folder: Path) -> None:
    """Put back definitions that are not as they were copied, and set aside mutations that cannot be read: every mutation of
    ours is asked for again by what needed it. The store at `path` must be closed."""
    copy = path / COPY
    if copy.exists():
        try:
            known = msgspec.json.decode(copy.read_bytes(), type=_Tables)
            files = known.files if known.digest == _digest(known.files) else None
        except msgspec.MsgspecError:
            files = None
        if files is None:
            set_aside(folder, copy, "the copy of the table definitions", "its checksum differs")
        for name, text in (files or {}).items():
            if (path / name).exists() and (path / name).read_bytes() != text.encode():
                what = f"the definition {Path(name).name}"
                set_aside(folder, path / name, what, "it differs from its copy, which was put back")
                (path / name).write_text(text)
    for mutation in _mutations(path):
        if not _MUTATION.fullmatch(mutation.read_bytes().decode(errors="replace")):
            set_aside(folder, mutation, f"the order {mutation.name}", "it cannot be read")


def _mutations(path: Path) -> Iterator[Path]:
    return path.glob("store/*/*/mutation_*.txt")


def drop_mutations(path: Path, folder: Path) -> int:
    """Set every mutation aside, for a store that does not open; how many there were."""
    gone = [
        set_aside(folder, m, f"the order {m.name}", "the store did not open with it")
        for m in _mutations(path)
    ]
    return len(gone)


@dataclass(frozen=True)
class Part:
    """One part of a table. `step`: rows of about one granule."""

    table: str
    name: str
    rows: int
    step: int

    @property
    def what(self) -> str:
        """How people are told of it."""
        return f"part {self.name} of table {self.table}"


def collect(client: Client, folder: Path) -> list[Damage]:
    """Set aside what the engine itself took out of the tables, at start or for `quarantine`."""
    rows = client.query(
        "SELECT table, name, path FROM system.detached_parts WHERE database = currentDatabase() ORDER BY table, name"
    ).result_rows
    made: list[Damage] = []
    for table, name, path in rows:
        # A folder that is being removed by the engine at this moment is no damage any more.
        with contextlib.suppress(FileNotFoundError):
            what = f"part {name} of table {table}"
            made.append(set_aside(folder, Path(path), what, "its files are missing, cut or changed"))
    return made


def check(client: Client, part: Part) -> str | None:
    """What is wrong with a part; None when every checksum fits, or when it was merged away meanwhile."""
    try:
        rows = client.query(
            f"CHECK TABLE {part.table} PART '{part.name}'",
            settings={**_UNLIMITED, "check_query_single_value_result": 0},
        ).result_rows
    except Error as error:
        code = getattr(error, "code", None)
        if code == NO_SUCH_PART:
            return None
        if code in DAMAGE_CODES:
            return str(error)
        raise
    # Numbers of this answer come as text from the embedded engine.
    return next((str(r[2]) for r in rows if str(r[1]) in ("0", "False", "false")), None)


def quarantine(client: Client, part: Part, reason: str, folder: Path) -> Damage | None:
    """Write the rows of a damaged part again that can be read, and set the part aside; None when it is gone meanwhile.

    A kill between the two leaves rows twice until they are merged: rows are replaced by key.
    """
    client.command(f"SYSTEM STOP MERGES {part.table}")
    try:
        saved = _save(client, part)
        client.command(f"ALTER TABLE {part.table} DETACH PART '{part.name}'")
        path = client.query(
            "SELECT path FROM system.detached_parts WHERE database = currentDatabase() AND table = {t:String} "
            "AND name = {n:String}",
            parameters={"t": part.table, "n": part.name},
        ).result_rows[0][0]
        return set_aside(folder, Path(str(path)), part.what, reason, saved, part.rows - saved)
    except Error as error:
        if getattr(error, "code", None) == NO_SUCH_PART:
            return None
        raise
    finally:
        client.command(f"SYSTEM START MERGES {part.table}")


def quarantine_table(client: Client, table: str, folder: Path) -> int:
    """Set aside every damaged part of one table; how many."""
    found = [(p, check(client, p)) for p, _ in parts(client) if p.table == table]
    return sum(quarantine(client, p, reason, folder) is not None for p, reason in found if reason is not None)


def _save(client: Client, part: Part) -> int:
    """Insert what can be read of the part again; how many rows. Granules are tried one by one and written in long runs:
    a failed read is slow, because the engine looks for the flipped bit, and every insert makes a part."""
    runs: list[tuple[int, int]] = []
    for first in range(0, part.rows, part.step):
        last = min(first + part.step, part.rows)
        try:
            client.command(
                f"SELECT * FROM {_slice(part, first, last)} FORMAT Null", settings={**_COPYING, **_ROWS_ONLY}
            )
        except Error:
            continue  # this granule is what is lost, and counted by the caller
        if runs and runs[-1][1] == first:
            runs[-1] = (runs[-1][0], last)
        else:
            runs.append((first, last))
    for first, last in runs:
        client.command(
            f"INSERT INTO {part.table} SELECT * FROM {_slice(part, first, last)}",
            settings={**_COPYING, **_ROWS_ONLY},
        )
    return sum(last - first for first, last in runs)


def _slice(part: Part, first: int, last: int) -> str:
    return f"{part.table} WHERE _part = '{part.name}' AND _part_offset >= {first} AND _part_offset < {last}"


def parts(client: Client) -> list[tuple[Part, float]]:
    """Every part that is read, and when it was written in seconds since 1970."""
    rows = client.query(
        "SELECT table, name, rows, marks, toUnixTimestamp(modification_time) FROM system.parts "
        "WHERE active AND database = currentDatabase() ORDER BY table, name"
    ).result_rows
    # The last mark ends the part.
    return [(Part(t, name, n, -(-n // max(marks - 1, 1))), float(at)) for t, name, n, marks, at in rows]


class Rounds:
    """Which parts are due to be checked: all of them once a day, those that were there at start at once."""

    def __init__(self) -> None:
        self._began = time.time()
        self._checked: dict[tuple[str, str], float] = {}

    def suspect(self) -> None:
        """Something could not be read: check everything now, unless that was done lately; a query can be at fault too."""
        now = time.time()
        if now - self._began >= LATELY_SECONDS:
            self._checked.clear()
            self._began = now

    def due(self, client: Client) -> list[Part]:
        """Parts to check now."""
        now = time.time()
        # What was written since the last listing is younger than all that was on it.
        if self._checked and now - min(self._checked.values()) < AGAIN_SECONDS:
            return []
        known, self._checked = self._checked, {}
        made: list[Part] = []
        for part, written in parts(client):
            # What this process wrote was checked by writing it.
            at = known.get((part.table, part.name), written if written >= self._began else 0.0)
            self._checked[part.table, part.name] = at
            if now - at >= AGAIN_SECONDS:
                made.append(part)
        return made

    def done(self, part: Part) -> None:
        """This one was checked now."""
        self._checked[part.table, part.name] = time.time()
