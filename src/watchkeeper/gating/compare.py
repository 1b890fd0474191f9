"""Semantic scores against a baseline: paired, clustered by session, with one-sided bounds and Holm's correction."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchkeeper.gating.verdict import CaseScore, GateSettings, MetricVerdict, Outcome
from watchkeeper.model.numerals import figure
from watchkeeper.model.series import Insufficient
from watchkeeper.stats.distributions import normal_quantile, t_quantile, t_survival
from watchkeeper.stats.experiments import clustered_mean, holm, paired_difference

MIN_CLUSTERS = 5
Pair = tuple[CaseScore, CaseScore]


@dataclass(frozen=True)
class Paired:
    """A paired difference new − baseline: means over cases, standard error clustered by session (infinite with fewer
    than two sessions), and the number of sessions."""

    n: int
    clusters: int
    mean: float
    baseline_mean: float
    difference: float
    error: float
    baseline_sd: float
    df: float = 0.0


@dataclass(frozen=True)
class Window:
    """A scorer over a window of production: the weighted (Hájek) mean with its standard error clustered by session, the
    standard deviation of single traces, traces, effective traces and sessions."""

    mean: float
    error: float
    sd: float
    n: int
    n_eff: float
    sessions: int


def window_of(sums: Sequence[tuple[float, float, float, float, int]]) -> Window | None:
    """One row a session: Σw, Σwx, Σwx², Σw², n, with w one over the inclusion probability. None without two sessions.

    V = G/(G−1) · Σ_g(Σ_{i∈g} w(x − μ))² / (Σw)².
    """
    groups = len(sums)
    total = sum(w for w, *_ in sums)
    if groups < 2 or total <= 0:
        return None
    mean = sum(wx for _, wx, *_ in sums) / total
    variance = groups / (groups - 1) * sum((wx - mean * w) ** 2 for w, wx, *_ in sums) / total**2
    spread = max(0.0, sum(wxx for _, _, wxx, *_ in sums) / total - mean**2)
    squares = sum(ww for *_, ww, _ in sums)
    n_eff = total**2 / squares if squares > 0 else 0.0
    return Window(mean, math.sqrt(variance), math.sqrt(spread), sum(n for *_, n in sums), n_eff, groups)


def paired(pairs: Sequence[Pair]) -> Paired:
    """The paired difference of at least one case scored in both runs (`stats.experiments.paired_difference`)."""
    new, old = [n.mean for n, _ in pairs], [o.mean for _, o in pairs]
    clusters = [n.cluster or n.case_id for n, _ in pairs]
    groups = len(set(clusters))
    found = paired_difference(old, new, clusters)
    error = math.inf
    if not isinstance(found, Insufficient):
        error = (found.high - found.value) / t_quantile(0.5 + found.level / 2, groups - 1)
    mean, old_mean = statistics.fmean(new), statistics.fmean(old)
    spread = statistics.stdev(old) if len(old) > 1 else 0.0
    return Paired(len(pairs), groups, mean, old_mean, mean - old_mean, error, spread, max(1, groups - 1))


def beside(scores: Sequence[CaseScore], window: Window) -> Paired:
    """The difference of a run's mean over cases from a production window: independent samples, each clustered by
    session, with Welch's degrees of freedom. At least one case."""
    values = [s.mean for s in scores]
    clusters = [s.cluster or s.case_id for s in scores]
    groups = len(set(clusters))
    own = clustered_mean(values, clusters)
    mean = statistics.fmean(values)
    error, df = math.inf, 1.0
    if not isinstance(own, Insufficient):
        half = (own.high - own.value) / t_quantile(0.5 + own.level / 2, groups - 1)
        total = half**2 + window.error**2
        error = math.sqrt(total)
        parts = half**4 / (groups - 1) + window.error**4 / (window.sessions - 1)
        df = total**2 / parts if parts > 0 else groups + window.sessions - 2
    return Paired(len(values), groups, mean, window.mean, mean - window.mean, error, window.sd, df)


def _one_sided(estimate: float, error: float, df: float) -> float:
    """P(T >= estimate / error) for Student's t: small when the estimate is clearly above zero."""
    if error == 0:
        return 0.0 if estimate > 0 else 1.0
    if math.isinf(error):
        return 1.0
    return t_survival(estimate / error, df)


