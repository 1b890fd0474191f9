from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring import phrases
from watchkeeper.scoring.checks.base import Check
from watchkeeper.scoring.facts import facts
from watchkeeper.scoring.patterns import PatternSet

PATTERNS: tuple[str, ...] = (
    r"\bI(?:'|’)?(?: a)?m (?:really |very |so |truly |terribly |deeply )?(?:sorry|afraid)\b",
    r"\b(?:my|our|sincere(?:st)?) apolog(?:y|ies)\b|\b(?:I|we) (?:sincerely |do )?apologi[sz]e\b|\bapologies for\b",
    r"\bI(?:'|’)?(?: a)?m not (?:entirely |completely |really |quite |100% )?(?:sure|certain|confident|aware)\b",
    r"\bI (?:don(?:'|’)t|do not) (?:actually |really )?(?:know|have (?:access|enough|any|that|the|specific|information))",
    r"\bI (?:couldn(?:'|’)t|could not|can(?:'|’)t|cannot|was(?:n(?:'|’)t| not) able to|am unable to) (?:find|locate|determine|verify|confirm|access)\b",
    r"\b(?:it(?:'|’)s|it is) (?:unclear|not clear|difficult to say|hard to say)\b",
    r"\bI (?:might|may|could) be (?:wrong|mistaken)\b",
    r"\bas an AI\b|\bas a language model\b|\bmy knowledge cutoff\b|\bas of my last\b",
)
_GROUP = phrases.register(PATTERNS)
LABELS = ("apology", "apology", *("uncertain",) * 6)


@dataclass(frozen=True, kw_only=True)
class Uncertainty(Check):
    """Whether the answer apologises or says it does not know: 1 when it does, 0 when not. A rate to watch, not a rule:
    admitting ignorance can be right."""

    type = "uncertainty"
    row = "C5"
    summary = "1 where the answer apologises or admits not knowing, 0 otherwise (a rate to watch)."
    default = True
    unit = "0/1"

    def one(self, subject: Subject) -> Outcome:
        text = subject.output_text
        if not text:
            return NotScored("no output recorded")
        hits = phrases.hits(facts(subject), _GROUP)
        if not hits:
            return Verdict(value=0.0, label="plain")
        phrase = _set().first(text) or ""
        return Verdict(value=1.0, label=LABELS[hits[0]], reason=f"says “{phrase[:80]}”")


_compiled: list[PatternSet] = []


def _set() -> PatternSet:
    if not _compiled:
        _compiled.append(PatternSet(PATTERNS))
    return _compiled[0]
