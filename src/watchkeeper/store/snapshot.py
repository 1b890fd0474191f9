"""Copies of a data directory: files with checksums, and a moment of a running one held still by hard links."""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from watchkeeper.store.damage import FOLDER as DAMAGED

MANIFEST = "manifest.json"
FORMAT = 1
# Where a running server puts its backups, and what it found damaged; never part of one.
BACKUPS = "backups"
ELSEWHERE = (
    "the data is on servers of their own; back those up with their own tools: first PostgreSQL (pg_dump), then ClickHouse "
    "(BACKUP DATABASE), so that what the records name is there. The installation's secrets are in PostgreSQL too"
)
OUTSIDE = (BACKUPS, DAMAGED)
LEFT_OUT = frozenset({"watchkeeper.lock", "local.json", MANIFEST})
RECORDS = ("records.db", "records.db-wal", "records.db-shm")
CHUNK = 1 << 20
_TABLE_ID = re.compile(r"ATTACH TABLE _ UUID '([0-9a-f-]{36})'")


def files(folder: Path) -> Iterator[Path]:
    """What a backup holds, relative to the folder."""
    for root, folders, names in os.walk(folder):
        if Path(root) == folder:
            folders[:] = [f for f in folders if f not in OUTSIDE]
        for name in sorted(names):
            path = Path(root) / name
            if path.is_file() and not path.is_symlink() and str(path.relative_to(folder)) not in LEFT_OUT:
                yield path.relative_to(folder)


def links(folder: Path) -> dict[str, str]:
    """The symbolic links inside, by name, and where each points: the column store finds its databases and tables by them."""
    found: dict[str, str] = {}
    for root, folders, names in os.walk(folder):
        if Path(root) == folder:
            folders[:] = [f for f in folders if f not in OUTSIDE]
        for path in (Path(root) / name for name in sorted([*folders, *names])):
            if path.is_symlink():
                found[str(path.relative_to(folder))] = os.readlink(path)
    return found


def make_links(folder: Path, wanted: dict[str, str]) -> None:
    """Make symbolic links below a folder. Raises ValueError for one that is outside or points outside; OSError."""
    inside = folder.resolve()
    for name, target in wanted.items():
        path = inside / name
        if os.path.isabs(target) or not all(
            Path(os.path.normpath(p)).is_relative_to(inside) for p in (path, path.parent / target)
        ):
            raise ValueError(f"{name!r} in the manifest points outside the backup")
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.symlink_to(target)


def rebuilt_links(folder: Path) -> dict[str, str]:
    """The links of a backup whose manifest names none (the first ones did not): where the tables' definitions lie is where
    the database is, and each definition names its table's folder."""
    found: dict[str, str] = {}
    for definition in folder.glob("columns/store/*/*/*.sql"):
        home = f"store/{definition.parent.parent.name}/{definition.parent.name}"
        found["columns/metadata/default"] = f"../{home}"
        if named := _TABLE_ID.match(definition.read_text("utf-8", "replace")):
            table = named.group(1)
            found[f"columns/data/default/{definition.stem}"] = f"../../store/{table[:3]}/{table}"
    return found


def copy(source: Path, target: Path) -> str:
    """Copy one file durably; the SHA-256 of what was read."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while piece := reader.read(CHUNK):
            digest.update(piece)
            writer.write(piece)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def copy_all(source: Path, target: Path, at: Callable[[int, int, str], None] = lambda *_: None) -> int:
    """Copy every file and write the manifest last; how many. `at(number, of, name)` hears of each. Raises OSError."""
    names, sums = list(files(source)), dict[str, str]()
    for number, name in enumerate(names):
        at(number, len(names), name.name)
        sums[str(name)] = copy(source / name, target / name)
    told = {"format": FORMAT, "files": sums, "links": links(source)}
    (target / MANIFEST).write_text(json.dumps(told, indent=1))
    return len(sums)


def link_all(source: Path, target: Path) -> None:
    """The same files under other names: the column store writes a file once and replaces it whole. The records are left out;
    they are one file that is written in place. Raises OSError."""
    for name in files(source):
        if str(name) in RECORDS or any(part.startswith(("tmp_", "delete_tmp_")) for part in name.parts):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # What is being removed now was replaced before; what replaced it is here.
        with contextlib.suppress(FileNotFoundError):
            os.link(source / name, target / name)
    make_links(target, links(source))


def discard(folder: Path) -> None:
    """Remove what was made on the way."""
    shutil.rmtree(folder, ignore_errors=True)
