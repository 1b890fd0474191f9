"""Requests kept on disk while the server cannot be reached, oldest first, never more than a set size."""

import contextlib
import os
import time
import uuid
from pathlib import Path
from typing import Final

from watchkeeper.sdk import parcel as parcels
from watchkeeper.sdk.health import note
from watchkeeper.sdk.parcel import Parcel

_SUFFIX: Final = ".wkspool"
#: A process takes at most this part of what is left before it looks again, so that as many may fill a folder at once.
_SHARES: Final = 16
_FOR_TELLING: Final = 4096


class Spool:
    """A folder of parcels. Several processes may share it: a file is claimed by renaming it.

    A claim left behind by a process that died is taken over after ``CLAIM_SECONDS``, and what it only half wrote is deleted.
    Files that cannot be read are set aside for whoever wants to look; they count, and give way when room is needed.
    """

    CLAIM_SECONDS: Final = 300.0

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._size = self._held()
        #: Others may write here too: beyond this size we look again what there is.
        self._looked_until = 0

    @property
    def size(self) -> int:
        """Bytes held, as far as this process knows."""
        return self._size

    def empty(self) -> bool:
        """Whether nothing waits here."""
        return next(self._folder.glob(f"*{_SUFFIX}"), None) is None

    def put(self, parcel: Parcel) -> bool:
        """Keep the parcel; False when the folder is full or cannot be written, and the caller counts it lost."""
        data = parcels.to_bytes(parcel)
        # What only tells how many were lost has room of its own, or a full folder would keep that from the server.
        most = self._max_bytes - (0 if parcel.tells_only else min(_FOR_TELLING, self._max_bytes // 8))
        tight = False
        if self._size + len(data) > self._looked_until:
            self._size = self._held()
            share = max(0, most - self._size) // _SHARES
            self._looked_until, tight = self._size + share, len(data) > share
        if self._size + len(data) > most and self._make_room(self._size + len(data) - most):
            tight = True
        if self._size + len(data) > most or not self._written(data, tight):
            return False
        self._size += len(data)
        return True

    def _written(self, data: bytes, tight: bool) -> bool:
        """Write a file; False when that fails, or when there was room for ours only (``tight``) and others took it meanwhile."""
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}"
        temporary = self._folder / f"{name}.part"
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            if tight and self._held() > self._max_bytes:
                temporary.unlink()
                return False
            temporary.rename(self._folder / (name + _SUFFIX))
        except OSError as error:
            note("the spool cannot be written", error)
            with contextlib.suppress(OSError):
                temporary.unlink()
            return False
        return True

    def take(self) -> tuple[Path, Parcel] | None:
        """Claim the oldest parcel; give it back with :meth:`release` or end it with :meth:`remove`."""
        self._adopt()
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            claimed = path.with_suffix(f".{os.getpid()}.sending")
            try:
                path.rename(claimed)
                os.utime(claimed)
                return claimed, parcels.from_bytes(claimed.read_bytes())
            except FileNotFoundError:
                continue  # another process was faster
            except (OSError, ValueError, KeyError, TypeError) as error:
                note("a spool file cannot be read and is set aside", f"{claimed.name}: {error}")
                with contextlib.suppress(OSError):
                    claimed.rename(path.with_suffix(".bad"))
        return None

    def release(self, claimed: Path) -> None:
        """Put a claimed parcel back at its place in the order."""
        with contextlib.suppress(OSError):
            claimed.rename(claimed.with_name(claimed.name.split(".", 1)[0] + _SUFFIX))

    def remove(self, claimed: Path) -> None:
        """The parcel is delivered, or refused for good."""
        with contextlib.suppress(OSError):
            self._size = max(0, self._size - claimed.stat().st_size)
            claimed.unlink()

    def _held(self) -> int:
        """Bytes in the folder now, of every process."""
        held = 0
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    held += entry.stat().st_size
        return held

    def _make_room(self, wanted: int) -> bool:
        """Delete set-aside files, oldest first, until so many bytes are free; False where there are not as many."""
        aside = self._files("*.bad")
        if sum(size for _, size in aside) < wanted:
            return False
        for path, size in aside:
            if wanted <= 0:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                note("the spool is full: a file that could not be read is deleted", path.name)
                wanted -= size
                self._size -= size
        return True

    def _files(self, pattern: str) -> list[tuple[Path, int]]:
        found: list[tuple[Path, int]] = []
        with contextlib.suppress(OSError):
            for path in sorted(self._folder.glob(pattern)):
                with contextlib.suppress(OSError):
                    found.append((path, path.stat().st_size))
        return found

    def _adopt(self) -> None:
        now = time.time()
        for path, _ in self._files("*.sending"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > self.CLAIM_SECONDS:
                    self.release(path)
        for path, _ in self._files("*.part"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > self.CLAIM_SECONDS:
                    path.unlink()
