"""What every scorer of a project saw, said and cost in a window, and whether it may decide: the figures behind the scorers'
pages and API."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watchkeeper.model.calibration import MODEL_BASED, Standing
from watchkeeper.model.score import ABSTAINED
from watchkeeper.model.series import BINARY, Estimate, Insufficient, Point, SeriesKey, axis_of
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.calibrate import Calibrator, model_of
from watchkeeper.pipeline.coverage import missing
from watchkeeper.pipeline.roll import metric_of
from watchkeeper.stats.estimates import point_mean, point_rate
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import calibration as store
from watchkeeper.store.records import jobs
from watchkeeper.store.records.coverage import COUNTS
from watchkeeper.store.records.engine import Records

_SUMS = ("sw", "sw2", "swx", "swx2", "sw2x", "sw2x2")


@dataclass(frozen=True)
class Version:
    """One version of a scorer in the window. `estimate` is its weighted mean, or rate where it says 0 or 1."""

    version: str
    estimate: Estimate | Insufficient
    first_ns: int | None = None
    last_ns: int | None = None
    coverage: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True)
class Line:
    """One scorer. `coverage` sums over its versions, `missing` is what was selected and has neither a score nor a failure,
    `estimate` is the version in force's. `standing` is None for rules: they need none. `cost` is USD, None where nothing is
    paid or no price is known; `waiting` counts drawn traces nobody has labelled yet; `abstained` scored ones of which a judge could
    not tell; `held_up` says why judgements that were tried are waiting, empty where none is. `charged` is what the day's budget has been
    charged for its judgements since midnight UTC, those whose reply could not be used included; None where nothing was."""

    name: str
    kind: str
    version: str
    model: str
    level: str
    standing: Standing | None
    estimate: Estimate | Insufficient
    binary: bool
    coverage: Mapping[str, int]
    cost: float | None = None
    versions: tuple[Version, ...] = ()
    waiting: int = 0
    abstained: int = 0
    held_up: str = ""
    charged: float | None = None

    @property
    def missing(self) -> int:
        """Selected, and neither scored nor failed."""
        return missing(self.coverage)

    @property
    def provisional(self) -> bool:
        """Whether it may neither gate nor page."""
        return self.standing is not None and self.standing.provisional


async def lines(
    columns: Columns,
    records: Records,
    calibrator: Calibrator,
    project: str,
    since_ns: int,
    until_ns: int,
    now_ns: int,
) -> list[Line]:
    """Every scorer in force: the provisional ones first, then those with a gap, then by name."""
    today = now_ns // DAY
    window = {"since": since_ns, "until": until_ns}
    sums, seen, costs, standings, waiting, (held, accounts) = await asyncio.gather(
        columns.named("scorer_sums", project, **window),
        columns.named("scorer_coverage", project, **window),
        columns.named("scorer_costs", project, **window, abstained=ABSTAINED),
        calibrator.standings(project),
        records.read(lambda c: store.waiting(c, project)),
        records.read(lambda c: (jobs.held_up(c, project), jobs.accounts(c, project, (today,)))),
    )
    by_metric, by_scorer = _grouped(sums.dicts(), "metric"), _grouped(seen.dicts(), "scorer")
    judged = costs.dicts()
    # What was answered from kept replies cost nothing, which says nothing of what the others cost.
    paid = {
        str(r["scorer"]): float(r["usd"]) for r in judged if r["usd"] or (r["n"] and r["priced"] == r["n"])
    }
    charged = jobs.judged_in(accounts.values())
    unsure = {str(r["scorer"]): int(r["abstained"]) for r in judged}
    made: list[Line] = []
    for scorer in calibrator.scorers_of(project):
        rows, covered = by_metric.get(metric_of(scorer.name), []), by_scorer.get(scorer.name, [])
        binary = bool(rows) and all(map(_zero_one, rows))
        versions = _versions(scorer.version, rows, covered)
        made.append(
            Line(
                scorer.name,
                scorer.kind,
                scorer.version,
                model_of(scorer),
                scorer.level,
                standings.get(scorer.name) if scorer.kind in MODEL_BASED else None,
                versions[0].estimate,
                binary,
                {name: sum(int(r[name]) for r in covered) for name in COUNTS},
                paid.get(scorer.name),
                tuple(v for v in versions if v.coverage or isinstance(v.estimate, Estimate)),
                waiting.get(scorer.name, 0),
                unsure.get(scorer.name, 0),
                held.get(scorer.name, ""),
                charged[scorer.name][1] if scorer.name in charged else None,
            )
        )
    return sorted(made, key=lambda x: (x.standing is None, not x.provisional, not x.missing, x.name))


def _grouped(rows: Sequence[Mapping[str, Any]], by: str) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[str(row[by])].append(row)
    return found


def _zero_one(row: Mapping[str, Any]) -> bool:
    """Whether every value of a series is 0 or 1. An axis is guessed from the first values of a scorer that nobody described; of
    zeros and ones alone x² = x, so that Σwx² = Σwx."""
    squares, values = float(row["swx2"] or 0), float(row["swx"] or 0)
    return axis_of(str(row["axis"])) == BINARY and abs(squares - values) <= 1e-9 * max(1.0, abs(values))


def estimate_of(row: Mapping[str, Any]) -> Estimate | Insufficient:
    """The weighted mean of a series' sums, a rate with Wilson's interval where all values are 0 or 1."""
    sw, sw2, swx, swx2, sw2x, sw2x2 = (float(row[name] or 0) for name in _SUMS)
    axis, key = axis_of(str(row["axis"])), SeriesKey("", str(row["metric"]))
    point = Point(key, 0, 1, axis, int(row["n"]), sw, sw2, swx, swx2, sw2x, sw2x2)
    return point_rate(point) if _zero_one(row) else point_mean(point)


def _versions(
    in_force: str, rows: Sequence[Mapping[str, Any]], covered: Sequence[Mapping[str, Any]]
) -> list[Version]:
    """The version in force first, then the others, latest first."""
    names = [in_force, *(str(r["made"]) for r in rows), *(str(r["version"]) for r in covered)]
    made: list[Version] = []
    for name in dict.fromkeys(names):
        said = next((r for r in rows if r["made"] == name), None)
        saw = next((r for r in covered if r["version"] == name), None)
        times = [r for r in (said, saw) if r is not None]
        made.append(
            Version(
                name,
                estimate_of(said)
                if said is not None
                else Insufficient("no scores of this version in the window"),
                min((int(r["first_seen"]) for r in times), default=None),
                max((int(r["last_seen"]) for r in times), default=None),
                {n: int(saw[n]) for n in COUNTS} if saw is not None else {},
            )
        )
    return [made[0], *sorted(made[1:], key=lambda v: -(v.last_ns or 0))]
