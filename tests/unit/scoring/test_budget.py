"""Money is planned where it tells most, and never overspent."""

import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watchkeeper.model.times import DAY, HOUR, MINUTE
from watchkeeper.scoring.budget import PACE_MIN, Budget, Demand, Flow, Spending, Stratum, plan

strata = st.lists(
    st.builds(
        Stratum,
        name=st.uuids().map(str),
        volume=st.floats(0, 1e6),
        cost=st.floats(1e-4, 1.0),
        sd=st.floats(0, 5),
        take_all=st.booleans(),
        floor=st.floats(0, 100),
    ),
    min_size=1,
    max_size=8,
)


@given(strata, st.floats(0, 1e4))
# A floor as large as its stratum beside one that is full.
@example([Stratum("full", 1.0, 0.5, 0.0), Stratum("floored", 2.0, 1.0, 0.0, floor=2.0)], 2.0)
# What floors take is more than what full strata leave.
@example([Stratum("full", 1.9, 1.0, 2.0), Stratum("floored", 2.5, 1.0, 0.8, floor=2.0)], 3.0)
def test_a_plan_never_costs_more_than_there_is(given_: list[Stratum], money: float) -> None:
    made = plan(given_, money)
    assert sum(a.cost for a in made) <= money * (1 + 1e-9) + 1e-9
    for stratum, allocation in zip(given_, made, strict=True):
        assert 0 <= allocation.calls <= stratum.volume * (1 + 1e-9)
        assert 0 <= allocation.probability <= 1


def test_money_goes_where_volume_and_spread_are_large_and_calls_are_cheap() -> None:
    base = Stratum("base", 10_000, 0.01, 1.0)
    made = {
        a.name: a
        for a in plan([base, Stratum("wide", 10_000, 0.01, 3.0), Stratum("dear", 10_000, 0.04, 1.0)], 20.0)
    }
    assert made["wide"].calls == pytest.approx(3 * made["base"].calls)
    assert made["dear"].calls == pytest.approx(made["base"].calls / 2)
    assert sum(a.cost for a in made.values()) == pytest.approx(20.0)


def test_take_all_comes_first_and_floors_next() -> None:
    made = {
        a.name: a
        for a in plan(
            [
                Stratum("errors", 100, 0.01, 1.0, take_all=True),
                Stratum("tiny", 50, 0.01, 0.1),
                Stratum("big", 1e6, 0.01, 2.0),
            ],
            3.0,
        )
    }
    assert made["errors"].probability == 1.0
    assert made["tiny"].calls >= 20 - 1e-9 or made["big"].calls <= 0.01 * 1e6
    assert plan([Stratum("errors", 100, 0.01, 1.0, take_all=True)], 0.5)[0].calls == pytest.approx(50)


def test_a_stratum_without_sense_is_an_error() -> None:
    with pytest.raises(ValueError, match="'x'"):
        plan([Stratum("x", 1, 0.0, 1.0)], 1.0)
    with pytest.raises(ValueError, match="budget"):
        plan([], float("nan"))


def test_the_limit_holds_whatever_is_in_flight_and_routine_work_stops_first() -> None:
    budget, account = Budget(1.0, kept_for_risk=0.2), Spending()
    rng = random.Random(3)
    flying: list[float] = []
    routine = risky = 0
    for _ in range(2000):
        high = rng.random() < 0.3
        if budget.reserve(account, 5, 0.01, high):
            flying.append(0.01)
            risky, routine = risky + high, routine + (not high)
        if flying and rng.random() < 0.6:
            budget.settle(account, flying.pop(), 0.01)
        assert account.spent + account.reserved <= 1.0 + 1e-9
    assert account.spent + account.reserved == pytest.approx(1.0)
    assert budget.reserve(account, 5, 0.01, high_risk=True) is False
    assert risky > 20 and routine <= 80


def test_a_new_day_starts_anew_and_a_clock_that_steps_back_does_not() -> None:
    budget, account = Budget(0.02), Spending()
    assert budget.reserve(account, 3 * DAY, 0.02, True)
    budget.settle(account, 0.02, 0.02)
    assert not budget.reserve(account, 3 * DAY + 5, 0.01, True)
    assert not budget.reserve(account, 2 * DAY, 0.01, True)
    assert budget.reserve(account, 4 * DAY, 0.01, True)


def _days(
    budget: Budget, hourly: list[float], risky: float, days: int = 3
) -> tuple[list[float], list[list[float]]]:
    """USD spent on each day of `hourly` USD of routine and `risky` USD of other work an hour, and the factors of its minutes."""
    rng = np.random.default_rng(7)
    demand, spent, factors = Demand(), [0.0] * days, [list[float]() for _ in range(days)]
    for day in range(days):
        for minute in range(24 * 60):
            now = (20_000 + day) * DAY + minute * MINUTE
            routine, always = rng.poisson(hourly[minute // 60] / 60 / 0.001) * 0.001, risky / 60
            demand = demand.plus(now, routine, always)
            factors[day].append(budget.pace(demand, now, spent[day]))
            spent[day] += routine * factors[day][-1] + always
    return spent, factors


@pytest.mark.parametrize(
    ("hourly", "risky"),
    [
        ([4.0] * 24, 0.1),
        ([1.0] * 8 + [8.0] * 8 + [3.0] * 8, 0.1),
        ([0.0] * 9 + [20.0] * 3 + [0.5] * 12, 0.1),
        ([4.0] * 24, 0.5),
    ],
)
def test_routine_work_is_thinned_until_the_day_lasts_and_the_money_is_used(
    hourly: list[float], risky: float
) -> None:
    spent, factors = _days(Budget(20.0), hourly, risky)
    assert all(usd < 16 * 1.03 for usd in spent) and min(spent[1:]) > 0.85 * 16
    wanted = sum(hourly)
    for f, usd in zip(factors[2], np.repeat(hourly, 60), strict=True):
        assert usd == 0 or 0.3 < f / ((16 - 24 * risky) / wanted) < 3, "no hour of the day goes unseen"


def test_work_that_the_day_can_pay_is_not_thinned() -> None:
    spent, factors = _days(Budget(200.0), [4.0] * 24, 0.1)
    assert set(factors[0] + factors[1]) == {1.0} and spent[1] == pytest.approx(98.4, rel=0.05)


def test_a_flood_of_old_traces_and_a_day_that_risk_takes_whole_leave_a_known_chance() -> None:
    flood = Demand().plus(5 * DAY, 1000.0, 0.0)
    assert PACE_MIN <= Budget(1.0).pace(flood, 5 * DAY, 0.0) < 0.002
    risk = Demand().plus(5 * DAY, 1.0, 1.0)
    assert Budget(1.0).pace(risk, 5 * DAY, 0.0) == PACE_MIN
    assert Budget(1.0).pace(Demand(), 5 * DAY, 3.0) == PACE_MIN


def test_what_came_lately_fades_and_a_clock_that_steps_back_fades_nothing() -> None:
    one = Flow().plus(DAY, 2.0)
    assert one.plus(DAY + HOUR, 0.0).lately == pytest.approx(2 / np.e)
    assert one.plus(DAY - HOUR, 0.0) == one
    week = one.plus(9 * DAY, 1.0)
    assert week.hours == (*[0.0] * 47, 1.0) and week.lately == pytest.approx(1.0)
