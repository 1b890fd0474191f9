"""Semantic scores against a baseline: paired, clustered by session, with one-sided bounds and Holm's correction."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats as scipy_stats

from watchkeeper.gating.verdict import CaseScore, GateSettings, MetricVerdict, Outcome
from watchkeeper.model.series import Insufficient
from watchkeeper.stats.experiments import holm, paired_difference

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


def paired(pairs: Sequence[Pair]) -> Paired:
    """The paired difference of at least one case scored in both runs (`stats.experiments.paired_difference`)."""
    new, old = [n.mean for n, _ in pairs], [o.mean for _, o in pairs]
    clusters = [n.cluster or n.case_id for n, _ in pairs]
    groups = len(set(clusters))
    found = paired_difference(old, new, clusters)
    error = math.inf
    if not isinstance(found, Insufficient):
        error = (found.high - found.value) / float(scipy_stats.t.ppf(0.5 + found.level / 2, groups - 1))
    mean, old_mean = statistics.fmean(new), statistics.fmean(old)
    spread = statistics.stdev(old) if len(old) > 1 else 0.0
    return Paired(len(pairs), groups, mean, old_mean, mean - old_mean, error, spread)


def _one_sided(estimate: float, error: float, df: int) -> float:
    """P(T >= estimate / error) for Student's t: small when the estimate is clearly above zero."""
    if error == 0:
        return 0.0 if estimate > 0 else 1.0
    if math.isinf(error):
        return 1.0
    return float(scipy_stats.t.sf(estimate / error, df))


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
    z = float(scipy_stats.norm.ppf(1 - level) + scipy_stats.norm.ppf(power))
    return max(1, math.ceil((z * s / margin) ** 2) - found.n)


def semantic(pairs: Mapping[str, Sequence[Pair]], settings: GateSettings) -> list[MetricVerdict]:
    """One verdict per semantic scorer.

    It passes when the loss is shown to be smaller than the margin, fails when the score is shown to be worse (and not
    shown to be within the margin), both by one-sided t tests Holm-corrected over the scorers; otherwise the answer is
    not enough evidence, with the number of further cases that would settle it.
    """
    names = sorted(pairs)
    found = {name: paired(pairs[name]) if pairs[name] else None for name in names}
    tested = [n for n in names if (p := found[n]) is not None and p.clusters >= MIN_CLUSTERS]
    margins = {n: _margin(n, p, settings) for n in names if (p := found[n]) is not None}
    within: dict[str, float] = {}
    worse: dict[str, float] = {}
    for name in tested:
        p = found[name]
        assert p is not None
        within[name] = _one_sided(p.difference + margins[name], p.error, p.clusters - 1)
        worse[name] = _one_sided(-p.difference, p.error, p.clusters - 1)
    passes, fails = holm(within, settings.level), holm(worse, settings.level)
    verdicts: list[MetricVerdict] = []
    for name in names:
        p = found[name]
        if p is None:
            verdicts.append(
                MetricVerdict(name, "semantic", "not_enough_evidence", 0, "no case was scored in both runs")
            )
            continue
        verdicts.append(_verdict(name, p, margins[name], passes.get(name), fails.get(name), settings))
    return verdicts


def _verdict(
    name: str, p: Paired, margin: float, passes: bool | None, fails: bool | None, settings: GateSettings
) -> MetricVerdict:
    half = (
        0.0
        if p.error == 0
        else float(scipy_stats.t.ppf(1 - settings.level, max(1, p.clusters - 1))) * p.error
    )
    outcome: Outcome
    if passes:
        outcome, words = "pass", f"not worse by more than {margin:.3g}"
    elif fails:
        outcome, words = "fail", f"worse than the baseline; at most {margin:.3g} was accepted"
    else:
        outcome = "not_enough_evidence"
        words = f"cannot tell yet whether it fell by more than {margin:.3g}"
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
