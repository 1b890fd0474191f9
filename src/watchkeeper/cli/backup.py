"""`watchkeeper backup` and `restore`: a data directory as files with checksums, and back.

Of a stopped server the copy is taken under the data directory's lock; a running one makes it itself, without stopping (`store.snapshot`).
Either is of one moment. The installation's own secrets go with it:
without them hashed user ids would match nothing; keep the backup as private as the data.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from watchkeeper.cli.client import Client, check_data_dir, running_on
from watchkeeper.cli.errors import OK, CliError
from watchkeeper.cli.output import Progress
from watchkeeper.store.clickhouse.lock import DataDirBusy, DataDirLock
from watchkeeper.store.snapshot import ELSEWHERE, FORMAT, MANIFEST, copy, copy_all, make_links, rebuilt_links

# In the new data directory, which may be a volume: nothing can be moved there from outside.
STAGE = "restoring.partial"
SERVERS = re.compile("clickhouse|postgres")


def _locked(data_dir: Path) -> DataDirLock:
    try:
        return DataDirLock(data_dir)
    except DataDirBusy as error:
        raise CliError(f"{error}; it does not answer, and a backup without it needs it stopped") from None
    except OSError as error:
        raise CliError(f"{data_dir} cannot be used: {error.strerror}") from None


@contextlib.contextmanager
def _whole(folder: Path) -> Generator[Path]:
    """A folder that gets its name only when it is whole. Raises OSError."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True, mode=0o700)
        yield partial
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _words(error: Exception) -> str:
    """What is wrong and with which file, where the system says which."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


def backup(args: argparse.Namespace) -> int:
    """Copy a data directory into a new folder, with a manifest of checksums written last."""
    if any(SERVERS.match(url or "") for url in (args.columns, args.records)):
        raise CliError(ELSEWHERE)
    if args.to.exists():
        raise CliError(f"{args.to} exists already; name a folder that does not")
    running = running_on(args.data_dir)
    if running is not None:
        return _of_running(args, *running)
    check_data_dir(args.data_dir)
    lock = _locked(args.data_dir)
    bar: Progress | None = None

    def at(number: int, of: int, name: str) -> None:
        nonlocal bar
        bar = bar or Progress(of, "copying")
        bar.at(number, name)

    try:
        with _whole(args.to) as partial:
            number = copy_all(args.data_dir, partial, at)
    except OSError as error:
        raise CliError(f"nothing was backed up: {_words(error)}") from None
    finally:
        if bar is not None:
            bar.end()
        lock.release()
    print(f"backed up {number} files to {args.to}")
    return OK


def _of_running(args: argparse.Namespace, url: str, key: str) -> int:
    """Let the server that holds the directory make it, and take it where it is wanted."""
    client = Client(url, {"authorization": f"Bearer {key}"})
    bar = Progress(1, "backing up")
    made: dict[str, Any] = {}
    try:
        # A place that cannot be written is found out before the server has copied anything.
        with _whole(args.to) as partial:
            bar.so_far("while the server goes on …")
            made = client.call("POST", "/api/backups", {})
            partial.rmdir()
            shutil.move(args.data_dir / made["folder"], partial)
    except OSError as error:
        if not made:
            raise CliError(f"nothing was backed up: {_words(error)}") from None
        raise CliError(
            f"the backup is complete at {args.data_dir / made['folder']} but cannot be moved: {error.strerror}"
        ) from None
    finally:
        bar.end()
    print(f"backed up {made['files']} files of the running server to {args.to}")
    return OK


def _manifest(folder: Path) -> tuple[dict[str, str], dict[str, str] | None]:
    """The files with their checksums, and the links; None for a backup from before links were kept."""
    try:
        found: Any = json.loads((folder / MANIFEST).read_text())
        if found["format"] != FORMAT:
            raise CliError(f"{folder} was made by another version; restore it with that one")
        sums = {str(k): str(v) for k, v in found["files"].items()}
        links = found.get("links")
        return sums, None if links is None else {str(k): str(v) for k, v in links.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CliError(f"{folder} is not a complete backup: it has no readable {MANIFEST}") from None


def restore(args: argparse.Namespace) -> int:
    """Make a data directory from a backup, checking every file; nothing is left behind when one is damaged."""
    sums, wanted_links = _manifest(args.source)
    stage = args.data_dir / STAGE
    if args.data_dir.exists() and [*args.data_dir.glob("*")] not in ([], [stage]):
        raise CliError(f"{args.data_dir} is not empty; restore into a new --data-dir")
    bar = Progress(len(sums), "restoring")
    try:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True, mode=0o700)
        for number, (name, wanted) in enumerate(sums.items()):
            bar.at(number, name)
            source = (args.source / name).resolve()
            if not source.is_relative_to(args.source.resolve()):
                raise CliError(f"{name!r} in the manifest points outside the backup")
            if copy(source, stage / name) != wanted:
                raise CliError(f"{args.source / name} is damaged: its checksum differs from the manifest's")
        links = rebuilt_links(stage) if wanted_links is None else wanted_links
        make_links(stage, links)
        for entry in stage.iterdir():
            os.replace(entry, args.data_dir / entry.name)
    except (OSError, CliError, ValueError) as error:
        raise CliError(f"nothing was restored: {_words(error)}") from None
    finally:
        bar.end()
        shutil.rmtree(stage, ignore_errors=True)
        with contextlib.suppress(OSError):
            args.data_dir.rmdir()  # which is empty where nothing was restored
    args.data_dir.chmod(0o700)
    print(f"restored {len(sums)} files into {args.data_dir}")
    if wanted_links is None and links:
        print(
            "this backup is of an early version, which left out links of the column store; they were made again"
        )
    return OK
