"""What storage sampling keeps, and that weighing by 1/p gives the truth back."""

import math
import random

import pytest

from watchkeeper.model.score import Score
from watchkeeper.scoring.evidence import SignalRoute
from watchkeeper.scoring.keeping import REASONS, ROUTINE, Keeping, Kept, decide, reasons, spoken

RULE = Keeping(0.1)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((set(), False, None, 100.0), []),
        ((set(), False, "rate_limit", 100.0), ["error"]),
        (({"tool_failure"}, False, None, None), ["error"]),
        ((set(), False, None, 10_000.0), ["slow"]),
        ((set(), True, None, 5.0), ["low_score"]),
        (({"thumbs_down"}, False, None, 5.0), ["flagged"]),
        (({"guard", "error"}, True, "x", 20_000.0), list(REASONS)),
    ],
)  # fmt: skip
def test_a_reason_to_be_read_is_found(
    given: tuple[set[str], bool, str | None, float | None], wanted: list[str]
) -> None:
    assert reasons(RULE, *given) == wanted


def test_a_reason_that_is_not_wanted_does_not_count() -> None:
    assert reasons(Keeping(0.1, frozenset({"error"})), {"thumbs_down"}, True, None, 60_000.0) == []


DRAWN = Kept(False, 0.1, ROUTINE, 1_000)
WAITS = Keeping(0.1, wait_ns=50)


def word(name: str = "thumbs", source: str = "user", at: int = 1_050, passed: bool | None = False) -> Score:
    return Score("p", "t", "", name, "1", source, 1, at, None, "", "", float(bool(passed)), None, passed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (word(), True),
        (word("escalation", passed=None), False),
        (word("handover"), True),
        (word(passed=True), False),
        (word(at=1_051), False),
        (word(source="external"), False),
        (word(source="judge"), False),
        (word(source="signal"), False),
        (word("kudos", passed=True), True),
    ],
)
def test_a_users_word_in_time_keeps_what_was_left_to_the_draw(said: Score, kept: bool) -> None:
    routes = [SignalRoute("kudos", "kudos", "passed")]
    for drawn in (DRAWN, Kept(True, 0.1, ROUTINE, 1_000)):
        assert spoken(WAITS, drawn, [said], routes) == (["flagged"] if kept else [])
    assert spoken(WAITS, Kept(True, 1.0, "error", 1_000), [said], routes) == []
    assert spoken(Keeping(0.1, frozenset({"error"}), wait_ns=50), DRAWN, [said], routes) == []


def test_the_draw_is_the_same_every_time_and_differs_by_salt() -> None:
    ids = [f"{n:032x}" for n in range(5000)]
    first = [decide(RULE, "a", i, []).kept for i in ids]
    assert first == [decide(RULE, "a", i, []).kept for i in ids]
    assert first != [decide(RULE, "b", i, []).kept for i in ids]
    assert abs(sum(first) - 500) < 5 * math.sqrt(5000 * 0.09)
    assert all(decide(RULE, "a", i, ["slow"]).probability == 1.0 for i in ids[:10])


def test_weighted_means_are_the_truth_and_unweighted_ones_are_not() -> None:
    """Over 200 salts: the mean of the estimates is within its own error of the truth, and 95 % intervals hold it."""
    dice = random.Random(7)
    traffic = [
        (f"{dice.getrandbits(128):032x}", dice.lognormvariate(7, 1), dice.random() < 0.04)
        for _ in range(3000)
    ]
    why = {i: reasons(RULE, set(), False, "timeout" if bad else None, ms) for i, ms, bad in traffic}
    truths = (sum(ms for _, ms, _ in traffic) / 3000, sum(bad for *_, bad in traffic) / 3000)
    estimates: tuple[list[float], list[float]] = ([], [])
    inside, naive = 0, list[float]()
    for salt in range(200):
        kept = [
            (x, bad, 1 / d.probability)
            for i, x, bad in traffic
            if (d := decide(RULE, str(salt), i, why[i])).kept
        ]
        total = sum(w for *_, w in kept)
        for found, values in zip(
            estimates, ([x for x, _, _ in kept], [float(b) for _, b, _ in kept]), strict=True
        ):
            found.append(sum(v * k[2] for v, k in zip(values, kept, strict=True)) / total)
        mean = estimates[0][-1]
        # Of a Poisson design: the variance of Σ w(x − mean)/Σ w is Σ (1 − p) w² (x − mean)² / (Σ w)².
        spread = math.sqrt(sum((1 - 1 / w) * (w * (x - mean)) ** 2 for x, _, w in kept)) / total
        inside += abs(mean - truths[0]) <= 1.96 * spread
        naive.append(sum(x for x, _, _ in kept) / len(kept))
    for found, truth in zip(estimates, truths, strict=True):
        mean = sum(found) / len(found)
        error = math.sqrt(sum((f - mean) ** 2 for f in found) / len(found) / (len(found) - 1))
        assert abs(mean - truth) <= 4 * error, (mean, truth, error)
    assert inside >= 178, (
        "95 % of 200, less three standard deviations of that count, and a little for the ratio's bias"
    )
    assert min(naive) > 1.2 * truths[0], "what is kept is slower than what came in"
