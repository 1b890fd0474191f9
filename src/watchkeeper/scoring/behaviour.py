"""What users do after an answer, without a word of feedback: ask again, ask what it means, lose patience, ask for a person,
leave (requirement F2).

Each scorer is about one answer, a trace of a session. It reads the user's next message (`extra["next"]`), or that the session
has ended without one (`extra["ended"]`); while neither is known it says nothing. 1 means that it happened, and then the answer
is not `passed`. The words are in `user_words`; rephrasing is measured in any language the embedding knows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar, cast

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.patterns import PatternSet
from watchkeeper.scoring.classifiers import embed
from watchkeeper.scoring.lexicon import STOPWORDS
from watchkeeper.scoring.texts import words
from watchkeeper.scoring.user_words import CLARIFY, ESCALATE, FRUSTRATED
from watchkeeper.scoring.version import content_version
from watchkeeper.scoring.vocabulary import stem

_OPEN = NotScored("the session goes on: what the user does next is not known yet")
_LONGEST = 4000


@dataclass(frozen=True)
class Behaviour:
    """A scorer of one kind of behaviour. Subclasses set `type` and `summary` and write `said` or `one`."""

    type: ClassVar[str]
    summary: ClassVar[str]
    row: ClassVar[str] = "F2"
    kind: ClassVar[str] = "signal"
    trusted: ClassVar[bool] = True
    default: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {}
    unit: ClassVar[str] = ""

    @property
    def name(self) -> str:
        return self.type

    @property
    def level(self) -> str:
        return "session"

    @property
    def version(self) -> str:
        return self._version

    @cached_property
    def _version(self) -> str:
        return content_version(type(self), self.type, embed.available())

    def beside(self, last: bool) -> Sequence[int]:
        """Which turns beside the answer it reads, by their distance from it; `last` tells whether the session ended with the answer."""
        return () if last else (1,)

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        return [self.one(s) for s in subjects]

    def one(self, subject: Subject) -> Outcome:
        said = next_message(subject)
        if said is None:
            return NotScored("no message followed") if subject.extra.get("ended") else _OPEN
        return self.judged(subject, said)

    def judged(self, subject: Subject, said: str) -> Outcome:
        """The verdict where the user has said something next."""
        raise NotImplementedError


def next_message(subject: Subject) -> str | None:
    """What the user said after this answer, None when it is not known or nothing."""
    return cast("str | None", subject.extra.get("next")) or None


def happened(reason: str) -> Verdict:
    """It did, and the answer is not passed."""
    return Verdict(value=1.0, passed=False, reason=reason[:500])


def not_happened(reason: str | None = None) -> Verdict:
    """It did not."""
    return Verdict(value=0.0, passed=True, reason=reason)


# -- asking again ----------------------------------------------------------------------------------------------------

_AGREES = re.compile(
    r"\s*(?:yes|yeah|yep|yup|sure|correct|right|exactly|ok|okay|thanks|thank you)\b", re.IGNORECASE
)
SIMILAR = 0.76
SHARED = 0.6
SOME = 0.25
_EMPTY_WORDS = frozenset(
    [
        "please",
        "thanks",
        "thank",
        "hi",
        "hello",
        "hey",
        "ok",
        "okay",
        "yes",
        "no",
        "yeah",
        "sure",
        "want",
        "need",
        "like",
        "get",
        "tell",
        "know",
        "help",
        "actually",
        "just",
        "really",
    ]
)


def content_of(tokens: Sequence[str]) -> set[str]:
    """The words that carry a message's meaning, without endings."""
    return {meant for t in tokens if (meant := _meaning(t)) is not None}


@lru_cache(maxsize=32_768)
def _meaning(word: str) -> str | None:
    return None if word in STOPWORDS or word in _EMPTY_WORDS else stem(word)


