"""Configuration from files together with what was made from signals."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from watchkeeper.config.load import Loaded
from watchkeeper.config.models import Config, Monitor, Scorecard
from watchkeeper.config.problems import ConfigError, Problem
from watchkeeper.config.semantics import findings
from watchkeeper.model.managed import Managed

PLACE = "managed"


class _Unfit(Exception):
    """An entry cannot be used beside the rest; the text says why."""


def _problem(entry: Managed, message: str) -> Problem:
    said = f"from signal {entry.signal_id} is not in use: {message}"
    return Problem(PLACE, 1, 1, entry.id, said, "retire it, or make what it needs available", "warning")


def _with(config: Config, entry: Managed) -> Config:
    cards = {(c.project, c.name) for c in config.scorecards}
    metrics = {(c.project, m.name) for c in config.scorecards for m in c.metrics}
    monitors = {(m.project, m.name) for m in config.monitors}
    text = json.dumps({"scorecards": entry.scorecards, "monitors": entry.monitors})
    own = Config.model_validate_json(text, context={"env": {}})

    def is_new(card: Scorecard) -> bool:
        known = any((card.project, m.name) in metrics for m in card.metrics)
        return (card.project, card.name) not in cards and not known

    def is_watched(monitor: Monitor) -> bool:
        return (monitor.project, monitor.name) in monitors

    return config.model_copy(
        update={
            "scorecards": (*config.scorecards, *(c for c in own.scorecards if is_new(c))),
            "monitors": (*config.monitors, *(m for m in own.monitors if not is_watched(m))),
        }
    )


def _fitted(config: Config, entry: Managed, env: Mapping[str, str] | None) -> tuple[Config, list[Problem]]:
    """The configuration with an entry, and what is doubtful about it. Raises `_Unfit`."""
    try:
        tried = _with(config, entry)
    except ValueError as error:
        raise _Unfit(str(error).splitlines()[0]) from None
    known = {(f.loc, f.message) for f in findings(config, env)}
    new = [f for f in findings(tried, env) if (f.loc, f.message) not in known]
    wrong = [f for f in new if f.level == "error"]
    if wrong:
        raise _Unfit(wrong[0].message)
    return tried, [Problem(PLACE, 1, 1, entry.id, f.message, f.allowed, f.level) for f in new]


def merged(loaded: Loaded, entries: Sequence[Managed], env: Mapping[str, str] | None = None) -> Loaded:
    """The files' configuration with every managed entry that fits. An entry whose names a file also has gives way to the
    file, which is how it is committed. One that would make the configuration wrong is left out with a warning: what was
    made by an action must never keep a server from starting."""
    config, warnings = loaded.config, list(loaded.warnings)
    for entry in entries:
        try:
            config, doubts = _fitted(config, entry, env)
        except _Unfit as error:
            doubts = [_problem(entry, str(error))]
        warnings += doubts
    return Loaded(config, tuple(warnings))


def check(loaded: Loaded, entries: Sequence[Managed], new: Managed) -> None:
    """Raises `ConfigError` when `new` could not be used together with the rest."""
    try:
        _fitted(merged(loaded, entries).config, new, None)
    except _Unfit as error:
        raise ConfigError([_problem(new, str(error))]) from None


def as_yaml(entries: Sequence[Managed]) -> str:
    """The entries as a file to commit."""
    lines = [
        f"# {e.title}: from signal {e.signal_id}, accepted by {e.author}".replace("\n", " ") for e in entries
    ]
    data: dict[str, Any] = {
        "scorecards": [c for e in entries for c in e.scorecards],
        "monitors": [m for e in entries for m in e.monitors],
    }
    kept = {k: v for k, v in data.items() if v}
    body = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=110) if kept else ""
    return "\n".join([*lines, body])
