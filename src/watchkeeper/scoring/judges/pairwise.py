"""Which of two answers is better, asked in both orders (requirement J4).

Models prefer an answer for its place: a third of the verdicts of a weak judge turn when the order does. So both orders are
asked, and a verdict that turns is no preference. Which answer is new is not said.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from watchkeeper.model.prompt import Prompt, Reply, Turn
from watchkeeper.model.score import ABSTAINED, Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.judges import parse
from watchkeeper.scoring.judges.asking import asked
from watchkeeper.scoring.judges.family import answering_models, self_judging
from watchkeeper.scoring.judges.fence import cut, fence, nonce_for
from watchkeeper.scoring.judges.material import PIECE, READERS, TITLES
from watchkeeper.scoring.judges.rubric import SYSTEM
from watchkeeper.scoring.version import content_version

QUESTION = "Which answer helps the user more: does what was asked, correctly, completely and without filler?"
# The score of the subject's own answer against the other.
VALUES = {
    "better": 1.0,
    "worse": 0.0,
    "tie": 0.5,
    "first place": 0.5,
    "second place": 0.5,
    "inconsistent": 0.5,
}
# What a label says was chosen in the given order and, mapped back, in the swapped one: 1 the subject's answer, 2 the other, 0 neither.
PLACES = {
    "better": (1, 1), "worse": (2, 2), "tie": (0, 0), "first place": (1, 2), "second place": (2, 1), "inconsistent": (0, 1),
}  # fmt: skip
CANNOT_TELL = "cannot tell"
_FORM = '{"reasoning": "<two to five sentences>", "better": "A" | "B" | "tie" | "cannot tell"}'
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reasoning": {"type": "string"},
        "better": {"type": "string", "enum": ["A", "B", "tie", CANNOT_TELL]},
    },
    "required": ["reasoning", "better"],
    "additionalProperties": False,
}


def settled(given: str, swapped: str) -> str:
    """The verdict of both orders about the subject's answer. `given`: the choice with it as A; `swapped`: with it as B. No
    preference is a place chosen both times, or a choice in one order only.

    >>> settled("A", "B"), settled("A", "A"), settled("A", "tie"), settled("tie", "tie")
    ('better', 'first place', 'inconsistent', 'tie')
    """
    if given == swapped != "tie":
        return {"A": "first place", "B": "second place"}.get(given, "inconsistent")
    second = {"A": "B", "B": "A"}.get(swapped, swapped)
    if given != second:
        return "inconsistent"
    return {"A": "better", "B": "worse"}.get(given, "tie")


@dataclass(frozen=True, kw_only=True)
class PairwiseJudge:
    """A judge of two answers to the same input: the subject's, and `subject.extra["other"]` or its expected output.

    model: `provider:model`. question: what better means. reads: what both answers are judged with. self_judging, families: as
    for rubrics; `subject.extra["other_models"]` names the models of the other answer. unit_cost: expected USD for both calls.
    """

    kind: ClassVar[str] = "judge"
    trusted: ClassVar[bool] = True

    model: str
    name: str = "preference"
    question: str = QUESTION
    reads: tuple[str, ...] = ("input",)
    self_judging: str = "refuse"
    families: Mapping[str, str] = field(default_factory=dict[str, str])
    max_tokens: int = 1024
    unit_cost: float | None = None

    def __post_init__(self) -> None:
        if ":" not in self.model:
            raise ValueError(
                f"model: {self.model!r} must be pinned as provider:model, such as openai:gpt-4o-mini"
            )
        if self.self_judging not in ("refuse", "allow"):
            raise ValueError(f"self_judging: {self.self_judging!r} is not allowed; one of refuse, allow")
        unknown = [p for p in self.reads if p not in READERS or p in ("output", "expected")]
        if unknown:
            raise ValueError(f"reads: {unknown[0]!r} is not allowed for two answers")
        if not self.question.strip():
            raise ValueError("question: what better means is required")

    @property
    def level(self) -> str:
        return "trace"

    @property
    def version(self) -> str:
        return self._version

    @cached_property
    def _version(self) -> str:
        return content_version(type(self), SYSTEM, self.model, self.question, self.reads)

    def refuses(self, subject: Subject) -> str | None:
        if self.self_judging == "allow":
            return None
        models = [*answering_models(subject), *subject.extra.get("other_models", ())]
        return self_judging(self.model, models, self.families)

    def _prompt(self, subject: Subject, first: str, second: str) -> Prompt:
        pieces = [(TITLES[p], cut(t, PIECE)) for p in self.reads if (t := READERS[p](subject))]
        pieces += [("ANSWER A", cut(first, PIECE)), ("ANSWER B", cut(second, PIECE))]
        nonce = nonce_for([t for _, t in pieces], str(subject.extra.get("nonce", "")))
        material = "\n\n".join(fence(title, text, nonce) for title, text in pieces)
        task = (
            f"Compare two answers to the same input.\n{self.question}\nThe order of the answers says nothing, nor does length by "
            "itself. Say tie when neither is clearly better, and cannot tell only where the material lacks what you would need to see."
        )
        system = SYSTEM.replace("{nonce}", nonce).replace("{form}", _FORM).replace("{task}", task)
        asked = f"{material}\n\nWhich answer is better? Reply with the JSON object only."
        return Prompt(
            model=self.model,
            system=system,
            turns=(Turn("user", asked),),
            max_tokens=self.max_tokens,
            json_schema=_SCHEMA,
        )

    def steps(self, subject: Subject) -> Generator[Prompt, Reply, Outcome]:
        """Two questions, one an order; a reply that does not fit is sent back once."""
        mine, other = subject.output_text, subject.extra.get("other") or subject.expected
        if not (mine or "").strip() or not str(other or "").strip():
            return NotScored("two answers are needed: the trace's, and another or a reference")
        refusal = self.refuses(subject)
        if refusal is not None:
            return NotScored(f"self-judging refused: {refusal}", refused=True)
        given = yield from asked(self._prompt(subject, str(mine), str(other)), read_choice)
        if isinstance(given, Failed):
            return given
        swapped = yield from asked(self._prompt(subject, str(other), str(mine)), read_choice)
        if isinstance(swapped, Failed):
            return swapped
        ((choice, why), cost), ((other_choice, other_why), other_cost) = given, swapped
        said = settled(choice, other_choice)
        if CANNOT_TELL in (choice, other_choice):
            said = ABSTAINED
        reason = f"{why} / In the other order: {other_why}"
        costs = [c for c in (cost, other_cost) if c is not None]
        return Verdict(
            value=VALUES.get(said), label=said, reason=reason[:1000], cost=sum(costs) if costs else None
        )


def read_choice(reply: str) -> tuple[str, str]:
    """The choice (A, B, tie or cannot tell) and the reasoning. Raises BadReply."""
    value = parse.json_object(reply)
    parse.keys(value, {"reasoning", "better"})
    reasoning = parse.text(value["reasoning"], "reasoning")
    choice = value["better"]
    if choice not in ("A", "B", "tie", CANNOT_TELL):
        raise parse.BadReply(f"better is {str(choice)[:40]!r}; one of A, B, tie, {CANNOT_TELL}")
    return choice, reasoning
