"""Semantic scores against a baseline: paired, clustered by session, with one-sided bounds and Holm's correction."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats as scipy_stats

from watchkeeper.gating.verdict import CaseScore, GateSettings, MetricVerdict, Outcome

MIN_CLUSTERS = 5
Pair = tuple[CaseScore, CaseScore]


@dataclass(frozen=True)
class Paired:
    """A paired difference: mean over cases, its standard error clustered by session, and the number of clusters."""

    n: int
    clusters: int
    mean: float
    baseline_mean: float
    difference: float
    error: float
    baseline_sd: float


def paired(pairs: Sequence[Pair]) -> Paired:
    """Mean difference new − baseline per case with the cluster-robust variance G/(G−1)·Σ_g(Σ_{i∈g}(d_i − d̄))²/n²."""
    differences = [new.mean - old.mean for new, old in pairs]
    n = len(pairs)
    difference = math.fsum(differences) / n
    groups: dict[str, float] = defaultdict(float)
    for (new, _), d in zip(pairs, differences, strict=True):
        groups[new.cluster or new.case_id] += d - difference
    count = len(groups)
    variance = (
        count / (count - 1) * math.fsum(v * v for v in groups.values()) / n**2 if count > 1 else math.inf
    )
    old_values = [old.mean for _, old in pairs]
    old_mean = math.fsum(old_values) / n
    spread = math.fsum((v - old_mean) ** 2 for v in old_values) / max(1, n - 1)
    return Paired(
        n, count, old_mean + difference, old_mean, difference, math.sqrt(variance), math.sqrt(spread)
    )


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects at family-wise `level` (Holm 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = [False] * len(p_values)
    for rank, index in enumerate(order):
        if p_values[index] > level / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


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
    within: list[float] = []
    worse: list[float] = []
    for name in tested:
        p = found[name]
        assert p is not None
        within.append(_one_sided(p.difference + margins[name], p.error, p.clusters - 1))
        worse.append(_one_sided(-p.difference, p.error, p.clusters - 1))
    passes = dict(zip(tested, holm(within, settings.level), strict=True))
    fails = dict(zip(tested, holm(worse, settings.level), strict=True))
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
