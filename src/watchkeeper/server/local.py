"""How the command line on this machine reaches the running server: a file only its owner can read."""

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

NAME, LOCK = "local.json", "watchkeeper.lock"


@dataclass(frozen=True)
class Local:
    """The running server's address and a key made at its start, which dies with it."""

    pid: int
    url: str
    key: str

    def __repr__(self) -> str:
        return f"Local(pid={self.pid}, url={self.url!r})"


def publish(data_dir: Path, url: str) -> Local:
    """Write the file (mode 0600). Where the disk is full the command line cannot reach the server, which runs on."""
    local = Local(os.getpid(), url, f"wk-local-{secrets.token_urlsafe(32)}")
    target, made = data_dir / NAME, data_dir / f"{NAME}.new"
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(local), file)
        made.replace(target)
    except OSError:
        made.unlink(missing_ok=True)
    return local


def withdraw(data_dir: Path) -> None:
    """Remove the file."""
    (data_dir / NAME).unlink(missing_ok=True)


def running(data_dir: Path) -> Local | None:
    """The server that holds this data directory now, None when none does (a killed one leaves the file, not the lock)."""
    try:
        with open(data_dir / LOCK, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return Local(**json.loads((data_dir / NAME).read_text()))
            return None
    except (OSError, ValueError, TypeError):
        return None
