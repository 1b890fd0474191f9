"""What a run of digits is: a payment card, a national id, a phone number, or nothing of the sort."""

import re
from collections.abc import Iterator

from watchkeeper.redaction import verify

# Digits with what people put between them. It starts with a digit, so that `re` skips everything else quickly.
RUN = re.compile(r"\d(?:[ .()/-]{0,3}\d){5,30}(?:\s?(?:x|ext\.?|#)\s?\d{1,6})?", re.IGNORECASE)
_TOKEN = re.compile(r"\d+")
_DATE = re.compile(
    r"(?:19|20)\d\d([-/. ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?!\d)"
    r"|(?:19|20)\d\d ?[-/] ?(?:19|20)\d\d(?!\d)"
)
_PHONE_WORDS = re.compile(
    r"phone|telefon|\btel\b|\btel[.:]|mobile|mobil|\bcell|\bcall|\bfax|whatsapp|\bsms\b|\btext (?:me|us|him|her|at)\b|\bdial|hotline"
    r"|landline|contact|\breach|\bring\b|\bnumber\b|msisdn|handy|answering|messages? to|r[üu]ckruf|anruf|rufnummer"
    r"|m[óo]vil|celular|t[ée]l[ée](?:fono|phone)|cellulare|тел|手机|电话|電話|携帯|전화|휴대폰",
    re.IGNORECASE,
)
_PHONE_AFTER = re.compile(r"\W{0,3}(?:office|fax|mobile|cell|home|work|phone|tel)\b", re.IGNORECASE)
_NOT_PHONE_WORDS = re.compile(
    r"\b(?:order|invoice|ticket|tracking|reference|ref|account|reservation|booking|confirmation|flight|case|serial|isbn"
    r"|product|item|sku|policy|claim|transaction|request|version|parcel|part|model|id)\b\W*(?:number|no|nr|id|code|#)?\W*(?:is|was)?\W*$"
    r"|_id\W*$|\bid\W*$",
    re.IGNORECASE,
)
_CARD_WORDS = re.compile(r"card|visa|master|amex|maestro|credit|debit|\bcc\b|\bpan\b", re.IGNORECASE)
_SSN_WORDS = re.compile(r"ssn|social[ _-]?sec|tax(?:payer)?[ _-]?id", re.IGNORECASE)
_ID_WORDS = re.compile(
    r"\b(?:bsn|burgerservicenummer|pesel|steuer|tax id|tin|sin|insurance|aadhaar|uidai|cpf|personnummer|national|passport"
    r"|identity|social|identification|nir|id card|resident|주민)",
    re.IGNORECASE,
)
_STRONG_PHONE = re.compile(
    r"\+\s?\d[\d ().\-/]{6,}\d"
    r"|00 ?[1-9]\d{0,2}[ .\-/(]{1,2}[\d ().\-/]{6,}\d"
    r"|(?:1[ .-]?)?\(\d{3}\)[ ]?\d{3}[ .-]?\d{4}"
    r"|(?:1[ .-])?\d{3}([-. ])\d{3}\1\d{4}"
    r"|\(0?\d{1,4}\)[ ]?\d{2,5}(?:[ .-]\d{2,5}){0,3}"
    r"|0\d{1,4}[ -]\d{2,4}(?:[ -]\d{2,4}){1,4}"
    r"|0[1-9](?:\.\d\d){4}|0\d{2,4}[ /-]\d{6,8}|0\d-\d{8}|8[ -]?\(\d{3}\)[ -]?\d{3}[ -]\d{2}[ -]\d{2}"
)
_BEFORE = 48


def _card_shape(groups: list[str]) -> bool:
    sizes = [len(g) for g in groups]
    return (
        len(sizes) == 1
        or sizes in ([4, 6, 5], [4, 6, 4])
        or (sizes[:-1] == [4] * (len(sizes) - 1) and 1 <= sizes[-1] <= 4 and len(sizes) >= 3)
    )


def _cards(text: str, start: int, end: int, before: str) -> Iterator[tuple[int, int]]:
    tokens = [(m.start() + start, m.end() + start) for m in _TOKEN.finditer(text[start:end])]
    i = 0
    while i < len(tokens):
        for j in range(min(i + 6, len(tokens)), i, -1):
            groups = [text[a:b] for a, b in tokens[i:j]]
            digits = "".join(groups)
            if text[max(0, tokens[i][0] - 1) : tokens[i][0]] == "." and text[tokens[i][0] - 2].isdigit():
                break  # the fraction of a decimal number
            if not 12 <= len(digits) <= 19 or not _card_shape(groups) or not verify.luhn(digits):
                continue
            # One in ten numbers passes the checksum: it takes a known issuer, or a word that says card.
            known = (len(digits) in (15, 16) or len(groups) == 3) and verify.card(digits)
            if not known and (len(set(digits)) < 2 or not _CARD_WORDS.search(before)):
                continue
            yield tokens[i][0], tokens[j - 1][1]
            i = j - 1
            break
        i += 1


