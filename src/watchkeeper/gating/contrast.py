"""Two experiments side by side: every figure paired case by case and clustered by session, differences first."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

from watchkeeper.model.numerals import counted, figure
from watchkeeper.model.score import NEITHER, TROUBLE
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.distributions import t_quantile, t_survival
from watchkeeper.stats.experiments import holm, paired_difference, ratio

LOWER_IS_BETTER = frozenset(("cost", "latency_ms")) | TROUBLE


@dataclass(frozen=True)
class Change:
    """One figure in both runs, on the cases both have.

    `difference` is after − before with its 95 % interval (`low`, `high`); `relative` is after/before − 1 with its own
    (ratio of means, log scale), None where a mean is not positive. `n_eff` is the number of independent cases with the same
    variance. `direction` is better or worse, or moved where a figure is neither, only where a change is shown at 5 % after Holm's
    correction over the figures of its kind; otherwise it is unclear, or equal where no case differs.
    """

    metric: str
    kind: str
    n: int
    sessions: int
    before: float
    after: float
    difference: float
    n_eff: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    direction: str = "unclear"


@dataclass(frozen=True)
class Violations:
    """Deterministic checks: cases (with check) that fail now and did not before, the reverse, and those failing in both. A check that
    had nothing to look at, such as quotes, did not fail there."""

    n: int
    new: tuple[tuple[str, str], ...]
    fixed: tuple[tuple[str, str], ...]
    still: int


def _score(result: Mapping[str, Any], scorer: str) -> Mapping[str, Any] | None:
    found = result.get("scores", {}).get(scorer)
    return found if found and found.get("values") else None


def mean_of(score: Mapping[str, Any]) -> float:
    """A scorer's mean over the repeats of a case."""
    values: Sequence[float] = score["values"]
    return sum(values) / len(values)


def fails(score: Mapping[str, Any]) -> bool | None:
    """Whether a check failed on a case: on any repeat. None for a measurement, and for a flaky case, which is quarantined."""
    passed = {p for p in score.get("passed") or [] if p is not None}
    return None if len(passed) != 1 else passed == {False}


def _change(metric: str, kind: str, rows: Sequence[tuple[float, float, str]]) -> tuple[Change, float]:
    """The change of one figure from (before, after, session) rows, and the p-value of "no difference"."""
    before, after, sessions = [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]
    n, groups = len(rows), len(set(sessions))
    old, new = sum(before) / n, sum(after) / n
    found = paired_difference(before, after, sessions)
    low = high = n_eff = None
    p = 1.0
    if isinstance(found, Estimate):
        low, high, n_eff = found.low, found.high, found.n_eff
        half = (found.high - found.low) / 2
        t = t_quantile(0.975, groups - 1)
        p = 2 * t_survival(abs(found.value) / (half / t), groups - 1) if half > 0 else float(found.value == 0)
    share = ratio(after, before, sessions) if min(*before, *after, 0.0) >= 0 else Insufficient("negative", n)
    relative = share if isinstance(share, Estimate) and isfinite(share.high) else None
    return Change(
        metric, kind, n, groups, old, new, new - old, n_eff, low, high,
        relative.value - 1 if relative else None,
        relative.low - 1 if relative else None,
        relative.high - 1 if relative else None,
        "equal" if before == after else "unclear",
    ), p  # fmt: skip


