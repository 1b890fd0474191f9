"""Faults that need more than the shape of a value: names that must exist or differ, conditions, scorers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from watchkeeper.config.models import Config
from watchkeeper.config.problems import did_you_mean, shown
from watchkeeper.config.yamlfile import Loc


@dataclass(frozen=True)
class Finding:
    """A fault or doubt at a path of the configuration."""

    loc: Loc
    message: str
    allowed: str = ""
    level: str = "error"


def findings(config: Config) -> list[Finding]:
    """Everything wrong or doubtful about a configuration whose shape is right."""
    return [*_names(config), *_routes(config), *_secrets(config), *_monitors(config)]


def _doubles(section: str, names: Iterable[tuple[Loc, Any]]) -> Iterator[Finding]:
    seen: dict[Any, Loc] = {}
    for loc, name in names:
        if name in seen:
            word = name[-1] if isinstance(name, tuple) else name
            yield Finding(loc, f"{section} {shown(word)} exists twice", "names must differ")
        seen.setdefault(name, loc)


def _names(config: Config) -> Iterator[Finding]:
    for section in ("scorecards", "guards", "monitors", "routes", "providers", "taxonomy"):
        items = getattr(config, section)
        named = (((section, i, "name"), (getattr(x, "project", ""), x.name)) for i, x in enumerate(items))
        yield from _doubles(section.removesuffix("s"), named)
    metrics = (
        (("scorecards", i, "metrics", j, "name"), (card.project, metric.name))
        for i, card in enumerate(config.scorecards)
        for j, metric in enumerate(card.metrics)
    )
    yield from _doubles("scorer", metrics)


def _routes(config: Config) -> Iterator[Finding]:
    known = [r.name for r in config.routes]
    for i, monitor in enumerate(config.monitors):
        if not monitor.notify and monitor.severity == "page":
            yield Finding(("monitors", i), "pages nobody: it has no notify", "name a route", "warning")
        for j, wanted in enumerate(monitor.notify):
            if wanted in known:
                continue
            level = "error" if known else "warning"
            said = f"there is no route {shown(wanted)}, so nothing will be delivered"
            allowed = did_you_mean(wanted, known) or "describe it under routes"
            yield Finding(("monitors", i, "notify", j), said, allowed, level)


def _secrets(config: Config) -> Iterator[Finding]:
    for section, items in (("routes", config.routes), ("providers", config.providers)):
        for i, item in enumerate(items):
            for name in ("secret", "key", "password", "api_key"):
                value = getattr(item, name, None)
                if value is not None and value.origin == "written in the file":
                    yield Finding(
                        (section, i, name), "a secret is written in the file", "use ${NAME}", "warning"
                    )


def _monitors(config: Config) -> Iterator[Finding]:
    yield from ()
