"""What judging would cost, and what it did: by the price table, the judge's own figure, or not known."""

import pytest

from tests.unit.scoring.build import trace
from watchkeeper.dialects import pricing
from watchkeeper.model.prompt import Reply
from watchkeeper.model.score import Subject
from watchkeeper.pipeline.quote import CHARACTERS, charge_of, price_of, quote
from watchkeeper.scoring.judges.rubric import Dimension, Rubric, RubricJudge

RUBRIC = Rubric("quality", "", (Dimension("quality", "How good?"),), needs=("output",))
SUBJECTS = [Subject(trace("q", "an answer " * n, trace_id=f"{n:032x}")) for n in (1, 40)]
EMPTY = Subject(trace("q", "", trace_id="f" * 32))


def judge(model: str, unit_cost: float | None = None) -> RubricJudge:
    return RubricJudge(rubric=RUBRIC, model=model, unit_cost=unit_cost)


def test_a_call_costs_what_the_table_in_force_says_and_nothing_is_made_up() -> None:
    listed = pricing.find(pricing.in_force(), "openai", "gpt-4o-mini")
    assert listed is not None
    assert price_of("openai", "gpt-4o-mini", 10**6, 0) == pytest.approx(listed.input + listed.request)
    assert price_of("openai", "gpt-4o-mini", None, 10) is None
    assert price_of("local", "a-model-of-ours", 10, 10) is None


def test_replies_without_a_price_count_as_the_judge_says_and_else_as_nothing() -> None:
    priced, unpriced = Reply("", "m", cost=0.02), Reply("", "m")
    assert charge_of(judge("openai:gpt-4o-mini", 1.0), [priced, priced]) == pytest.approx(0.04)
    assert charge_of(judge("local:ours", 0.3), [unpriced]) == 0.3
    assert charge_of(judge("local:ours"), [unpriced]) == 0.0
    assert charge_of(judge("local:ours", 0.3), []) == 0.0


async def test_a_quote_builds_the_prompts_and_counts_whom_nobody_would_ask() -> None:
    made = await quote(judge("openai:gpt-4o-mini"), [*SUBJECTS, EMPTY], times=2)
    short = await quote(judge("openai:gpt-4o-mini"), SUBJECTS[:1])
    long = await quote(judge("openai:gpt-4o-mini"), SUBJECTS[1:])
    assert (made.calls, made.refused.total()) == (4, 1)
    assert made.input_tokens == 2 * (short.input_tokens + long.input_tokens)
    assert long.input_tokens - short.input_tokens == pytest.approx(10 * 39 / CHARACTERS, abs=1)
    assert short.cost and long.cost and made.cost == pytest.approx(2 * (short.cost + long.cost))


async def test_a_judges_own_price_is_for_all_its_calls_and_an_unknown_one_is_unknown() -> None:
    assert (await quote(judge("local:ours", 0.5), SUBJECTS, times=2)).cost == pytest.approx(1.0)
    assert (await quote(judge("local:ours"), SUBJECTS)).cost is None
    assert (await quote(judge("local:ours"), [])).cost == 0.0
