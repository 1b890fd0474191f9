"""Where personal data and secrets stand in a text, with the standard library alone.

Every kind starts from something cheap and rare (an ``@``, a literal prefix, a run of digits) found by
string search, and only then looks closely: checksums decide about cards and IBANs. Names and street
addresses are not found; give a list of names to :class:`watchkeeper.sdk.redaction.Redactor`.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from watchkeeper.redaction import digits, verify


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
                # A repository's address: everybody is called git there.
                remote = text[max(0, at - 3) : at] == "git" and text[domain.end() : domain.end() + 1] == ":"
                if local is not None and not (remote and not text[: at - 3][-1:].isalnum()):
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
_GROUPS: Final = re.compile(r"\d+")
_ADDRESS: Final = re.compile(r"[0-9](?<![0-9A-Za-z_.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3,}(?![0-9A-Za-z_])")
_KINDS: Final = frozenset(("card", "phone", "ssn", "national_id"))
_IBAN_TAIL: Final = re.compile(r"[0-9][0-9](?:[ .-]?[0-9A-Za-z]){11,30}")
_NO_MARKS: Final = str.maketrans("", "", " .-")
_IPV6: Final = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]")
_IPV6_LEFT: Final = re.compile(r"[0-9A-Fa-f:]{0,40}\Z")
_IPV6_RIGHT: Final = re.compile(r"[0-9A-Fa-f:]{0,40}(?:\.\d{1,3}){0,3}")
#: Also a product's own, as browsers write it: Chrome/120.0.0.0.
_VERSION_WORD: Final = re.compile(
    r"(?:(?:\bv|version|release|section|§|build)\.?\s?|(?<![\w/.])(?-i:[A-Z])\w*/)\Z", re.IGNORECASE
)


def numbers(text: str) -> Iterator[Found]:
    """Payment cards, IBANs (mod 97), phones, national ids, IPv4 addresses."""
    yield from _ibans(text)
    yield from (Found(start, end, kind.upper()) for start, end, kind in digits.numbers(text, _KINDS))
    for match in _ADDRESS.finditer(text):
        found = _address(text, match.start(), match.end())
        if found is not None:
            yield found


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
        length = len(".".join(octets))
        network = octets[3] == "0" and text[start + length : start + length + 1] == "/"
        if nobody or network or _VERSION_WORD.search(text[max(0, start - 24) : start]):
            return None
        return Found(start, start + length, "IP")
    return None


def _ibans(text: str) -> Iterator[Found]:
    at = 0
    while (match := _IBAN_TAIL.search(text, at)) is not None:
        spaced = (
            text[match.start() - 1 : match.start()] == " "
            and text[match.start() - 3 : match.start()].isupper()
        )
        start = match.start() - 2 - spaced
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
            if verify.iban(compact):
                return end
        end -= 1
    return None


def _is_ipv6(text: str) -> bool:
    groups = [g for g in text.split(":") if g]
    if len(groups) < 3 or (len(groups) < 8 and "::" not in text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
