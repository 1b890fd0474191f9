"""Sampling decides alike everywhere, stores its probability, and leaves estimates unbiased."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.scoring.sampling import Policy, Sampled, Sampler, policies_of

POLICIES = [
    Policy("random", 0.05),
    Policy("gpt", 0.1, {"model": "gpt-4o"}),
    Policy("any-region", 0.2, has="region"),
    Policy("errors", 1.0, flag="error"),
    Policy("slow", 0.5, min_latency_ms=3000),
]
SAMPLER = Sampler(POLICIES, "salt")
IDS = [f"{i:032x}" for i in range(20_000)]


def test_the_probability_is_the_largest_of_the_matching_policies() -> None:
    cases = [
        (Sampled("t"), 0.05, ("random",)),
        (Sampled("t", {"model": "gpt-4o"}), 0.1, ("random", "gpt")),
        (Sampled("t", {"region": "eu", "model": "gpt-4o"}), 0.2, ("random", "gpt", "any-region")),
        (Sampled("t", latency_ms=3000.0), 0.5, ("random", "slow")),
        (Sampled("t", flags=frozenset({"error"})), 1.0, ("random", "errors")),
    ]
    for facts, probability, matched in cases:
        decision = SAMPLER.decide(facts)
        assert (decision.probability, decision.matched) == (probability, matched)
        assert decision.selected == (decision.u < probability)


def test_another_process_with_the_same_salt_decides_the_same_and_another_salt_does_not() -> None:
    again, other = Sampler(list(POLICIES), "salt"), Sampler(POLICIES, "pepper")
    mine = [SAMPLER.decide(Sampled(i)) for i in IDS[:2000]]
    assert mine == [again.decide(Sampled(i)) for i in IDS[:2000]]
    assert again.version == SAMPLER.version != other.version
    theirs = [other.decide(Sampled(i)).selected for i in IDS[:2000]]
    assert [d.selected for d in mine] != theirs
    # The known value pins the hash: a change would make nodes of two releases disagree.
    assert (
        SAMPLER.u("0" * 32) == pytest.approx(Sampler([], "salt").u("0" * 32)) and 0 <= SAMPLER.u("0" * 32) < 1
    )


def test_policies_nest_so_that_a_higher_rate_only_adds_traces() -> None:
    low = {i for i in IDS if Sampler([Policy("r", 0.05)], "s").decide(Sampled(i)).selected}
    high = {i for i in IDS if Sampler([Policy("r", 0.2)], "s").decide(Sampled(i)).selected}
    assert low < high
    assert len(low) == pytest.approx(1000, rel=0.12) and len(high) == pytest.approx(4000, rel=0.06)


def test_always_on_traces_are_chosen_without_exception() -> None:
    assert all(SAMPLER.decide(Sampled(i, flags=frozenset({"error"}))).selected for i in IDS[:5000])


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, float("nan")])
def test_a_probability_that_cannot_be_weighted_is_an_error_that_names_the_policy(probability: float) -> None:
    with pytest.raises(ValueError, match="'never'"):
        Sampler([Policy("never", probability)], "s")


def test_an_unknown_flag_or_a_doubled_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="one of error, timeout"):
        Sampler([Policy("x", 1.0, flag="erorr")], "s")
    with pytest.raises(ValueError, match="given twice"):
        Sampler([Policy("x", 1.0), Policy("x", 0.5)], "s")


@given(st.text(max_size=40))
def test_any_trace_id_has_a_place(trace_id: str) -> None:
    try:
        trace_id.encode()
    except UnicodeEncodeError:
        return
    assert 0.0 <= SAMPLER.u(trace_id) < 1.0


def test_the_short_form_of_configuration() -> None:
    made = policies_of(0.05, {"model": {"gpt": 0.1}, "region=eu": 0.2, "scenario": 0.3}, ["error"])
    assert [(p.name, p.probability, p.where, p.has, p.flag) for p in made] == [
        ("random", 0.05, {}, None, None),
        ("model=gpt", 0.1, {"model": "gpt"}, None, None),
        ("region=eu", 0.2, {"region": "eu"}, None, None),
        ("scenario", 0.3, {}, "scenario", None),
        ("always:error", 1.0, {}, None, "error"),
    ]
    assert policies_of(0.0, {}, []) == []


def test_unweighted_means_are_badly_biased_and_weighted_ones_are_not() -> None:
    """2 % random, 10 % of a segment, 100 % of the 3 % errors: the example of the statistics design."""
    sampler = Sampler(
        [Policy("r", 0.02), Policy("s", 0.1, {"segment": "vip"}), Policy("e", 1.0, flag="error")], "x"
    )
    rng = np.random.default_rng(5)
    n = 60_000
    error = rng.random(n) < 0.03
    vip = rng.random(n) < 0.1
    good = np.where(error, rng.random(n) < 0.3, rng.random(n) < 0.92)
    values, weights = [], []
    for i in range(n):
        facts = Sampled(
            f"{i:032x}", {"segment": "vip"} if vip[i] else {}, frozenset({"error"} if error[i] else ())
        )
        decision = sampler.decide(facts)
        if decision.selected:
            values.append(float(good[i]))
            weights.append(1 / decision.probability)
    truth = good.mean()
    unweighted = float(np.mean(values))
    weighted = float(np.average(values, weights=weights))
    assert truth - unweighted > 0.2
    assert abs(weighted - truth) < 0.02
