"""`watchkeeper backup` and `restore`: a stopped server's data directory as files with checksums, and back.

The copy is taken under the data directory's lock, so it is of one moment. The installation's own secrets go with it:
without them hashed user ids would match nothing; keep the backup as private as the data.
"""

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import Progress
from watchkeeper.store.clickhouse.lock import DataDirBusy, DataDirLock

MANIFEST = "manifest.json"
FORMAT = 1
LEFT_OUT = frozenset({"watchkeeper.lock", "local.json", MANIFEST})
CHUNK = 1 << 20


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(root) / name
            if path.is_file() and not path.is_symlink() and str(path.relative_to(folder)) not in LEFT_OUT:
                yield path.relative_to(folder)


def _copy(source: Path, target: Path) -> str:
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


def _locked(data_dir: Path) -> DataDirLock:
    try:
        return DataDirLock(data_dir)
    except DataDirBusy as error:
        raise CliError(f"{error}; a backup is taken of a stopped server") from None
    except OSError as error:
        raise CliError(f"{data_dir} cannot be used: {error.strerror}") from None


def backup(args: argparse.Namespace) -> int:
    """Copy a data directory into a new folder, with a manifest of checksums written last."""
    if not (args.data_dir / "records.db").exists():
        raise CliError(f"{args.data_dir} is not a data directory of Watchkeeper")
    if args.to.exists():
        raise CliError(f"{args.to} exists already; name a folder that does not")
    lock = _locked(args.data_dir)
    try:
        args.to.mkdir(parents=True, mode=0o700)
        names = list(_files(args.data_dir))
        bar, sums = Progress(len(names), "copying"), dict[str, str]()
        for number, name in enumerate(names):
            bar.at(number, name.name)
            sums[str(name)] = _copy(args.data_dir / name, args.to / name)
        bar.end()
        text = json.dumps({"format": FORMAT, "files": sums}, indent=1)
        (args.to / MANIFEST).write_text(text)
    except OSError as error:
        raise CliError(
            f"the backup is not complete: {error.strerror}: {error.filename}; remove {args.to}"
        ) from None
    finally:
        lock.release()
    print(f"backed up {len(sums)} files to {args.to}")
    return OK


def _manifest(folder: Path) -> dict[str, str]:
    try:
        found: Any = json.loads((folder / MANIFEST).read_text())
        if found["format"] != FORMAT:
            raise CliError(f"{folder} was made by another version; restore it with that one")
        return {str(k): str(v) for k, v in found["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CliError(f"{folder} is not a complete backup: it has no readable {MANIFEST}") from None


def restore(args: argparse.Namespace) -> int:
    """Make a data directory from a backup, checking every file; nothing is left behind when one is damaged."""
    sums = _manifest(args.source)
    if args.data_dir.exists() and any(args.data_dir.iterdir()):
        raise CliError(f"{args.data_dir} is not empty; restore into a new --data-dir")
    bar = Progress(len(sums), "restoring")
    try:
        for number, (name, wanted) in enumerate(sums.items()):
            bar.at(number, name)
            source = (args.source / name).resolve()
            if not source.is_relative_to(args.source.resolve()):
                raise CliError(f"{name!r} in the manifest points outside the backup")
            if _copy(source, args.data_dir / name) != wanted:
                raise CliError(f"{args.source / name} is damaged: its checksum differs from the manifest's")
    except (OSError, CliError) as error:
        shutil.rmtree(args.data_dir, ignore_errors=True)
        said = str(error) if isinstance(error, CliError) else f"{error.strerror}: {error.filename}"
        raise CliError(f"nothing was restored: {said}") from None
    finally:
        bar.end()
    args.data_dir.chmod(0o700)
    print(f"restored {len(sums)} files into {args.data_dir}")
    return OK
