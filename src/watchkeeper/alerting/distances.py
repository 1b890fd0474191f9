"""Distances of a distribution from its baseline: effect sizes with an interval, believed only when a test says so.

`ks` largest gap between the distributions; `psi` beyond its expected value, natural log; `js` Jensen–Shannon divergence, log
base 2, beyond its expected value; `wasserstein` in the metric's unit (ln units on a log scale); `smd` difference of means in
standard deviations of the baseline. A distance of two samples of one population is never zero, so the limit is compared with
what is beyond chance, and the lower bound is zero unless the test rejects "same distribution" at the look's error.
"""

import math

import numpy as np

from watchkeeper.model.series import Estimate, Insufficient, Point, remade
from watchkeeper.stats.intervals import z_of
from watchkeeper.stats.tests2 import Comparison, chi_square, compare_points

_REPEATS = 200


def smd(baseline: Point, current: Point) -> Comparison:
    """Difference of means in sd of the baseline, with the z-test's p-value."""
    a, b = baseline.swx / baseline.sw, current.swx / current.sw
    va = max(baseline.swx2 / baseline.sw - a * a, 0.0)
    vb = max(current.swx2 / current.sw - b * b, 0.0)
    se = math.sqrt(va / baseline.n_eff + vb / current.n_eff)
    p = math.erfc(abs(b - a) / se / math.sqrt(2)) if se > 0 else 1.0
    value = (b - a) / math.sqrt(va) if va > 0 else 0.0
    name = "Standardised mean difference (sd of the baseline)"
    return Comparison(name, value, baseline.n_eff, current.n_eff, p, value)


def compared(baseline: Point, current: Point) -> dict[str, Comparison | Insufficient]:
    """Every distance of two points with one axis, by the name conditions use; Wasserstein with the χ² test's p."""
    found = compare_points(baseline, current)
    kept: dict[str, Comparison | Insufficient] = {k: v for k, v in found.items() if k != "chi2"}
    whole, test = found["wasserstein"], found["chi2"]
    if isinstance(whole, Comparison) and isinstance(test, Comparison):
        kept["wasserstein"] = Comparison(whole.effect_size, whole.value, whole.n_a, whole.n_b, test.p)
    if isinstance(whole, Comparison):
        kept["smd"] = smd(baseline, current)
    return kept


def distance(
    baseline: Point, current: Point | None, stat: str, alpha: float, min_n: int
) -> Estimate | Insufficient:
    """The distance called `stat` with one-sided bounds at `alpha`, from a parametric bootstrap of the two histograms."""
    if current is None or current.n < min_n or current.sw <= 0:
        n = current.n if current is not None else 0
        return Insufficient("no data" if n == 0 else f"fewer than {min_n} scores", n)
    if current.axis != baseline.axis or remade(baseline.version, current.version):
        return Insufficient("another scale or version than the baseline's", current.n)
    found = compared(baseline, current)[stat]
    if isinstance(found, Insufficient):
        return found
    half = z_of(1 - 2 * alpha) * _spread(baseline, current, stat)
    if stat == "smd":
        return Estimate(
            found.value, found.value - half, found.value + half, current.n, current.n_eff, 1 - 2 * alpha
        )
    value = max(found.value if found.excess is None else found.excess, 0.0)
    p = found.p
    if p is None or stat == "ks":
        test = chi_square(baseline.hist_w, current.hist_w, n_a=baseline.n_eff, n_b=current.n_eff)
        # The simulated p of KS cannot be below 1/1000; the limit far out in the tail is the χ² test's.
        p = (
            max(p or 0.0, test.p or 1.0)
            if isinstance(test, Comparison) and (p or 0.0) > 0.01
            else (test.p if isinstance(test, Comparison) else 1.0)
        )
    low = value - half if p is not None and p < alpha else 0.0
    return Estimate(value, max(low, 0.0), value + half, current.n, current.n_eff, 1 - 2 * alpha)


def _spread(baseline: Point, current: Point, stat: str) -> float:
    """The standard deviation of the distance over resampled histograms of the effective sizes; seeded, so that a look gives
    the same answer twice."""
    a, b = np.asarray(baseline.hist_w), np.asarray(current.hist_w)
    na, nb = max(round(baseline.n_eff), 2), max(round(current.n_eff), 2)
    rng = np.random.default_rng([na, nb])
    x = rng.multinomial(na, a / a.sum(), _REPEATS) / na
    y = rng.multinomial(nb, b / b.sum(), _REPEATS) / nb
    gap = np.cumsum(x, axis=1) - np.cumsum(y, axis=1)
    if stat == "ks":
        return float(np.abs(gap).max(axis=1).std())
    centres = np.asarray(baseline.axis.centres)
    if stat == "wasserstein":
        return float((np.abs(gap)[:, :-1] * np.diff(centres)).sum(axis=1).std())
    if stat == "smd":
        share = a / a.sum()
        sd = math.sqrt(max(share @ centres**2 - (share @ centres) ** 2, 1e-300))
        return float((((y - x) @ centres) / sd).std())
    p, q = (x + 0.5 / na) / (1 + 0.5 * a.size / na), (y + 0.5 / nb) / (1 + 0.5 * b.size / nb)
    if stat == "psi":
        return float(((q - p) * np.log(q / p)).sum(axis=1).std())
    mid = (p + q) / 2
    return float(((p * np.log2(p / mid) + q * np.log2(q / mid)).sum(axis=1) / 2).std())
