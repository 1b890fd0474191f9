"""Semantic scores against a baseline: paired, clustered by session, with one-sided bounds and Holm's correction."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watchkeeper.gating.verdict import CaseScore, GateSettings, MetricVerdict
from watchkeeper.model.numerals import figure
from watchkeeper.model.series import Insufficient
from watchkeeper.stats.distributions import t_quantile
from watchkeeper.stats.experiments import (
    Verdict,
    cases_needed,
    clustered_mean,
    gate,
    paired_difference,
    tails,
)

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


def _margin(scorer: str, found: Paired, settings: GateSettings) -> float:
    """The loss still accepted. The default follows the baseline's own spread; a constant baseline gets 1 % of it."""
    given = settings.margin.get(scorer)
    if given is not None:
        return given
    return max(settings.margin_sd * found.baseline_sd, 0.01 * abs(found.baseline_mean), 1e-9)


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
    """The verdicts of `stats.experiments.gate` on the scorers with enough sessions; of others, and of those that settle nothing, the
    answer is not enough evidence, with the number of further cases that would settle it."""
    margins = {name: _margin(name, p, settings) for name, p in found.items() if p is not None}
    outcomes = gate(
        {
            name: tails(p.difference, p.error, p.df, margins[name])
            for name, p in found.items()
            if p is not None and p.clusters >= MIN_CLUSTERS
        },
        settings.level,
    )
    verdicts: list[MetricVerdict] = []
    for name in sorted(found):
        p = found[name]
        if p is None:
            verdicts.append(MetricVerdict(name, "semantic", "not_enough_evidence", 0, absent))
            continue
        outcome = outcomes.get(name, "not_enough_evidence")
        verdicts.append(_verdict(name, p, margins[name], outcome, settings))
    return verdicts


def _verdict(name: str, p: Paired, margin: float, outcome: Verdict, settings: GateSettings) -> MetricVerdict:
    half = 0.0 if p.error == 0 else t_quantile(1 - settings.level, max(1.0, p.df)) * p.error
    finite, needed = math.isfinite(half), None
    if outcome == "pass":
        words = f"not worse by more than {figure(margin)}"
    elif outcome == "fail":
        words = f"worse than the baseline; at most {figure(margin)} was accepted"
    else:
        words = f"cannot tell yet whether it fell by more than {figure(margin)}"
        if p.clusters < MIN_CLUSTERS:
            words += f"; only {p.clusters} independent cases"
        needed = cases_needed(p.n, p.error, margin, settings.level) if finite else MIN_CLUSTERS
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
        needed=needed,
    )
