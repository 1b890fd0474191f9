"""Judges against people: corrected rates, agreement, and whether a judge may gate."""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.distributions import t_quantile
from watchkeeper.stats.estimates import kish, rate, weights_of
from watchkeeper.stats.intervals import bootstrap, clopper_pearson, wilson, z_of

Floats = NDArray[np.float64]
Weighting = Literal["none", "linear", "quadratic"]


def post_stratified_rate(
    judge_pass: float,
    n_judged: float,
    good_given_pass: tuple[float, float],
    good_given_fail: tuple[float, float],
    *,
    level: float = 0.95,
) -> Estimate | Insufficient:
    """The true good rate from a judge's pass rate and human labels of its passes and of its fails.

    θ̂ = g·P(good | pass) + (1 − g)·P(good | fail); `judge_pass` = g over `n_judged` (effective) traces; each stratum is
    (good, labelled). Wilson per stratum, combined by MOVER, plus g's own variance. Labels must be a probability sample
    of this window within each verdict. A stratum that carries weight but has no label is `Insufficient`.
    """
    g = judge_pass
    (k1, n1), (k0, n0) = good_given_pass, good_given_fail
    if (g > 0 and n1 <= 0) or (g < 1 and n0 <= 0):
        return Insufficient("both verdicts need human labels", int(n1 + n0), n1 + n0)
    p1 = k1 / n1 if n1 > 0 else 0.0
    p0 = k0 / n0 if n0 > 0 else 0.0
    low1, high1 = wilson(k1, n1, level)
    low0, high0 = wilson(k0, n0, level)
    theta = g * p1 + (1 - g) * p0
    own = (p1 - p0) ** 2 * g * (1 - g) / n_judged * z_of(level) ** 2 if n_judged > 0 else 0.0
    down = sqrt((g * (p1 - low1)) ** 2 + ((1 - g) * (p0 - low0)) ** 2 + own)
    up = sqrt((g * (high1 - p1)) ** 2 + ((1 - g) * (high0 - p0)) ** 2 + own)
    return Estimate(theta, max(0.0, theta - down), min(1.0, theta + up), round(n1 + n0), n1 + n0, level)


