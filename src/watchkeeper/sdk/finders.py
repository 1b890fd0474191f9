"""Where personal data and secrets stand in a text, with the standard library alone.

Every kind starts from something cheap and rare (an ``@``, a literal prefix, a run of digits) found by
string search, and only then looks closely: checksums decide about cards and IBANs. Names and street
addresses are not found; give a list of names to :class:`watchkeeper.sdk.redaction.Redactor`.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from watchkeeper.sdk.listed import sections


class Found(NamedTuple):
    """One entity: characters ``start`` to ``end`` of the text, and its ``kind`` (``EMAIL``, ``CARD`` …)."""

    start: int
    end: int
    kind: str


# --- e-mail -----------------------------------------------------------------------------------------
_LOCAL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
_DOMAIN: Final = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})")


def emails(text: str) -> Iterator[Found]:
    """Addresses around every ``@``, also URL-encoded ones (``%40``)."""
    for sign in ("@", "%40"):
        at = text.find(sign)
        while at >= 0:
            after = at + len(sign)
            domain = _DOMAIN.match(text, after)
            if domain is not None:
                floor = max(0, at - 64)
                local = _LOCAL.search(text[floor:at])
                if local is not None:
                    start = floor + local.start()
                    while text[start] in "'/=`{|.?&" and start < at - 1:
                        start += 1
                    # A query string (`?to=a%40b.c`) belongs to the URL; the address starts after its last sign.
                    cut = max(text.rfind(mark, start, at) for mark in "=&?/:")
                    yield Found(cut + 1 if cut >= start and cut + 1 < at else start, domain.end(), "EMAIL")
                    after = domain.end()
            at = text.find(sign, after)


# --- secrets ----------------------------------------------------------------------------------------
_SHORTEST_KEY: Final = 12
_SHORTEST_CODED: Final = 20


def long_words(text: str) -> str:
    """The words a key or an encoded text could be; prose has few, so searching these alone is cheap."""
    return " ".join([word for word in text.split() if len(word) >= _SHORTEST_KEY])


def coded_words(long: str) -> list[str]:
    """Those of :func:`long_words` that are long enough to be an encoded text."""
    return [word for word in long.split(" ") if len(word) >= _SHORTEST_CODED] if long else []


# --- kinds made of digits ---------------------------------------------------------------------------
#: One pass finds every run that could be a card, phone, national id or IPv4 address.
_DIGITS: Final = re.compile(r"[0-9][0-9 ().\-/\u00a0\u2010-\u2015]{5,24}[0-9]")
_IBAN_TAIL: Final = re.compile(r"[0-9][0-9](?:[ .-]?[0-9A-Za-z]){11,30}")
_IBAN_LENGTHS: Final = {pair[:2]: int(pair[2:]) for pair in " ".join(sections("names.txt")["iban"]).split()}
_NO_MARKS: Final = str.maketrans("", "", " .-")
_IPV6: Final = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]")
_IPV6_LEFT: Final = re.compile(r"[0-9A-Fa-f:]{0,40}\Z")
_IPV6_RIGHT: Final = re.compile(r"[0-9A-Fa-f:]{0,40}(?:\.\d{1,3}){0,3}")
_SSN: Final = re.compile(r"(?!000|666|9\d\d)\d{3}([- \u2010-\u2015])(?!00)\d\d\1(?!0000)\d{4}\Z")
_DATE: Final = re.compile(
    r"(?:19|20)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}(?!\d)|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d(?!\d)"
)
_SHORT_DATE: Final = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d\d\Z")
_NANP: Final = re.compile(r"\(?[2-9]\d\d\)?[ .\-/\u2010-\u2015]{1,2}[2-9]\d\d[ .\-\u2010-\u2015]?\d{4}\Z")
_GROUPS: Final = re.compile(r"\d+")
_EXTENSION: Final = re.compile(r"\s?(?:x|ext\.?|extension)\s?\d{1,6}(?!\w)", re.IGNORECASE)
_PHONE_WORD: Final = re.compile(
    r"\b(?:tele)?(?:phone|call|tel|mobile|cell|fax|dial|number is|reach|answer(?:ing)?|contact|whatsapp|sms)\b[^\d]{0,16}\Z"
    r"|(?:手机|电话|電話|携帯|전화|휴대폰|тел\w*|r[üu]ckruf|anruf|rufnummer|telefon\w*|t[ée]l[ée](?:fono|phone)|m[óo]vil|celular|cellulare|mobil|handy)[^\d]{0,16}\Z",
    re.IGNORECASE,
)
_PHONE_LABEL: Final = re.compile(r"[ \-,]{0,2}(?:office|fax|mobile|cell|phone|home|work)\b", re.IGNORECASE)
_TRIPLE: Final = re.compile(r"\(?\d{3}(?:\) ?|[.\-])\d{3}[.\-]\d{4}\Z")
_AREA: Final = re.compile(
    r"[08]?[ -]?\(\d{3}\)[ -]?\d{3}[ -]\d\d[ -]\d\d\Z|\(0?\d{1,4}\) ?\d{3,4}[ \-]?\d{3,4}\Z"
)
_CARD_WORD: Final = re.compile(r"\bcards?\b[^\d\n]{0,24}\Z", re.IGNORECASE)
_ID_WORD: Final = re.compile(r"(?:ssn|social security)\b[^\d\n]{0,24}\Z", re.IGNORECASE)
#: A suite's number runs into the street's.
_DOOR: Final = re.compile(r"\b(?:suite|ste|apt|apartment|unit|room|floor|flat|box)\W*\Z", re.IGNORECASE)
#: Also a product's own, as browsers write it: Chrome/120.0.0.0.
_VERSION_WORD: Final = re.compile(
    r"(?:(?:\bv|version|release|section|§|build)\.?\s?|(?<![\w/.])(?-i:[A-Z])\w*/)\Z", re.IGNORECASE
)
_CARD_GROUPS: Final = re.compile(r"\d{4}([ .-])\d{4}\1\d{4}\1\d{4}\Z")
_CARD_STARTS: Final = ("2", "3", "4", "5", "6", "8", "9")


def numbers(text: str) -> Iterator[Found]:
    """Payment cards (Luhn), IBANs (mod 97), phones, US social security numbers, IPv4 addresses."""
    yield from _ibans(text)
    for match in _DIGITS.finditer(text):
        yield from _number(text, match.start(), match.end())


def ipv6(text: str) -> Iterator[Found]:
    """IPv6 addresses of at least three groups; ``a::b`` may as well be a C++ name."""
    at = 0
    while (hit := _IPV6.search(text, at)) is not None:
        left = _IPV6_LEFT.search(text[max(0, hit.start() - 40) : hit.start()])
        right = _IPV6_RIGHT.match(text, hit.start())
        start = hit.start() - (len(left.group()) if left else 0)
        at = right.end() if right else hit.end()
        end = at - 1 if text[at - 1] == ":" and text[at - 2] != ":" else at
        bounded = not (start and text[start - 1].isalnum()) and not (end < len(text) and text[end].isalnum())
        if bounded and _is_ipv6(text[start:end]):
            yield Found(start, end, "IP")


def _touches(char: str) -> bool:
    """Whether a character beside digits makes them a part of a word; Chinese or Thai writes no spaces around numbers."""
    return char == "_" or (char < "\u0250" and char.isalnum())


def _number(text: str, start: int, end: int) -> Iterator[Found]:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    if _touches(before) or _touches(after):
        tail = _EXTENSION.match(text, end)
        if tail is None or _touches(before):
            # A card glued to letters by an encoder ("card:4111…n") is still a card.
            run = text[start:end]
            card = _card(text, start, end) if run.isdigit() or _CARD_GROUPS.match(run) else None
            if card is not None:
                yield card
            return
    found = _card(text, start, end) or _address(text, start, end) or _identity(text, start, end)
    if found is not None:
        yield found
        return
    phone = _phone(text, start, end)
    if phone is not None:
        yield phone


def _card(text: str, start: int, end: int) -> Found | None:
    run = text[start:end]
    if "(" in run or "/" in run or ("." in run and not _CARD_GROUPS.match(run)):
        return None
    groups = [(m.start(), m.end()) for m in _GROUPS.finditer(run)]
    # A card may share its run with a neighbour (an expiry date, a code): try every stretch of whole groups.
    for first in range(len(groups)):
        digits = ""
        for last in range(first, len(groups)):
            digits += run[groups[last][0] : groups[last][1]]
            if len(digits) > 19:
                break
            sizes = [b - a for a, b in groups[first : last + 1]]
            if len(digits) < 12 or len(set(digits)) == 1 or not _card_shape(sizes) or not luhn(digits):
                continue
            usual = len(digits) >= 13 and digits[0] in _CARD_STARTS
            if usual or _CARD_WORD.search(text[max(0, start - 40) : start]):
                return Found(start + groups[first][0], start + groups[last][1], "CARD")
    return None


def _card_shape(sizes: list[int]) -> bool:
    fours = set(sizes[:-1]) <= {4} and len(sizes) >= 3
    return (
        len(sizes) == 1 or fours or sizes in ([4, 6, 5], [4, 6, 4], [4, 6, 6], [6, 13]) or set(sizes) == {1}
    )


def luhn(digits: str) -> bool:
    """Whether the digits carry a valid Luhn check digit (ISO/IEC 7812-1 annex B)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if index % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def _address(text: str, start: int, end: int) -> Found | None:
    run = text[start:end]
    if run.count(".") < 3:
        return None
    parts = run.rstrip(".").split(".")
    for first in range(len(parts) - 3):
        octets = parts[first : first + 4]
        if not all(o.isdigit() and len(o) <= 3 and int(o) <= 255 for o in octets) or len(parts) > 4:
            continue
        nobody = octets[0] in ("0", "127", "255")
        if nobody or _VERSION_WORD.search(text[max(0, start - 24) : start]):
            return None
        return Found(start, start + len(".".join(octets)), "IP")
    return None


