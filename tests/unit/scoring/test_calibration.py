"""A scorer against people: draws, the gate, bias probes, drift, standing and the corrected twin."""

import json
import random

import msgspec
import numpy as np
import pytest

from tests.shared import shared_path
from watchkeeper.model.calibration import Calibration, Candidate, Drift, Pair
from watchkeeper.model.series import Estimate
from watchkeeper.scoring import calibration as rules
from watchkeeper.scoring.correction import Window, correct
from watchkeeper.stats.estimates import rate
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.judges import judge_gate

DAY = rules.DAY


def calibrated(pairs: list[Pair], **more: object) -> Calibration:
    arguments = {
        "id": "cal_1", "project": "p", "scorer": "judge", "version": "v1", "judge_model": "m", "now_ns": 100 * DAY,
        "source": "review", **more,
    }  # fmt: skip
    return rules.calibrate(pairs, **arguments)  # type: ignore[arg-type]


def pairs_of(table: dict[tuple[bool, bool], int], **more: object) -> list[Pair]:
    made: list[Pair] = []
    for (passed, good), n in table.items():
        made += [Pair(f"{passed}{good}{i}", passed, good, **more) for i in range(n)]  # type: ignore[arg-type]
    return made


def candidates(passes: int, fails: int, chance: float = 1.0) -> list[Candidate]:
    return [Candidate(f"p{i}", True, chance=chance) for i in range(passes)] + [
        Candidate(f"f{i}", False, chance=chance) for i in range(fails)
    ]


def test_it_draws_half_fails_half_passes_each_with_its_probability() -> None:
    drawn = rules.draw(candidates(50, 50), {True: 900, False: 100}, 100)
    assert sum(c.passed for c, _ in drawn) == 50 and len(drawn) == 100
    assert {round(p, 6) for c, p in drawn if c.passed} == {round(50 / 900, 6)}
    assert {p for c, p in drawn if not c.passed} == {0.5}


def test_a_verdict_that_is_rare_gives_its_share_to_the_other() -> None:
    drawn = rules.draw(candidates(100, 8, chance=0.5), {True: 400, False: 8}, 100)
    assert len(drawn) == 100
    assert {p for c, p in drawn if not c.passed} == {0.5}
    assert {p for c, p in drawn if c.passed} == {0.5 * 92 / 400}
    assert rules.draw([], {}, 10) == []


def test_the_gate_needs_what_the_specification_says() -> None:
    good = pairs_of({(True, True): 23, (False, False): 22, (True, False): 3, (False, True): 2})
    assert calibrated(good).status == "calibrated"
    one_less = pairs_of({(True, True): 22, (False, False): 22, (True, False): 3, (False, True): 3})
    found = calibrated(one_less)
    assert found.status == "provisional" and "agreement may be as low as" in found.failed[0]


def test_a_scorer_that_nearly_always_passes_is_provisional_although_it_agrees_often() -> None:
    found = calibrated(pairs_of({(True, True): 90, (True, False): 8, (False, False): 2}))
    assert found.agreement is not None and found.agreement.value >= 0.9
    assert found.status == "provisional" and any("kappa" in why for why in found.failed)
    assert found.recall["bad"].value == pytest.approx(0.2)


def test_few_labels_are_provisional_however_well_they_agree() -> None:
    found = calibrated(pairs_of({(True, True): 20, (False, False): 20}))
    assert found.status == "provisional" and found.failed == ["40 labels; at least 50 are needed"]
    assert calibrated([]).failed == ["no labelled traces yet"]


def test_what_is_said_of_the_traffic_counts_labels_of_one_session_as_the_fewer_they_are_worth() -> None:
    pairs = pairs_of({(True, True): 45, (True, False): 15, (False, True): 5, (False, False): 35})
    # Fifteen bad answers in three sessions passed: three mistakes rather than fifteen.
    joined = [msgspec.structs.replace(p, cluster=f"s{i // 5}") for i, p in enumerate(pairs)]
    apart, together = calibrated(pairs), calibrated(joined)
    for a, b in (
        (apart.recall["bad"], together.recall["bad"]),
        (apart.agreement_weighted, together.agreement_weighted),
    ):
        assert a is not None and b is not None and a.value == b.value and b.n_eff is not None
        assert b.low < a.low and a.high < b.high and b.n_eff < 0.5 * b.n


