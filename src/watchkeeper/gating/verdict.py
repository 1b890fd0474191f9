"""Pass, fail, or not enough evidence: the verdict on a candidate, metric by metric.

Deterministic checks must pass on every case, and there must be enough cases for "every" to mean something
(rule of three). Semantic scores must not be worse than the baseline by more than a margin, on paired cases
clustered by session (`stats.experiments`). Nothing is decided on a point estimate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from watchkeeper.model.numerals import counted
from watchkeeper.stats.experiments import all_must_pass

Outcome = Literal["pass", "fail", "not_enough_evidence", "not_calibrated"]
# A scorer that is not calibrated is shown and decides nothing.
NOT_CALIBRATED = "not_calibrated"
ORDER: dict[str, int] = {"pass": 0, "not_enough_evidence": 1, "fail": 2}


@dataclass(frozen=True)
class CaseScore:
    """One scorer's answer for one case: `values` one entry a repeat, `passed` likewise (None: a measurement)."""

    case_id: str
    scorer: str
    values: tuple[float, ...]
    passed: tuple[bool | None, ...]
    reason: str | None = None
    cluster: str | None = None

    @property
    def mean(self) -> float:
        """The mean over repeats."""
        return sum(self.values) / len(self.values)

    @property
    def flaky(self) -> bool:
        """Whether repeats of the same case disagree on passing."""
        return len({p for p in self.passed if p is not None}) > 1


@dataclass(frozen=True)
class GateSettings:
    """What the gate asks for.

    Attributes:
        semantic: scorers judged by non-inferiority against the baseline; everything else with a pass is deterministic.
        ignore: scorers left out.
        max_failure_rate: the failure rate a perfect run must rule out at 95 % confidence; needs n >= 3 / rate cases.
        margin: worst acceptable loss per semantic scorer in its own unit; others get `margin_sd` of the baseline's sd.
        margin_sd: default margin in baseline standard deviations.
        level: one-sided error rate of a pass, half of it that of a failure, each Holm-corrected over the semantic metrics.
        max_flaky: the share of cases whose repeats may disagree before the run says too little.
    """

    semantic: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    max_failure_rate: float = 0.05
    margin: Mapping[str, float] = field(default_factory=dict[str, float])
    margin_sd: float = 0.15
    level: float = 0.05
    max_flaky: float = 0.1


@dataclass(frozen=True)
class MetricVerdict:
    """The decision on one scorer, with the numbers behind it. Bounds are one-sided at `GateSettings.level`."""

    scorer: str
    kind: Literal["deterministic", "semantic"]
    outcome: Outcome
    n: int
    explanation: str
    mean: float | None = None
    baseline_mean: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float | None = None
    needed: int | None = None
    failed_cases: tuple[str, ...] = ()
    flaky_cases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The gate's answer: the worst outcome of its metrics (fail, then not enough evidence, then pass)."""

    outcome: Outcome
    metrics: tuple[MetricVerdict, ...]
    needed: int | None = None


def deterministic(scorer: str, scores: Sequence[CaseScore]) -> MetricVerdict:
    """One check must pass on every case it applies to; flaky cases are set aside by name and never count as passes.

    A check that applies to few cases proves little by itself; how many cases the run needs is `every_case`'s question.
    """
    flaky = tuple(s.case_id for s in scores if s.flaky)
    steady = [s for s in scores if not s.flaky]
    failed = tuple(s.case_id for s in steady if any(p is False for p in s.passed))
    n = len(steady)
    words = f"{len(failed)} of {counted(n)} failed" if failed else f"0 of {n} failed"
    if flaky:
        words += f"; {len(flaky)} flaky, set aside"
    return MetricVerdict(
        scorer,
        "deterministic",
        "fail" if failed else "pass",
        n,
        words,
        mean=(n - len(failed)) / n if n else None,
        failed_cases=failed,
        flaky_cases=flaky,
    )


