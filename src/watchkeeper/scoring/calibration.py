"""A scorer against people: who is asked to label what, whether the scorer may decide, and for how long."""

import hashlib
from collections.abc import Mapping, Sequence
from math import log2, sqrt
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.model.calibration import Calibration, Candidate, Drift, Pair, Probe, Standing
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.model.times import DAY
from watchkeeper.stats.distributions import sign_test, t_quantile
from watchkeeper.stats.estimates import rate
from watchkeeper.stats.intervals import clopper_pearson
from watchkeeper.stats.judges import judge_gate, krippendorff_alpha

VALID_NS = 90 * DAY
WANTED = 100
CANARY = 50
FEWEST_LABELS = 50
# Below these a bias probe says nothing; beyond them a bias of this size, with an interval that excludes 0, is reported.
FEWEST_PAIRS, FEWEST_OF_A_KIND, BIAS = 20, 10, 0.05
DRIFT_P = 0.01
Floats = NDArray[np.float64]


def draw(
    ranked: Sequence[Candidate], sizes: Mapping[bool, int], wanted: int
) -> list[tuple[Candidate, float]]:
    """Half of the labels from the scorer's fails and half from its passes, each with its probability.

    `ranked` are candidates in random order, at least `wanted` of each verdict where there are as many; `sizes` how many
    there are of each verdict in all. A verdict that has fewer gives its share to the other. The probability is that of
    being scored times that of being drawn among the scored of its verdict.
    """
    half = {True: (wanted + 1) // 2, False: wanted // 2}
    for verdict in (True, False):
        spare = half[verdict] - sizes.get(verdict, 0)
        if spare > 0:
            half[verdict] -= spare
            half[not verdict] += spare
    chosen: list[tuple[Candidate, float]] = []
    for verdict in (False, True):
        of = [c for c in ranked if c.passed is verdict][: half[verdict]]
        size = max(sizes.get(verdict, 0), len(of))
        chosen += [(c, min(1.0, c.chance * len(of) / size)) for c in of]
    return chosen


def seed_of(*parts: str) -> int:
    """A seed from names, so that the same labels give the same interval everywhere."""
    return int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:6], "big")


def majority(labels: Sequence[tuple[str, str, str]]) -> tuple[dict[str, bool], list[str]]:
    """(item, annotator, good or bad), oldest first: what most annotators say of each item, and the items where as many say
    good as bad. An annotator's later label replaces the earlier one."""
    by_item: dict[str, dict[str, bool]] = {}
    for key, author, verdict in labels:
        by_item.setdefault(key, {})[author] = verdict == "good"
    settled: dict[str, bool] = {}
    disputed: list[str] = []
    for key, given in by_item.items():
        good = sum(given.values())
        if 2 * good == len(given):
            disputed.append(key)
        else:
            settled[key] = 2 * good > len(given)
    return settled, disputed


def annotator_alpha(labels: Sequence[tuple[str, str, str]]) -> tuple[float | None, int]:
    """Krippendorff's alpha between annotators, None where no item has two, and how many annotators there are."""
    authors = sorted({a for _, a, _ in labels})
    items = sorted({k for k, _, _ in labels})
    table = np.full((max(len(authors), 1), max(len(items), 1)), np.nan)
    for key, author, verdict in labels:
        table[authors.index(author), items.index(key)] = float(verdict == "good")
    if not labels or not (np.isfinite(table).sum(axis=0) >= 2).any():
        return None, len(authors)
    alpha = krippendorff_alpha(table)
    return (float(alpha) if np.isfinite(alpha) else None), len(authors)


def confusion(pairs: Sequence[Pair]) -> dict[str, int]:
    """How many pairs there are of each verdict and label."""
    made = {"pass_good": 0, "pass_bad": 0, "fail_good": 0, "fail_bad": 0}
    for p in pairs:
        made[f"{'pass' if p.passed else 'fail'}_{'good' if p.good else 'bad'}"] += 1
    return made


