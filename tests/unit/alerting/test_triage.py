"""Triage on made-up traffic whose cause is known."""

import numpy as np
import pytest
from msgspec.structs import replace

from watchkeeper.alerting.triage import Sample, share_text, triage
from watchkeeper.model.alert import Deploy
from watchkeeper.model.incident import Factor, Triage

HOUR = 3600 * 10**9
ONSET = 1000 * HOUR
BEFORE, AFTER = (ONSET - 300 * HOUR, ONSET), (ONSET, ONSET + 20 * HOUR)


def made(
    rng: np.random.Generator, versions: list[str], drop: dict[str, float], n: tuple[int, int] = (1500, 400)
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """after, value, version: all v1 before, the given versions in turn after; `drop` moves a version's mean down."""
    after = np.r_[np.zeros(n[0], bool), np.ones(n[1], bool)]
    version = ["v1"] * n[0] + [versions[i % len(versions)] for i in range(n[1])]
    value = rng.normal(8.2, 1.0, after.size)
    value -= np.array([drop.get(v, 0.0) if a else 0.0 for v, a in zip(version, after, strict=True)])
    return after, value, version


def ask(sample: Sample, deploys: list[Deploy] | None = None) -> Triage:
    return triage(sample, "answer_relevance", (), BEFORE, AFTER, AFTER[1], deploys or [])


def of(found: Triage, name: str) -> Factor:
    (factor,) = [f for s in found.steps for f in s.factors if f.name == name]
    return factor


def step(found: Triage, name: str) -> str:
    (verdict,) = [s.verdict for s in found.steps if s.name == name]
    return verdict


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_it_blames_the_version_that_is_worse_than_its_neighbours_in_the_same_hours(rng: np.random.Generator):
    after, value, version = made(rng, ["v1", "v2"], {"v2": 2.0})
    release = ["r1" if not a else "r2" for a in after]
    sample = Sample(
        after, value, np.ones(after.size), {"prompt_version": version, "release": release},
        {("retrieval", "documents"): rng.poisson(3, after.size).astype(float)},
    )  # fmt: skip
    found = ask(sample, [Deploy("default", "prompt", "v2", ONSET - HOUR, "shorter")])
    assert found.ranked[0].name == "prompt_version v2"
    v2 = of(found, "prompt_version v2")
    assert v2.verdict == "explains" and v2.share == pytest.approx(1.0, abs=0.15)
    assert v2.share_low is not None and v2.share_low > 0.6 and v2.line.current_n == 200
    assert of(found, "prompt_version v1").verdict == "holds"
    assert step(found, "retrieval") == "holds" and step(found, "generation") == "explains"
    assert (
        "First suspect: prompt_version v2" in found.says and "prompt v2 (shorter) was deployed" in found.says
    )


def test_a_version_that_took_all_traffic_is_named_with_what_cannot_be_told_apart(rng: np.random.Generator):
    after, value, version = made(rng, ["v2"], {"v2": 2.0})
    found = ask(Sample(after, value, np.ones(after.size), {"prompt_version": version}))
    v2 = of(found, "prompt_version v2")
    assert v2.verdict == "explains" and "no other traffic is left" in v2.note


def test_a_cohort_that_carries_all_traffic_and_always_did_is_not_blamed(rng: np.random.Generator):
    after, value, _ = made(rng, ["v1"], {"v1": 2.0})
    region = ["eu"] * (after.size - 20) + ["us"] * 20
    found = ask(Sample(after, value, np.ones(after.size), {"region": region}))
    assert not found.ranked and "No cohort and no fact" in found.says


def test_it_finds_the_retrieval_that_went_empty(rng: np.random.Generator):
    n = (1500, 500)
    after = np.r_[np.zeros(n[0], bool), np.ones(n[1], bool)]
    empty = np.r_[rng.random(n[0]) < 0.03, rng.random(n[1]) < 0.4].astype(float)
    value = rng.normal(8.2, 1.0, after.size) - 4.0 * empty
    documents = np.where(empty == 1, 0.0, 3.0)
    sample = Sample(
        after, value, np.ones(after.size), {"model": ["m"] * after.size},
        {("retrieval", "retrieval_empty"): empty, ("retrieval", "documents"): documents,
         ("upstream", "input_characters"): rng.normal(100, 20, after.size)},
    )  # fmt: skip
    found = ask(sample)
    assert step(found, "retrieval") == "explains" and step(found, "upstream") == "holds"
    fact = of(found, "retrieval empty")
    assert fact.share == pytest.approx(1.0, abs=0.2) and fact.moved
    assert fact.line.unit == "rate" and fact.line.baseline is not None and fact.line.baseline < 0.06


def test_what_moved_without_explaining_is_not_a_suspect(rng: np.random.Generator):
    after, value, version = made(rng, ["v1", "v2"], {"v2": 2.0})
    longer = rng.normal(100, 10, after.size) + 40 * after
    sample = Sample(
        after, value, np.ones(after.size), {"prompt_version": version}, {("upstream", "input_tokens"): longer}
    )
    found = ask(sample)
    fact = of(found, "input tokens")
    # Input grew for both versions alike, so within the hours since it says nothing; its bins moved with the time.
    assert fact.moved and found.ranked[0].name == "prompt_version v2"


def test_two_cohorts_share_the_blame(rng: np.random.Generator):
    after, value, version = made(rng, ["v1", "v2", "v3"], {"v2": 2.0, "v3": 2.0}, (2000, 900))
    found = ask(Sample(after, value, np.ones(after.size), {"prompt_version": version}))
    shares = [of(found, f"prompt_version {v}").share for v in ("v2", "v3")]
    assert all(s == pytest.approx(0.5, abs=0.12) for s in shares)
    assert {f.name for f in found.ranked} == {"prompt_version v2", "prompt_version v3"}


def test_weights_undo_unequal_sampling(rng: np.random.Generator):
    after, value, version = made(rng, ["v1", "v2"], {"v2": 2.0}, (1500, 800))
    # v2 is sampled ten times as much as v1: it had a tenth of the traffic.
    weight = np.array([1.0 if v == "v2" else 10.0 for v in version])
    found = ask(Sample(after, value, weight, {"prompt_version": version}))
    v2 = of(found, "prompt_version v2")
    assert v2.traffic is not None and v2.traffic[1] == pytest.approx(1 / 11, abs=0.01)


def test_too_few_scores_are_not_a_verdict(rng: np.random.Generator):
    after, value, version = made(rng, ["v2"], {"v2": 2.0}, (1500, 12))
    found = ask(Sample(after, value, np.ones(after.size), {"prompt_version": version}))
    assert {s.verdict for s in found.steps} == {"not_enough"} and "12 since" in found.says


def test_a_metric_that_did_not_change_has_nothing_to_explain(rng: np.random.Generator):
    after, value, version = made(rng, ["v1", "v2"], {})
    found = ask(Sample(after, value, np.ones(after.size), {"prompt_version": version}))
    assert "not measurably different" in found.says and not found.ranked


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_rarely_blamed(seed: int):
    """Many facts and cohorts of pure noise beside a change that has no recorded cause."""
    rng = np.random.default_rng(100 + seed)
    n = (1200, 300)
    after = np.r_[np.zeros(n[0], bool), np.ones(n[1], bool)]
    value = rng.normal(8, 1, after.size) - 1.0 * after
    cohorts = {d: [f"x{i}" for i in rng.integers(0, 6, after.size)] for d in ("model", "service", "region")}
    facts = {("generation", f"f{i}"): rng.normal(0, 1, after.size) for i in range(20)}
    found = ask(Sample(after, value, np.ones(after.size), cohorts, facts))
    assert not found.ranked


def test_a_share_is_said_with_its_interval():
    found = of(
        ask(Sample(*(x := made(np.random.default_rng(1), ["v1", "v2"], {"v2": 2.0}))[:2], np.ones(1900), {"model": x[2]})),
        "model v2",
    )  # fmt: skip
    assert share_text(replace(found, share=0.4, share_low=0.2, share_high=0.61)) == "40 % (20 to 61 %)"


def test_nothing_is_said_to_account_for_more_than_all_of_a_change():
    found = of(
        ask(Sample(*(x := made(np.random.default_rng(1), ["v1", "v2"], {"v2": 2.0}))[:2], np.ones(1900), {"model": x[2]})),
        "model v2",
    )  # fmt: skip
    assert share_text(replace(found, share=1.14, share_low=0.87, share_high=1.41)) == "all (at least 87 %)"
    assert share_text(replace(found, share=0.97, share_low=0.81, share_high=1.13)) == "97 % (at least 81 %)"
    assert share_text(replace(found, share=1.2, share_low=1.05, share_high=1.35)) == "all (at least 100 %)"


def test_a_number_per_trace_is_no_rate_and_all_of_a_sample_has_an_interval():
    rng = np.random.default_rng(2)
    after = np.r_[np.zeros(900, bool), np.ones(300, bool)]
    value = rng.normal(8, 1, after.size) - 2.0 * after
    ones = np.ones(after.size)
    found = ask(
        Sample(
            after, value, ones, facts={("routing", "llm_calls"): ones, ("routing", "retried"): ones},
            words={"llm_calls": "model calls per trace", "retried": "retried"},
        )
    )  # fmt: skip
    calls, share = of(found, "model calls per trace").line, of(found, "retried").line
    assert calls.unit != "rate" and calls.current == 1
    assert share.unit == "rate" and share.current == 1
    assert share.current_low is not None and 0.98 < share.current_low < 1
