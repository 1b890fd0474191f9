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
        impressed beautiful recommend recommended satisfied favorite favourite delightful terrific lifesaver yay helpful kind
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
        dreadful abysmal garbage idiot moron disaster nightmare useless wtf worthless despise abuse abusive cheated stolen
        fuck fucking fucked shit shitty bullshit bitch bitches asshole cunt bastard retard retarded faggot fag nigger""",
}
# Said by two words that alone say nothing, or something else.
PAIRS: dict[str, float] = {
    **dict.fromkeys(("my patience", "fed up", "kidding me", "a joke", "charged twice", "double charged", "keeps crashing", "keeps freezing", "keeps failing",
        "keeps happening", "third time", "fourth time", "fifth time", "yet again", "still nothing", "still waiting", "my time", "money back", "rip off", "what the"), -2.0),
    **dict.fromkeys(("it broke", "just broke", "every single"), -1.0),
    **dict.fromkeys(("life saver", "well done", "thumbs up", "good job", "a charm", "big help"), 2.0),
}  # fmt: skip
# Neutral, but a complaint where denied: it does not help, nobody answers.
_DENIED = frozenset(
    [
        "help",
        "helps",
        "helping",
        "helped",
        "work",
        "working",
        "answer",
        "answers",
        "answered",
        "respond",
        "responds",
        "responded",
        "reply",
        "replies",
        "replied",
        "listen",
        "listening",
        "understand",
        "load",
        "loads",
        "loading",
        "arrive",
        "arrived",
    ]
)
# A task, and a question about the world: the words are its topic, unless it speaks of you or of what is at hand.
_TASKS = frozenset(
    [
        "translate",
        "write",
        "explain",
        "summarize",
        "summarise",
        "describe",
        "define",
        "compare",
        "list",
        "sort",
        "generate",
        "create",
        "compose",
        "classify",
        "rewrite",
        "name",
        "kill",
    ]
)
_QUESTIONS = frozenset(
    [
        "what",
        "who",
        "whom",
        "whose",
        "which",
        "when",
        "where",
        "why",
        "how",
        "is",
        "are",
        "was",
        "were",
        "do",
        "does",
        "did",
        "can",
        "could",
        "should",
        "would",
    ]
)
_AT_HAND = frozenset(
    [
        "i",
        "im",
        "ive",
        "id",
        "me",
        "my",
        "mine",
        "we",
        "our",
        "us",
        "you",
        "your",
        "youre",
        "yours",
        "this",
        "that",
        "its",
        "it",
    ]
)
_YOURS = frozenset(("your", "youre", "yours"))
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
        before = tokens[max(0, i - 3) : i]
        if value is None:
            value = PAIRS.get(f"{before[-1]} {token}") if before else None
            if value is None and token in _DENIED and not _NEGATIONS.isdisjoint(before):
                value = 1.5
        if value is None:
            continue
        found += 1
        if before:
            if before[-1] in _STRONGER:
                value *= _BOOST
            elif before[-1] in _WEAKER:
                value *= _DAMP
            if not _NEGATIONS.isdisjoint(before):
                value *= _FLIP
        total += value
    return total / (total * total + _SPREAD) ** 0.5, found


def _about_the_world(tokens: list[str]) -> bool:
    """Whether a request's words are its topic rather than a mood."""
    if tokens[0] in _TASKS:
        return _YOURS.isdisjoint(tokens)
    exclaims = tokens[:2] in (["what", "a"], ["what", "an"])
    return tokens[0] in _QUESTIONS and not exclaims and _AT_HAND.isdisjoint(tokens)


@dataclass(frozen=True, kw_only=True)
class Sentiment(Check):
    """Whether the user (or the answer) sounds pleased, from -1 to 1: a lexicon of about 300 English words with negation and
    intensifiers, and pairs of words; tasks and questions about the world are not judged. Irony, other languages and matter-of-fact complaints escape it: read it as a trend over many traces.

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
        return (LEXICON, PAIRS)

    def one(self, subject: Subject) -> Outcome:
        seen = facts(subject)
        tokens = seen.output_words if self.of == "output" else seen.input_words
        if not tokens:
            return NotScored(f"no {self.of} recorded")
        if self.of == "input" and _about_the_world(tokens):
            return NotScored("a task or a question about something else")
        value, found = valence(tokens)
        if not found:
            return NotScored("no word of the lexicon")
        passed = None if self.floor is None else value >= self.floor
        return Verdict(value=round(value, 4), passed=passed, reason=f"{found} telling words")
