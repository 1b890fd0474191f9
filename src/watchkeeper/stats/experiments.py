"""A against B: canaries, gates and experiments.

The unit of randomisation (user or session) is the unit of analysis; a gate decides on bounds, never on estimates.
"""

from collections.abc import Mapping, Sequence
from math import ceil, exp, isinf, log, sqrt
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.distributions import chi2_survival, normal_quantile, t_quantile, t_survival
from watchkeeper.stats.estimates import grouped
from watchkeeper.stats.intervals import bounded_mean, clopper_pearson
from watchkeeper.stats.power import rule_of_three_n
from watchkeeper.stats.sequential import mixture_half_width

Floats = NDArray[np.float64]
Verdict = Literal["pass", "fail", "not_enough_evidence"]


def clustered_mean(y: ArrayLike, clusters: ArrayLike, *, level: float = 0.95) -> Estimate | Insufficient:
    """Mean with the cluster-robust variance V̂ = G/(G−1)·Σ_g(Σ_{i∈g}(y − ȳ))²/n² and t on G − 1 degrees of freedom.

    n_eff is the number of independent scores with the same variance. Fewer than two clusters are `Insufficient`.
    """
    v = np.asarray(y, dtype=np.float64)
    groups, (sums,) = grouped(clusters, v - (v.mean() if v.size else 0.0))
    if groups < 2:
        return Insufficient("an interval needs at least two sessions", int(v.size), float(groups))
    variance = groups / (groups - 1) * float((sums**2).sum()) / v.size**2
    n_eff = float(v.var(ddof=1)) / variance if variance > 0 else float(v.size)
    half = t_quantile(0.5 + level / 2, groups - 1) * sqrt(variance)
    return Estimate(
        float(v.mean()), float(v.mean()) - half, float(v.mean()) + half, int(v.size), n_eff, level
    )


def difference(
    a: ArrayLike, clusters_a: ArrayLike, b: ArrayLike, clusters_b: ArrayLike, *, level: float = 0.95
) -> Estimate | Insufficient:
    """b − a of two independent arms, clustered, with Welch's degrees of freedom on clusters."""
    ea, eb = clustered_mean(a, clusters_a, level=level), clustered_mean(b, clusters_b, level=level)
    if isinstance(ea, Insufficient) or isinstance(eb, Insufficient):
        return ea if isinstance(ea, Insufficient) else eb
    ga, gb = (len(np.unique(np.asarray(c))) for c in (clusters_a, clusters_b))
    va = ((ea.high - ea.low) / 2 / t_quantile(0.5 + level / 2, ga - 1)) ** 2
    vb = ((eb.high - eb.low) / 2 / t_quantile(0.5 + level / 2, gb - 1)) ** 2
    total = va + vb
    df = total**2 / (va**2 / (ga - 1) + vb**2 / (gb - 1)) if total > 0 else ga + gb - 2
    half = t_quantile(0.5 + level / 2, df) * sqrt(total)
    value = eb.value - ea.value
    return Estimate(value, value - half, value + half, ea.n + eb.n, ea.n_eff + eb.n_eff, level)