def _margin(scorer: str, found: Paired, settings: GateSettings) -> float:
    """The loss still accepted. The default follows the baseline's own spread; a constant baseline gets 1 % of it."""
    given = settings.margin.get(scorer)
    if given is not None:
        return given
    return max(settings.margin_sd * found.baseline_sd, 0.01 * abs(found.baseline_mean), 1e-9)


def _needed(found: Paired, margin: float, level: float, power: float = 0.8) -> int | None:
    """Further cases until a harmless change would pass with `power`: ((z₁₋α + z_power)·s/Δ)² − n."""
    if math.isinf(found.error):
        return MIN_CLUSTERS
    s = found.error * math.sqrt(found.n)
    z = normal_quantile(1 - level) + normal_quantile(power)
    return max(1, math.ceil((z * s / margin) ** 2) - found.n)


def semantic(pairs: Mapping[str, Sequence[Pair]], settings: GateSettings) -> list[MetricVerdict]:
    """One verdict per semantic scorer against a run on the same cases, paired case by case; see `_decided`."""
    found = {name: paired(given) if given else None for name, given in pairs.items()}
    return _decided(found, "no case was scored in both runs by this version of the scorer", settings)


def against_window(
    scores: Mapping[str, Sequence[CaseScore]], windows: Mapping[str, Window], settings: GateSettings
) -> list[MetricVerdict]:
    """One verdict per semantic scorer against a window of production; see `_decided`."""
    found = {
        name: beside(given, windows[name]) if given and name in windows else None
        for name, given in scores.items()
    }
    return _decided(found, "production has no scores of this version of the scorer in that window", settings)


def _decided(found: Mapping[str, Paired | None], absent: str, settings: GateSettings) -> list[MetricVerdict]:
    """It passes when the loss is shown to be smaller than the margin, fails when the score is shown to be worse (and not
    shown to be within the margin), by one-sided t tests at `level` and half of it, Holm-corrected over the scorers;
    otherwise the answer is not enough evidence, with the number of further cases that would settle it."""
    names = sorted(found)
    margins = {n: _margin(n, p, settings) for n in names if (p := found[n]) is not None}
    within: dict[str, float] = {}
    worse: dict[str, float] = {}
    for name, margin in margins.items():
        p = found[name]
        if p is not None and p.clusters >= MIN_CLUSTERS:
            within[name] = _one_sided(p.difference + margin, p.error, p.df)
            worse[name] = _one_sided(-p.difference, p.error, p.df)
    # Half of the level: a false failure stops somebody's release, a late one is caught by the next run.
    passes, fails = holm(within, settings.level), holm(worse, settings.level / 2)
    verdicts: list[MetricVerdict] = []
    for name in names:
        p = found[name]
        if p is None:
            verdicts.append(MetricVerdict(name, "semantic", "not_enough_evidence", 0, absent))
            continue
        verdicts.append(_verdict(name, p, margins[name], passes.get(name), fails.get(name), settings))
    return verdicts


def _verdict(
    name: str, p: Paired, margin: float, passes: bool | None, fails: bool | None, settings: GateSettings
) -> MetricVerdict:
    half = 0.0 if p.error == 0 else t_quantile(1 - settings.level, max(1.0, p.df)) * p.error
    outcome: Outcome
    if passes:
        outcome, words = "pass", f"not worse by more than {figure(margin)}"
    elif fails:
        outcome, words = "fail", f"worse than the baseline; at most {figure(margin)} was accepted"
    else:
        outcome = "not_enough_evidence"
        words = f"cannot tell yet whether it fell by more than {figure(margin)}"
        if p.clusters < MIN_CLUSTERS:
            words += f"; only {p.clusters} independent cases"
    finite = math.isfinite(half)
    return MetricVerdict(
        name,
        "semantic",
        outcome,
        p.n,
        words,
        mean=p.mean,
        baseline_mean=p.baseline_mean,
        difference=p.difference,
        low=p.difference - half if finite else None,
        high=p.difference + half if finite else None,
        margin=margin,
        needed=_needed(p, margin, settings.level) if outcome == "not_enough_evidence" else None,
    )