def overlap(one: set[str], other: set[str]) -> float:
    """The share of words that two messages have in common (Jaccard)."""
    return len(one & other) / len(one | other) if one or other else 0.0


def nearness(one: Sequence[str], other: Sequence[str]) -> float:
    """Cosine of two messages' embeddings, given as their words; 0 without the package or without words."""
    if not embed.available() or not one or not other:
        return 0.0
    a, b = embed.embed([one, other])
    return float(a @ b)


def similarity(before: str, after: str) -> tuple[float, float]:
    """The embeddings' cosine of the two messages, and the share of content words they have in common."""
    a, b = words(before[-_LONGEST:]), words(after[:_LONGEST])
    return nearness(a, b), overlap(content_of(a), content_of(b))


@dataclass(frozen=True)
class Rephrased(Behaviour):
    """The user asks the same again, in the same or other words. Both messages need at least two content words, so that
    a second "yes, please" is no repetition."""

    type = "rephrased"
    summary = "The user repeated or rephrased the question after this answer."

    def judged(self, subject: Subject, said: str) -> Outcome:
        before = subject.input_text
        if not before:
            return NotScored("the question is not known")
        a, b = words(before[-_LONGEST:]), words(said[:_LONGEST])
        mine, theirs = content_of(a), content_of(b)
        if min(len(mine), len(theirs)) < 2:
            return not_happened("too short to be a question asked again")
        if _AGREES.match(said):
            return not_happened("the message agrees")
        changed = mine ^ theirs
        if mine - theirs and theirs - mine and all(w.isdigit() for w in changed):
            return not_happened("the same about another number")
        shared = overlap(mine, theirs)
        reason = f"shared words {shared:.2f}"
        again = shared >= SHARED
        # A correction of one detail ("no, order 17") shares few words with a long question; embeddings alone see the topic.
        if SOME <= shared < SHARED:
            near = nearness(a, b)
            again, reason = near >= SIMILAR, f"similarity {near:.2f}, {reason}"
        return happened(f"asked again: {reason}") if again else not_happened(reason)


# -- words -----------------------------------------------------------------------------------------------------------

_CLARIFY, _FRUSTRATED, _ESCALATE = (
    tuple(re.compile(p, re.IGNORECASE) for p in group) for group in (CLARIFY, FRUSTRATED, ESCALATE)
)
# Whom somebody quotes has said it, not the user.
_QUOTED = re.compile(
    r"\"[^\"\n]{4,400}\"|“[^”\n]{4,400}”|«[^»\n]{4,400}»|„[^“”\n]{4,400}[“”]|「[^」\n]{4,400}」"
)
_SPELLED = re.compile(r"[A-Za-z]{2,}")
_CLOSING = re.compile(
    r"\b(?:thanks|thank you|thx|cheers|bye|goodbye|great|perfect|awesome|that'?s all|that is all|all set|have a (?:good|nice|great))\b",
    re.IGNORECASE,
)


_BLANK = re.compile(r"[^\S\n]")


@lru_cache(maxsize=1)
def _phrases() -> PatternSet:
    """The lists without bounds of words, of which hyperscan knows ASCII's alone: what has none of these has none of the lists. Compiled
    on first use, so that importing the product does not pay for it."""
    lists = (*CLARIFY, *FRUSTRATED, *ESCALATE)
    return PatternSet([p.replace(r"\b", "").replace(r"\w+", r"\S+").replace(r"\w*", r"\S*") for p in lists])


def _in(text: str, patterns: Sequence[re.Pattern[str]]) -> str | None:
    """The words that the first of these patterns finds. Most messages have none, which one pass over all patterns says."""
    text = text[:_LONGEST] + "\n"
    if not text.isascii():
        text = _BLANK.sub(" ", text)
    if not _phrases().ids(text.lower()):
        return None
    text = _QUOTED.sub(" … ", text)
    found = next((f for p in patterns if (f := p.search(text))), None)
    return found.group(0).strip() if found else None


