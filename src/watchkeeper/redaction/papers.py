"""Numbers of people's papers that show by letters among their digits, or by the word before them."""

import re
from collections.abc import Callable, Iterator

from watchkeeper.redaction import verify
from watchkeeper.redaction.digits import DATE
from watchkeeper.redaction.views import tried
from watchkeeper.redaction.words import PAPER, PAPERS


def _hetu(text: str) -> bool:
    """Finland: a date with its century's sign, a serial, a check character modulo 31."""
    digits = text[:6] + text[7:10]
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(digits) % 31] == text[10] and verify.dated(
        text, day_first=True
    )


# What begins with a capital, with a digit, and with any letter, in one pattern each, so that each is one scan: the United
# Kingdom (insurance, driving licence), Spain, Mexico (CURP, RFC), Singapore, Hong Kong, Taiwan, India (PAN of a person);
# Spain and Finland; Italy.
_MBI = "[AC-HJKMNP-RT-Y]"
_CAPITAL = re.compile(
    r"[A-Z](?<![A-Za-z0-9].)(?:(?P<nino>(?<=[A-CEGHJ-PR-TW-Z])(?<!B(?=G))(?<!G(?=B))(?<!N(?=[KT]))(?<!K(?=N))(?<!T(?=N))(?<!Z(?=Z))"
    r"[A-CEGHJ-NPR-TW-Z][ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D])|(?P<dni>(?<=[XYZ])-?\d{7}-?[A-HJ-NP-TV-Z])"
    r"|(?P<licence>[A-Z9]{4}\d[0156]\d(?:0[1-9]|[12]\d|3[01])\d[A-Z][A-Z9][A-Z0-9][A-Z]{2})|(?P<pan>[A-Z]{2}P[A-Z]\d{4}[A-Z])"
    r"|(?P<curp>[A-Z]{3}\d{6}[HM][A-Z]{5}[A-Z0-9]\d)|(?P<rfc>[A-Z]{3}\d{6}[A-Z0-9]{3})|(?P<nric>(?<=[STFGM])\d{7}[A-Z])"
    r"|(?P<hkid>\d{6}\([0-9A]\))|(?P<taiwan>[12]\d{8}))(?![A-Za-z0-9])"
)
_NUMBER = re.compile(
    r"\d(?<![A-Za-z0-9.].)(?:(?P<dni>(?:\d{7}|\d?\.\d{3}\.\d{3})-?[A-HJ-NP-TV-Z])|(?P<hetu>\d{5}[-+A]\d{3}[0-9A-Y])"
    rf"|(?P<mbi>(?<=[1-9]){_MBI}[{_MBI[1:-1]}0-9]\d-?{_MBI}[{_MBI[1:-1]}0-9]\d-?{_MBI}{{2}}\d\d))(?![A-Za-z0-9])"
)
_LETTER = re.compile(
    r"[A-Za-z](?<![A-Za-z0-9].)(?P<fiscal>[A-Za-z]{2} ?[A-Za-z]{3} ?\d{2}[A-EHLMPRSTa-ehlmprst]\d{2} ?[A-Za-z]\d{3}[A-Za-z])(?![A-Za-z0-9])"
)
_CHECKS: dict[str, Callable[[str], bool]] = {
    "dni": lambda text: verify.dni(re.sub("[-.]", "", text)),
    "rfc": lambda text: verify.dated(text[4:10]),
    "nric": verify.nric,
    "hkid": lambda text: verify.hkid(text.replace("(", "").rstrip(")")),
    "taiwan": verify.taiwanese,
    "hetu": _hetu,
    "fiscal": lambda text: verify.codice_fiscale(text.replace(" ", "")),
}
_SSN = re.compile(r"\d{3}-\d{2}-\d{4}")
_GAP = r"(?:</?\w{1,8}>|[\W_]){0,8}+"
# Beside a word that names the document its number needs no checksum: most countries' have none that is public.
SAID = re.compile(
    rf"(?:{PAPER}){_GAP}(?:(?:(?:card|number|num|no|nr|id|code|nummer)\b|n[°º]|番号|号码|號碼|[号號]|번호){_GAP}){{0,2}}"
    rf"(?:(?:is|was|ist|est|es|é|è|lautet|jest|är|er)\b|是|は)?{_GAP}"
    r"(?P<value>[A-Za-z]{0,5}\d[A-Za-z0-9]*(?:[ ./-]?(?=[A-Za-z]{0,3}\d)[A-Za-z0-9]+){0,6}(?:[ /-][A-Za-z0-9]\b|\([0-9A]\))?"
    r"|(?-i:(?=[A-Z]*\d)[A-Z0-9]{8,12}))(?![A-Za-z0-9])",
    re.IGNORECASE,
)


def lettered(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every number that its form and check give away; overlaps are possible."""
    for pattern in (_CAPITAL, _NUMBER, _LETTER):
        for match in pattern.finditer(text):
            check = _CHECKS.get(match.lastgroup or "")
            if check is None or check(match.group()):
                yield match.span()


def is_number(value: str) -> bool:
    """Whether what stands beside a document's name can be its number."""
    digits = sum(c.isdigit() for c in value)
    if DATE.fullmatch(value):
        return False
    return 6 <= digits <= 18 or (digits > 0 and len(value) >= 8 and value.isalnum() and value.isupper())


def said(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every number that stands beside the name of its document."""
    for match in tried(SAID, text, PAPERS):
        # Whether a social security number can have been issued shows in its digits.
        if is_number(match.group("value")) and not _SSN.fullmatch(match.group("value")):
            yield match.span("value")
