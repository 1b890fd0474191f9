"""Fitting frozen baselines for many series at once."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.family import (
    N_COMPONENTS,
    Cuts,
    Ticks,
    choose_cuts,
    components,
    representatives,
    root_deviances,
    variance_table,
)
from watchkeeper.model.times import DAY, HOUR

Floats = NDArray[np.float64]
N_SEASON = 13
# The most that one tick may say, in z. A series whose own baseline has hours far out needs at least three of them.
Z_MAX = 6.0
Z_BURSTS = 2.5


@dataclass(frozen=True)
class Panel:
    """Frozen baselines of S series as arrays; a `Baseline` is one row of it.

    `coef` (S, C, 13) seasonal coefficients (the level alone: the first); `mask` (S, C) components in use; `cuts_at`
    (S, 4); `v` (S, C) within-tick variance of one score; `tau2` (S, C) between-tick variance beyond sampling noise;
    `d` (S, C) autocorrelation inflation; `band` (S, C) dead band; `se` (S, C) standard error of the expected value;
    `kappa` (S, C) the component's effective size over Kish's; `first`, `step` (S, 2), `table` (S, 2, GRID) variance
    functions of mean and spread; `limit` (S,) the most that one tick may say, in z; `count` (S,) scores behind the fit and `n_eff` their effective size.
    """

    coef: Floats
    mask: NDArray[np.bool_]
    cuts_at: NDArray[np.int64]
    v: Floats
    tau2: Floats
    d: Floats
    band: Floats
    se: Floats
    kappa: Floats
    first: Floats
    step: Floats
    table: Floats
    limit: Floats
    count: Floats
    n_eff: Floats

    @property
    def cuts(self) -> Cuts:
        """The tail cuts with their part of the mask."""
        return Cuts(self.cuts_at, self.mask[:, 2:])

    def rows(self, index: NDArray[np.intp] | slice) -> "Panel":
        """The panel of some of the series."""
        return Panel(**{f.name: getattr(self, f.name)[index] for f in fields(self)})


def season(times_ns: NDArray[np.int64]) -> Floats:
    """Seasonal columns (T, 13) at UTC times: constant, three daily harmonics, day of week (sum to zero)."""
    hours = (times_ns % DAY) / HOUR
    angle = 2 * np.pi * hours / 24
    waves = [f(k * angle) for k in (1, 2, 3) for f in (np.cos, np.sin)]
    # 1970-01-01 was a Thursday: 3 days after Monday.
    weekday = (times_ns // DAY + 3) % 7
    days = [(weekday == d) * 1.0 - (weekday == 6) * 1.0 for d in range(6)]
    return np.stack([np.ones(len(times_ns)), *waves, *days], axis=1)


def _solve(gram: Floats, moment: Floats) -> Floats:
    # Weighted least squares: X'WX (..., p, p), X'Wy (..., p, C) -> (..., p, C). The tiny ridge keeps a day of week
    # that was never seen at zero effect.
    p = gram.shape[-1]
    ridge = 1e-6 * np.trace(gram, axis1=-2, axis2=-1)[..., None, None] / p * np.eye(p)
    return np.linalg.solve(gram + ridge, moment)


def _folds(times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    # Whole days are held out; the second week is shifted by one so that no weekday is lost entirely.
    day = (times_ns - times_ns[0]) // DAY
    return (day + day // 7) % 7


def fit_season(times_ns: NDArray[np.int64], w: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(coefficients (S, C, 13), parameters in use (S, C)): seasonal only where it predicts held-out days >= 2 % better.

    Less than 14 days show each weekday only once, so only the daily harmonics are tried then.
    """
    x = season(times_ns)
    span_days = (times_ns[-1] - times_ns[0]) / DAY
    use = N_SEASON if span_days >= 13.5 else 7
    level = np.einsum("st,stc->sc", w, y) / np.maximum(w.sum(axis=1), 1e-300)[:, None]
    coef = np.zeros((y.shape[0], y.shape[2], N_SEASON))
    coef[:, :, 0] = level
    params = np.ones(level.shape)
    if span_days < 3:
        return coef, params
    # Sums per fold are enough: what a fold's days hold, and what the others hold by subtraction. Around the level, so that
    # the squares below do not cancel.
    x = x[:, :use]
    t, p = x.shape
    folds = _folds(times_ns)
    member = (np.unique(folds)[:, None] == folds) * 1.0
    held = w[:, None, :] * member
    centred = y - level[:, None]
    weighted = w[..., None] * centred
    pairs = (x[:, :, None] * x[:, None, :]).reshape(t, p * p)
    gram = (held @ pairs).reshape(*held.shape[:2], p, p)
    moment = np.swapaxes(member[:, :, None] * x, 1, 2)[None] @ weighted[:, None]
    total_gram, total_moment = gram.sum(axis=1), moment.sum(axis=1)
    beta = _solve(total_gram[:, None] - gram, total_moment[:, None] - moment)
    # The first column of X is one, so its row of the moments is Σwy and its cell of the grams is Σw.
    size, sums = gram[:, :, 0, 0, None], moment[:, :, 0]
    rest = np.maximum(size.sum(axis=1, keepdims=True) - size, 1e-300)
    mean = (sums.sum(axis=1, keepdims=True) - sums) / rest
    squares = np.einsum("st,stc->sc", w, centred * centred)
    sse_level = squares + (mean * (mean * size - 2 * sums)).sum(axis=1)
    sse_season = squares + (beta * (gram @ beta - 2 * moment)).sum(axis=(1, 2))
    seasonal = sse_season < 0.98 * sse_level
    if seasonal.any():
        full = np.zeros_like(coef)
        full[:, :, :use] = np.swapaxes(_solve(total_gram, total_moment), 1, 2)
        full[:, :, 0] += level
        coef = np.where(seasonal[..., None], full, coef)
        params = np.where(seasonal, float(use), params)
    return coef, params