def _identity(text: str, start: int, end: int) -> Found | None:
    run = text[start:end]
    if _SSN.match(run) is not None and (" " not in run or not _DOOR.search(text[max(0, start - 16) : start])):
        return Found(start, end, "SSN")
    if run.isdigit() and len(run) == 9 and _ID_WORD.search(text[max(0, start - 40) : start]):
        return Found(start, end, "SSN")
    return None


def _phone(text: str, start: int, end: int) -> Found | None:
    run = text[start:end]
    digits = sum(map(str.isdigit, run))
    if (
        not 7 <= digits <= 15
        or run.count(".") == 1
        or (run.isdigit() and text[max(0, start - 1) : start] in ("/", "="))
    ):
        return None
    lead = start
    if lead and text[lead - 1] == "(":
        lead -= 1
    plus = lead > 0 and text[lead - 1] == "+"
    if plus:
        lead -= 1
    elif text[max(0, start - 2) : start] == "00" and digits >= 8:
        plus = True
    if not (plus and digits >= 8) and not _looks_dialled(text, run, lead, end):
        return None
    tail = _EXTENSION.match(text, end)
    return Found(lead, tail.end() if tail else end, "PHONE")


def _looks_dialled(text: str, run: str, lead: int, end: int) -> bool:
    if _DATE.search(run) is not None or _SHORT_DATE.match(run) is not None:
        return False
    groups = _GROUPS.findall(run)
    national = text[lead:end]
    if len(groups) > 1 and groups[0] in ("1", "001"):
        at = run.index(groups[1], len(groups[0]))
        national = run[at - 1 :] if run[at - 1] == "(" else run[at:]
    if any(shape.match(national) for shape in (_NANP, _TRIPLE, _AREA)):
        return True
    count = sum(map(len, groups))
    # National trunk numbers outside North America start with 0: 020 7946 0958, 01 23 45 67 89.
    if (
        groups[0].startswith("0")
        and 9 <= count <= 12
        and len(groups) <= 6
        and (len(groups) > 1 or count >= 10)
    ):
        return "." not in run or len(groups) > 2
    if not 7 <= count <= 13:
        return False
    labelled = _PHONE_LABEL.match(text, end) is not None
    return labelled or _PHONE_WORD.search(text[max(0, lead - 40) : lead]) is not None


