"""Who judges a test session's answers: the scorers in this process (a dataset file), or a server (a dataset's name)."""

import asyncio
import json
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from watchkeeper.testing import cases
from watchkeeper.testing.server import JudgeError, Server, path_of

T = TypeVar("T")
Scores = dict[str, dict[str, Any]]


class Judged(Protocol):
    """One dataset with its cases and its way to a verdict."""

    name: str
    cases: list[dict[str, Any]]
    split: str | None

    def score(self, answers: Sequence[dict[str, Any]]) -> list[Scores]:
        """Per answer, what each scorer said: `passed`, `value`, `reason`."""
        ...

    def verdict(self, answers: Sequence[dict[str, Any]], target: str) -> dict[str, Any]:
        """The experiment of all answers: `verdict` and `text`, and where it can be seen."""
        ...


def waited(work: Coroutine[Any, Any, T]) -> T:
    """A coroutine's result, wherever we are: a loop may already be running in this thread."""
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 (raised again in the caller's thread)
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


class Local:
    """A dataset file judged in this process by the scorers of a configuration (the default ones without). Judges that ask
    a model are left out: offline means offline."""

    def __init__(
        self,
        path: Path,
        config: Path | None,
        settings: dict[str, Any],
        baseline: Path | None,
        save: Path | None,
    ) -> None:
        """Raises `JudgeError`, also when the packages that score are not installed."""
        try:
            from watchkeeper.testing.scoring import Offline
        except ModuleNotFoundError as error:
            raise JudgeError(
                f"judging a dataset file needs {error.name}, which comes with pip install 'watchkeeper[server]'; "
                "or name a dataset of a server"
            ) from None
        self.name = str(path)
        try:
            self.cases = cases.read_cases(path)
        except cases.CasesError as error:
            raise JudgeError(str(error)) from None
        self._save = save
        self._offline = Offline(path.stem, self.cases, config, settings, baseline)
        self.split: str | None = None

    def score(self, answers: Sequence[dict[str, Any]]) -> list[Scores]:
        """Per answer, what each scorer said."""
        return self._offline.score(answers)

    def verdict(self, answers: Sequence[dict[str, Any]], target: str) -> dict[str, Any]:
        """The experiment of all answers, written to the file that was asked for."""
        made = self._offline.verdict(answers, target, {c["id"] for c in self.cases})
        if self._save is not None:
            self._save.write_text(json.dumps(made["experiment"], indent=1, default=str), "utf-8")
        return made


class Remote:
    """A dataset of a server, judged there with the scorers in force."""

    def __init__(
        self, server: Server, dataset: str, settings: dict[str, Any], baseline: str | None, save: str | None
    ) -> None:
        """`dataset` is NAME or NAME@VERSION. Raises `JudgeError`."""
        name, _, version = dataset.partition("@")
        if version and not version.isdigit():
            raise JudgeError(f"dataset {dataset}: the version after @ is a number, e.g. golden@3")
        query = f"?version={version}" if version else ""
        found = server.call("GET", f"/api/datasets/{path_of(name)}{query}")
        if not found["cases"]:
            raise JudgeError(f"dataset {name} has no cases yet; promote reviewed traces first")
        self.name = f"{name}@{found['version']}"
        self.cases: list[dict[str, Any]] = found["cases"]
        self._server, self._settings = server, settings
        self._body = {"dataset": name, "version": found["version"], "baseline": baseline, "name": save}
        self.split: str | None = None

    def score(self, answers: Sequence[dict[str, Any]]) -> list[Scores]:
        """Per answer, what each scorer said."""
        body = {"dataset": self._body["dataset"], "version": self._body["version"], "answers": list(answers)}
        found: list[Scores] = self._server.call("POST", "/api/experiments/score", body)
        return found

    def verdict(self, answers: Sequence[dict[str, Any]], target: str) -> dict[str, Any]:
        """The stored experiment of all answers."""
        body = {
            **self._body,
            "split": self.split,
            "target": target,
            "answers": list(answers),
            "settings": self._settings,
        }
        made = self._server.call("POST", "/api/experiments", body)
        url = f"{self._server.address}/experiments/{made['id']}"
        return {"verdict": made["verdict"], "text": made["report"]["text"], "url": url, "experiment": made}
