"""Whether a text is pleased or displeased: a lexicon with negation, triage only (figures in docs/quality.md)."""

from dataclasses import dataclass
from typing import Any

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.facts import facts

# Valences set by hand, in steps: what people say to and about a service, not literature.
_VALENCES: dict[float, str] = {
    3.0: """love loved excellent amazing fantastic perfect perfectly outstanding brilliant superb wonderful awesome
        delighted thrilled best incredible flawless fabulous""",
    2.0: """great happy glad thanks thank grateful appreciate appreciated pleased enjoy enjoyed enjoyable impressive
        impressed beautiful recommend recommended satisfied favorite favourite delightful terrific yay helpful kind
        friendly lovely excited congratulations generous""",
    1.0: """good nice fine well cool useful easy easily quick quickly fast works worked clear clearly correct right better
        welcome like liked solved fixed resolved interesting fun smooth smoothly reliable sure okay improve improved
        safe fair polite patient comfortable affordable convenient""",
    -1.0: """slow late delay delayed wait waiting missing wrong confusing confused unclear difficult hard problem problems
        issue issues expensive error errors mistake mistakes lost stuck incorrect odd strange boring tired unable doubt
        worried worry concern concerned sorry unfortunately lack lacking noisy dirty weird poorly declined refused cannot
        complicated inconvenient""",
    -2.0: """bad annoying annoyed upset sad disappointed disappointing frustrated frustrating fail failed fails failure broken
        unacceptable poor ridiculous rude angry unhappy unhelpful complain complaint complaints refund useless lie lied lies
        misleading waste wasted stupid dumb ignore ignored nonsense pathetic crap damn hurt pain painful scared afraid
        unfair sucks lazy ugly dislike disgusted fake loser losers trash crazy idiots hell mad sick kill killed dead die""",
    -3.0: """terrible horrible awful worst hate hated hates disgusting scam fraud furious outrageous appalling atrocious
        dreadful abysmal garbage idiot moron disaster nightmare useless worthless despise abuse abusive cheated stolen
        fuck fucking fucked shit shitty bullshit bitch bitches asshole cunt bastard retard retarded faggot fag nigger""",
}
LEXICON: dict[str, float] = {w: v for v, listed in _VALENCES.items() for w in listed.split()}
_NEGATIONS = frozenset(
    [
        "not",
        "no",
        "never",
        "none",
        "nothing",
        "nobody",
        "neither",
        "nor",
        "without",
        "hardly",
        "barely",
        "isnt",
        "wasnt",
        "arent",
        "werent",
        "dont",
        "doesnt",
        "didnt",
        "cant",
        "cannot",
        "couldnt",
        "wont",
        "wouldnt",
        "shouldnt",
        "aint",
        "havent",
        "hasnt",
        "hadnt",
    ]
)
_STRONGER = frozenset(
    [
        "very",
        "really",
        "so",
        "extremely",
        "absolutely",
        "totally",
        "completely",
        "incredibly",
        "too",
        "super",
        "utterly",
        "such",
    ]
)
_WEAKER = frozenset(["slightly", "somewhat", "bit", "little", "fairly", "kinda", "rather", "mildly"])
_FLIP, _BOOST, _DAMP, _SPREAD = -0.7, 1.3, 0.7, 15.0
_LONGEST = 2000


def valence(tokens: list[str]) -> tuple[float, int]:
    """Between -1 (displeased) and 1 (pleased), and how many words said so. Σ / √(Σ² + 15) as in Hutto and Gilbert 2014, with
    negations up to three words before flipping a word's sign."""
    total, found = 0.0, 0
    for i, token in enumerate(tokens[:_LONGEST]):
        value = LEXICON.get(token)
        if value is None:
            continue
        found += 1
        before = tokens[max(0, i - 3) : i]
        if before:
            if before[-1] in _STRONGER:
                value *= _BOOST
            elif before[-1] in _WEAKER:
                value *= _DAMP
            if not _NEGATIONS.isdisjoint(before):
                value *= _FLIP
        total += value
    return total / (total * total + _SPREAD) ** 0.5, found


@dataclass(frozen=True, kw_only=True)
class Sentiment(Check):
    """Whether the user (or the answer) sounds pleased, from -1 to 1: a lexicon of about 300 English words with negation and
    intensifiers. Irony, other languages and matter-of-fact complaints escape it: read it as a trend over many traces.

    of: input or output. floor: below this the verdict is failed; None measures only.
    """

    type = "sentiment"
    row = "J5"
    summary = (
        "Whether the input (or output) sounds pleased, -1 to 1: a lexicon with negation (triage, English)."
    )
    kind = "classifier"
    unit = "-1–1"
    example = {"of": "input", "floor": -0.6}

    of: str = "input"
    floor: float | None = None

    def prepare(self) -> None:
        if self.of not in ("output", "input"):
            raise ValueError(f"of: {self.of!r} is not allowed; input or output")
        if self.floor is not None and not -1 <= self.floor <= 1:
            raise ValueError(f"floor: {self.floor} must be between -1 and 1")

    def data(self) -> tuple[Any, ...]:
        return (LEXICON,)

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        tokens = seen.output_words if self.of == "output" else seen.input_words
        if not tokens:
            return NotScored(f"no {self.of} recorded")
        value, found = valence(tokens)
        if not found:
            return NotScored("no word of the lexicon")
        passed = None if self.floor is None else value >= self.floor
        return Verdict(value=round(value, 4), passed=passed, reason=f"{found} telling words")