def calibrate(
    pairs: Sequence[Pair],
    *,
    id: str,
    project: str,
    scorer: str,
    version: str,
    judge_model: str,
    now_ns: int,
    source: str,
    cut: float | None = None,
    valid_ns: int = VALID_NS,
    labels: Sequence[tuple[str, str, str]] = (),
    disputed: int = 0,
    left_out: int = 0,
    author: str = "",
) -> Calibration:
    """The comparison, and whether it is good enough to decide by the gate of `stats.judges.judge_gate`.

    Agreement and kappa are of the labelled set as it is: half fails and half passes, so that a scorer which always passes
    cannot look good. At least `FEWEST_LABELS` are needed whatever they say. Recall per class and `agreement_weighted` are weighted to the traffic the set was drawn from. It is
    valid for `valid_ns`.
    """
    alpha, annotators = annotator_alpha(labels)
    made = Calibration(
        id=id, project=project, scorer=scorer, version=version, judge_model=judge_model, time_ns=now_ns,
        expires_ns=now_ns + valid_ns, source=source, status="provisional", failed=[], n=len(pairs),
        table=confusion(pairs), cut=cut, alpha=alpha, annotators=annotators, disputed=disputed, left_out=left_out,
        author=author,
    )  # fmt: skip
    names = {True: "good", False: "bad"}
    clusters = [p.cluster or p.key for p in pairs]
    found = judge_gate(
        [names[p.passed] for p in pairs],
        [names[p.good] for p in pairs],
        seed=seed_of(project, scorer, version),
        clusters=clusters,
    )
    if isinstance(found, Insufficient):
        made.failed = [found.reason]
        return made
    made.status, made.failed = found.status, list(found.failed)
    if len(pairs) < FEWEST_LABELS:
        made.status = "provisional"
        made.failed.insert(0, f"{len(pairs)} labels; at least {FEWEST_LABELS} are needed")
    made.agreement, made.agreement_floor, made.kappa = found.agreement, found.agreement_floor, found.kappa
    _weigh(made, pairs, clusters)
    made.probes = probes(pairs)
    return made


def _weigh(made: Calibration, pairs: Sequence[Pair], clusters: Sequence[str]) -> None:
    """What the labelled set says of the traffic it was drawn from; labels of one session depend on each other."""
    sessions = np.array(clusters)
    pi = np.array([p.probability for p in pairs])
    same = np.array([p.passed == p.good for p in pairs])
    weighted = rate(same, pi, clusters=sessions)
    made.agreement_weighted = weighted if isinstance(weighted, Estimate) else None
    for good, name in ((True, "good"), (False, "bad")):
        of = np.array([p.good is good for p in pairs])
        if not of.any():
            continue
        recall = rate(same[of], pi[of], clusters=sessions[of])
        if isinstance(recall, Estimate):
            made.recall[name] = recall


# -- biases ------------------------------------------------------------------------------------------------------------


def probes(pairs: Sequence[Pair]) -> list[Probe]:
    """Verbosity and self-preference from the labelled pairs; position needs both orders, see `position`."""
    return [verbosity(pairs), self_preference(pairs)]


def verbosity(pairs: Sequence[Pair]) -> Probe:
    """Does the scorer like long answers more than people do? The slope of verdict − label per doubling of the answer's
    length, least squares weighted by 1/π, standard errors clustered by session."""
    of = [p for p in pairs if p.length > 0]
    x = np.array([log2(p.length) for p in of])
    if len(of) < FEWEST_PAIRS or float(x.std()) < 0.1:
        why = f"{len(of)} pairs" if len(of) < FEWEST_PAIRS else "all answers are about as long"
        return Probe(
            "verbosity", "insufficient", f"verdict − label per doubling of the answer: {why}", n=len(of)
        )
    y = np.array([float(p.passed) - float(p.good) for p in of])
    w = np.array([1 / p.probability for p in of])
    slope, error, groups = _slope(x, y, w, [p.cluster or p.key for p in of])
    return _judged(
        "verbosity", slope, error, groups - 1, len(of), "verdict − label per doubling of the answer"
    )


def _slope(x: Floats, y: Floats, w: Floats, clusters: Sequence[str]) -> tuple[float, float, int]:
    """Weighted least-squares slope, its cluster-robust standard error (CR1) and the number of clusters."""
    design = np.stack([np.ones_like(x), x], axis=1)
    bread = np.linalg.inv(design.T @ (design * w[:, None]))
    beta = bread @ (design.T @ (w * y))
    scores = design * (w * (y - design @ beta))[:, None]
    names, codes = np.unique(np.asarray(clusters), return_inverse=True)
    summed = np.zeros((names.size, 2))
    np.add.at(summed, codes, scores)
    groups, n = int(names.size), x.size
    if groups < 3:
        return float(beta[1]), float("inf"), groups
    correction = groups / (groups - 1) * (n - 1) / max(n - 2, 1)
    variance = bread @ (summed.T @ summed) @ bread * correction
    return float(beta[1]), sqrt(max(float(variance[1, 1]), 0.0)), groups


def self_preference(pairs: Sequence[Pair]) -> Probe:
    """Does the scorer like answers of its own model family more than people do? The difference of the mean of verdict − label
    between answers of its family and others."""
    words = "verdict − label, own model family against others"
    kin = [float(p.passed) - float(p.good) for p in pairs if p.kin is True]
    other = [float(p.passed) - float(p.good) for p in pairs if p.kin is False]
    if min(len(kin), len(other)) < FEWEST_OF_A_KIND:
        said = f"{words}: {len(kin)} answers of its family, {len(other)} of others"
        return Probe("self_preference", "insufficient", said, n=len(kin) + len(other))
    a, b = np.array(kin), np.array(other)
    va, vb = float(a.var(ddof=1)) / a.size, float(b.var(ddof=1)) / b.size
    gap = float(a.mean() - b.mean())
    df = (
        (va + vb) ** 2 / (va**2 / (a.size - 1) + vb**2 / (b.size - 1)) if va + vb > 0 else a.size + b.size - 2
    )
    return _judged("self_preference", gap, sqrt(va + vb), df, a.size + b.size, words)