def test_recall_is_of_the_traffic_the_sample_was_drawn_from() -> None:
    # 1000 passes of which 10 % are bad, 100 fails of which 80 % are bad; 50 of each labelled.
    drawn = pairs_of({(True, True): 45, (True, False): 5}, probability=0.05)
    drawn += pairs_of({(False, True): 10, (False, False): 40}, probability=0.5)
    found = calibrated(drawn)
    assert found.recall["bad"].value == pytest.approx(80 / 180)
    assert found.recall["good"].value == pytest.approx(900 / 920)
    assert found.agreement_weighted is not None
    assert found.agreement_weighted.value == pytest.approx((900 + 80) / 1100)
    assert found.agreement is not None and found.agreement.value == pytest.approx(0.85)


def test_labels_of_one_session_count_as_fewer() -> None:
    table = {(True, True): 45, (False, False): 45, (True, False): 5, (False, True): 5}
    alone = calibrated(pairs_of(table))
    together = [Pair(p.key, p.passed, p.good, cluster=f"s{i // 5}") for i, p in enumerate(pairs_of(table))]
    found = calibrated(together)
    assert alone.agreement_floor is not None and found.agreement_floor is not None
    assert found.agreement is not None and found.agreement.n == 100 and found.agreement.n_eff < 30
    assert found.agreement_floor < alone.agreement_floor


def test_the_majority_of_annotators_counts_and_a_tie_does_not() -> None:
    labels = [
        ("t1", "ana", "good"), ("t1", "ben", "bad"), ("t1", "cem", "good"),
        ("t2", "ana", "good"), ("t2", "ben", "bad"),
        ("t3", "ana", "good"), ("t3", "ana", "bad"),
    ]  # fmt: skip
    assert rules.majority(labels) == ({"t1": True, "t3": False}, ["t2"])
    alpha, annotators = rules.annotator_alpha(labels)
    assert annotators == 3 and alpha is not None and alpha < 0.3
    assert rules.annotator_alpha([("t1", "ana", "good")]) == (None, 1)


def test_a_taste_for_long_answers_is_found_and_none_is_not_invented() -> None:
    dice = random.Random(3)
    lengths = [int(2 ** dice.uniform(5, 11)) for _ in range(300)]
    goods = [dice.random() < 0.6 for _ in lengths]
    fond = [g if dice.random() < 0.6 else n > 300 for g, n in zip(goods, lengths, strict=True)]
    fair = [g if dice.random() < 0.9 else not g for g in goods]
    found, clear = (
        rules.verbosity(
            [
                Pair(str(i), v, g, length=n)
                for i, (v, g, n) in enumerate(zip(said, goods, lengths, strict=True))
            ]
        )
        for said in (fond, fair)
    )
    assert found.status == "biased" and found.value is not None and found.value > 0.05
    assert clear.status == "clear"
    assert rules.verbosity([Pair("a", True, True, length=10)]).status == "insufficient"


def test_self_preference_needs_both_kinds_of_answers() -> None:
    kin = [Pair(f"k{i}", True, i % 2 == 0, kin=True) for i in range(40)]
    other = [Pair(f"o{i}", i % 2 == 0, i % 2 == 0, kin=False) for i in range(40)]
    found = rules.self_preference(kin + other)
    assert found.status == "biased" and found.value == pytest.approx(0.5)
    assert rules.self_preference(kin).status == "insufficient"


def test_a_judge_that_turned_is_told_from_one_that_wavers() -> None:
    before = {str(i): i % 2 == 0 for i in range(50)}
    stricter = {k: v and int(k) % 4 != 0 for k, v in before.items()}
    wavering = {k: (not v if int(k) < 6 else v) for k, v in before.items()}
    found = rules.drift(before, stricter, 7)
    assert found.drifted and found.to_fail == 13 and found.to_pass == 0 and found.time_ns == 7
    assert not rules.drift(before, wavering).drifted
    assert rules.drift({}, {}).p == 1.0


