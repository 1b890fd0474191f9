"""Guided triage as arithmetic: which cohort or fact of the traces accounts for how much of a change of a metric.

A cohort's part. With m the baseline's mean, p a cohort's part of the traffic and μ its mean, before (b) and after (a),

    change = Σ over the cohorts of one dimension of  p_a (μ_a − m) − p_b (μ_b − m)

exactly, so each term over the change is that cohort's share, whether its traffic grew or its quality fell. A share alone
blames whatever carries all traffic, so a cohort is only named when it stands apart: worse than the rest in the same
hours, or new with nearly all traffic (then nothing in the data separates it from the time itself, and the note says so).

A fact's part (length, number of documents, a tool that was used) is the mix term of Kitagawa's decomposition (1955): the
change of its distribution times the metric's mean in each bin, both windows averaged.
Every factor must pass a test at 0.01 divided by the number of factors, and the cohort that an alert named one at 0.05.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray

from watchkeeper.alerting.evidence import less_is_better, show, suspects, when
from watchkeeper.alerting.units import unit_of_metric
from watchkeeper.model.alert import Deploy, Moved
from watchkeeper.model.incident import STEPS, Factor, Step, Triage, Verdict
from watchkeeper.model.series import Cohort
from watchkeeper.stats.intervals import wilson, z_of

Floats = NDArray[np.float64]
FEWEST, EXPLAINS, CONTRIBUTES = 20, 0.5, 0.1
BINS = 5
# A cohort that had less than NEW of the traffic and now has nearly ALL: it came with the time.
NEW, ALL = 0.1, 0.9
COHORT_STEPS = {
    "prompt_version": "generation", "prompt_name": "generation", "model": "generation",
    "provider": "generation", "variant": "generation", "release": "generation", "agent_name": "routing",
    "scenario": "upstream", "service": "upstream", "environment": "upstream", "region": "upstream",
}  # fmt: skip
_RANK: dict[Verdict, int] = {"explains": 0, "contributes": 1, "holds": 2, "not_enough": 3}
# A prompt or model that changed is a cause; a release says less, since it may carry either; a shorter answer is a symptom.
_CAUSE = {"prompt_version": 0, "model": 0, "prompt_name": 0, "variant": 1, "provider": 1, "release": 2}
TITLES = {
    "retrieval": "Retrieval", "generation": "Generation", "routing": "Routing and tools", "upstream": "Upstream"
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Scored traces of one scope, as columns of equal length: `after` the onset or before, the metric's `value`, the
    `weight` (1 / inclusion probability). `cohorts`: dimension → values. `facts`: (step, name) → a number per trace, NaN
    where the trace has none; `words` says a fact in words."""

    after: NDArray[np.bool_]
    value: Floats
    weight: Floats
    cohorts: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    facts: dict[tuple[str, str], Floats] = field(default_factory=dict[tuple[str, str], Floats])
    words: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class _Mean:
    """A weighted mean, its standard error, and what it rests on."""

    value: float
    se: float
    n: int
    mass: float

    @property
    def known(self) -> bool:
        return self.n >= FEWEST


def _mean(x: Floats, w: Floats) -> _Mean:
    """Hájek's mean, as `stats.estimates.mean`, with its standard error and mass kept for combining."""
    n, mass = int(x.size), float(w.sum())
    if n == 0 or mass <= 0:
        return _Mean(0.0, 0.0, 0, 0.0)
    mu = float((w * x).sum()) / mass
    n_eff = mass**2 / float((w * w).sum())
    variance = float((w**2 * (x - mu) ** 2).sum()) / mass**2
    return _Mean(mu, sqrt(variance * (n_eff / (n_eff - 1) if n_eff > 2 else 2.0)), n, mass)


def _moved(name: str, before: _Mean, after: _Mean, unit: str, significant: bool) -> Moved:
    """Both means at 95 %; unknown where there is no trace."""
    z = z_of(0.95)

    def ends(m: _Mean) -> tuple[float | None, float | None, float | None]:
        low, high = m.value - z * m.se, m.value + z * m.se
        if unit == "rate":
            # All or none of a sample has no spread of its own.
            low, high = (
                wilson(m.value * m.n, m.n)
                if m.n and m.value in (0.0, 1.0)
                else (max(low, 0.0), min(high, 1.0))
            )
        return (m.value, low, high) if m.n else (None, None, None)

    return Moved(name, *ends(before), before.n, *ends(after), after.n, unit, significant)


