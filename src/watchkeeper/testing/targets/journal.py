"""Answers kept on disk under the content hash of target, case and repeat: a killed run resumes, a cache never pays twice."""

import contextlib
import hashlib
import inspect
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchkeeper.testing.targets.answers import Answer, Case, TargetError


def digest(*parts: Any) -> str:
    """SHA-256 of the parts as canonical JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _file(path: str | None) -> str:
    try:
        return hashlib.sha256(Path(path or "").read_bytes()).hexdigest()
    except OSError:
        return ""


def _own_files() -> list[str]:
    """The files of every imported module that lies under the current folder: the application, not its packages."""
    here = Path.cwd()
    files: list[str] = []
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if name and (path := Path(name).resolve()).is_relative_to(here) and "site-packages" not in path.parts:
            files.append(str(path))
    return sorted(set(files))


def content_of(target: str, function: Callable[..., Any] | None, version: str | None) -> str:
    """What identifies a target: its address, the application's imported files for a function, the files a command names,
    and the version the user gave. What lies behind an address is not seen: give a version, or start afresh."""
    files: list[str] = []
    if function is not None:
        files = [_file(name) for name in _own_files()]
        with contextlib.suppress(TypeError):  # a built-in or an instance has no file of its own
            files.append(_file(inspect.getsourcefile(inspect.unwrap(function))))
    elif target.startswith("command:"):
        files = [_file(word) for word in target.split()[1:] if Path(word).is_file()]
    elif target.startswith("prompt:"):
        files = [_file(target.removeprefix("prompt:"))]
    return digest(target, version, files)


def default_folder() -> Path:
    """Where interrupted runs are kept: the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "watchkeeper"


class Forgetful:
    """Remembers nothing: where a run is one case of a test session."""

    keep = False

    def get(self, case: Case, repeat: int) -> Answer | None:
        """Nothing is known."""
        return None

    def put(self, case: Case, repeat: int, answer: Answer) -> None:
        """Nothing is kept."""

    def finish(self) -> None:
        """Nothing was kept."""

    def close(self) -> None:
        """Nothing is open."""


class Journal:
    """Answers by key in one SQLite file. `keep` says whether `finish` leaves them for later runs.

    Failures are not remembered, so that a new run asks again.
    """

    def __init__(self, path: Path, content: str, keep: bool) -> None:
        """Open or create the file. Raises `TargetError` when that is not possible."""
        self.content, self.keep, self.path = content, keep, path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=30.0, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("pragma synchronous = normal")
            self._db.execute(
                "create table if not exists answers (key text primary key, target text not null, answer text not null)"
            )
        except (OSError, sqlite3.Error) as error:
            raise TargetError(
                f"cannot keep answers in {path}: {error}; name another file with --cache"
            ) from None

    def key(self, case: Case, repeat: int) -> str:
        """The content hash of target, case and repeat."""
        return digest(self.content, case, repeat)

    def get(self, case: Case, repeat: int) -> Answer | None:
        """The answer given before, or None."""
        row = self._db.execute(
            "select answer from answers where key = ?", (self.key(case, repeat),)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, case: Case, repeat: int, answer: Answer) -> None:
        """Remember an answer at once: a run killed after this does not ask again."""
        if "error" in answer:
            return
        text = json.dumps(answer, ensure_ascii=False, default=str)
        row = (self.key(case, repeat), self.content, text)
        self._db.execute("insert or replace into answers (key, target, answer) values (?, ?, ?)", row)

    def forget(self) -> None:
        """Drop what is remembered of this target."""
        self._db.execute("delete from answers where target = ?", (self.content,))

    def finish(self) -> None:
        """The run's answers are safe elsewhere: drop them unless they are kept as a cache."""
        self.close()
        if not self.keep:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file, keeping what is in it."""
        self._db.close()
