"""A scorer's figure beside what people would say: the judge-corrected twin, as pages show it."""

from typing import Any, Final

from watchkeeper.model.calibration import Corrected
from watchkeeper.model.series import Estimate as Figure
from watchkeeper.model.series import Insufficient
from watchkeeper.web import estimate, humane
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.view import View

METHODS: Final = {
    "post_stratified": "post-stratified on the verdict",
    "ppi": "PPI++",
    "rogan_gladen": "Rogan–Gladen, labels of another time",
}


def figure(
    found: Figure | Insufficient | None, unit: str = "", why: str = "not known", provisional: bool = False
) -> Estimate:
    """An estimate as pages show it."""
    if isinstance(found, Figure):
        return Estimate(found.value, found.low, found.high, found.n, unit, provisional=provisional)
    return estimate.unknown(found.reason if found is not None else why, unit)


async def corrected(view: View, name: str) -> Corrected | None:
    """The corrected rate of a scorer over the view's range and cohort; None for a series that has none, and while nobody has labelled
    what the scorer said: its verdicts need not be read then."""
    since, until = view.range.since_ns, view.range.until_ns
    made = await _labelled(view, name, until - since)
    return made[0] if made else None


async def corrected_by(
    view: View, name: str, most: int = 14
) -> tuple[Corrected | None, list[tuple[int, dict[str, Any]]]]:
    """`corrected`, and the twin of each of at most `most` stretches of the range, by its beginning; empty where nothing is
    corrected."""
    since, until = view.range.since_ns, view.range.until_ns
    bucket = view.range.bucket * humane.NS
    step = bucket * max(1, -(-(until - since) // (most * bucket)))
    made = await _labelled(view, name, step)
    if made is None:
        return None, []
    whole, by = made
    if not any(one.estimate for _, one in by):
        return whole, []
    return whole, [(start, shown) for start, one in by if (shown := twin(one)) is not None]


async def _labelled(view: View, name: str, step: int) -> tuple[Corrected, list[tuple[int, Corrected]]] | None:
    found = view.call.services.scorers
    if found is None:
        return None
    since, until = view.range.since_ns, view.range.until_ns
    return await found.corrected_by(view.project, name, since, until, step, view.cohort, labelled=True)


def twin(found: Corrected | None) -> dict[str, Any] | None:
    """The corrected figure with the raw one beside it, None for a scorer that cannot have one."""
    if found is None:
        return None
    return {
        "raw": figure(found.raw, "share"),
        "value": figure(found.estimate, "share", found.reason),
        "method": METHODS.get(found.method or "", ""),
        "labels": found.labels,
        "reason": found.reason,
    }