def _common(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[list[tuple[Mapping[str, Any], Mapping[str, Any]]], int]:
    """Results of both runs on the same case, and how many cases ask something else by now and are left out."""
    old = {r["case_id"]: r for r in before.get("results", [])}
    pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    changed = 0
    for now in after.get("results", []):
        was = old.get(now["case_id"])
        if was is None:
            continue
        if was.get("asked") and now.get("asked") and was["asked"] != now["asked"]:
            changed += 1
            continue
        pairs.append((was, now))
    return pairs, changed


def other_version(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Scorers whose version differs between the runs: their figures are not comparable."""
    old, new = before.get("scorers") or {}, after.get("scorers") or {}
    return sorted(n for n in old.keys() & new.keys() if old[n] != new[n])


def contrast(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison of two stored experiments as a document: `headline`, `changes` (shown ones first), `violations`,
    `cases` (worse first, then what differs, then the rest), and what could not be compared."""
    pairs, changed = _common(before, after)
    apart = other_version(before, after)
    semantic = _semantic(before) | _semantic(after)
    names = sorted({s for _, now in pairs for s in now.get("scores", {})} - set(apart))
    made: list[tuple[Change, float]] = []
    for name in names:
        rows = [
            (mean_of(a), mean_of(b), str(now.get("session") or now["case_id"]))
            for was, now in pairs
            if (a := _score(was, name)) is not None and (b := _score(now, name)) is not None
        ]
        if rows:
            made.append(_change(name, "semantic" if name in semantic else "check", rows))
    for name in ("cost", "latency_ms"):
        rows = [
            (float(was[name]), float(now[name]), str(now.get("session") or now["case_id"]))
            for was, now in pairs
            if was.get(name) is not None and now.get(name) is not None
        ]
        if rows:
            made.append(_change(name, "cost", rows))
    changes = _directed(made)
    both = before.get("scorers", {}).keys() & after.get("scorers", {}).keys()
    checks = {s for pair in pairs for r in pair for s in r.get("scores", {})} - set(apart) - semantic
    violations = _violations(pairs, sorted(checks), both)
    broke = (_broken(was for was, _ in pairs), _broken(now for _, now in pairs))
    return {
        "before": {k: before.get(k) for k in ("id", "name", "dataset", "dataset_version", "target", "created_ns")},
        "after": {k: after.get(k) for k in ("id", "name", "dataset", "dataset_version", "target", "created_ns")},
        "n": len(pairs),
        "sessions": len({now.get("session") or now["case_id"] for _, now in pairs}),
        "left_out": {"changed_cases": changed, "only_before": _lacking(before, after), "only_after": _lacking(after, before)},
        "other_version": apart,
        "headline": headline(changes, violations, len(pairs), broke),
        "changes": [asdict(c) for c in changes],
        "violations": asdict(violations),
        "failed_answers": {"before": broke[0], "after": broke[1]},
        "cases": by_case(pairs, both),
    }  # fmt: skip


def _lacking(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return len(
        {r["case_id"] for r in one.get("results", [])} - {r["case_id"] for r in other.get("results", [])}
    )


def _semantic(experiment: Mapping[str, Any]) -> set[str]:
    return {m["scorer"] for m in experiment.get("metrics", []) if m["kind"] == "semantic"}


def _directed(made: Sequence[tuple[Change, float]]) -> list[Change]:
    # Two families: what is compared by size, and the checks, of which most never differ and would drown the others.
    tested = [(c, p) for c, p in made if c.n_eff is not None]
    shown = holm({c.metric: p for c, p in tested if c.kind != "check"})
    shown |= holm({c.metric: p for c, p in tested if c.kind == "check"})
    found: list[Change] = []
    for change, _ in made:
        if shown.get(change.metric) and change.difference:
            better = (change.difference > 0) != (change.metric in LOWER_IS_BETTER)
            told = "moved" if change.metric in NEITHER else "better" if better else "worse"
            change = replace(change, direction=told)
        found.append(change)
    rank = {"worse": 0, "better": 1, "moved": 2, "unclear": 3, "equal": 4}
    return sorted(
        found, key=lambda c: (rank[c.direction], c.kind == "check", -abs(c.relative or 0.0), c.metric)
    )


def _answered(result: Mapping[str, Any]) -> bool:
    return not result.get("error") and not result.get("excused")


def _broken(results: Iterable[Mapping[str, Any]]) -> int:
    """How many cases have no answer because the target failed; what was not asked counts neither way."""
    return sum(bool(r.get("error")) and not r.get("excused") for r in results)


def _failed(result: Mapping[str, Any], name: str, told: bool) -> bool | None:
    """Whether a check failed on a case; None where that is not known: a flaky case, one without an answer, or a check that said nothing
    and, unless `told`, may not have been asked."""
    score = _score(result, name)
    if score is not None:
        return fails(score)
    return False if told and _answered(result) else None


def _violations(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    checks: Sequence[str],
    both: AbstractSet[str],
) -> Violations:
    """`both` are the scorers that both runs asked."""
    new: list[tuple[str, str]] = []
    fixed: list[tuple[str, str]] = []
    still, judged = 0, set[str]()
    for was, now in pairs:
        for name in checks:
            if _score(was, name) is None and _score(now, name) is None:
                continue
            old, cur = _failed(was, name, name in both), _failed(now, name, name in both)
            if old is None or cur is None:
                continue
            judged.add(str(now["case_id"]))
            if cur and not old:
                new.append((str(now["case_id"]), name))
            elif old and not cur:
                fixed.append((str(now["case_id"]), name))
            elif old and cur:
                still += 1
    return Violations(len(judged), tuple(new), tuple(fixed), still)


def by_case(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], both: AbstractSet[str] = frozenset()
) -> list[dict[str, Any]]:
    """Both runs case by case: those that got worse first (by how much, in shares of the old value), then those that
    differ, then the rest. A check of `both` runs that had nothing to look at before and fails now has no value `before`."""
    rows: list[tuple[tuple[float, bool, str], dict[str, Any]]] = []
    for was, now in pairs:
        cells: dict[str, dict[str, Any]] = {}
        worst = 0.0
        for name in sorted(set(was.get("scores", {})) | set(now.get("scores", {}))):
            a, b = _score(was, name), _score(now, name)
            if a is None and b is not None and fails(b) and name in both and _answered(was):
                worst = max(worst, 2.0)
                cells[name] = {"before": None, "after": mean_of(b), "reason": b.get("reason"), "worse": True}
            if a is None or b is None:
                continue
            sign = 0 if name in NEITHER else -1 if name in LOWER_IS_BETTER else 1
            moved = mean_of(a) != mean_of(b)
            drop = sign * (mean_of(a) - mean_of(b)) / (abs(mean_of(a)) or 1.0)
            if fails(b) and fails(a) is False:
                drop = max(drop, 2.0)
            worst = max(worst, drop)
            if moved or fails(a) != fails(b):
                cells[name] = {
                    "before": mean_of(a),
                    "after": mean_of(b),
                    "reason": b.get("reason"),
                    "worse": drop > 0,
                }
        if now.get("error") and not was.get("error"):
            worst = max(worst, 3.0)
        differs = bool(cells) or was.get("output") != now.get("output")
        row = {
            **{
                k: now.get(k)
                for k in ("case_id", "input", "expected", "trace_id", "owner", "severity", "error")
            },
            "before": was.get("output"),
            "after": now.get("output"),
            "before_error": was.get("error"),
            "changes": cells,
            "worse": worst > 0,
            "differs": differs,
        }
        rows.append(((-worst, not differs, str(now["case_id"])), row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def percent(value: float) -> str:
    """A share as a signed percentage; what is nearly nothing keeps a digit, and nothing has no sign.

    >>> percent(0.25), percent(0.031), percent(-0.0004), percent(-0.0)
    ('+25 %', '+3.1 %', '-0.04 %', '0 %')
    """
    if value == 0:
        return "0 %"
    of_hundred = 100 * value
    if abs(of_hundred) >= 9.95:
        return f"{of_hundred:+.0f} %"
    return f"{of_hundred:+.1f} %" if abs(of_hundred) >= 0.05 else f"{of_hundred:+.1g} %"


def _said(change: Change) -> str:
    name = change.metric.replace("_ms", "").replace("_", " ")
    if change.relative is not None and change.relative_low is not None and change.relative_high is not None:
        return f"{name} {percent(change.relative)} (95 % CI {percent(change.relative_low)} to {percent(change.relative_high)})"
    if change.low is not None and change.high is not None:
        return f"{name} {figure(change.difference, sign=True)} (95 % CI {figure(change.low, sign=True)} to {figure(change.high, sign=True)})"
    return f"{name} {figure(change.difference, sign=True)} (too few sessions for an interval)"


def headline(
    changes: Sequence[Change], violations: Violations, n: int, broke: tuple[int, int] = (0, 0)
) -> str:
    """The comparison in one sentence: semantic scores and cost with their intervals, then violations, and answers that failed before
    and now (`broke`), of which no figure says anything."""
    if n == 0:
        return "the two runs have no case in common"
    told = [c for c in changes if c.kind != "check" and (c.direction != "equal" or c.kind == "semantic")]
    parts = [_said(c) for c in sorted(told, key=lambda c: c.kind != "semantic")[:4]]
    if violations.new:
        parts.append(
            f"{len(violations.new)} new violations" if len(violations.new) > 1 else "1 new violation"
        )
    elif violations.n:
        bound = 3 / violations.n
        below = f" (true rate below {100 * bound:.2g} %, 95 %)" if violations.n > 3 else ""
        parts.append(f"no new violations in {counted(violations.n)}{below}")
    if violations.fixed:
        parts.append(f"{len(violations.fixed)} fixed")
    if any(broke):
        parts.append(f"{counted(broke[1], 'answer')} failed ({broke[0]:,} before)")
    return ", ".join(parts) or f"nothing to compare on {counted(n)}"
