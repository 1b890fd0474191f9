"""What people tell in words: addresses with an "at", passwords without a colon, codes of a few digits, a wallet's words.

Each function is tried only where one of its signs stands, so that texts without them cost next to nothing. The SDK uses it too.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from watchkeeper.redaction.views import tried_at
from watchkeeper.redaction.words import NAMED, PASSWORDS

# --- addresses: ann (at) example.com, ann at example dot com ---------------------------------------
_OPEN, _SHUT = r"\s?[\[({<]\s?", r"\s?[\])}>]\s?"
_SHUT_SIGNS = tuple(f"{sign}{end}" for sign in ("at", "at ", "ät", "arroba", "chez") for end in ")]}>")
_DOT = r"dot|punkt|punto|ponto|point"
# What is in every text that `emails` finds something in; no look-around, for the first pass.
# Opening signs and words are spelt out: plain strings cost the scan next to nothing.
_SIGNS = [
    rf"{sign} ?{word}"
    for sign in ("\\(", "\\[", "\\{", "<")
    for word in ("at", "ät", "Ät", "AT", "At", "arroba", "chez", "@")
]
EMAIL_SIGN = "|".join([*(rf"{sign} ?[\])}}>]" for sign in _SIGNS), " dot ", " DOT "])
_AT = re.compile(
    rf"(?P<marked>{_OPEN}(?:at|ät|arroba|chez|@){_SHUT})(?=\w)|\sat\s(?=[\w-]{{2,63}}(?:\s(?:{_DOT})\s[a-z]))",
    re.IGNORECASE,
)
_LOCAL = re.compile(
    rf"(?<![\w.+%-])[\w.+%-]{{1,64}}(?:\s(?:{_DOT})\s[\w+%-]{{1,32}}){{0,4}}\Z", re.IGNORECASE
)
_HOST = re.compile(
    rf"[\w-]{{1,63}}(?:(?:\.|{_OPEN}(?:{_DOT}|\.){_SHUT}|\s(?:{_DOT})\s)[\w-]{{1,63}}){{0,4}}"
    rf"(?:\.|{_OPEN}(?:{_DOT}|\.){_SHUT}|\s(?:{_DOT})\s)(?:[a-z]{{2,24}})(?![\w-])",
    re.IGNORECASE,
)
_MAIL_WORDS = re.compile(r"mail|contact|reach|write|schreib|correo|posta|address|адрес|почт", re.IGNORECASE)


def emails(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every address that is told with words for its signs."""
    for at in _AT.finditer(text):
        local, host = _LOCAL.search(text, max(0, at.start() - 100), at.start()), _HOST.match(text, at.end())
        if local is None or host is None:
            continue
        # "We met at example dot com" tells a place: there it takes a word for mail, or a name that no word is.
        told = at["marked"] or not local[0].isalpha() or "AT" in at[0]
        if told or _MAIL_WORDS.search(text, max(0, local.start() - 40), local.start()):
            yield local.start(), host.end()


def may_hold_email(lowered: str) -> bool:
    """Whether a text, in lower case, can hold such an address at all."""
    return " dot " in lowered or any(map(lowered.__contains__, _SHUT_SIGNS))


# --- passwords without a colon ------------------------------------------------------------------------
BARE_SIGN = rf"(?:{PASSWORDS})[\"']?\s"
_BARE = re.compile(
    rf"(?:{PASSWORDS})[\"']?\s{{1,3}}(?P<quote>[\"'`])?(?P<value>[^\s\"'<>,;\\{{}}()\[\]`]{{6,64}})",
    re.IGNORECASE,
)
_MARKS = frozenset("!@#$%^&*+?~")


def random(run: str) -> bool:
    """Whether letters and digits alternate as they do in no name: in at least two of five places."""
    kinds = [0 if c.islower() else 1 if c.isupper() else 2 for c in run if c.isalnum()]
    changes = sum(a != b for a, b in pairwise(kinds))
    return 2 in kinds and len(set(kinds)) > 1 and changes >= 0.4 * (len(kinds) - 1)


def made_up(value: str) -> bool:
    """Whether a word is one that nobody writes but as a password: letters and digits with a mark among them, or at random."""
    bare = value.rstrip(".!?:")
    if (
        "=" in value
        or "://" in value
        or len(bare) < 6
        or not (any(map(str.isdigit, bare)) and any(map(str.isalpha, bare)))
    ):
        return False
    return not _MARKS.isdisjoint(value[1:]) or (len(bare) >= 10 and bare.isalnum() and random(bare))


# --- codes of a few digits, and the words of a wallet ---------------------------------------------
_KIND = r"(?:card verification|security|verification|verifizierungs|one[- ]time|2fa|mfa|authentication|login|access|sms)[- ]?"
_CODE_NAMES = rf"cvv2?|cvc2?|csc|pin|otp|passcode|{_KIND}(?:code|pin|passcode|value|number)"
_SAID = r"\\?[\"']?\s{0,3}(?:is|was|ist|lautet|est|es|é|jest|[:=：]|是|为|は)?\s{0,3}\\?[\"']?"
CODE_SIGN = rf"\b(?:{_CODE_NAMES})\b{_SAID}(?:[A-Z]-)?\d{{3}}"
_CODE = re.compile(
    rf"\b(?P<name>{_CODE_NAMES})\b(?P<said>{_SAID})(?P<value>\d{{3}}[ -]\d{{3}}|(?:[A-Z]-)?\d{{3,8}})(?![\w%]|[.,:/-]?\d)",
    re.IGNORECASE,
)
CODE_BEGINS = (
    "cvv", "cvc", "csc", "pin", "otp", "passcode", "card verif", "security", "verif", "one-time", "one time", "2fa", "mfa",
    "authentication", "login", "access", "sms",
)  # fmt: skip
WALLET_SIGN = r"(?:seed|recovery|backup|secret) (?:phrase|words)|mnemonic"
_WALLET = re.compile(
    rf"(?:{WALLET_SIGN})\W{{1,3}}(?:(?:is|are)\W{{1,3}})?(?P<value>(?:[a-z]{{3,8}}[ ,]{{1,2}}){{11,23}}[a-z]{{3,8}})(?![\w'])",
    re.IGNORECASE,
)
_WALLET_BEGINS = ("seed", "recovery", "backup", "secret", "mnemonic")


def _is_code(name: str, said: str, value: str) -> bool:
    """Cards' codes have three or four digits, PINs four (six are India's postcodes), others four or more."""
    stated = any(not c.isspace() for c in said)
    name = name.lower()
    if name.startswith(("cv", "csc", "card", "security")):
        return len(value) in (3, 4) or (name.startswith("security") and stated and len(value) >= 4)
    if name == "pin":
        return stated and len(value) == 4
    return len(value) >= 4 and (stated or name in ("otp", "passcode"))


def secrets(text: str, lowered: str) -> Iterator[tuple[int, int]]:
    """Start and end of passwords, codes and wallets' words; `lowered` is the text in lower case, of the same length."""
    for match in tried_at(_BARE, text, lowered, NAMED):
        if made_up(match["value"]):
            start, end = match.span("value")
            yield start, start + len(text[start:end].rstrip(".?:" if match["quote"] is None else ""))
    for match in tried_at(_CODE, text, lowered, CODE_BEGINS):
        if _is_code(match["name"], match["said"], match["value"]):
            yield match.span("value")
    for match in tried_at(_WALLET, text, lowered, _WALLET_BEGINS):
        yield match.span("value")