def expected(coef: Floats, times_ns: NDArray[np.int64]) -> Floats:
    """m_t (S, T, C) from coefficients (S, C, 13)."""
    return np.einsum("tp,scp->stc", season(times_ns), coef)


def expected_positive(coef: Floats, times_ns: NDArray[np.int64]) -> Floats:
    """m_t (S, T, C), with spread and shares kept above a third of their level.

    The seasonal regression is linear, so it can promise a tail share of zero at the best hour of the day; one event
    would then count as impossible.
    """
    m = expected(coef, times_ns)
    m[..., 1:] = np.maximum(m[..., 1:], coef[:, None, 1:, 0] / 3)
    m[..., 2:] = np.clip(m[..., 2:], 1e-6, 1 - 1e-6)
    return m


def heavy(z: Floats, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which columns of z (S, T, ...) have tails too heavy for a normal law: excess kurtosis above 0.5, which is twice its
    standard error at 336 ticks. `seen` has the shape of z; fewer than 48 ticks cannot say."""
    number = seen.sum(axis=1)
    x = np.where(seen, z, 0.0)
    squares = x * x
    second = squares.sum(axis=1) / np.maximum(number, 1)
    fourth = (squares * squares).sum(axis=1) / np.maximum(number, 1)
    return (number >= 48) & (fourth > 3.5 * np.maximum(second, 1e-12) ** 2)


def _correlations(e: Floats, lags: int) -> Floats:
    # e (S, T, C), zero where missing -> (lags, S, C). All lags at once, by the Fourier transform of the padded series.
    seen = (e != 0).astype(np.float64)
    size = 1 << int(np.ceil(np.log2(e.shape[1] + lags)))
    sums: list[Floats] = []
    for x in (e, seen):
        spectrum = np.fft.rfft(np.swapaxes(x, 1, 2), size)
        sums.append(np.fft.irfft(np.abs(spectrum) ** 2, size)[..., : lags + 1])
    cov = sums[0][..., 1:] / np.maximum(sums[1][..., 1:], 1.0)
    power = sums[0][..., :1] / np.maximum(sums[1][..., :1], 1.0)
    return np.clip(np.moveaxis(cov / np.maximum(power, 1e-300), -1, 0), -1.0, 1.0)


def long_run(e: Floats, lags: int = 24) -> Floats:
    """D (S, C): long-run over marginal variance of standardised residuals e (S, T, C), zero where missing.

    max(1, Bartlett's kernel over a day, the ARMA(1,1) formula 1 + 2ρ₁/(1 − φ)). φ is fitted to the decay of the first
    lags; ρ₁ counts only when it is beyond two standard errors.
    """
    t = e.shape[1]
    lags = min(lags, t // 4)
    rho = _correlations(e, lags)
    k = np.arange(1, lags + 1)[:, None, None]
    bartlett = 1 + 2 * ((1 - k / (lags + 1)) * rho).sum(axis=0)
    # Sample autocorrelations are biased down by about (1 + 4ρ)/T (Kendall 1954).
    first = rho[0] + (1 + 4 * rho[0]) / t
    head = rho[: min(8, lags)] + 1.0 / t
    phi = (head[:-1] * head[1:]).sum(axis=0) / np.maximum((head[:-1] ** 2).sum(axis=0), 1e-12)
    phi = np.clip(phi + (1 + 3 * phi) / t, 0.0, 0.97)
    arma = np.where(first > 2.0 / np.sqrt(t), 1 + 2 * first / (1 - phi), 1.0)
    return np.maximum(1.0, np.maximum(bartlett, arma))


def spent(d: Floats, params: Floats, number: Floats) -> Floats:
    """D corrected for what the fit of `params` coefficients took out of `number` ticks.

    Ticks that go together are only number/D free ones; a fit follows their slow wandering as far as it has coefficients,
    and what is left looks calmer than what comes. At most doubled.
    """
    return d / np.maximum(1.0 - params * d / np.maximum(number, 1.0), 0.5)


@dataclass(frozen=True)
class Steps:
    """Which steps of the specification are on; everything off but the recursion is the ablation of the benchmark."""

    season: bool = True
    dead_band: bool = True
    overdispersion: bool = True
    autocorrelation: bool = True
    bursts: bool = True


def fit_panel(
    ticks: Ticks,
    times_ns: NDArray[np.int64],
    centres: Floats,
    pooled: Floats,
    pooled2: Floats | None = None,
    *,
    counts: Floats | None = None,
    min_effect: float = 0.02,
    steps: Steps = Steps(),
    cuts: Cuts | None = None,
) -> Panel:
    """Frozen baselines from (S, T) ticks; `pooled`, `pooled2` (S, B) the summed histograms of w and w².

    `min_effect` is the smallest difference of interest in standard deviations of one score. `cuts` are given when
    they are pooled over the cohorts of a metric; otherwise each series has its own.
    """
    s = ticks.n_eff.shape[0]
    total = np.maximum(pooled.sum(axis=1, keepdims=True), 1e-300)
    p = pooled / total
    n = ticks.n_eff
    w = np.minimum(n, 3 * np.maximum(np.median(n, axis=1, keepdims=True), 1.0))
    own = cuts if cuts is not None else choose_cuts(p)
    mean_coef, _ = _season_or_level(times_ns, w, ticks.a1[..., None], steps)
    mu = expected(mean_coef, times_ns)[..., 0]
    g = components(ticks, mu, own)
    coef, params = _season_or_level(times_ns, w, g, steps)
    coef[:, :1] = mean_coef
    m = expected(coef, times_ns)

    level = np.einsum("st,stc->sc", n, g) / np.maximum(n.sum(axis=1), 1e-300)[:, None]
    reps = representatives(centres, p, level[:, 0], np.maximum(level[:, 1], 0.0))
    squares = (reps - level[:, :1]) ** 2
    tables = [variance_table(reps, p), variance_table(squares, p)]
    v = np.empty((s, N_COMPONENTS))
    v[:, 0] = level[:, 1]
    v[:, 1] = (p * squares**2).sum(axis=1) - ((p * squares).sum(axis=1)) ** 2
    v[:, 2:] = level[:, 2:] * (1 - level[:, 2:])
    kappa = _design(reps, squares, p, pooled2, own) if pooled2 is not None else np.ones_like(v)
    sizes = n[..., None] * kappa[:, None, :]
    tau2, d, se = _noise(sizes, g - m, v, params, steps)
    mask = np.concatenate([v[:, :2] > 1e-12, own.mask & (v[:, 2:] > 0)], axis=1)
    first, step, table = (np.stack([t[i] for t in tables], 1) for i in range(3))
    z = root_deviances(g, expected_positive(coef, times_ns), sizes, first, step, table)
    bursts = (_jumps(z, sizes, v, tau2) & mask).any(axis=1) & steps.bursts
    return Panel(
        coef=coef,
        mask=mask,
        cuts_at=own.at,
        v=v,
        tau2=tau2,
        d=d,
        band=np.maximum(min_effect * np.sqrt(v), 3 * se) if steps.dead_band else np.zeros_like(se),
        se=se,
        kappa=kappa,
        first=first,
        step=step,
        table=table,
        limit=np.where(bursts, Z_BURSTS, Z_MAX),
        count=counts if counts is not None else n.sum(axis=1),
        n_eff=n.sum(axis=1),
    )


def _jumps(z: Floats, sizes: Floats, v: Floats, tau2: Floats) -> NDArray[np.bool_]:
    # (S, C): which components of the baseline have single hours far out. Whoever has had them will have them again, so
    # evidence then needs several. A share of which a tick has hardly an event is skewed whatever happens; it cannot tell.
    noise = v[:, None] / np.maximum(sizes, 1e-300)
    found = heavy(z * np.sqrt(noise / np.maximum(noise + tau2[:, None], 1e-300)), sizes > 0)
    found[:, 2:] &= np.median(sizes[..., 2:], axis=1) * v[:, 2:] >= 3.0
    return found


def _noise(
    n_c: Floats, residual: Floats, v: Floats, params: Floats, steps: Steps
) -> tuple[Floats, Floats, Floats]:
    """(τ², D, standard error of the expected value), each (S, C), from residuals (S, T, C) at sizes n_c."""
    seen = n_c > 0
    sampling = np.where(seen, v[:, None, :] / np.where(seen, n_c, 1.0), 0.0)
    r = np.where(seen, residual, 0.0)
    number = np.maximum(seen.sum(axis=1), 1.0)
    dof = number / np.maximum(number - params, 1.0)
    wsum = np.maximum(n_c.sum(axis=1), 1e-300)
    tau2 = np.maximum(0.0, ((n_c * r * r).sum(axis=1) * dof - (n_c * sampling).sum(axis=1)) / wsum)
    if not steps.overdispersion:
        tau2 = np.zeros_like(tau2)
    total = np.maximum(sampling + tau2[:, None], 1e-300)
    d = np.ones_like(tau2)
    if steps.autocorrelation:
        d = spent(long_run(np.where(seen, r / np.sqrt(total), 0.0)), params, number)
    information = np.where(seen, 1.0 / total, 0.0).sum(axis=1)
    return tau2, d, np.sqrt(d * params / np.maximum(information, 1e-300))


def _season_or_level(
    times_ns: NDArray[np.int64], w: Floats, y: Floats, steps: Steps
) -> tuple[Floats, Floats]:
    if steps.season:
        return fit_season(times_ns, w, y)
    coef = np.zeros((y.shape[0], y.shape[2], N_SEASON))
    coef[:, :, 0] = np.einsum("st,stc->sc", w, y) / np.maximum(w.sum(axis=1), 1e-300)[:, None]
    return coef, np.ones((y.shape[0], y.shape[2]))


def _design(reps: Floats, squares: Floats, p: Floats, pooled2: Floats, cuts: Cuts) -> Floats:
    # Effective size of each component over Kish's: weights that go with the value (all errors kept, 2 % of the
    # rest) make some components better or worse known than (Σw)²/Σw² says.
    q = pooled2 / np.maximum(pooled2.sum(axis=1, keepdims=True), 1e-300)
    bins = np.arange(p.shape[1])
    masks = [bins < cuts.at[:, i : i + 1] if i < 2 else bins >= cuts.at[:, i : i + 1] for i in range(4)]
    parts = [reps, squares, *(x.astype(np.float64) for x in masks)]
    out: list[Floats] = []
    for x in parts:
        gap2 = (x - (p * x).sum(axis=1, keepdims=True)) ** 2
        top, bottom = (p * gap2).sum(axis=1), (q * gap2).sum(axis=1)
        out.append(np.where(bottom > 1e-300, top / np.maximum(bottom, 1e-300), 1.0))
    return np.clip(np.stack(out, axis=1), 0.2, 5.0)
