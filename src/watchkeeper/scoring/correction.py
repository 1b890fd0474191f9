"""The judge-corrected twin of a pass rate: what people would say, from verdicts on everything and labels of some."""

from collections.abc import Sequence

import msgspec
import numpy as np

from watchkeeper.model.calibration import Corrected, Pair
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.estimates import kish
from watchkeeper.stats.judges import of_labels, post_stratified_rate, ppi_from, rogan_gladen_labels

# Labels count as a sample of a window when there are this many in it and they spread over half of it.
FEWEST_RECENT, SPREAD = 30, 0.5
PPI_LABELS = 200


class Window(msgspec.Struct, frozen=True):
    """A scorer's weighted sums over a window [since, until): `n` verdicts, Σw, Σw², Σw·ok, Σw²·ok, and of its values Σwv,
    Σwv², Σw²v, Σw²v² over `measured` of them."""

    since_ns: int
    until_ns: int
    n: int = 0
    sw: float = 0.0
    sw2: float = 0.0
    swx: float = 0.0
    sw2x: float = 0.0
    swv: float = 0.0
    swv2: float = 0.0
    sw2v: float = 0.0
    sw2v2: float = 0.0
    measured: int = 0

    @property
    def passed(self) -> float:
        """The weighted pass rate."""
        return self.swx / self.sw if self.sw > 0 else 0.0

    @property
    def n_eff(self) -> float:
        """Kish's effective number of verdicts."""
        return self.sw**2 / self.sw2 if self.sw2 > 0 else 0.0


def correct(window: Window, pairs: Sequence[Pair], raw: Estimate | None) -> Corrected:
    """What people would say of the window, from the scorer's verdicts on all of it and labels of some.

    `pairs` are valid labels of this scorer version (of the cohort, where there is one), whenever they were made. Enough
    labels of the window itself: PPI++ for a graded scorer with 200 of them, else post-stratified on the verdict. Labels of
    another time only: Rogan and Gladen. Too few of either: no correction, and why.
    """
    if raw is None or window.n == 0:
        return Corrected(raw, reason="no verdict of this scorer version in the window")
    recent = [p for p in pairs if window.since_ns <= p.time_ns < window.until_ns]
    made = Corrected(raw, labels=len(pairs), recent=len(recent))
    found: Estimate | Insufficient = Insufficient("")
    if _covers(window, recent):
        found = _ppi(window, recent)
        if isinstance(found, Estimate):
            return msgspec.structs.replace(made, estimate=found, method="ppi", labels=len(recent))
        found = _stratified(window, recent)
        if isinstance(found, Estimate):
            return msgspec.structs.replace(made, estimate=found, method="post_stratified", labels=len(recent))
    if not pairs:
        return msgspec.structs.replace(made, reason="no human labels of this scorer version")
    found = rogan_gladen_labels(
        window.passed * window.n_eff, window.n_eff, [p.passed for p in pairs], [p.good for p in pairs],
        label_pi=[p.probability for p in pairs],
    )  # fmt: skip
    if isinstance(found, Estimate):
        return msgspec.structs.replace(made, estimate=found, method="rogan_gladen")
    return msgspec.structs.replace(made, reason=found.reason)


def _covers(window: Window, recent: Sequence[Pair]) -> bool:
    if len(recent) < FEWEST_RECENT:
        return False
    times = [p.time_ns for p in recent]
    return max(times) - min(times) >= SPREAD * (window.until_ns - window.since_ns)


def _ppi(window: Window, recent: Sequence[Pair]) -> Estimate | Insufficient:
    """PPI++ of the good rate with the scorer's own value as predictor; only for a graded scorer that always measured."""
    values = [p.value for p in recent if p.value is not None]
    if len(values) < len(recent) or window.measured < window.n or len(set(values)) < 3:
        return Insufficient("the scorer is not graded")
    mean = window.swv / window.sw
    error = max(window.sw2v2 - 2 * mean * window.sw2v + mean**2 * window.sw2, 0.0) / window.sw**2
    # λ is clipped to [0, 1]: the predictor has to be on the scale of what it predicts.
    low, high = min(values), max(values)
    scale = (high - low) or 1.0
    found = ppi_from(
        (mean - low) / scale, error / scale**2, window.n_eff, [(v - low) / scale for v in values],
        [float(p.good) for p in recent], label_pi=[p.probability for p in recent], min_labels=PPI_LABELS,
    )  # fmt: skip
    if isinstance(found, Estimate):
        return msgspec.structs.replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))
    return found


def _stratified(window: Window, recent: Sequence[Pair]) -> Estimate | Insufficient:
    strata: dict[bool, tuple[float, float]] = {}
    for verdict in (True, False):
        of = [p for p in recent if p.passed is verdict]
        w = np.array([1 / p.probability for p in of])
        size = kish(w)
        good = float((w * np.array([float(p.good) for p in of])).sum() / w.sum()) if of else 0.0
        strata[verdict] = (good * size, size)
    found = post_stratified_rate(window.passed, window.n_eff, strata[True], strata[False])
    return of_labels(len(recent), found)