def _national(run: str, digits: str, before: str) -> str | None:
    """The kind of national id a run is, by shape and checksum; without separators only beside a word that says so."""
    n = len(digits)
    if n not in (8, 9, 10, 11, 12, 13, 15):
        return None
    if (
        n == 9
        and (re.fullmatch(r"\d{3}-\d{2}-\d{4}", run) or _SSN_WORDS.search(before))
        and verify.ssn(digits)
    ):
        return "ssn"
    shaped = (
        (n == 11 and re.fullmatch(r"\d{3}\.\d{3}\.\d{3}-\d{2}", run) and verify.cpf(digits))
        or (n == 12 and re.fullmatch(r"[2-9]\d{3} \d{4} \d{4}", run) and verify.aadhaar(digits))
        or (n == 15 and (run == digits or run.count(" ") >= 5) and digits[3:5] <= "12" and verify.nir(digits))
        or (n in (10, 12) and re.fullmatch(r"(?:19|20)?\d{6}-\d{4}", run) and _personnummer(digits))
        or (n == 13 and (run == digits or run.count(".") == 3) and verify.ahv(digits))
        or (
            n in (8, 9)
            and re.fullmatch(r"\d{1,2}\.\d{3}\.\d{3}-\d", run)
            and verify.rut(digits[:-1], digits[-1])
        )
    )
    if shaped:
        return "national_id"
    if n in (8, 15) or not _ID_WORDS.search(before):
        return None
    known = (
        verify.cpf(digits)
        or verify.aadhaar(digits)
        or verify.steuer_id(digits)
        or verify.weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11)
        or verify.weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)
        or (n in (9, 10) and verify.luhn(digits))
        or (n == 13 and re.fullmatch(r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-?[1-8]\d{6}", run))
    )
    return "national_id" if known else None


def _personnummer(digits: str) -> bool:
    """Sweden: six digits of the birth date, four more, Luhn over the last ten."""
    return verify.luhn(digits[-10:]) and "01" <= digits[-8:-6] <= "12"


def _phone(run: str, digits: str, before: str, after: str) -> bool:
    n = len(digits)
    if re.fullmatch(r"\d{3}-\d{2}-\d{4}", run):
        # The shape of a social security number that was never issued.
        return False
    # A full hour may stand before a date.
    if not 6 <= n <= 21 or _DATE.match(run.removeprefix("00 ")) or len(set(digits)) == 1:
        return False
    number = re.split(r"\s?(?:x|ext\.?|#)\s?(?=\d+$)", run, flags=re.IGNORECASE)[0]
    plain = sum(c.isdigit() for c in number)
    if not 6 <= plain <= 15:
        return False
    said = _PHONE_WORDS.search(before) is not None or _PHONE_AFTER.match(after) is not None
    if _STRONG_PHONE.fullmatch(number.strip()):
        return plain >= 8 and (said or not _NOT_PHONE_WORDS.search(before))
    if not said or _NOT_PHONE_WORDS.search(before):
        return False
    groups = [len(g) for g in _TOKEN.findall(number)]
    if plain < 7 and len(groups) < 3:
        return False
    # Beside a word for telephone: one unbroken number, or short groups; never decimals or long grouped references.
    return number.count(".") in (0, len(groups) - 1) and all(g <= 8 for g in groups[1:]) and "/" not in number


def touches(char: str) -> bool:
    """Whether a character beside digits makes them a part of a word. Chinese, Japanese or Thai writes no spaces around numbers."""
    return char == "_" or (char < "\u0250" and char.isalnum())


def _run(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The run with its `+` and `(`, groups that touch a letter left out: parts of ids and hashes are not numbers."""
    while start < end and start and touches(text[start - 1]):
        gap = next((i for i in range(start, end) if not text[i].isdigit()), end)
        start = next((i for i in range(gap, end) if text[i].isdigit()), end)
    while start < end and end < len(text) and touches(text[end]):
        gap = next((i for i in range(end - 1, start - 1, -1) if not text[i].isdigit()), start - 1)
        end = next((i + 1 for i in range(gap, start - 1, -1) if text[i].isdigit()), start)
    if end - start < 6:
        return None
    if start and text[start - 1] == "(" and ")" in text[start:end]:
        start -= 1
    if start and text[start - 1] == "+":
        start -= 1
    elif start > 1 and text[start - 2 : start] == "+ ":
        start -= 2
    return start, end


def numbers(text: str, kinds: frozenset[str], context: str = "") -> Iterator[tuple[int, int, str]]:
    """Cards, national ids and phones among the digit runs of a text. `context` is read as if it stood before it."""
    for match in RUN.finditer(text):
        bounds = _run(text, *match.span())
        if bounds is None:
            continue
        start, end = bounds
        run = text[start:end]
        if len(run) == 10 and _DATE.match(run):
            continue
        before = text[max(0, start - _BEFORE) : start]
        if start < _BEFORE and context:
            before = f"{context} {before}"
        digits = re.sub(r"\D", "", run)
        if len(digits) >= 12 and "card" in kinds:
            found = list(_cards(text, start, end, before))
            if found:
                yield from ((a, b, "card") for a, b in found)
                continue
        kind = _national(run, digits, before)
        if kind is not None:
            if kind in kinds:
                yield start, end, kind
            continue
        if "phone" in kinds and _phone(run, digits, before, text[end : end + 12]):
            yield start, end, "phone"
