"""A scorer that misbehaves fails alone."""

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tests.unit.scoring.build import subject, trace
from watchkeeper.model.prompt import Prompt, Reply, Turn
from watchkeeper.model.score import Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.drive import MAX_PROMPTS, drive, run_checks, run_scorer


@dataclass(frozen=True)
class Scripted:
    kind: ClassVar[str] = "check"
    trusted: ClassVar[bool] = True
    act: Callable[[Subject], object]
    name: str = "scripted"
    version: str = "1"
    level: str = "trace"

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        return [self.act(s) for s in subjects]  # type: ignore[misc]


GOOD = Verdict(value=1.0, passed=True)


def bad_on(word: str) -> Callable[[Subject], Outcome]:
    def act(given: Subject) -> Outcome:
        if given.output_text == word:
            raise RuntimeError("cannot read this")
        return GOOD

    return act


def test_a_raising_scorer_fails_only_the_subject_it_raised_on() -> None:
    subjects = [subject("q", w) for w in ("a", "poison", "b")]
    first, second, third = run_scorer(Scripted(bad_on("poison")), subjects)
    assert first == third == GOOD
    assert isinstance(second, Failed) and "RuntimeError: cannot read this" in second.reason


def test_a_raising_scorer_stops_no_other() -> None:
    broken = Scripted(bad_on("a"), name="broken")
    outcomes = run_checks([broken, Scripted(lambda _: GOOD)], [subject("q", "a")])
    assert [(s.name, type(o)) for s, _, o in outcomes] == [("broken", Failed), ("scripted", Verdict)]


def test_nan_infinity_and_nonsense_are_failures_and_never_low_scores() -> None:
    for answer in (
        Verdict(value=math.nan),
        Verdict(value=-math.inf),
        Verdict(),
        Verdict(value="7"),
        None,
        0.5,
    ):  # type: ignore[arg-type]
        outcome = run_scorer(Scripted(lambda _, a=answer: a), [subject("q", "a")])[0]
        assert isinstance(outcome, Failed), answer


def test_a_scorer_that_loses_count_fails_all_of_its_batch() -> None:
    @dataclass(frozen=True)
    class Short(Scripted):
        def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
            return [GOOD]

    outcomes = run_scorer(Short(lambda _: GOOD), [subject("q", "a"), subject("q", "b")])
    assert all(isinstance(o, Failed) and "1 outcomes for 2 subjects" in o.reason for o in outcomes)


def test_scorers_see_the_subjects_of_their_level() -> None:
    given = trace("q", "a")
    subjects = [Subject(given), Subject(given, given.spans[0])]
    outcomes = run_checks(
        [Scripted(lambda _: GOOD, name="t"), Scripted(lambda _: GOOD, name="s", level="span")], subjects
    )
    assert [(s.name, sub.span is not None) for s, sub, _ in outcomes] == [("t", False), ("s", True)]


def test_an_untrusted_scorer_runs_where_it_is_told_to() -> None:
    @dataclass(frozen=True)
    class Foreign(Scripted):
        trusted: ClassVar[bool] = False

    ran: list[str] = []

    def isolate(scorer: object, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        ran.append(str(getattr(scorer, "name", "")))
        return [NotScored("elsewhere")] * len(subjects)

    run_checks(
        [Foreign(lambda _: GOOD, name="foreign"), Scripted(lambda _: GOOD)], [subject("q", "a")], isolate
    )
    assert ran == ["foreign"]


def asks(times: int) -> Generator[Prompt, Reply, Outcome]:
    said: list[str] = []
    for i in range(times):
        reply = yield Prompt("fake:m", "s", (Turn("user", str(i)),))
        said.append(reply.text)
    return Verdict(label=",".join(said))


async def echo(prompt: Prompt) -> Reply:
    return Reply(prompt.turns[0].text, "m")


async def test_a_judge_is_sent_each_reply() -> None:
    assert await drive(asks(3), echo) == Verdict(label="0,1,2")
    assert await drive(asks(0), echo) == Verdict(label="")


async def test_a_judge_that_never_stops_asking_is_stopped() -> None:
    outcome = await drive(asks(MAX_PROMPTS + 1), echo)
    assert isinstance(outcome, Failed) and "more than" in outcome.reason


async def test_a_judges_own_bug_is_a_failure_and_not_an_outage() -> None:
    def broken() -> Generator[Prompt, Reply, Outcome]:
        yield Prompt("fake:m", "s", ())
        raise KeyError("scores")

    outcome = await drive(broken(), lambda p: echo(Prompt("m", "", (Turn("user", ""),))))
    assert isinstance(outcome, Failed) and not outcome.retry