def every_case(checks: Sequence[MetricVerdict], cases: int, settings: GateSettings) -> MetricVerdict:
    """All deterministic checks together: no case fails any of them, on enough cases for that to mean something.

    Zero failures in n rule out a failure rate of 3/n at 95 % (the rule of three), so n >= 3 / `max_failure_rate`.
    """
    failed = tuple(sorted({c for m in checks for c in m.failed_cases}))
    aside = {c for m in checks for c in m.flaky_cases} - set(failed)
    n = cases - len(aside)
    read = all_must_pass(n - len(failed), n, p_max=settings.max_failure_rate)
    if failed:
        words = f"{len(failed)} of {counted(n)} failed a check that must always pass"
    elif read.needed is not None:
        words = (
            f"0 of {n} failed, but {counted(n + read.needed)} are needed to rule out a failure rate of "
            f"{100 * settings.max_failure_rate:.1f} %"
        )
    else:
        words = f"0 of {n} failed; the true failure rate is below {300 / n:.1f} % (95 %)"
    return MetricVerdict(
        "every_case",
        "deterministic",
        read.verdict,
        n,
        words,
        mean=(n - len(failed)) / n if n else None,
        needed=read.needed,
        failed_cases=failed,
    )


def not_calibrated(metric: MetricVerdict, why: str) -> MetricVerdict:
    """The same figures as something that decides nothing, and why."""
    words = f"provisional ({why}): measured, decides nothing; run watchkeeper calibrate {metric.scorer}"
    return replace(metric, outcome=NOT_CALIBRATED, explanation=words, needed=None)


def flakiness(
    scores: Sequence[CaseScore], before: Sequence[CaseScore], settings: GateSettings
) -> list[MetricVerdict]:
    """Cases whose repeats disagree: quarantined by measurement, and measured themselves, so that a release cannot hide
    its failures by failing only sometimes.

    With a baseline that repeated too, McNemar's exact test (one-sided) asks whether more cases became flaky than
    stopped being so; without one, or where that shows nothing, too many flaky cases are not enough evidence. Nothing
    where no case was repeated.
    """
    now = _unsteady(scores)
    if not now:
        return []
    was = _unsteady(before)
    flaky = tuple(sorted(c for c, unsteady in now.items() if unsteady))
    both = now.keys() & was.keys()
    began = sum(now[c] and not was[c] for c in both)
    ended = sum(was[c] and not now[c] for c in both)
    p = _at_least(began, began + ended)
    allowed = math.floor(settings.max_flaky * len(now))
    outcome: Outcome
    words = f"{len(flaky)} of {len(now)} repeated cases are flaky and set aside"
    if began and p <= settings.level:
        outcome = "fail"
        words += f"; {began} became so since the baseline and {ended} steady (McNemar p = {p:.2g})"
    elif len(flaky) > allowed:
        outcome = "not_enough_evidence"
        words += f"; more than {settings.max_flaky:.0%} leave too little to judge by"
    else:
        outcome = "pass"
    return [
        MetricVerdict(
            "flaky_cases", "deterministic", outcome, len(now), words,
            mean=1 - len(flaky) / len(now), flaky_cases=flaky,
            needed=len(flaky) - allowed if outcome == "not_enough_evidence" else None,
        )
    ]  # fmt: skip


def _unsteady(scores: Sequence[CaseScore]) -> dict[str, bool]:
    """Per repeated case, whether any check's repeats disagree."""
    found: dict[str, bool] = {}
    for score in scores:
        if len(score.values) > 1:
            found[score.case_id] = found.get(score.case_id, False) or score.flaky
    return found


def _at_least(k: int, n: int) -> float:
    """P(X >= k) for X ~ Binomial(n, 1/2)."""
    return sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n


def overall(metrics: Sequence[MetricVerdict]) -> Verdict:
    """The verdict over the metrics that may decide; none at all is not enough evidence, never a pass."""
    deciding = [m for m in metrics if m.outcome != NOT_CALIBRATED]
    if not deciding:
        return Verdict("not_enough_evidence", tuple(metrics))
    worst = max(deciding, key=lambda m: ORDER[m.outcome]).outcome
    needed = [m.needed for m in deciding if m.needed]
    return Verdict(worst, tuple(metrics), max(needed) if needed and worst == "not_enough_evidence" else None)
