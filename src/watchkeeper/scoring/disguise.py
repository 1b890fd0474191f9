"""Words as they were before somebody hid them from filters: letters of other scripts, digits for letters, marks between words
and letters, and the usual encodings."""

import base64
import binascii
import codecs
import re
import unicodedata

# Cyrillic and Greek letters that look like Latin ones.
_ALIKE = str.maketrans(
    "авекмнорстухсігјѕԁһӏьԛԝүАВЕКМНОРСТУХІЈЅ" + "αβγεικνορτυχωϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "abekmhopctyxcirjsdhlbqwyabekmhopctyxijs" + "abyeikvoptuxwcjabezhikmnoptyx",
)
_MARKS = {
    "0": "o",
    "3": "e",
    "4": "a",
    "@": "a",
    "5": "s",
    "$": "s",
    "7": "t",
    "+": "t",
    "6": "g",
    "8": "b",
    "€": "e",
}
# One and its like stand for both i and l.
_AS_I, _AS_L = (str.maketrans({**_MARKS, "1": one, "|": one, "!": one}) for one in "il")
_INVISIBLE = "\u00ad\u200b-\u200f\u2060-\u2064\ufeff"
_SPELLED = r"(?:\b[A-Za-z][ ._-]){5,}[A-Za-z]\b"
_CODED = r"[A-Za-z0-9+/_-]{24,}={0,2}"
# What each way of hiding looks like, so that the scan for phrases rules most texts out; in ASCII where it can be, which is scanned half
# as fast again. Turned by thirteen letters and backwards:
# "instructions", "previous" and "ignore all".
SIGNS = (
    f"[{_INVISIBLE}\uff01-\uff5e\U0001d400-\U0001d7ff\u24b6-\u24e9]",
    "[A-Za-z][\u0370-\u04ff]|[\u0370-\u04ff][A-Za-z]",
    r"[A-Za-z][013-8@$|!+]{1,3}[A-Za-z]",
    r"(?:ignore|disregard|override|bypass|previous|system|prior)[_.;*~-]|[A-Za-z] [._;-] [A-Za-z]",
    _SPELLED,
    "[A-Za-z0-9+]{28}",
    r"vafgehpgvba|cerivbhf|vtaber (?:nyy|nal|gur)",
    r"noitcurtsni|suoiverp|(?:lla|yna|eht) erongi",
)
_FOLDED, _FOREIGN, _LEET, _JOINED, _ONE_BY_ONE, _ENCODED, _TURNED, _BACKWARDS = range(len(SIGNS))
_DROPPED = re.compile(f"[{_INVISIBLE}]")
_RUNS = re.compile(_CODED)
_LETTERS = re.compile(_SPELLED)
_BETWEEN = re.compile(r"[\W_]+")
_BLANKS = re.compile(r"\s+")
LONGEST = 4_000


def _decoded(match: re.Match[str]) -> str:
    """A base64 or hexadecimal run as text, or the run itself where that is none."""
    run = match.group().rstrip("=").removeprefix("0x")
    is_hex = len(run) % 2 == 0 and not run.strip("0123456789abcdefABCDEF")
    if not is_hex and (run.islower() or run.isupper()):
        return run
    try:
        if is_hex:
            return _said(bytes.fromhex(run)) or run
        raw = base64.urlsafe_b64decode(run.replace("+", "-").replace("/", "_") + "=" * (-len(run) % 4))
    except (ValueError, binascii.Error):
        return run
    return _said(raw) or run


def _said(raw: bytes) -> str | None:
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() and "\ufffd" not in text else None


def undisguised(text: str, signs: set[int]) -> list[str]:
    """Readings of a text that differ from it, by which of `SIGNS` occur in it; of a text beyond `LONGEST` characters only of
    its beginning.

    >>> undisguised("1gn0r€ аll", {_FOREIGN, _LEET})
    ['1gn0r€ all', 'ignore all', 'lgnore all']
    """
    text = text[:LONGEST]
    if not signs:
        return []
    plain = _DROPPED.sub("", unicodedata.normalize("NFKC", text)) if _FOLDED in signs else text
    if _FOREIGN in signs:
        plain = plain.translate(_ALIKE)
    found = [plain]
    if _ENCODED in signs:
        found.append(_RUNS.sub(_decoded, plain))
    if _TURNED in signs:
        found.append(codecs.encode(plain, "rot13"))
    if _BACKWARDS in signs:
        found.append(plain[::-1])
    if _ONE_BY_ONE in signs:
        joined = _LETTERS.sub(lambda match: re.sub(r"[ ._-]", "", match.group()), plain)
        found.append(_BLANKS.sub(" ", joined))
    if _LEET in signs or _FOREIGN in signs:
        found += [plain.translate(_AS_I), plain.translate(_AS_L)]
    if _JOINED in signs:
        found += [_BETWEEN.sub(" ", variant) for variant in found]
    return [variant for variant in dict.fromkeys(found) if variant != text]
