"""Where personal data and secrets stand in a text, with the standard library alone.

Every kind starts from something cheap and rare (an ``@``, a literal prefix, a run of digits) found by
string search, and only then looks closely: checksums decide about cards and IBANs. Names and street
addresses are not found; give a list of names to :class:`watchkeeper.sdk.redaction.Redactor`.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple


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
_LEFT: Final = r"(?<![A-Za-z0-9_])"
_TOKEN: Final = r"[A-Za-z0-9_-]"
#: literal that must occur → what a match looks like. A literal is cheap to search; an alternation is not.
_SECRETS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (literal, re.compile(pattern))
    for literal, pattern in (
        ("sk-", rf"{_LEFT}sk-(?=[A-Za-z_-]*[0-9]){_TOKEN}{{16,250}}"),
        ("wk_", rf"{_LEFT}wk_{_TOKEN}{{16,200}}"),
        ("AKIA", rf"{_LEFT}AKIA[A-Z0-9]{{16}}(?![A-Z0-9])"),
        ("ASIA", rf"{_LEFT}ASIA[A-Z0-9]{{16}}(?![A-Z0-9])"),
        ("ghp_", rf"{_LEFT}ghp_[A-Za-z0-9]{{20,255}}"),
        ("gho_", rf"{_LEFT}gho_[A-Za-z0-9]{{20,255}}"),
        ("ghu_", rf"{_LEFT}ghu_[A-Za-z0-9]{{20,255}}"),
        ("ghs_", rf"{_LEFT}ghs_[A-Za-z0-9]{{20,255}}"),
        ("ghr_", rf"{_LEFT}ghr_[A-Za-z0-9]{{20,255}}"),
        ("github_pat_", rf"{_LEFT}github_pat_[A-Za-z0-9_]{{22,255}}"),
        ("glpat-", rf"{_LEFT}glpat-{_TOKEN}{{20,100}}"),
        ("xox", rf"{_LEFT}xox[abeoprs]-[A-Za-z0-9-]{{10,250}}"),
        ("xapp-", rf"{_LEFT}xapp-[A-Za-z0-9-]{{10,250}}"),
        ("hooks.slack.com", r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,80}"),
        ("AIza", rf"{_LEFT}AIza{_TOKEN}{{35}}"),
        ("ya29.", rf"{_LEFT}ya29\.{_TOKEN}{{20,250}}"),
        ("GOCSPX-", rf"{_LEFT}GOCSPX-{_TOKEN}{{20,40}}"),
        ("hf_", rf"{_LEFT}hf_[A-Za-z0-9]{{20,60}}"),
        ("gsk_", rf"{_LEFT}gsk_[A-Za-z0-9]{{20,80}}"),
        ("npm_", rf"{_LEFT}npm_[A-Za-z0-9]{{30,60}}"),
        ("pypi-", rf"{_LEFT}pypi-{_TOKEN}{{40,250}}"),
        ("SG.", rf"{_LEFT}SG\.{_TOKEN}{{16,30}}\.{_TOKEN}{{30,60}}"),
        ("_live_", rf"{_LEFT}(?:sk|rk|pk)_live_[A-Za-z0-9]{{10,100}}"),
        ("_test_", rf"{_LEFT}(?:sk|rk|pk)_test_[A-Za-z0-9]{{10,100}}"),
        ("whsec_", rf"{_LEFT}whsec_[A-Za-z0-9+/=]{{20,100}}"),
        ("shp", rf"{_LEFT}shp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32}}"),
        ("dop_v1_", rf"{_LEFT}dop_v1_[a-f0-9]{{40,80}}"),
        ("AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/=]{40,120}"),
        ("eyJ", rf"{_LEFT}eyJ{_TOKEN}{{8,8000}}\.{_TOKEN}{{8,16000}}(?:\.{_TOKEN}{{0,2000}})?"),
        ("://", r"(?<=://)[^\s/:@\"'<>]{0,80}:[^\s/@\"'<>]{1,120}(?=@)"),
    )
)
#: Most literals hold a sign that long words of prose do not: one search for it rules out the whole group.
_SECRETS_BY_SIGN: Final = tuple(
    (sign, tuple(secret for secret in _SECRETS if secret[0] in group))
    for sign, group in (
        ("_", tuple(name for name, _ in _SECRETS if "_" in name)),
        ("-", tuple(name for name, _ in _SECRETS if "-" in name and "_" not in name)),
        ("", tuple(name for name, _ in _SECRETS if "-" not in name and "_" not in name)),
    )
)
#: The same for literals that end in a space, which no word contains.
_SPACED_SECRETS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (literal, re.compile(pattern))
    for literal, pattern in (
        (
            "-----BEGIN ",
            r"-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]{16,20000}?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)",
        ),
        ("earer ", r"(?<=[Bb]earer )[A-Za-z0-9._~+/=-]{16,4000}"),
        ("asic ", r"(?<=[Bb]asic )(?=[A-Za-z+/]*[0-9A-Z])[A-Za-z0-9+/]{16,500}={0,2}"),
    )
)
_ASSIGNED_WORDS: Final = (
    "password", "passwd", "pwd", "secret", "api_key", "api-key", "apikey", "access_token", "auth_token", "access-token",
    "passwort", "kennwort", "contrase", "senha", "wachtwoord",
)  # fmt: skip
_ASSIGNED_ELSEWHERE: Final = ("пароль", "密码", "密碼", "パスワード", "비밀번호", "hasło")
_ASSIGNED: Final = re.compile(r"\w+[\"']?\s{0,3}[:=\uff1a]\s{0,3}[\"']?([^\s\"',;&}\]]{6,200})")
_SHORTEST_KEY: Final = 12
_SHORTEST_CODED: Final = 20


def long_words(text: str) -> str:
    """The words a key or an encoded text could be; prose has few, so searching these alone is cheap."""
    return " ".join([word for word in text.split() if len(word) >= _SHORTEST_KEY])


def coded_words(long: str) -> list[str]:
    """Those of :func:`long_words` that are long enough to be an encoded text."""
    return [word for word in long.split(" ") if len(word) >= _SHORTEST_CODED] if long else []


def secrets(text: str, long: str) -> Iterator[Found]:
    """API keys by prefix, JWTs, PEM blocks, credentials in URLs and headers, ``password=…`` assignments.

    ``long`` is :func:`long_words` of the text.
    """
    if long:
        for sign, group in _SECRETS_BY_SIGN:
            if sign in long:
                yield from _prefixed(text, long, group)
    yield from _prefixed(text, text, _SPACED_SECRETS)
    if "=" in text or ":" in text or "\uff1a" in text:
        yield from _assignments(text)


def _prefixed(text: str, where: str, secrets: Iterable[tuple[str, re.Pattern[str]]]) -> Iterator[Found]:
    for literal, pattern in secrets:
        if literal in where:
            for match in pattern.finditer(text):
                yield Found(match.start(), match.end(), "SECRET")


def _assignments(text: str) -> Iterator[Found]:
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = text
    for word in _ASSIGNED_WORDS if text.isascii() else _ASSIGNED_WORDS + _ASSIGNED_ELSEWHERE:
        at = lowered.find(word)
        while at >= 0:
            match = _ASSIGNED.match(text, at)
            if match is not None and any(c.isdigit() for c in match[1]) and not match[1].startswith("["):
                yield Found(match.start(1), match.end(1), "SECRET")
            at = lowered.find(word, at + len(word))


# --- kinds made of digits ---------------------------------------------------------------------------
#: One pass finds every run that could be a card, phone, national id or IPv4 address.
_DIGITS: Final = re.compile(r"[0-9][0-9 ().\-/\u00a0\u2010-\u2015]{5,24}[0-9]")
_IBAN_TAIL: Final = re.compile(r"[0-9][0-9](?:[ -]?[0-9A-Za-z]){11,30}")
_IPV6: Final = re.compile(r":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]")
_IPV6_LEFT: Final = re.compile(r"[0-9A-Fa-f:]{0,40}\Z")
_IPV6_RIGHT: Final = re.compile(r"[0-9A-Fa-f:]{0,40}(?:\.\d{1,3}){0,3}")
_SSN: Final = re.compile(r"(?!000|666|9\d\d)\d{3}([- ])(?!00)\d\d\1(?!0000)\d{4}\Z")
_DATE: Final = re.compile(
    r"(?:19|20)\d\d[-/. ]\d{1,2}[-/. ]\d{1,2}(?!\d)|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d(?!\d)"
)
_SHORT_DATE: Final = re.compile(r"\d{1,2}[-/.]\d{1,2}[-/.]\d\d\Z")
_NANP: Final = re.compile(r"\(?[2-9]\d\d\)?[ .\-/\u2010-\u2015]{1,2}[2-9]\d\d[ .\-\u2010-\u2015]?\d{4}\Z")
_GROUPS: Final = re.compile(r"\d+")
_EXTENSION: Final = re.compile(r"\s?(?:x|ext\.?|extension)\s?\d{1,6}(?!\w)", re.IGNORECASE)
_PHONE_WORD: Final = re.compile(
    r"\b(?:tele)?(?:phone|call|tel|mobile|cell|fax|dial|number is|reach|answer(?:ing)?|contact|whatsapp|sms)\b[^\d]{0,16}\Z"
    r"|(?:手机|电话|電話|携帯|전화|тел\w*|r[üu]ckruf|anruf|rufnummer)[^\d]{0,16}\Z",
    re.IGNORECASE,
)
_PHONE_LABEL: Final = re.compile(r"[ \-,]{0,2}(?:office|fax|mobile|cell|phone|home|work)\b", re.IGNORECASE)
_TRIPLE: Final = re.compile(r"\(?\d{3}(?:\) ?|[.\-])\d{3}[.\-]\d{4}\Z")
_AREA: Final = re.compile(r"\(0?\d{1,4}\) ?\d{3,4}[ \-]?\d{3,4}\Z")
_CARD_WORD: Final = re.compile(r"\bcards?\b[^\d\n]{0,24}\Z", re.IGNORECASE)
_ID_WORD: Final = re.compile(r"(?:ssn|social security)\b[^\d\n]{0,24}\Z", re.IGNORECASE)
#: Also a product's own, as browsers write it: Chrome/120.0.0.0.
_VERSION_WORD: Final = re.compile(
    r"(?:(?:\bv|version|release|section|§|build)\.?\s?|(?<![\w/.])(?-i:[A-Z])\w*/)\Z", re.IGNORECASE
)
_CARD_GROUPS: Final = re.compile(r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}\Z")
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
    if "(" in run or "/" in run or "." in run:
        return None
    groups = [(m.start(), m.end()) for m in _GROUPS.finditer(run)]
    # A card may share its run with a neighbour (an expiry date, a code): try every stretch of whole groups.
    for first in range(len(groups)):
        digits = ""
        for last in range(first, len(groups)):
            digits += run[groups[last][0] : groups[last][1]]
            if len(digits) > 19:
                break
            if len(digits) < 12 or not luhn(digits) or len(set(digits)) == 1:
                continue
            usual = len(digits) >= 13 and digits[0] in _CARD_STARTS
            if usual or _CARD_WORD.search(text[max(0, start - 40) : start]):
                return Found(start + groups[first][0], start + groups[last][1], "CARD")
    return None


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
        nobody = octets[0] in ("0", "127") or octets == ["255"] * 4
        if nobody or _VERSION_WORD.search(text[max(0, start - 24) : start]):
            return None
        return Found(start, start + len(".".join(octets)), "IP")
    return None


def _identity(text: str, start: int, end: int) -> Found | None:
    run = text[start:end]
    if _SSN.match(run) is not None and ("-" in run or _ID_WORD.search(text[max(0, start - 40) : start])):
        return Found(start, end, "SSN")
    if run.isdigit() and len(run) == 9 and _ID_WORD.search(text[max(0, start - 40) : start]):
        return Found(start, end, "SSN")
    return None


def _phone(text: str, start: int, end: int) -> Found | None:
    run = text[start:end]
    digits = sum(map(str.isdigit, run))
    if not 7 <= digits <= 15 or run.count(".") == 1:
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
            compact = text[start:end].replace(" ", "").replace("-", "").upper()
            if 15 <= len(compact) <= 34 and mod97(compact):
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