def _ibans(text: str) -> Iterator[Found]:
    at = 0
    while (match := _IBAN_TAIL.search(text, at)) is not None:
        start = match.start() - 2
        run = _GROUPS.match(text, match.start())
        # What follows the digits may be swept into the match and be the real one.
        at = run.end() if run is not None else match.end()
        country = text[max(0, start) : start + 2]
        if (
            start < 0
            or not (country.isalpha() and country.isascii())
            or (start and text[start - 1].isalnum())
        ):
            continue
        end = _iban_end(text, start, match.end())
        if end is not None:
            yield Found(start, end, "IBAN")
            at = end


def _iban_end(text: str, start: int, end: int) -> int | None:
    """The last end at which the characters from ``start`` are an IBAN; a word after it may have been swept in."""
    while end - start >= 15:
        if end == len(text) or not text[end].isalnum():
            compact = text[start:end].translate(_NO_MARKS).upper()
            if _IBAN_LENGTHS.get(compact[:2]) == len(compact) and mod97(compact):
                return end
        end -= 1
    return None


def mod97(iban: str) -> bool:
    """Whether the upper-case characters have the IBAN check value 1 (ISO 13616, ISO 7064 mod 97-10)."""
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _is_ipv6(text: str) -> bool:
    groups = [g for g in text.split(":") if g]
    if len(groups) < 3 or (len(groups) < 8 and "::" not in text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
