from collections.abc import Sequence
from dataclasses import dataclass

from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.scoring.checks.base import PASS, Check, fail
from watchkeeper.scoring.facts import facts

# Frequent function words that few other languages share; enough for paragraphs, and silent on short texts.
_COMMON: dict[str, frozenset[str]] = {
    "en": frozenset(
        [
            "the",
            "of",
            "and",
            "to",
            "is",
            "that",
            "it",
            "for",
            "you",
            "with",
            "this",
            "are",
            "was",
            "have",
            "not",
            "but",
            "your",
            "can",
            "we",
            "will",
            "be",
        ]
    ),
    "de": frozenset(
        [
            "der",
            "die",
            "und",
            "das",
            "ist",
            "nicht",
            "ich",
            "sie",
            "es",
            "ein",
            "eine",
            "mit",
            "für",
            "auf",
            "den",
            "zu",
            "wir",
            "haben",
            "auch",
            "dem",
        ]
    ),
    "fr": frozenset(
        [
            "le",
            "la",
            "les",
            "des",
            "et",
            "est",
            "vous",
            "que",
            "pour",
            "dans",
            "une",
            "pas",
            "nous",
            "sur",
            "avec",
            "votre",
            "qui",
            "sont",
            "ce",
            "au",
        ]
    ),
    "es": frozenset(
        [
            "el",
            "los",
            "las",
            "que",
            "y",
            "en",
            "un",
            "una",
            "por",
            "con",
            "para",
            "es",
            "no",
            "su",
            "se",
            "del",
            "lo",
            "como",
            "está",
            "más",
        ]
    ),
    "it": frozenset(
        [
            "il",
            "di",
            "che",
            "è",
            "la",
            "per",
            "un",
            "una",
            "non",
            "sono",
            "con",
            "del",
            "si",
            "le",
            "questo",
            "come",
            "anche",
            "più",
            "gli",
            "nel",
        ]
    ),
    "pt": frozenset(
        [
            "o",
            "os",
            "as",
            "que",
            "e",
            "em",
            "um",
            "uma",
            "para",
            "com",
            "não",
            "por",
            "do",
            "da",
            "se",
            "na",
            "é",
            "você",
            "mais",
            "seu",
        ]
    ),
    "nl": frozenset(
        [
            "de",
            "het",
            "een",
            "en",
            "van",
            "ik",
            "je",
            "dat",
            "niet",
            "is",
            "op",
            "voor",
            "met",
            "zijn",
            "te",
            "die",
            "ook",
            "wij",
            "maar",
            "aan",
        ]
    ),
    "pl": frozenset(
        [
            "i",
            "w",
            "nie",
            "na",
            "się",
            "z",
            "do",
            "to",
            "że",
            "jest",
            "o",
            "jak",
            "za",
            "co",
            "po",
            "ale",
            "od",
            "są",
            "czy",
            "dla",
        ]
    ),
    "sv": frozenset(
        [
            "och",
            "att",
            "det",
            "är",
            "som",
            "en",
            "på",
            "av",
            "för",
            "inte",
            "med",
            "jag",
            "du",
            "har",
            "vi",
            "den",
            "till",
            "ett",
            "kan",
            "om",
        ]
    ),
}
_SCRIPTS: tuple[tuple[int, int, str], ...] = (
    (0x0370, 0x03FF, "el"),
    (0x0400, 0x04FF, "ru"),
    (0x0590, 0x05FF, "he"),
    (0x0600, 0x06FF, "ar"),
    (0x0900, 0x097F, "hi"),
    (0x0E00, 0x0E7F, "th"),
    (0x3040, 0x30FF, "ja"),
    (0x4E00, 0x9FFF, "zh"),
    (0xAC00, 0xD7AF, "ko"),
)
LANGUAGES = (*_COMMON, *(s for _, _, s in _SCRIPTS))


def _script(text: str) -> str | None:
    counts: dict[str, int] = {}
    letters = 0
    for char in text[:4000]:
        if not char.isalpha():
            continue
        letters += 1
        code = ord(char)
        if code < 0x0370:
            continue
        for low, high, language in _SCRIPTS:
            if low <= code <= high:
                counts[language] = counts.get(language, 0) + 1
                break
    if not counts or not letters:
        return None
    # Japanese mixes kana with the characters Chinese uses: a tenth of kana decides.
    if counts.get("ja", 0) > 0.1 * letters:
        return "ja"
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] > 0.3 * letters else None


def guess(text: str, tokens: Sequence[str]) -> str | None:
    """The language of a text as an ISO 639-1 code, or None when it is too short or unclear to say. Cyrillic counts as
    `ru`, Arabic script as `ar`, Devanagari as `hi`: scripts, not languages."""
    if not text.isascii():
        script = _script(text)
        if script is not None:
            return script
    if len(tokens) < 8:
        return None
    sample = tokens[:400]
    hits = {language: sum(t in common for t in sample) for language, common in _COMMON.items()}
    ranked = sorted(hits, key=hits.__getitem__, reverse=True)
    first, second = hits[ranked[0]], hits[ranked[1]]
    clear = first >= max(2, 0.08 * len(sample)) and first >= 1.5 * second
    return ranked[0] if clear else None


@dataclass(frozen=True, kw_only=True)
class Language(Check):
    """The output is in an expected language. Short or unclear texts are not judged.

    expected: ISO 639-1 codes, or `input`: the language of the input.
    """

    type = "language"
    row = "C1"
    summary = "The output is in an expected language, or in the input's."
    error_class = "invalid_output"
    example = {"expected": ["en", "de"]}

    expected: Sequence[str] | str = "input"

    def prepare(self) -> None:
        if self.expected == "input":
            return
        wanted = [self.expected] if isinstance(self.expected, str) else list(self.expected)
        unknown = [w for w in wanted if w not in LANGUAGES]
        if unknown or not wanted:
            raise ValueError(f"expected: {unknown!r} is not allowed; input or any of {', '.join(LANGUAGES)}")
        object.__setattr__(self, "expected", tuple(wanted))

    def one(self, subject: Subject) -> Outcome:
        if not subject.output_text:
            return NotScored("no output recorded")
        seen = facts(subject)
        got = guess(subject.output_text, seen.output_words)
        if got is None:
            return NotScored("too short or unclear to tell the language")
        if self.expected == "input":
            wanted = guess(seen.input or "", seen.input_words)
            if wanted is None:
                return NotScored("the input's language is unclear")
            return PASS if got == wanted else fail(f"input in {wanted}, output in {got}", self.error_class)
        if got in self.expected:
            return PASS
        return fail(f"in {got}, expected {' or '.join(self.expected)}", self.error_class)
