"""Has what people write changed? Drift of text embeddings by three tests on sums.

A `Geometry` is made once from vectors of the baseline: random Fourier features of a Gaussian kernel with the median
distance as bandwidth, cluster centres, and the distance beyond which a vector is unlike anything in the baseline. Every vector
becomes a row of `project`; rows add up over ticks and cohorts, so no vector and no text is kept. A batch of 500 texts or
a day is compared with the baseline's sums:

(a) features: the squared kernel distance of the means (MMD² of Rahimi–Recht features), under no change Σ λᵢχ²₁ with the
    eigenvalues λ of the features' covariance, p by the four-moment approximation of Liu, Tang and Zhang (2009);
(b) clusters: χ² of the shares of the clusters;
(c) novelty: Fisher's exact test of the share of vectors beyond the novelty distance.

Bonferroni over the three; p becomes the e-value ½p^(−½) and runs through the Shiryaev–Roberts recursion, so M reaches A
less than once in A batches. Each statistic is divided by the dispersion of the baseline's own days beyond sampling noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, log10, sqrt
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.baseline import Config
from watchkeeper.detection.protocol import Evidence, Verdict
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.model.sketch import Sketch
from watchkeeper.model.times import DAY
from watchkeeper.stats.distributions import chi2_survival, hypergeometric_survival, noncentral_chi2_survival
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.sequential import R_MAX, log10_evidence, p_to_e

Floats = NDArray[np.float64]
FREQUENCIES, CLUSTERS, NEIGHBOURS = 128, 20, 3
FEATURES = 2 * FREQUENCIES
WIDTH = FEATURES + CLUSTERS + 1
BATCH, LEAST = 500, 50
# Fewer texts than this are no baseline of their own.
REFERENCE_LEAST = 200
TESTS = ("features", "clusters", "novelty")
# A batch that looks like the baseline (p > 0.05): 0.95 likely without a shift and at most 0.5 with one that fired.
_CLEAR, _STILL, _OVER = log(0.95 / 0.5), log(0.05 / 0.5), log(20.0)
_P_MIN = 1e-12


@dataclass(frozen=True)
class Geometry:
    """How vectors become rows. `frequencies` (V, 128); `centres` (20, V); `landmarks` (N, V); `radius` the novelty distance;
    `moments` Σλ, Σλ², Σλ³, Σλ⁴ of the features' covariance."""

    frequencies: Floats
    centres: Floats
    landmarks: Floats
    radius: float
    moments: tuple[float, float, float, float]


