"""A target's answers before judges: whatever a provider does, the other scores stand."""

import pytest

from watchkeeper.gating.subject import Answer
from watchkeeper.llm.port import ProviderError
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.review import Case
from watchkeeper.model.score import Failed, Verdict
from watchkeeper.pipeline import answers
from watchkeeper.pipeline.answers import score_answers
from watchkeeper.scoring.registry import build

CASES = {str(n): Case(id=str(n), input=f"question {n}") for n in range(20)}
ANSWERS = [Answer(case_id=c, output=f"answer {c}") for c in CASES]
SCORERS = [
    build({"type": "empty_output"}),
    build({"name": "helpful", "type": "llm_judge", "model": "openai:m", "prompt": "Does it help?"}),
]
GOOD = Reply(text='{"reasoning": "yes", "scores": {"helpful": 8}}', model="m")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "WAITS_S", (0.0, 0.0))


async def test_a_provider_that_refuses_or_is_down_costs_no_other_score() -> None:
    asked: list[str] = []

    async def ask(prompt: Prompt) -> Reply:
        asked.append(prompt.turns[-1].text)
        if "question 3" in asked[-1]:
            raise ProviderError("refused", "HTTP 400 too long")
        return GOOD

    found = await score_answers(CASES, ANSWERS, SCORERS, ask)
    assert found["3", "helpful"] == [Failed("refused: HTTP 400 too long")]
    assert all(isinstance(o, Verdict) for (c, s), (o,) in found.items() if (c, s) != ("3", "helpful"))
    assert len(found) == 40 and len(asked) == 20, "what was refused is not asked again"


async def test_a_hiccup_is_waited_out_and_an_outage_is_not_asked_through() -> None:
    calls = 0

    async def ask(_: Prompt) -> Reply:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise ProviderError("server", "HTTP 503")
        return GOOD

    found = await score_answers(CASES, ANSWERS[:1], SCORERS, ask)
    assert isinstance(found["0", "helpful"][0], Verdict) and calls == 3
    calls = 0

    async def down(_: Prompt) -> Reply:
        nonlocal calls
        calls += 1
        raise ProviderError("server", "HTTP 503")

    found = await score_answers(CASES, ANSWERS, SCORERS, down)
    assert all(isinstance(found[c, "helpful"][0], Failed) for c in CASES)
    assert all(isinstance(found[c, "empty_output"][0], Verdict) for c in CASES)
    assert calls <= 3 * answers.JUDGED_AT_ONCE, "twenty answers, and eight of them found out"
