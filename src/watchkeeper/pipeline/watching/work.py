"""What the watcher holds in memory while it works on one project, and where that is kept between calls."""

from dataclasses import dataclass, field, replace

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.alerting.routing import Message, Silence, Told
from watchkeeper.model.alert import Alert
from watchkeeper.model.series import Cohort, cohort_parse, cohort_text
from watchkeeper.model.times import DAY, HOUR
from watchkeeper.pipeline.watching.book import Book, Watched
from watchkeeper.pipeline.watching.normals import Normal
from watchkeeper.store.records import alerts, states


@dataclass(frozen=True)
class Map:
    """The map of a field's texts: which baseline [from, to) it was made from, and the moments of its features."""

    version: str
    from_ns: int
    to_ns: int
    moments: tuple[float, float, float, float]


@dataclass
class Work:
    """One call's working memory of one project: read at its start, written at its end in one transaction.

    `maps`: of each field of texts that is watched, by metric. `versions`: when each version of a metric's scorer was first seen. `late`: ticks that got data after they were judged,
    with the traces and scores now in them.
    """

    project: str
    book: Book
    watched: dict[str, Watched]
    normals: dict[tuple[str, Cohort], Normal]
    alerts: dict[str, Alert]
    told: dict[str, Told]
    silences: list[Silence]
    mark: int
    first: int = 0
    changed: set[str] = field(default_factory=set[str])
    fresh: set[str] = field(default_factory=set[str])
    frozen: set[tuple[str, Cohort]] = field(default_factory=set[tuple[str, Cohort]])
    messages: list[tuple[Message, int]] = field(default_factory=list[tuple[Message, int]])
    groups: set[str] = field(default_factory=set[str])
    reviews: list[Alert] = field(default_factory=list[Alert])
    versions: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    maps: dict[str, Map] = field(default_factory=dict[str, Map])
    late: dict[int, int] = field(default_factory=dict[int, int])


def watch_key(monitor: str, cohort: Cohort) -> str:
    """The key of a watch document; long cohorts are cut, which can only merge series nobody can read anyway."""
    return f"{monitor}|{cohort_text(cohort)}"[:512]


def series_key(series: tuple[str, Cohort]) -> str:
    """The key of a baseline document: metric and cohort."""
    return f"{series[0]}\x1f{cohort_text(series[1])}"[:512]


def _series(key: str) -> tuple[str, Cohort]:
    metric, _, text = key.partition("\x1f")
    return metric, cohort_parse(text)


def silences(c: Connection, project: str, since_ns: int) -> list[Silence]:
    """The silences that end after a time, as routing reads them."""
    return [
        Silence(r.id, tuple(r.matchers.items()), r.starts_ns, r.ends_ns, r.author, r.comment)
        for r in alerts.list_silences(c, project, since_ns)
    ]


def load(c: Connection, project: str, tick_ns: int, first: int, now: int) -> Work:
    """Read everything; `first` is the start of the first tick there is, for a watcher that has not begun."""
    mark = states.get(c, project, "watch", "mark")
    known = alerts.find(c, project, alerts.OPEN, limit=5000) + alerts.find(
        c, project, ("resolved",), limit=500
    )
    return Work(
        project,
        Book(tick_ns),
        {k: msgspec.convert(v, Watched) for k, v in states.get_all(c, project, "watched").items()},
        {_series(k): msgspec.convert(v, Normal) for k, v in states.get_all(c, project, "normal").items()},
        {a.id: a for a in known},
        {k: msgspec.convert(v, Told) for k, v in states.get_all(c, project, "told").items()},
        silences(c, project, now - 2 * DAY),
        int(mark) if mark is not None else first,
        first,
        versions={k: dict(v) for k, v in states.get_all(c, project, "versions").items()},
        late={int(k): int(n) for k, n in (states.get(c, project, "roll", "late") or {}).items()},
    )


def rewind(work: Work, to: int) -> None:
    """Undo that the clock was ahead: the ticks after `to` were watched before their data came and are watched again.

    Ticks without data add no evidence and end no incident, so nothing else of them is left; what they made of a state
    (no data) goes with the first data.
    """
    for watched in work.watched.values():
        life = watched.life
        back = min(life.updated, to)
        missing = life.missing_since if life.missing_since is not None and life.missing_since <= to else None
        watched.life = replace(life, updated=back, since=min(life.since, to), missing_since=missing)
        watched.last_data_ns = min(watched.last_data_ns, to)
        watched.dry, watched.expected = 0, 0.0
        last = to - HOUR
        watched.detectors = {
            m: msgspec.structs.replace(s, tick=min(s.tick, last)) for m, s in watched.detectors.items()
        }
        watched.rates = {
            m: msgspec.structs.replace(s, tick=min(s.tick, last)) for m, s in watched.rates.items()
        }
        watched.clouds = {
            m: msgspec.structs.replace(s, tick=min(s.tick, last)) for m, s in watched.clouds.items()
        }
        watched.checkpoints = tuple(c for c in watched.checkpoints if c.end_ns <= to)
    for normal in work.normals.values():
        normal.tried_ns = min(normal.tried_ns, to)