def _centres(x: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Lloyd's k-means from random points."""
    centres = x[rng.choice(len(x), k, replace=False)]
    for _ in range(25):
        label = np.argmax(x @ centres.T - 0.5 * (centres**2).sum(axis=1), axis=1)
        fresh = np.stack([x[label == j].mean(axis=0) if (label == j).any() else centres[j] for j in range(k)])
        if np.allclose(fresh, centres, atol=1e-6):
            break
        centres = fresh
    return centres


def _novelty(x: Floats, landmarks: Floats, own: bool = False) -> Floats:
    """Distance to the third nearest landmark; `own`: the rows are landmarks themselves."""
    k = NEIGHBOURS + own
    near = np.partition(x @ landmarks.T, -k, axis=1)[:, -k]
    return np.sqrt(np.maximum(2.0 - 2.0 * near, 0.0))


def make_geometry(vectors: NDArray[Any], seed: int) -> Geometry | Insufficient:
    """The geometry of unit vectors (N, V) of the baseline: half of them give centres and landmarks, the other half the
    covariance. At least 400 are needed."""
    if len(vectors) < 400:
        return Insufficient("a map of texts needs at least 400 of them", len(vectors))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(vectors))
    half = np.asarray(vectors[order[: len(order) // 2]], dtype=np.float64)
    rest = np.asarray(vectors[order[len(order) // 2 :]], dtype=np.float64)
    some = half[:400]
    gaps = np.sqrt(np.maximum(2.0 - 2.0 * some @ some.T, 0.0))[np.triu_indices(len(some), 1)]
    bandwidth = float(np.median(gaps)) or 1.0
    frequencies = rng.standard_normal((vectors.shape[1], FREQUENCIES)) / bandwidth
    radius = float(np.quantile(_novelty(half, half, own=True), 0.95))
    bare = Geometry(frequencies, _centres(half, CLUSTERS, rng), half, radius, (1.0, 1.0, 1.0, 1.0))
    phi = project(bare, rest)[:, :FEATURES]
    eigen = np.maximum(np.linalg.eigvalsh(np.cov(phi, rowvar=False)), 0.0)
    c1, c2, c3, c4 = (float((eigen**k).sum()) for k in (1, 2, 3, 4))
    return Geometry(frequencies, bare.centres, half, radius, (c1, c2, c3, c4))


def project(g: Geometry, vectors: NDArray[Any]) -> Floats:
    """Rows (N, 277) of unit vectors (N, V): 256 features, one-hot cluster, 1 where the vector is novel."""
    x = np.asarray(vectors, dtype=np.float64)
    angle = x @ g.frequencies
    out = np.zeros((len(x), WIDTH))
    out[:, :FREQUENCIES], out[:, FREQUENCIES:FEATURES] = np.cos(angle), np.sin(angle)
    out[:, :FEATURES] /= sqrt(FREQUENCIES)
    label = np.argmax(x @ g.centres.T - 0.5 * (g.centres**2).sum(axis=1), axis=1)
    out[np.arange(len(x)), FEATURES + label] = 1.0
    out[:, -1] = _novelty(x, g.landmarks) > g.radius
    return out


class Reference(msgspec.Struct, frozen=True):
    """The frozen normal of one cohort's texts: `n` of them, the mean row, the moments, the dispersion of each test."""

    n: int
    mean: tuple[float, ...]
    moments: tuple[float, float, float, float]
    dispersion: tuple[float, float, float]
    days: int


def _merged(sketches: Sequence[Sketch]) -> tuple[int, Floats]:
    total = np.sum([s.sums for s in sketches], axis=0) if sketches else np.zeros(WIDTH)
    return sum(s.n for s in sketches), np.asarray(total, dtype=np.float64)


def fit_reference(
    sketches: Sequence[Sketch], moments: tuple[float, float, float, float]
) -> Reference | Insufficient:
    """The reference of one cohort from its sketches of the baseline period."""
    n, total = _merged(sketches)
    if n < REFERENCE_LEAST:
        return Insufficient(f"a map of texts needs {REFERENCE_LEAST} of the cohort; there are {n}", n)
    by_day: dict[int, list[Sketch]] = {}
    for s in sketches:
        by_day.setdefault(s.start_ns // DAY, []).append(s)
    days = [d for d in map(_merged, by_day.values()) if d[0] >= LEAST]
    return Reference(n, tuple((total / n).tolist()), moments, _dispersion(n, total, days, moments), len(days))


def _dispersion(
    n: int, total: Floats, days: list[tuple[int, Floats]], moments: tuple[float, float, float, float]
) -> tuple[float, float, float]:
    if len(days) < 4:
        return (1.0, 1.0, 1.0)
    c1, c2, _, _ = moments
    mean, share = total / n, total[FEATURES:-1] / n
    p = min(max(total[-1] / n, 1e-6), 1 - 1e-6)
    found: list[list[float]] = [[], [], []]
    for size, sums in days:
        # A day is part of the whole it is compared with.
        left = max(1 - size / n, 1e-9)
        gap = sums / size - mean
        found[0].append(float((gap[:FEATURES] ** 2).sum() * size / left / c1))
        seen = share * size >= 1
        chi = ((sums[FEATURES:-1] - share * size) ** 2 / np.maximum(share * size, 1e-12))[seen].sum() / left
        found[1].append(float(chi / max(seen.sum() - 1, 1)))
        found[2].append(float((sums[-1] - size * p) ** 2 / (size * p * (1 - p)) / left))
    noise = (sqrt(2 * c2) / c1, sqrt(2 / CLUSTERS), sqrt(2.0))
    means = [float(np.mean(f)) for f in found]
    # Only what is beyond two standard errors of chance counts as dispersion.
    a, b, c = (m if m > 1 + 2 * s / sqrt(len(days)) else 1.0 for m, s in zip(means, noise, strict=True))
    return (max(a, 1.0), max(b, 1.0), max(c, 1.0))


class Change(msgspec.Struct, frozen=True):
    """A batch against the reference: the p-value of each test (features, clusters, novelty), the kernel distance `mmd`, the
    cluster whose share rose most with its shares then and now, and the novel shares then and now."""

    n: int
    p: tuple[float, float, float]
    mmd: float
    cluster: int
    cluster_before: float
    cluster_now: float
    novel_before: float
    novel_now: float

    @property
    def p_all(self) -> float:
        """The p-value of all three together (Bonferroni)."""
        return min(1.0, len(TESTS) * min(self.p))


def compare(ref: Reference, n: int, sums: Floats) -> Change:
    """The three tests of a batch of `n` texts with these sums."""
    mean, base = sums / n, np.asarray(ref.mean)
    gap = mean - base
    mmd2 = float((gap[:FEATURES] ** 2).sum())
    scale = 1 / n + 1 / ref.n
    a, b, c = ref.dispersion
    features = _weighted_chi_square_sf(mmd2 / scale / a, ref.moments)
    then, now = base[FEATURES:-1], mean[FEATURES:-1]
    rise = (now - then) / np.sqrt(np.maximum(then * (1 - then), 0.5 / ref.n) * scale)
    top = int(np.argmax(rise))
    return Change(
        n,
        (
            max(features, _P_MIN),
            max(_clusters(then * ref.n, sums[FEATURES:-1], b), _P_MIN),
            max(_novel(base[-1] * ref.n / c, ref.n / c, sums[-1] / c, n / c), _P_MIN),
        ),
        sqrt(mmd2),
        top,
        float(then[top]),
        float(now[top]),
        float(base[-1]),
        float(mean[-1]),
    )


def _weighted_chi_square_sf(t: float, moments: tuple[float, float, float, float]) -> float:
    c1, c2, c3, c4 = moments
    if c2 <= 0:
        return 1.0
    s1, s2 = c3 / c2**1.5, c4 / c2**2
    if s1 * s1 > s2:
        a = 1 / (s1 - sqrt(s1 * s1 - s2))
        delta = s1 * a**3 - a * a
        df = a * a - 2 * delta
    else:
        a, delta, df = 1 / s1, 0.0, 1 / s1**2
    x = (t - c1) / sqrt(2 * c2) * sqrt(2) * a + df + delta
    if x <= 0:
        return 1.0
    return noncentral_chi2_survival(x, df, delta) if delta > 0 else chi2_survival(x, df)


def _clusters(then: Floats, now: Floats, d: float) -> float:
    n, m = now.sum(), then.sum()
    order = np.argsort(then + now)
    groups: list[tuple[float, float]] = []
    held = (0.0, 0.0)
    for i in order:
        held = (held[0] + float(then[i]), held[1] + float(now[i]))
        if sum(held) * min(n, m) / (n + m) >= 5:
            groups.append(held)
            held = (0.0, 0.0)
    if len(groups) < 2:
        return 1.0
    groups[-1] = (groups[-1][0] + held[0], groups[-1][1] + held[1])
    table = np.array(groups)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return chi2_survival(float(((table - expected) ** 2 / expected).sum()) / d, len(groups) - 1)


def _novel(k_then: float, n_then: float, k_now: float, n_now: float) -> float:
    # One-sided: novelty is more of what was never seen.
    a, b, c, d = (round(x) for x in (k_now, n_now - k_now, k_then, n_then - k_then))
    return hypergeometric_survival(a - 1, a + b + c + d, a + c, a + b) if a + b and c + d else 1.0


class CloudState(msgspec.Struct, frozen=True):
    """The batch being gathered, the evidence `r`, where it last left zero (CUSUM `w` of the log e-values), the incident."""

    tick: int = -1
    held_n: int = 0
    held: tuple[float, ...] = ()
    r: float = 0.0
    w: float = 0.0
    since: int = 0
    open: bool = False
    log_e: float = 0.0
    change: Change | None = None
    last: Evidence | None = None


def update_cloud(
    ref: Reference, state: CloudState, sketch: Sketch, config: Config = Config()
) -> tuple[CloudState, Evidence]:
    """The state and evidence after a tick's sketch; a tick at or before the last one taken changes nothing."""
    if sketch.start_ns <= state.tick and state.last is not None:
        return state, state.last
    n = state.held_n + sketch.n
    held = np.asarray(state.held or (0.0,) * WIDTH)
    if sketch.n:
        held = held + np.asarray(sketch.sums)
    whole_day = sketch.end_ns % DAY == 0 and n >= LEAST
    if sketch.n == 0 or not (n >= BATCH or whole_day):
        reason = (
            "no texts arrived in this tick"
            if sketch.n == 0
            else f"{n} texts so far; a comparison needs {BATCH}, or {LEAST} in a day"
        )
        evidence = _waiting(state, sketch, "no_data" if sketch.n == 0 else "insufficient", reason)
        kept = tuple(held.tolist()) if n else ()
        return msgspec.structs.replace(
            state, tick=sketch.start_ns, held_n=n, held=kept, last=evidence
        ), evidence
    change = compare(ref, n, held)
    return (_recovering if state.open else _watching)(ref, state, sketch, change, config)


def _waiting(state: CloudState, sketch: Sketch, verdict: Verdict, reason: str) -> Evidence:
    last = state.last
    return Evidence(
        sketch.start_ns,
        verdict,
        firing=state.open,
        component=last.component if last is not None and state.open else None,
        log10_m=last.log10_m if last is not None else None,
        log10_a=last.log10_a if last is not None else None,
        onset_ns=last.onset_ns if last is not None and state.open else None,
        n=sketch.n,
        n_eff=float(sketch.n),
        reason=reason,
    )


def _watching(
    ref: Reference, state: CloudState, sketch: Sketch, change: Change, config: Config
) -> tuple[CloudState, Evidence]:
    e = float(p_to_e(change.p_all))
    r = min((1 + state.r) * e, R_MAX)
    w = max(0.0, state.w + log(e))
    since = sketch.start_ns if state.w <= 0 else state.since
    firing, pending = r >= config.threshold, r >= sqrt(config.threshold)
    verdict: Verdict = "firing" if firing else "pending" if pending else "quiet"
    evidence = _evidence(ref, sketch, change, verdict, r, config.threshold, since)
    if firing:
        return CloudState(sketch.start_ns, open=True, since=since, change=change, last=evidence), evidence
    fresh = CloudState(sketch.start_ns, r=r, w=w, since=since, change=change, last=evidence)
    return fresh, evidence


def _recovering(
    ref: Reference, state: CloudState, sketch: Sketch, change: Change, config: Config
) -> tuple[CloudState, Evidence]:
    log_e = max(0.0, state.log_e + (_CLEAR if change.p_all > 0.05 else _STILL))
    done = log_e >= _OVER
    m = 10.0 ** (state.last.log10_m or 0.0) if state.last is not None else 0.0
    verdict: Verdict = "resolved" if done else "firing"
    evidence = _evidence(ref, sketch, change, verdict, m, config.threshold, state.since)
    if done:
        return CloudState(sketch.start_ns, change=change, last=evidence), evidence
    return CloudState(
        sketch.start_ns, open=True, since=state.since, log_e=log_e, change=change, last=evidence
    ), evidence


def _evidence(
    ref: Reference, sketch: Sketch, change: Change, verdict: Verdict, m: float, a: float, since: int
) -> Evidence:
    quiet = verdict == "quiet"
    component = TESTS[int(np.argmin(change.p))]
    now, then = (
        (change.novel_now, change.novel_before)
        if component == "novelty"
        else (change.cluster_now, change.cluster_before)
    )
    return Evidence(
        sketch.start_ns,
        verdict,
        firing=verdict == "firing",
        component=None if quiet else component,
        direction=None if quiet else "up",
        log10_m=log10_evidence(m),
        log10_a=log10(a),
        onset_ns=None if quiet else since,
        current=Estimate(now, *wilson(now * change.n, change.n), change.n, float(change.n)),
        baseline=Estimate(then, *wilson(then * ref.n, ref.n), ref.n, float(ref.n)),
        n=change.n,
        n_eff=float(change.n),
        reason=None if quiet else describe(change),
    )


def describe(change: Change) -> str:
    """The change in words: what the strongest test saw."""
    which = TESTS[int(np.argmin(change.p))]
    if which == "novelty":
        return f"{change.novel_now:.0%} of texts are unlike anything in the baseline (it was {change.novel_before:.0%})"
    rose = f"one topic rose from {change.cluster_before:.0%} to {change.cluster_now:.0%} of texts"
    return (
        rose
        if which == "clusters"
        else f"the texts as a whole moved (kernel distance {change.mmd:.3f}); {rose}"
    )