def test_a_standing_ends_with_the_version_the_model_the_time_and_the_judge() -> None:
    pairs = pairs_of({(True, True): 50, (False, False): 48, (True, False): 2})
    made = calibrated(pairs)
    now = 101 * DAY

    def at(version: str = "v1", model: str = "m", when: int = now, canary: Drift | None = None) -> str:
        return rules.standing("judge", "judge", version, model, [made], when, canary).reason

    assert at() == "" and not rules.standing("judge", "judge", "v1", "m", [made], now).provisional
    assert "the scorer changed" in at(version="v2")
    assert "the judge model changed" in at(model="m2")
    assert "expired" in at(when=made.expires_ns)
    assert "drifted" in at(canary=Drift(50, 13, 0, 0.0001, True, now))
    assert at(canary=Drift(50, 13, 0, 0.0001, True, made.time_ns - 1)) == ""
    assert "never" in rules.standing("judge", "judge", "v1", "m", [], now).reason
    worse = calibrated(pairs_of({(True, True): 30, (True, False): 30}), now_ns=102 * DAY)
    found = rules.standing("judge", "judge", "v1", "m", [made, worse], 103 * DAY)
    assert found.provisional and "agreement" in found.reason


def test_a_few_cases_of_a_dataset_do_not_end_what_many_labels_have_shown() -> None:
    good = {(True, True): 48, (False, False): 48, (True, False): 2, (False, True): 2}
    made = calibrated(pairs_of(good))
    few = calibrated(pairs_of({(False, False): 5}), now_ns=101 * DAY, source="held@5")
    worse = calibrated(pairs_of({(True, True): 30, (True, False): 30}), now_ns=102 * DAY, source="held@6")
    taken_back = calibrated(pairs_of({(True, True): 5}), now_ns=101 * DAY)
    for found, provisional in (
        ([made, few], False),
        ([made, few, worse], True),
        ([made, taken_back], True),
        ([few], True),
    ):
        told = rules.standing("judge", "judge", "v1", "m", found, 103 * DAY)
        assert told.provisional is provisional, found


# -- the corrected twin ------------------------------------------------------------------------------------------------


def window(passed: float, n: int, **more: float) -> Window:
    return Window(0, 7 * DAY, n=n, sw=n, sw2=n, swx=passed * n, sw2x=passed * n, **more)  # type: ignore[arg-type]


