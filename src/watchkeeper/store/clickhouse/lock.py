"""One process may hold a data directory: the lock, and the name of whoever holds it."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

NAME = "watchkeeper.lock"


class Holder(msgspec.Struct):
    """Who holds a data directory. `started` is ISO 8601 UTC; `url` is empty until the server answers."""

    pid: int
    started: str
    url: str = ""


class DataDirBusy(Exception):
    """Another process holds the data directory; `holder` says which, None when it left no readable name."""

    def __init__(self, path: Path, holder: Holder | None) -> None:
        who = "another process" if holder is None else f"process {holder.pid}, started {holder.started}"
        at = f", answering at {holder.url}" if holder is not None and holder.url else ""
        super().__init__(
            f"the data directory {path} is in use by {who}{at}; stop it first, or give this one another --data-dir"
        )
        self.holder = holder


def _holder(file: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(file, 4096, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None


def check_free(directory: Path) -> None:
    """Raises DataDirBusy when another process holds `directory` now. Takes and makes nothing: only `DataDirLock` is a promise."""
    try:
        file = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        raise DataDirBusy(directory, _holder(file)) from None
    finally:
        os.close(file)


class DataDirLock:
    """Holds `directory` (made with mode 0700 when absent) until `release()` or the end of the process.

    Raises DataDirBusy at once when another process holds it. The kernel drops the lock however the holder dies.
    """

    def __init__(self, directory: Path, url: str = "", clock: Callable[[], int] = time.time_ns) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
        self.path = directory / NAME
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(self._file)
            os.close(self._file)
            raise DataDirBusy(directory, holder) from None
        started = datetime.fromtimestamp(clock() / 1e9, UTC).isoformat(timespec="seconds")
        self.holder = Holder(os.getpid(), started, url)
        self._write()

    def _write(self) -> None:
        text = msgspec.json.encode(self.holder)
        os.pwrite(self._file, text, 0)
        os.ftruncate(self._file, len(text))

    def announce(self, url: str) -> None:
        """Write where this process answers, for the message a second one shows; a full disk only costs the message."""
        self.holder.url = url
        with contextlib.suppress(OSError):
            self._write()

    def release(self) -> None:
        """Give the directory up; doing it twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