@dataclass(frozen=True)
class _Whole:
    """The change to be explained. `z` is the normal quantile at 0.01 / number of factors; `named` are the cohorts a
    monitor has already found, which are one hypothesis and not one of many."""

    sample: Sample
    before: _Mean
    after: _Mean
    z: float
    named: Cohort = ()

    @property
    def change(self) -> float:
        return self.after.value - self.before.value

    @property
    def se(self) -> float:
        return hypot(self.before.se, self.after.se)

    def share(self, part: float, se: float, apart: bool) -> tuple[float, float, float]:
        """`part` over the change with its 95 % interval by the delta method. A cohort and the rest of the traffic are
        `apart`: their errors are independent and add up to the whole's. A fact's part is not; it is taken as independent
        of the whole, which is the wider choice, since a part and its whole move together."""
        s = part / self.change
        if apart:
            rest = max(self.se**2 - se**2, 0.0)
            variance = ((1 - s) * se) ** 2 + s**2 * rest
        else:
            variance = se**2 + (s * self.se) ** 2
        half = z_of(0.95) * sqrt(variance) / abs(self.change)
        return s, s - half, s + half


def _cohort_factor(whole: _Whole, dimension: str, value: str, unit: str) -> Factor | None:
    """What one cohort accounts for; None for a cohort that all traffic has always had, which can say nothing."""
    s = whole.sample
    mine = np.fromiter((v == value for v in s.cohorts[dimension]), dtype=bool, count=s.value.size)
    before, after = (_mean(s.value[mine & side], s.weight[mine & side]) for side in (~s.after, s.after))
    rest = _mean(s.value[~mine & s.after], s.weight[~mine & s.after])
    p_b = before.mass / whole.before.mass
    p_a = after.mass / whole.after.mass
    if p_b > ALL and p_a > ALL:
        return None
    m = whole.before.value
    part = p_a * (after.value - m) - p_b * (before.value - m)
    # Binomial variance of the traffic parts, and the means' own.
    se = sqrt(
        (p_a * after.se) ** 2 + (p_b * before.se) ** 2
        + (after.value - m) ** 2 * p_a * (1 - p_a) / max(whole.after.n, 1)
        + (before.value - m) ** 2 * p_b * (1 - p_b) / max(whole.before.n, 1)
    )  # fmt: skip
    share, low, high = whole.share(part, se, apart=True)
    name, step = f"{dimension} {value}", COHORT_STEPS.get(dimension, "upstream")
    coincides = p_b < NEW and p_a > ALL
    gap, gap_se = after.value - rest.value, hypot(after.se, rest.se)
    z = z_of(0.95) if (dimension, value) in whole.named else whole.z
    apart = after.known and rest.known and gap * whole.change > 0 and abs(gap) > z * gap_se
    line = _moved(name, before, after, unit, apart or coincides)
    made: dict[str, object] = {"traffic": (p_b, p_a), "moved": apart or coincides, "value": value}
    if not after.known and p_a > 0.02:
        note = f"{after.n} scored traces of it since the onset; {FEWEST} are needed"
        return Factor(step, name, "cohort", "not_enough", line, note, **made)  # pyright: ignore[reportArgumentType]
    verdict: Verdict = "holds"
    if (apart or coincides) and low > 0 and share >= CONTRIBUTES:
        verdict = "explains" if share >= EXPLAINS else "contributes"
    note = _cohort_note(p_b, p_a, after, rest, coincides, s, unit)
    return Factor(step, name, "cohort", verdict, line, note, share, low, high, **made)  # pyright: ignore[reportArgumentType]


def _percent(p: float) -> str:
    return f"{p * 100:.0f} %" if p == 0 or p >= 0.095 else f"{p * 100:.1f} %"


def _cohort_note(
    p_b: float, p_a: float, after: _Mean, rest: _Mean, coincides: bool, s: Sample, unit: str
) -> str:
    traffic = f"{_percent(p_b)} of the traffic before, {_percent(p_a)} since"
    if coincides:
        return f"{traffic}; it came with the change, and no other traffic is left to tell the two apart"
    if not after.n:
        return f"{traffic}; none since the onset"
    if not rest.known:
        return f"{traffic}; too little other traffic to compare with"
    return f"{traffic}; the rest stands at {show('', rest.value, unit)} (n {rest.n:,}) in the same hours"


