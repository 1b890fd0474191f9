"""What was found damaged on the disk: set aside with its files kept, and noted beside them, so that a person can look."""

import contextlib
import logging
import os
import shutil
from pathlib import Path

import msgspec

log = logging.getLogger(__name__)
FOLDER = "damaged"
_NOTE = ".json"


class Damage(msgspec.Struct, frozen=True):
    """One thing that was damaged. `what` names it, `reason` says why it is taken for damaged, `kept` is its file or folder
    below the data directory; `saved` and `lost` are rows that could and could not be read from it, None where unknown."""

    what: str
    reason: str
    kept: str
    saved: int | None = None
    lost: int | None = None


def set_aside(
    folder: Path, source: Path, what: str, reason: str, saved: int | None = None, lost: int | None = None
) -> Damage:
    """Move `source` into `folder` (`damaged` of a data directory), note it there, say so in the log. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    number = 1 + max((int(p.name[:4]) for p in folder.glob("[0-9][0-9][0-9][0-9]-*")), default=0)
    target = folder / f"{number:04}-{source.name}"
    made = Damage(what, reason[:500], f"{folder.name}/{target.name}", saved, lost)
    # The note first: what is moved without one would be kept where nobody looks.
    target.with_name(target.name + _NOTE).write_bytes(msgspec.json.encode(made))
    os.rename(source, target)
    rows = "" if saved is None else f"; {saved:,} rows were saved"
    rows += "" if lost is None else f", {lost:,} could not be read"
    log.error("damaged: %s is kept in %s (%s)%s", what, made.kept, made.reason, rows)
    return made


def found(data_dir: Path) -> list[Damage]:
    """Everything that stands set aside, oldest first."""
    made: list[Damage] = []
    for note in sorted((data_dir / FOLDER).glob(f"*{_NOTE}")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            made.append(msgspec.json.decode(note.read_bytes(), type=Damage))
    return made


def forget(folder: Path, before_s: float) -> int:
    """Delete what was set aside before then (seconds since 1970): it holds what people wrote, and nothing is kept for ever."""
    gone = 0
    for note in folder.glob(f"*{_NOTE}"):
        if note.stat().st_mtime < before_s:
            kept = note.with_name(note.name.removesuffix(_NOTE))
            shutil.rmtree(kept, ignore_errors=True)
            for path in (kept, note):
                path.unlink(missing_ok=True)
            gone += 1
    return gone