def judged(n: int, dice: np.random.Generator, theta: float, when: float = 3.5) -> list[Pair]:
    """Labels drawn half from passes and half from fails of a judge with sensitivity 0.96 and specificity 0.92."""
    good = dice.random(20 * n) < theta
    passed = np.where(good, dice.random(good.size) < 0.96, dice.random(good.size) >= 0.92)
    made: list[Pair] = []
    for verdict in (True, False):
        of = np.flatnonzero(passed == verdict)
        some = dice.choice(of, n // 2, replace=False)
        times = dice.uniform(when - 3, when + 3, some.size) * DAY
        made += [
            Pair(f"{verdict}{i}", verdict, bool(good[i]), None, some.size / of.size, int(t))
            for i, t in zip(some, times, strict=True)
        ]
    return made


def test_labels_of_the_window_correct_it_by_verdict_and_older_ones_by_sensitivity() -> None:
    dice = np.random.default_rng(5)
    recent = covered = 0
    for _ in range(40):
        truth = 0.85
        p = truth * 0.96 + (1 - truth) * 0.08
        raw = rate(np.r_[np.ones(85), np.zeros(15)])
        assert isinstance(raw, Estimate)
        found = correct(window(p, 5000), judged(100, dice, truth), raw)
        assert found.method == "post_stratified" and found.estimate is not None
        recent += found.estimate.low <= truth <= found.estimate.high
        old = correct(window(p, 5000), judged(100, dice, 0.95, when=-40), raw)
        assert old.method == "rogan_gladen" and old.estimate is not None and old.recent == 0
        covered += old.estimate.low <= truth <= old.estimate.high
    assert recent >= 36 and covered >= 38


def test_a_corrected_rate_says_of_how_many_labels_it_is_however_unequal_their_weights() -> None:
    dice = np.random.default_rng(7)
    raw = rate(np.r_[np.ones(85), np.zeros(15)])
    assert isinstance(raw, Estimate)
    for when in (3.5, -40):
        labels = judged(102, dice, 0.85, when=when)
        uneven = [
            msgspec.structs.replace(p, probability=p.probability * (1 + i % 3) / 3)
            for i, p in enumerate(labels)
        ]
        found = correct(window(0.8, 5000), uneven, raw)
        assert found.estimate is not None and found.estimate.n == found.labels == len(labels)
        assert found.estimate.n_eff < 0.95 * len(labels)


def test_a_graded_scorer_with_many_labels_is_corrected_by_ppi() -> None:
    dice = np.random.default_rng(6)
    good = dice.random(6000) < 0.7
    value = np.clip(dice.normal(np.where(good, 8.0, 4.0), 1.0), 0, 10)
    chosen = dice.choice(6000, 300, replace=False)
    pairs = [
        Pair(
            str(i),
            bool(value[i] >= 6),
            bool(good[i]),
            float(value[i]),
            300 / 6000,
            int(dice.uniform(0, 7) * DAY),
        )
        for i in chosen
    ]
    sums = {
        "swv": value.sum(), "swv2": (value**2).sum(), "sw2v": value.sum(), "sw2v2": (value**2).sum(), "measured": 6000,
    }  # fmt: skip
    raw = rate(value >= 6)
    assert isinstance(raw, Estimate)
    found = correct(window(float((value >= 6).mean()), 6000, **sums), pairs, raw)
    assert found.method == "ppi" and found.estimate is not None
    assert found.estimate.low <= good.mean() <= found.estimate.high
    alone = wilson(sum(p.good for p in pairs), 300)
    assert found.estimate.high - found.estimate.low < 0.7 * (alone[1] - alone[0])


def test_without_enough_labels_there_is_no_correction_but_a_reason() -> None:
    raw = rate([1, 1, 0, 1])
    assert isinstance(raw, Estimate)
    assert correct(window(0.8, 100), [], raw).reason == "no human labels of this scorer version"
    assert "labels of good and of bad" in correct(window(0.8, 100), [Pair("a", True, True)], raw).reason
    useless = pairs_of({(True, True): 20, (False, True): 20, (True, False): 20, (False, False): 20})
    assert "too weak" in correct(window(0.8, 100), useless, raw).reason
    assert correct(Window(0, DAY), [], None).estimate is None


# -- recorded judges ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judge", "agrees", "consistent"), [("GPT-4/Vanilla", 0.83, 0.93), ("ChatGPT/Vanilla", 0.41, 0.66)]
)
def test_recorded_pairwise_judges_come_out_as_published(judge: str, agrees: float, consistent: float) -> None:
    lines = shared_path("data/pairwise_preferences.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [r for r in map(json.loads, lines) if r["source"].startswith("llmbar")]
    given, swapped = (
        [int(v) if (v := r["judge_verdicts"][judge][k]) in ("1", "2") else 0 for r in rows] for k in (0, 1)
    )
    people = [r["human_label"] for r in rows]
    assert len(rows) == 260
    found = judge_gate(given, people, seed=1)
    assert not isinstance(found, type(None)) and found.agreement.low <= agrees <= found.agreement.high  # type: ignore[union-attr]
    same = rate([a == b for a, b in zip(given, swapped, strict=True)])
    assert isinstance(same, Estimate) and same.low <= consistent <= same.high
    place = rules.position(given, swapped)
    assert place.n == sum({a, b} == {1, 2} for a, b in zip(given, swapped, strict=True))
    assert (found.status == "calibrated") is False  # type: ignore[union-attr]


def test_the_recorded_refusal_judge_comes_out_as_known() -> None:
    lines = shared_path("data/xstest_responses.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    same = sum(r["gpt4_judge_label"] == r["final_label"] for r in rows) / len(rows)
    assert round(same, 2) in (0.80, 0.81)
    pairs = [
        Pair(
            r["id"], r["gpt4_judge_label"].startswith("1"), r["final_label"].startswith("1"),
            length=len(r["completion"]), cluster=r["prompt_id"],
        )
        for r in rows
    ]  # fmt: skip
    found = calibrated(pairs)
    assert found.agreement is not None and found.agreement.low <= 0.85
    assert found.recall["good"].value > 0.95 > 0.75 > found.recall["bad"].value
    assert found.agreement.n_eff < found.agreement.n