def _bins(x: Floats, before: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The bin of each trace: fifths of the baseline, equal values never parted, unknown in a bin of its own."""
    known = np.isfinite(x)
    base = x[known & before]
    source = base if base.size else x[known]
    cuts = np.unique(np.quantile(source, np.linspace(0, 1, BINS + 1)[1:-1])) if source.size else np.empty(0)
    if np.unique(x[known]).size <= 2:
        cuts = np.array([0.5])
    placed = np.searchsorted(cuts, np.where(known, x, 0.0), side="left")
    return np.where(known, placed, cuts.size + 1)


def _mix(whole: _Whole, x: Floats) -> tuple[float, float]:
    """Kitagawa's mix term and its standard error: the parts' own sampling, and that of the means in the bins."""
    s = whole.sample
    place = _bins(x, ~s.after)
    total, variance = 0.0, 0.0
    worth = np.zeros(s.value.size)
    for b in np.unique(place):
        here = place == b
        before, after = (_mean(s.value[here & side], s.weight[here & side]) for side in (~s.after, s.after))
        both = [m for m in (before, after) if m.n]
        mean = sum(m.value for m in both) / len(both)
        step = after.mass / whole.after.mass - before.mass / whole.before.mass
        total += step * mean
        variance += step**2 * sum(m.se**2 for m in both) / len(both) ** 2
        worth[here] = mean
    for side in (~s.after, s.after):
        variance += _mean(worth[side], s.weight[side]).se ** 2
    return total, sqrt(variance)


def _fact_factor(whole: _Whole, step: str, name: str) -> Factor:
    """What the change of one fact's distribution accounts for."""
    s = whole.sample
    x = s.facts[(step, name)]
    known = np.isfinite(x)
    before, after = (_mean(x[known & side], s.weight[known & side]) for side in (~s.after, s.after))
    words = s.words.get(name, name.replace("_", " "))
    rate = bool(known.any()) and set(np.unique(x[known]).tolist()) <= {0.0, 1.0}
    # A number per trace is written as one even where no trace had more than one.
    unit = "rate" if rate and not words.endswith("per trace") else (unit_of_metric(name) or "")
    if not (before.known and after.known):
        few = min(before.n, after.n)
        note = (
            "no trace has it"
            if not (before.n or after.n)
            else f"{few} traces on one side; {FEWEST} are needed"
        )
        return Factor(
            step, words, "fact", "not_enough", _moved(words, before, after, unit, False), note, value=name
        )
    # A rate that was never seen on one side has no spread there: one trace of the other kind bounds it.
    floor = 1 / min(before.n, after.n) if rate else 0.0
    se = max(hypot(before.se, after.se), floor)
    # Sums of equal numbers differ in their last digit.
    rounding = 1e-9 * max(abs(after.value), abs(before.value))
    moved = abs(after.value - before.value) > max(whole.z * se, rounding)
    part, part_se = _mix(whole, x)
    share, low, high = whole.share(part, part_se, apart=False)
    verdict: Verdict = "holds"
    if moved and low > 0 and share >= CONTRIBUTES:
        verdict = "explains" if share >= EXPLAINS else "contributes"
    note = (
        "as before"
        if not moved
        else "moved"
        if verdict != "holds"
        else "moved, but this does not explain the change"
    )
    line = _moved(words, before, after, unit, moved)
    return Factor(step, words, "fact", verdict, line, note, share, low, high, moved=moved, value=name)


def _order(factor: Factor) -> tuple[int, int, int, float, str]:
    """Verdict first; then causes before symptoms, and what explains most, to a tenth."""
    share = round(min(factor.share or 0.0, 1.0), 1)
    cause = _CAUSE.get(factor.name.split(" ")[0], 1) if factor.kind == "cohort" else 3
    alone = int("no other traffic" in factor.note)
    return _RANK[factor.verdict], alone + (factor.kind == "fact"), cause, -share, factor.name


def _step(name: str, factors: Sequence[Factor]) -> Step:
    found = sorted((f for f in factors if f.step == name), key=_order)
    if not found:
        return Step(name, "not_enough", "Nothing is recorded that could be looked at.", [])
    verdicts: list[Verdict] = [f.verdict for f in found]
    verdict = min(verdicts, key=lambda v: _RANK[v])
    strong = [f for f in found if f.verdict in ("explains", "contributes")]
    if strong:
        says = "; ".join(f"{f.name} accounts for {share_text(f)} of the change" for f in strong[:3]) + "."
    elif verdict == "not_enough":
        says = "Too few scored traces to say."
    else:
        moved = [f.name for f in found if f.moved]
        says = f"Moved without explaining it: {', '.join(moved[:4])}." if moved else "As before."
    return Step(name, verdict, says, found)


def share_text(factor: Factor) -> str:
    """A factor's share for people: "40 % (20 to 61 %)", "97 % (at least 81 %)", "all (at least 87 %)". Others that pull the other
    way make it more than all of the change, which the numbers in the triage keep and no sentence says."""
    if factor.share is None or factor.share_low is None or factor.share_high is None:
        return "an unknown part"
    share, low, high = (round(100 * x) for x in (factor.share, factor.share_low, factor.share_high))
    said = "all" if share >= 100 else f"{share} %"
    return f"{said} (at least {min(low, 100)} %)" if high >= 100 else f"{said} ({low} to {high} %)"


def _summary(
    ranked: Sequence[Factor], cohort: Cohort, deploys: Sequence[Deploy], onset: int, now: int
) -> str:
    if not ranked:
        return "No cohort and no fact of the traces explains the change; look at what is not recorded."
    first = ranked[0]
    said = (
        f"First suspect: {first.name}, which accounts for {share_text(first)} of the change ({first.note})."
    )
    named = ((first.name.split(" ")[0], first.value),) if first.kind == "cohort" else cohort
    made = [x for x in suspects(deploys, named, onset, now) if x.deploy.version in {v for _, v in named}]
    if made:
        d = made[0].deploy
        said += f" {d.name} {d.version}{f' ({d.note})' if d.note else ''} was deployed {when(d.time_ns)}."
    return said


def triage(
    sample: Sample,
    metric: str,
    cohort: Cohort,
    before: tuple[int, int],
    after: tuple[int, int],
    now: int,
    deploys: Sequence[Deploy] = (),
    extra: Sequence[Factor] = (),
    named: Cohort = (),
) -> Triage:
    """What explains the change of `metric` between two windows (ns) in the traffic of `cohort`. `extra` are factors that
    are not measured on traces, such as volume; `named` is the part of the traffic a monitor alerted about."""
    unit = unit_of_metric(metric) or ""
    first, then = (_mean(sample.value[side], sample.weight[side]) for side in (~sample.after, sample.after))
    values = {d: sorted(set(v)) for d, v in sample.cohorts.items()}
    looked = max(1, sum(len(v) for v in values.values()) + len(sample.facts))
    whole = _Whole(sample, first, then, z_of(1 - 0.01 / looked), named)
    apart = first.known and then.known and abs(whole.change) > z_of(0.95) * whole.se
    line = _moved(metric, first, then, unit, apart)

    def answer(says: str, steps: list[Step], ranked: list[Factor]) -> Triage:
        sizes = (first.n, then.n)
        return Triage(metric, dict(cohort), line, sizes, before, after, now, says, steps, ranked)

    if not apart:
        why = (
            f"No trace has {metric}, before or since {when(after[0])}: is it called that?"
            if not (first.n or then.n)
            else f"Too few scored traces: {first.n:,} before and {then.n:,} since {when(after[0])}; {FEWEST} of each are needed."
            if not (first.known and then.known)
            else f"{metric} is not measurably different from before, so there is nothing to explain."
        )
        return answer(why, [Step(name, "not_enough", why, []) for name in STEPS], [])
    makers: list[Callable[[], Factor | None]] = [
        lambda d=d, v=v: _cohort_factor(whole, d, v, unit) for d, vs in values.items() for v in vs
    ]
    makers += [lambda s=s, n=n: _fact_factor(whole, s, n) for s, n in sample.facts]
    found = [f for make in makers if (f := make()) is not None] + list(extra)
    ranked = sorted((f for f in found if f.verdict in ("explains", "contributes")), key=_order)
    steps = [_step(name, found) for name in STEPS]
    return answer(_summary(ranked, cohort, deploys, after[0], now), steps, ranked)


def worse(metric: str, line: Moved) -> bool | None:
    """Whether the change is for the worse by the metric's name; None when it is not known."""
    if line.baseline is None or line.current is None:
        return None
    return (line.current > line.baseline) == bool(less_is_better(metric))
