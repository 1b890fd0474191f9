"""The worst traces of a week in one list: fair to scorers and cohorts, without the same thing twice."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from watchkeeper.reviewing.similar import Grams, jaccard, shingles

ALIKE = 0.8
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Bad:
    """One trace that one scorer found wanting. `badness` is comparable within a scorer only, worse is higher."""

    trace_id: str
    scorer: str
    cohort: str
    badness: float
    time_ns: int
    input: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Picked:
    """A place in the list, 1 is first, and of how many traces of its scorer and cohort it is the `nth` worst."""

    rank: int
    bad: Bad
    nth: int
    of: int


def pick(found: Sequence[Bad], size: int) -> list[Picked]:
    """Up to `size` traces: in turn the worst left of every scorer, and within a scorer in turn of every cohort, so that neither a
    talkative scorer nor the largest cohort fills the list. A trace is taken once, and not beside one that asks nearly the same
    for the same scorer."""
    lines: dict[str, dict[str, list[Bad]]] = defaultdict(lambda: defaultdict(list))
    for bad in found:
        lines[bad.scorer][bad.cohort].append(bad)
    for cohorts in lines.values():
        for group in cohorts.values():
            group.sort(key=lambda b: (-b.badness, -b.time_ns, b.trace_id))
    sizes = {(s, c): len(group) for s, cohorts in lines.items() for c, group in cohorts.items()}
    turn: dict[str, list[str]] = {
        s: sorted(cohorts, key=lambda c: (-cohorts[c][0].badness, c)) for s, cohorts in lines.items()
    }
    taken: list[Picked] = []
    seen: set[str] = set()
    asked: dict[str, list[Grams]] = defaultdict(list)
    places: dict[tuple[str, str], int] = defaultdict(int)
    scorers = sorted(lines, key=lambda s: (-max(len(g) for g in lines[s].values()), s))
    while scorers and len(taken) < size:
        for scorer in list(scorers):
            bad = _next(lines[scorer], turn[scorer], seen, asked[scorer], places, scorer)
            if bad is None:
                scorers.remove(scorer)
                continue
            seen.add(bad.trace_id)
            asked[scorer].append(shingles(bad.input))
            key = (scorer, bad.cohort)
            taken.append(Picked(len(taken) + 1, bad, places[key], sizes[key]))
            if len(taken) == size:
                break
    return taken


def _next(
    cohorts: dict[str, list[Bad]],
    turn: list[str],
    seen: set[str],
    asked: Sequence[Grams],
    places: dict[tuple[str, str], int],
    scorer: str,
) -> Bad | None:
    """The next trace of a scorer: the cohort whose turn it is gives its worst one left, and goes to the end of the line."""
    while turn:
        cohort = turn.pop(0)
        group = cohorts[cohort]
        while group:
            bad = group.pop(0)
            places[scorer, cohort] += 1
            grams = shingles(bad.input)
            if bad.trace_id in seen or any(jaccard(grams, other) >= ALIKE for other in asked if bad.input):
                continue
            turn.append(cohort)
            return bad
    return None


def week_of(now_ns: int) -> str:
    """The ISO week of a moment, such as 2026-W47 (UTC)."""
    year, week, _ = datetime.fromtimestamp(now_ns // 10**9, UTC).isocalendar()
    return f"{year}-W{week:02d}"


def is_due(now_ns: int, day: str) -> bool:
    """Whether the week's list should have been made by now: on that weekday from 06:00 UTC, or later in its week."""
    if day not in DAYS:
        return False
    moment = datetime.fromtimestamp(now_ns // 10**9, UTC)
    monday = (moment - timedelta(days=moment.weekday())).replace(hour=6, minute=0, second=0, microsecond=0)
    return moment >= monday + timedelta(days=DAYS.index(day))