def clarification_in(text: str) -> str | None:
    """The words that ask what an answer means, None without any."""
    return _in(text, _CLARIFY)


def frustration_in(text: str) -> str | None:
    """The words of lost patience; also shouting (five words or more, nearly all in capitals)."""
    found = _in(text, _FRUSTRATED)
    if found:
        return found
    spelled: list[str] = _SPELLED.findall(text[:_LONGEST])
    shouted = [w for w in spelled if w.isupper()]
    return "shouting" if len(spelled) >= 5 and len(shouted) >= 0.8 * len(spelled) else None


def escalation_in(text: str) -> str | None:
    """The words that ask for a person."""
    return _in(text, _ESCALATE)


def closes(text: str) -> bool:
    """Whether a message thanks or says goodbye without asking anything."""
    return "?" not in text and _CLOSING.search(text[:_LONGEST]) is not None and len(words(text)) <= 25


@dataclass(frozen=True)
class Clarification(Behaviour):
    """The user asks what the answer means."""

    type = "clarification"
    summary = "The user asked what this answer means."

    def judged(self, subject: Subject, said: str) -> Outcome:
        found = clarification_in(said)
        return happened(f"“{found}”") if found else not_happened()


@dataclass(frozen=True)
class Frustration(Behaviour):
    """The user loses patience: says that it is wrong again or useless, insults, shouts."""

    type = "frustration"
    summary = "The user lost patience after this answer."

    def judged(self, subject: Subject, said: str) -> Outcome:
        found = frustration_in(said)
        return happened(f"“{found}”") if found else not_happened()


@dataclass(frozen=True)
class EscalationRequest(Behaviour):
    """The user asks for a person. In a session's first message this counts for the answer to it, because there is none before."""

    type = "escalation_request"
    summary = "The user asked for a person."

    def one(self, subject: Subject) -> Outcome:
        said = next_message(subject)
        first = subject.input_text if not subject.earlier else None
        if said is None and not subject.extra.get("ended"):
            return _OPEN
        texts = [t for t in (said, first) if t]
        if not texts:
            return NotScored("no message of the user is known")
        found = next((f for t in texts if (f := escalation_in(t))), None)
        return happened(f"“{found}”") if found else not_happened()


@dataclass(frozen=True)
class Abandoned(Behaviour):
    """The session ended right after an answer that left the user without help: it failed (`extra["bad"]` says how), or the user's
    message before it was itself a repetition, a question what is meant, or impatience, and nobody said thanks. A session that
    ends after a good answer has reached its end."""

    type = "abandoned"
    summary = "The session ended after a bad answer, without thanks."

    def beside(self, last: bool) -> Sequence[int]:
        return (-1,) if last else ()

    def one(self, subject: Subject) -> Outcome:
        if next_message(subject) is not None:
            return not_happened("the user went on")
        if not subject.extra.get("ended"):
            return _OPEN
        asked = subject.input_text or ""
        if closes(asked):
            return not_happened("the user's last words were thanks")
        bad = cast("str | None", subject.extra.get("bad"))
        if bad:
            return happened(f"the last answer: {bad}")
        before = subject.earlier[-1].input_text if subject.earlier else None
        complaint = frustration_in(asked) or clarification_in(asked)
        if complaint and before:
            return happened(f"the user's last words: “{complaint}”")
        if before:
            again = Rephrased().judged(Subject(subject.earlier[-1]), asked)
            if isinstance(again, Verdict) and again.passed is False:
                return happened("the user's last message asked the same again")
        return not_happened("the session ended after an answer with nothing against it")


BEHAVIOURS: tuple[type[Behaviour], ...] = (
    Rephrased,
    Clarification,
    Frustration,
    EscalationRequest,
    Abandoned,
)


def default_behaviours() -> list[Behaviour]:
    """All of them, as they run on every session."""
    return [b() for b in BEHAVIOURS]