def corrected_rate(
    judge: ArrayLike,
    labelled_judge: ArrayLike,
    labelled_human: ArrayLike,
    *,
    judge_pi: ArrayLike | None = None,
    label_pi: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate | Insufficient:
    """`post_stratified_rate` from raw verdicts: all of the window's, and the pairs that people labelled."""
    j = np.asarray(judge, dtype=bool)
    if j.size == 0:
        return Insufficient("no verdicts in the window")
    jw = weights_of(judge_pi, j.size)
    lj, lh = np.asarray(labelled_judge, dtype=bool), np.asarray(labelled_human, dtype=bool)
    lw = weights_of(label_pi, lj.size)
    strata: list[tuple[float, float]] = []
    for verdict in (True, False):
        w = lw[lj == verdict]
        size = kish(w)
        strata.append((float((w * lh[lj == verdict]).sum() / w.sum()) * size if size > 0 else 0.0, size))
    passed = float(jw[j].sum() / jw.sum())
    return of_labels(lj.size, post_stratified_rate(passed, kish(jw), strata[0], strata[1], level=level))


def of_labels(labels: int, found: Estimate | Insufficient) -> Estimate | Insufficient:
    """An estimate from effective numbers says of how many labels it is."""
    return msgspec.structs.replace(found, n=labels) if isinstance(found, Estimate) else found


def ppi_mean(
    judge: ArrayLike,
    labelled_judge: ArrayLike,
    labelled_human: ArrayLike,
    *,
    label_pi: ArrayLike | None = None,
    level: float = 0.95,
    min_labels: int = 200,
) -> Estimate | Insufficient:
    """PPI++ mean of a graded judge (Angelopoulos et al. 2023, arXiv 2311.01453), t interval.

    θ̂ = λ·mean_N(f) + mean_n(Y − λf), λ = Cov(Y, f)/((1 + n/N)·Var f) clipped to [0, 1]; weighted means when labels
    have unequal π. Below `min_labels` it under-covers (83 % at 50): `Insufficient`, bin and post-stratify instead.
    """
    f_all = np.asarray(judge, dtype=np.float64)
    if f_all.size < 2:
        return Insufficient(
            "PPI++ needs the judge's scores of the window", int(np.asarray(labelled_human).size)
        )
    spread = float(f_all.var(ddof=1)) / f_all.size
    return ppi_from(
        float(f_all.mean()), spread, float(f_all.size), labelled_judge, labelled_human,
        label_pi=label_pi, level=level, min_labels=min_labels,
    )  # fmt: skip


def ppi_from(
    judge_mean: float,
    judge_error: float,
    n_judged: float,
    labelled_judge: ArrayLike,
    labelled_human: ArrayLike,
    *,
    label_pi: ArrayLike | None = None,
    level: float = 0.95,
    min_labels: int = 200,
) -> Estimate | Insufficient:
    """`ppi_mean` where all that is known of the window is the judge's (weighted) mean, the variance of that mean
    (`judge_error`) and its effective size."""
    f, y = np.asarray(labelled_judge, dtype=np.float64), np.asarray(labelled_human, dtype=np.float64)
    w = weights_of(label_pi, y.size)
    n_eff = kish(w)
    if n_eff < min_labels or n_judged < 2:
        return Insufficient(
            f"PPI++ needs {min_labels} effective labels; bin the score and post-stratify", int(y.size), n_eff
        )
    p = w / w.sum()
    mf, my = float(p @ f), float(p @ y)
    var_f = float(p @ (f - mf) ** 2)
    lam = float(p @ ((f - mf) * (y - my))) / ((1 + n_eff / n_judged) * var_f) if var_f > 0 else 0.0
    lam = min(max(lam, 0.0), 1.0)
    residual = y - lam * f
    mean_r = float(p @ residual)
    variance = float(p @ (residual - mean_r) ** 2) / (n_eff - 1) + lam**2 * judge_error
    half = t_quantile(0.5 + level / 2, n_eff - 1) * sqrt(variance)
    value = lam * judge_mean + mean_r
    return Estimate(value, value - half, value + half, int(y.size), n_eff, level)


def rogan_gladen(
    passed: float,
    n_judged: float,
    good_passed: float,
    good: float,
    bad_failed: float,
    bad: float,
    *,
    level: float = 0.95,
) -> Estimate | Insufficient:
    """The true good rate when labels come from another period: θ̂ = (p̂ + sp − 1)/(se + sp − 1).

    `passed` of `n_judged`; `good_passed` of the `good` labels gives sensitivity, `bad_failed` of `bad` specificity.
    Interval of Lang and Reiczigel (2014), which adds pseudo-counts and a skewness shift. Refuses (Insufficient) when
    se + sp < 1.2: the judge says too little to be corrected.
    """
    labels = round(good + bad)
    if min(n_judged, good, bad) <= 0:
        return Insufficient("needs judged traces and labels of good and of bad ones", labels)
    se, sp, p = good_passed / good, bad_failed / bad, passed / n_judged
    if se + sp < 1.2:
        return Insufficient(
            f"sensitivity {se:.2f} + specificity {sp:.2f} is below 1.2: too weak to correct", labels
        )
    z = z_of(level)
    n1, ng, nb = n_judged + z * z, good + 2, bad + 2
    p1 = (passed + z * z / 2) / n1
    se1, sp1 = (good_passed + 1) / ng, (bad_failed + 1) / nb
    j = se1 + sp1 - 1
    if j <= 0:
        return Insufficient("too few labels to know sensitivity and specificity", labels)
    theta1 = (p1 + sp1 - 1) / j
    shift = 2 * z * z * (theta1 * se1 * (1 - se1) / ng - (1 - theta1) * sp1 * (1 - sp1) / nb)
    root = sqrt(
        p1 * (1 - p1) / n1 + theta1**2 * se1 * (1 - se1) / ng + (1 - theta1) ** 2 * sp1 * (1 - sp1) / nb
    )
    half = z / j * root
    value = min(max((p + sp - 1) / (se + sp - 1), 0.0), 1.0)
    low, high = max(0.0, theta1 + shift - half), min(1.0, theta1 + shift + half)
    return Estimate(value, min(low, value), max(high, value), labels, float(labels), level)


def rogan_gladen_labels(
    passed: float,
    n_judged: float,
    labelled_judge: ArrayLike,
    labelled_human: ArrayLike,
    *,
    label_pi: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate | Insufficient:
    """`rogan_gladen` from the raw labels of another period.

    Labels drawn by verdict (half passes, half fails) must come with their π: without it sensitivity and specificity are
    those of the labelled set, not of the judge.
    """
    j, h = np.asarray(labelled_judge, dtype=bool), np.asarray(labelled_human, dtype=bool)
    pi = None if label_pi is None else np.asarray(label_pi, dtype=np.float64)
    sides: list[Estimate] = []
    for of, right in ((h, j), (~h, ~j)):
        found = rate(right[of], None if pi is None else pi[of])
        if isinstance(found, Insufficient):
            return Insufficient("needs labels of good and of bad traces", int(j.size))
        sides.append(found)
    (se, sp) = sides
    made = rogan_gladen(
        passed, n_judged, se.value * se.n_eff, se.n_eff, sp.value * sp.n_eff, sp.n_eff, level=level
    )
    return of_labels(int(j.size), made)


def kappa(a: ArrayLike, b: ArrayLike, *, weighting: Weighting = "none", w: ArrayLike | None = None) -> float:
    """Cohen's kappa, weighted for ordinal ratings (Cohen 1960, 1968); nan when both raters are constant and equal.

    Numeric labels keep their distances under linear and quadratic weights; `w` are sampling weights per item.
    """
    x, y = np.asarray(a), np.asarray(b)
    if x.shape != y.shape:
        raise ValueError(f"raters scored {x.size} and {y.size} items; kappa needs pairs")
    weights = np.ones(x.size) if w is None else np.asarray(w, dtype=np.float64)
    labels, codes = np.unique(np.concatenate([x, y]), return_inverse=True)
    k = labels.size
    table = np.zeros((k, k))
    np.add.at(table, (codes[: x.size], codes[x.size :]), weights)
    table /= max(weights.sum(), 1e-300)
    if weighting == "none":
        cost = 1.0 - np.eye(k)
    else:
        position = labels.astype(np.float64) if np.issubdtype(labels.dtype, np.number) else np.arange(k)
        gap = np.abs(position[:, None] - position[None, :])
        cost = gap if weighting == "linear" else gap**2
    expected = float((np.outer(table.sum(1), table.sum(0)) * cost).sum())
    return 1.0 - float((table * cost).sum()) / expected if expected > 0 else float("nan")


def kappa_interval(
    a: ArrayLike,
    b: ArrayLike,
    *,
    seed: int,
    weighting: Weighting = "none",
    clusters: ArrayLike | None = None,
    repeats: int = 2000,
    level: float = 0.95,
) -> Estimate | Insufficient:
    """Kappa with a bootstrap interval over traces, or over whole `clusters` (sessions)."""
    x, y = np.asarray(a), np.asarray(b)
    value = kappa(x, y, weighting=weighting) if x.size else float("nan")
    if not np.isfinite(value):
        return Insufficient("kappa is undefined: both raters always gave the same label", int(x.size))
    low, high = bootstrap(
        lambda i: kappa(x[i], y[i], weighting=weighting),
        x.size,
        seed=seed,
        repeats=repeats,
        level=level,
        clusters=clusters,
    )
    return Estimate(value, low, high, int(x.size), float(x.size), level)


def krippendorff_alpha(ratings: ArrayLike, *, ordinal: bool = False, interval: bool = False) -> float:
    """Krippendorff's alpha (2011) of an (annotators, items) table, nan where an annotator said nothing.

    Nominal distances unless `ordinal` or `interval`. Items with fewer than two ratings do not count; nan when nothing
    can be paired or every rating is the same.
    """
    table = np.asarray(ratings, dtype=np.float64)
    values = np.unique(table[np.isfinite(table)])
    counts = np.stack([(table == v).sum(axis=0) for v in values], axis=1).astype(np.float64)
    m = counts.sum(axis=1)
    counts, m = counts[m >= 2], m[m >= 2]
    if counts.size == 0:
        return float("nan")
    coincidence = (counts.T / (m - 1)) @ counts - np.diag((counts / (m - 1)[:, None]).sum(axis=0))
    margin = coincidence.sum(axis=1)
    if ordinal:
        at = np.cumsum(margin) - margin / 2
        distance = (at[:, None] - at[None, :]) ** 2
    elif interval:
        distance = (values[:, None] - values[None, :]) ** 2
    else:
        distance = 1.0 - np.eye(values.size)
    expected = float((np.outer(margin, margin) * distance).sum()) / (margin.sum() - 1)
    return 1.0 - float((coincidence * distance).sum()) / expected if expected > 0 else float("nan")


class JudgeVerdict(msgspec.Struct, frozen=True):
    """Whether a judge may gate. `status` calibrated or provisional (dashboards only); `failed` says which rule, in words.

    `agreement` carries the 95 % Clopper–Pearson interval; `agreement_floor` is the one-sided 95 % lower bound the gate
    uses; `recall` per human class.
    """

    status: Literal["calibrated", "provisional"]
    agreement: Estimate
    agreement_floor: float
    kappa: Estimate | None
    recall: dict[str, Estimate]
    failed: tuple[str, ...]


def judge_gate(
    judge: Sequence[str | bool | int],
    human: Sequence[str | bool | int],
    *,
    seed: int,
    weighting: Weighting = "none",
    clusters: ArrayLike | None = None,
    min_agreement: float = 0.85,
    min_floor: float = 0.80,
    min_kappa: float = 0.4,
) -> JudgeVerdict | Insufficient:
    """The 85 % gate of §2: agreement ≥ 85 %, its one-sided 95 % lower bound ≥ 80 % (needs 45/50, 87/100, 170/200) and

    the lower end of kappa's interval ≥ 0.4; otherwise provisional. The bound is Wilson's, which gives those counts. Items of
    one cluster (session) count as the fewer that they are worth.
    Raises ValueError when the lists differ in length.
    """
    if len(judge) != len(human):
        raise ValueError(f"{len(judge)} verdicts and {len(human)} labels; the gate needs pairs")
    n = len(judge)
    if n == 0:
        return Insufficient("no labelled traces yet")
    x, y = np.asarray([str(v) for v in judge]), np.asarray([str(v) for v in human])
    if weighting != "none":
        x, y = np.asarray(judge, dtype=np.float64), np.asarray(human, dtype=np.float64)
    agreed = int((x == y).sum())
    size = independent(x == y, clusters)
    low, high = clopper_pearson(agreed * size / n, size)
    floor = wilson(agreed * size / n, size, 0.95, one_sided=True)[0]
    found = kappa_interval(x, y, seed=seed, weighting=weighting, clusters=clusters)
    own = found if isinstance(found, Estimate) else None
    recall = _recalls(x, y)
    failed: list[str] = []
    if agreed / n < min_agreement:
        failed.append(f"agreement {agreed / n:.1%} is below {min_agreement:.0%}")
    if floor < min_floor:
        failed.append(f"agreement may be as low as {floor:.1%}; {min_floor:.0%} is needed: label more traces")
    if own is None or own.low < min_kappa:
        said = "undefined" if own is None else f"{own.value:.2f} and may be as low as {own.low:.2f}"
        failed.append(f"kappa is {said}; a lower bound of {min_kappa:g} is needed")
    return JudgeVerdict(
        "provisional" if failed else "calibrated",
        Estimate(agreed / n, low, high, n, size),
        floor,
        own,
        recall,
        tuple(failed),
    )


def independent(right: NDArray[np.bool_], clusters: ArrayLike | None) -> float:
    """How many independent items these are worth: the effective size of `estimates.rate`, and 1 where all are of one cluster."""
    found = rate(right, clusters=clusters)
    return 1.0 if isinstance(found, Insufficient) else found.n_eff


def _recalls(judge: NDArray[np.generic], human: NDArray[np.generic]) -> dict[str, Estimate]:
    out: dict[str, Estimate] = {}
    for label in np.unique(human):
        of = human == label
        hits, size = int((judge[of] == label).sum()), int(of.sum())
        low, high = wilson(hits, size)
        out[str(label)] = Estimate(hits / size, low, high, size, float(size))
    return out
