"""One fast pass that says which kinds can occur at all: hyperscan where its wheel exists, else RE2, else `re`."""

from watchkeeper.patterns import PatternSet
from watchkeeper.redaction.keyforms import FORMS
from watchkeeper.redaction.spoken import BARE_SIGN, CODE_SIGN, EMAIL_SIGN, WALLET_SIGN
from watchkeeper.redaction.views import CODED, FORM_BLANK
from watchkeeper.redaction.words import MADE_LIKE_A_KEY, PAPER, SECRETS

EMAIL, DIGITS, IBAN, IPV4, IPV6, SECRET, ALNUM_ID, ESCAPED, RUN, ASSIGNED, SAID_ID = range(11)

# As `secrets._ASSIGNED` up to its value: names alone (`token limit`) are far more frequent than assignments.
_ASSIGNED = (
    rf"(?i:(?:{SECRETS})"
    r"\\?[\"']?\s{0,3}(?:is|es|é|è|är|je|este|lautet|to\s|:|=|>|：|是|为|は|는|은)|(?:bearer\\?[\"']?|--password|--token)\s)"
)
_PREFIXES = (
    "|".join(begin for begin, _ in FORMS)
    + rf"|-----BEGIN|PuTTY-User-Key|sk-|{MADE_LIKE_A_KEY}(?:[A-Za-z0-9]{{1,15}}[_-])?[A-Za-z0-9]{{0,12}}[0-9][A-Za-z0-9]{{3}}"
)
_URL_PASSWORD = r":\/\/[^\s/:@]{0,64}:[^\s/@]{3,64}@|:thin:[^\s/@]{1,64}\/|\s(?:-u|--user)[ =][\"']?[^\s:\"']{1,64}:[^\s\"']{4}"
PATTERNS: tuple[str, ...] = (
    rf"[^\s,;:<>()\[\]]@[^\s,;:<>()\[\]]|{EMAIL_SIGN}",
    r"\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d[ .\-()/]{0,3}\d",
    r"[A-Za-z]{2}\d{2}[ .-]?[A-Za-z0-9]{4}[ .-]?[A-Za-z0-9]{4}|[A-Z]{2} \d{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
    r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}",
    r"[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:|[0-9A-Fa-f]::[0-9A-Fa-f]",
    _PREFIXES,
    r"\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D]|\d{7}-?[A-Z]|\d{2}[A-Za-z]\d{2} ?[A-Za-z]\d{3}|\d[A-Z][A-Z0-9]\d-?[A-Z][A-Z0-9]\d-?[A-Z]{2}\d|\d{6}[-+A]\d{3}[0-9A-Z]"
    r"|\d\.\d{3}\.\d{3}-?[A-Z]|[A-Z9]{4}\d{4}|[A-Z]\d{6}(?:\(|\d{3})",
    rf"{CODED}|{FORM_BLANK}|\\[nrt\"'/]",
    r"[A-Za-z0-9+/]{16}",
    rf"{_ASSIGNED}|{_URL_PASSWORD}|(?i:{BARE_SIGN}|{CODE_SIGN}|{WALLET_SIGN})",
    rf"(?i:{PAPER})",
)


def first_pass(engine: str = "auto") -> PatternSet:
    """Which of `PATTERNS` occur in a text."""
    return PatternSet(PATTERNS, engine, ignore_case=False)