def paired_difference(
    before: ArrayLike, after: ArrayLike, clusters: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate | Insufficient:
    """after − before on the same cases, clustered by session (each case its own cluster when None)."""
    d = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    return clustered_mean(d, np.arange(d.size) if clusters is None else clusters, level=level)


def paired_rates(
    before: ArrayLike, after: ArrayLike, clusters: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate | Insufficient:
    """after − before of two outcomes, each yes or no, on the same cases, with the exact interval of a mean of values in [−1, 1]: where no
    case came out differently a t interval has no width, and thirty such cases do not exclude a difference of ten points.

    `n_eff` is the number of independent cases, of clusters where no case came out differently.
    """
    d = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    names = np.arange(d.size) if clusters is None else np.asarray(clusters)
    found = clustered_mean(d, names, level=level)
    if isinstance(found, Insufficient):
        return found
    n_eff = min(found.n_eff, float(d.size)) if d.any() else float(np.unique(names).size)
    x = (d + 1) / 2
    low, high = bounded_mean(float(x.mean()), float((x * x).mean()), n_eff, level, exact=True)
    return Estimate(found.value, 2 * low - 1, 2 * high - 1, found.n, n_eff, level)


def ratio(
    q: ArrayLike, c: ArrayLike, clusters: ArrayLike | None = None, *, level: float = 0.95
) -> Estimate | Insufficient:
    """Ratio of means R = q̄/c̄ (quality per dollar) by the delta method on e = (q − Rc)/c̄, log-scale interval.

    The mean of per-trace ratios is another, misleading number (2.7 times too high at log-sd 1). `Insufficient` when a
    total is not positive.
    """
    x, y = np.asarray(q, dtype=np.float64), np.asarray(c, dtype=np.float64)
    if x.size < 2 or x.sum() <= 0 or y.sum() <= 0:
        return Insufficient("a ratio needs positive totals above and below", int(x.size))
    r = float(x.sum() / y.sum())
    e = clustered_mean(
        (x - r * y) / float(y.mean()), np.arange(x.size) if clusters is None else clusters, level=level
    )
    if isinstance(e, Insufficient):
        return e
    half = (e.high - e.low) / 2 / r
    return Estimate(r, r * exp(-half), r * exp(half), e.n, e.n_eff, level)


def ratio_change(
    q_a: ArrayLike, c_a: ArrayLike, q_b: ArrayLike, c_b: ArrayLike, *, level: float = 0.95
) -> Estimate | Insufficient:
    """R_b/R_a − 1 of two arms from their log-scale intervals."""
    a, b = ratio(q_a, c_a, level=level), ratio(q_b, c_b, level=level)
    if isinstance(a, Insufficient) or isinstance(b, Insufficient):
        return a if isinstance(a, Insufficient) else b
    half = sqrt(log(a.high / a.value) ** 2 + log(b.high / b.value) ** 2)
    change = log(b.value / a.value)
    return Estimate(
        exp(change) - 1, exp(change - half) - 1, exp(change + half) - 1, a.n + b.n, a.n_eff + b.n_eff, level
    )


def cuped(y: ArrayLike, covariates: ArrayLike, *, theta: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """y adjusted by pre-period covariates (Deng et al. 2013): y − (x − x̄)θ, variance × (1 − ρ²). Returns (adjusted, θ).

    Fit θ on both arms together and centre on their common mean: pass the arms concatenated.
    """
    v = np.asarray(y, dtype=np.float64)
    x = np.asarray(covariates, dtype=np.float64).reshape(v.size, -1)
    centred = x - x.mean(axis=0)
    fitted = (
        np.linalg.lstsq(centred, v - v.mean(), rcond=None)[0]
        if theta is None
        else np.asarray(theta, dtype=np.float64)
    )
    return v - centred @ fitted, fitted


class SampleRatio(msgspec.Struct, frozen=True):
    """Sample-ratio check: `p` of the χ² test and whether the split is broken (p < 0.001)."""

    p: float
    mismatch: bool


def sample_ratio(counts: Sequence[int], shares: Sequence[float]) -> SampleRatio:
    """Did the arms get the traffic they were promised? A mismatch makes every other number void."""
    c = np.asarray(counts, dtype=np.float64)
    s = np.asarray(shares, dtype=np.float64)
    expected = c.sum() * s / s.sum()
    p = chi2_survival(float(((c - expected) ** 2 / expected).sum()), len(c) - 1)
    return SampleRatio(p, p < 0.001)


def holm(p_values: Mapping[str, float], alpha: float = 0.05) -> dict[str, bool]:
    """Which hypotheses Holm's step-down procedure rejects (Holm 1979): family-wise error at most `alpha`."""
    out = dict.fromkeys(p_values, False)
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda kv: kv[1])):
        if p > alpha / (len(p_values) - i):
            break
        out[name] = True
    return out


class GateRead(msgspec.Struct, frozen=True):
    """Pass, fail, or not enough evidence. `needed` is how many further cases would be expected to settle it (None when

    settled, or when nothing is known of the spread).
    """

    verdict: Verdict
    difference: Estimate | None
    margin: float
    needed: int | None
    reason: str


class Tails(msgspec.Struct, frozen=True):
    """One-sided p values of a difference: that the loss is smaller than the margin, and that there is a loss."""

    within: float
    worse: float


def tails(difference: float, error: float, df: float, margin: float) -> Tails:
    """The p values of a difference new − old with this standard error (infinite where it is not known) on Student's t.

    A difference that is constant is decided exactly.
    """
    return Tails(_beyond(difference + margin, error, df), _beyond(-difference, error, df))


def _beyond(estimate: float, error: float, df: float) -> float:
    """P(T >= estimate / error): small when the estimate is clearly above zero."""
    if error == 0:
        return 0.0 if estimate > 0 else 1.0
    return 1.0 if isinf(error) else t_survival(estimate / error, df)


def gate(found: Mapping[str, Tails], level: float = 0.05) -> dict[str, Verdict]:
    """The verdict on each of several scores: pass when its loss is shown to be smaller than the margin, at `level`; else fail when
    a loss is shown, at half of it, because a false failure stops somebody's release and a late one is caught by the next run;
    each Holm-corrected over the scores.
    """
    passes = holm({name: p.within for name, p in found.items()}, level)
    fails = holm({name: p.worse for name, p in found.items()}, level / 2)
    return {
        name: "pass" if passes[name] else "fail" if fails[name] else "not_enough_evidence" for name in found
    }


def cases_needed(n: int, error: float, margin: float, level: float = 0.05, power: float = 0.8) -> int:
    """Further cases, at least one, until a harmless change would pass with `power`: ((z₁₋α + z_power)·s/Δ)² − n, where n cases have the
    standard error `error`."""
    z = normal_quantile(1 - level) + normal_quantile(power)
    return max(1, ceil((z * error * sqrt(n) / margin) ** 2) - n)


def non_inferiority(
    before: ArrayLike,
    after: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    margin: float,
    alpha: float = 0.05,
) -> GateRead:
    """Is the new version no worse than `margin` below the old one on the same cases? `gate` for one score; the bounds are
    one-sided at `alpha`."""
    if margin <= 0:
        raise ValueError(f"the margin is how much worse is acceptable, more than 0, not {margin}")
    found = paired_difference(before, after, clusters, level=1 - 2 * alpha)
    if isinstance(found, Insufficient):
        return GateRead("not_enough_evidence", None, margin, None, found.reason)
    df = (found.n if clusters is None else len(np.unique(np.asarray(clusters)))) - 1
    error = (found.high - found.value) / t_quantile(1 - alpha, df)
    (verdict,) = gate({"": tails(found.value, error, df, margin)}, alpha).values()
    said = f"difference {found.value:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"
    words = {"pass": f"no worse than {margin:g}", "fail": "worse", "not_enough_evidence": "could be either"}
    needed = cases_needed(found.n, error, margin, alpha) if verdict == "not_enough_evidence" else None
    return GateRead(verdict, found, margin, needed, f"{words[verdict]}: {said}")


def all_must_pass(passed: int, n: int, *, p_max: float) -> GateRead:
    """A deterministic gate: every case passes *and* n ≥ 3/p_max, so the failure rate is below p_max with 95 % confidence."""
    least = rule_of_three_n(p_max)
    needed = least - n if passed == n < least else None
    if n <= 0:
        return GateRead("not_enough_evidence", None, p_max, needed, "no cases were run")
    low, high = clopper_pearson(n - passed, n)
    share = Estimate((n - passed) / n, low, high, n, float(n))
    if passed < n:
        return GateRead("fail", share, p_max, None, f"{n - passed} of {n} cases failed")
    if needed is not None:
        said = f"all {n} pass; {least} are needed to rule out {p_max:.2%}"
        return GateRead("not_enough_evidence", share, p_max, needed, said)
    return GateRead("pass", share, p_max, None, f"all {n} pass")


class CanaryRead(msgspec.Struct, frozen=True):
    """A look at a canary; looking as often as one likes is allowed."""

    verdict: Literal["promote", "rollback", "continue", "inconclusive"]
    difference: Estimate | None
    reason: str


def canary(
    control: ArrayLike,
    candidate: ArrayLike,
    *,
    planned: int,
    margin_sd: float = 0.15,
    alpha: float = 0.05,
    first: int = 50,
) -> CanaryRead:
    """Promote when the lower one-sided confidence sequence of candidate − control is above −Δ, roll back when the upper is

    below 0, else continue; at `planned` units per arm inconclusive. Values are one per unit (session means), Δ in sd of
    the control. AsympCS with n* = planned/4; nothing is said before `first` units per arm.
    """
    a, b = np.asarray(control, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
    n = min(a.size, b.size)
    if n < first:
        return CanaryRead("continue", None, f"{n} of the first {first} units per arm")
    # Two independent one-sided sequences, each at alpha: a two-sided one at 2·alpha.
    arms = (mixture_half_width(x.size, float(x.std(ddof=1)), 2 * alpha, planned / 4) for x in (a, b))
    half = sqrt(sum(h * h for h in arms))
    value = float(b.mean() - a.mean())
    found = Estimate(
        value, value - half, value + half, int(a.size + b.size), float(a.size + b.size), 1 - 2 * alpha
    )
    margin = margin_sd * float(a.std(ddof=1))
    if found.high < 0:
        return CanaryRead("rollback", found, "the candidate is worse")
    if found.low > -margin:
        return CanaryRead("promote", found, f"the candidate is no worse than {margin:.3g}")
    if n >= planned:
        return CanaryRead("inconclusive", found, "the planned traffic is used up; a person decides")
    return CanaryRead("continue", found, "not settled yet")