def _judged(name: str, value: float, error: float, df: float, n: int, words: str) -> Probe:
    if not np.isfinite(error):
        return Probe(name, "insufficient", f"{words}: fewer than three sessions", n=n)
    half = t_quantile(0.975, max(df, 1)) * error
    apart = (value - half > 0 or value + half < 0) and abs(value) > BIAS
    status: Literal["clear", "biased"] = "biased" if apart else "clear"
    return Probe(name, status, words, value, value - half, value + half, n)


def position(given: Sequence[int], swapped: Sequence[int]) -> Probe:
    """Does a pairwise judge choose by place? Verdicts (1, 2 or 0) of the same pairs in both orders, mapped back so that 1 is
    the same answer. `value` is the share of flipped pairs that chose the first place both times; the test is the exact
    binomial one of a half. A flipped pair counts as a tie wherever a verdict is needed.
    Raises ValueError when the lists differ in length."""
    if len(given) != len(swapped):
        raise ValueError(
            f"{len(given)} verdicts in the given order and {len(swapped)} swapped; pairs are needed"
        )
    first = sum(a == 1 and b == 2 for a, b in zip(given, swapped, strict=True))
    second = sum(a == 2 and b == 1 for a, b in zip(given, swapped, strict=True))
    flipped = first + second
    words = f"first place among {flipped} flipped of {len(given)} pairs"
    if not flipped:
        return Probe("position", "clear" if given else "insufficient", words, n=0)
    low, high = clopper_pearson(first, flipped)
    status: Literal["clear", "biased"] = "biased" if sign_test(first, flipped) < 0.05 else "clear"
    return Probe("position", status, words, first / flipped, low, high, flipped)


# -- time --------------------------------------------------------------------------------------------------------------


def drift(before: Mapping[str, bool], now: Mapping[str, bool], now_ns: int = 0) -> Drift:
    """The same examples judged again. McNemar's exact test: of the verdicts that turned, are as many turned either way?
    p below 0.01 is a judge that changed."""
    both = before.keys() & now.keys()
    to_fail = sum(before[k] and not now[k] for k in both)
    to_pass = sum(now[k] and not before[k] for k in both)
    turned = to_fail + to_pass
    p = sign_test(to_fail, turned)
    return Drift(len(both), to_fail, to_pass, p, p < DRIFT_P, now_ns)


def in_force(own: Sequence[Calibration]) -> Calibration:
    """The newest comparison; but one with too few labels says nothing against an earlier one that had enough from elsewhere: a dataset of
    five cases must not end what a hundred labels of the review queue have shown."""
    newest_first = sorted(own, key=lambda c: -c.time_ns)
    enough = next((c for c in newest_first if c.n >= FEWEST_LABELS), None)
    if enough is None:
        return newest_first[0]
    since = [c for c in newest_first if c.time_ns > enough.time_ns and _origin(c) == _origin(enough)]
    return since[0] if since else enough


def _origin(of: Calibration) -> str:
    return of.source.partition("@")[0]


def standing(
    scorer: str,
    kind: str,
    version: str,
    judge_model: str,
    found: Sequence[Calibration],
    now_ns: int,
    canary: Drift | None = None,
) -> Standing:
    """Whether a model-based scorer may gate and page at `now_ns`: by its newest calibration of this very version and judge
    model, while that is valid and the judge has not drifted since. `found` are its calibrations, any order."""
    made = Standing(scorer, kind, version, judge_model, provisional=True)
    if not found:
        return msgspec.structs.replace(made, reason="never compared with people")
    newest = max(found, key=lambda c: c.time_ns)
    own = [c for c in found if c.version == version and c.judge_model == judge_model]
    if not own:
        what = "the judge model" if newest.judge_model != judge_model else "the scorer"
        return msgspec.structs.replace(made, reason=f"{what} changed since it was compared with people")
    last = in_force(own)
    made = msgspec.structs.replace(made, calibrated_ns=last.time_ns, expires_ns=last.expires_ns, n=last.n)
    if last.status != "calibrated":
        return msgspec.structs.replace(made, reason="; ".join(last.failed) or "it was not good enough")
    if now_ns >= last.expires_ns:
        return msgspec.structs.replace(made, reason="its calibration has expired")
    if canary is not None and canary.drifted and canary.time_ns > last.time_ns:
        return msgspec.structs.replace(
            made, reason=f"the judge drifted: {canary.to_fail + canary.to_pass} of {canary.n} canaries turned"
        )
    return msgspec.structs.replace(made, provisional=False)
