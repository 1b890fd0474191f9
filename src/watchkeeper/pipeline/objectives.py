"""Where every quality objective stands: read from its points, over its period and over the windows of its burn rates."""

from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.alerting.estimates import estimate
from watchkeeper.alerting.objectives import RULES, Objective, Standing, standing
from watchkeeper.model.series import Insufficient, Point, cohort_text, merge
from watchkeeper.model.times import SECOND
from watchkeeper.pipeline.watching.normals import of_newest
from watchkeeper.store.columns import Columns


@dataclass(frozen=True)
class Rate:
    """How many times too fast the budget was spent over the last `window_ns`, with its 95 % interval; None: no data.
    `factor`: from how much on somebody is told."""

    window_ns: int
    factor: float
    severity: str
    value: float | None
    low: float | None
    high: float | None
    n: int


def rates(objective: Objective, points: Sequence[Point], now_ns: int) -> list[Rate]:
    """The burn rate over the long window of each rule."""
    allowed = 1 - objective.target
    found: list[Rate] = []
    for rule in RULES:
        inside = of_newest([p for p in points if p.end_ns > now_ns - rule.long_ns and p.n > 0])
        e = estimate(merge(inside), "mean", 0.025, 1) if inside else Insufficient("no data")
        if isinstance(e, Insufficient):
            found.append(Rate(rule.long_ns, rule.factor, rule.severity, None, None, None, e.n))
            continue
        value, low, high = ((1 - x) / allowed for x in (e.value, e.high, e.low))
        found.append(Rate(rule.long_ns, rule.factor, rule.severity, value, low, high, e.n))
    return found


async def read(
    columns: Columns, objectives: Sequence[Objective], now_ns: int, tick_ns: int
) -> list[tuple[Objective, Standing, list[Rate]]]:
    """Every objective with its standing and its burn rates. Values made by an older version of the scorer do not count."""
    found: list[tuple[Objective, Standing, list[Rate]]] = []
    for objective in objectives:
        points = await columns.read_points(
            objective.project,
            now_ns - objective.period,
            now_ns,
            metric=objective.metric,
            cohort=cohort_text(objective.where),
            seconds=tick_ns // SECOND,
        )
        kept = of_newest([p for p in points if p.n > 0])
        found.append((objective, standing(objective, kept), rates(objective, kept, now_ns)))
    return found
