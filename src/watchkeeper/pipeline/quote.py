"""What asking a judge uses and costs: before anybody is asked, and of one call that was answered."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from watchkeeper.dialects import pricing
from watchkeeper.model.numerals import dollars
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.score import Failed, NotScored, Outcome, Subject
from watchkeeper.model.span import LLM, Usage
from watchkeeper.scoring.drive import drive
from watchkeeper.scoring.protocol import Judge

# A token is about four characters of English.
CHARACTERS = 4
# What a judge answers with, by its form.
ANSWER_TOKENS = {"points": 200, "claims": 700}
GUESSED_USD = 0.01


class _Asked(Exception):
    """Ends a dry run of a judge at its first prompt."""


@dataclass
class Quote:
    """What judging some subjects would use. `cost` is USD, None where a price is unknown; `refused` are the reasons of
    subjects about which nobody would be asked."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    refused: Counter[str] = field(default_factory=Counter[str])


def price_of(provider: str, model: str, input_tokens: int | None, output_tokens: int | None) -> float | None:
    """USD of one call by the price table in force; None when the price or a count it needs is unknown."""
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return pricing.price(LLM(provider=provider, request_model=model, usage=usage))[0]


def expected_usd(judge: Judge) -> float:
    """What a judgement is taken to cost before it has been paid for."""
    return GUESSED_USD if judge.unit_cost is None else judge.unit_cost


def total_of(costs: Iterable[float | None]) -> float | None:
    """USD of all of them together, None where one of them is not known."""
    known = list(costs)
    return None if None in known else sum(c for c in known if c is not None)


def said_usd(cost: float | None) -> str:
    """A cost as people read it after what was asked for it."""
    return "at an unknown price" if cost is None else dollars(cost)


def paid_for(judge: Judge, replies: Sequence[Reply], told: float | None = None) -> float | None:
    """USD of replies to a judge: what the judge was said to cost (`unit_cost`) where the price of one is not known, else `told`."""
    if judge.unit_cost is not None and any(r.cost is None for r in replies):
        return judge.unit_cost
    return told


def charge_of(judge: Judge, replies: Sequence[Reply]) -> float:
    """USD that replies to a judge count against its budget; nothing where nothing is known."""
    return paid_for(judge, replies, sum(r.cost or 0.0 for r in replies)) or 0.0


async def first_prompt(judge: Judge, subject: Subject) -> Prompt | Outcome:
    """What the judge would ask first, without asking: its outcome when it asks nothing."""
    shown: list[Prompt] = []

    async def look(prompt: Prompt) -> Reply:
        shown.append(prompt)
        raise _Asked

    try:
        outcome = await drive(judge.steps(subject), look)
    except _Asked:
        return shown[0]
    return outcome


async def quote(judge: Judge, subjects: Sequence[Subject], times: int = 1) -> Quote:
    """What a judge that asks `times` about each subject would use: prompts are built, nobody is asked. The judge's own
    `unit_cost` goes before the price table."""
    made = Quote()
    provider, _, model = judge.model.partition(":")
    mode = str(getattr(getattr(judge, "rubric", None), "mode", "points"))
    answer = ANSWER_TOKENS.get(mode, ANSWER_TOKENS["points"])
    for subject in subjects:
        prompt = await first_prompt(judge, subject)
        if not isinstance(prompt, Prompt):
            asked_nobody = isinstance(prompt, NotScored | Failed)
            made.refused[prompt.reason if asked_nobody else "answered without a model"] += 1
            continue
        size = -(-(len(prompt.system) + sum(len(t.text) for t in prompt.turns)) // CHARACTERS)
        one = price_of(provider, model, size, answer)
        whole = judge.unit_cost if judge.unit_cost is not None else None if one is None else one * times
        made.calls += times
        made.input_tokens += size * times
        made.output_tokens += answer * times
        made.cost = None if made.cost is None or whole is None else made.cost + whole
    return made
