"""What a run of digits is: a payment card, a national id, a phone number, or nothing of the sort."""

import re
from collections.abc import Callable, Iterator

from watchkeeper.redaction import verify

# Digits with what people put between them. It starts with a digit, so that `re` skips everything else quickly.
RUN = re.compile(r"\d(?:[ .()/-]{0,3}\d){5,30}(?:\s?(?:x|ext\.?|#)\s?\d{1,6})?", re.IGNORECASE)
_TOKEN = re.compile(r"\d+")
DATE = re.compile(
    r"(?:19|20)\d\d([-/. ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?!\d)"
    r"|(?:19|20)\d\d ?[-/] ?(?:19|20)\d\d(?!\d)"
)
_CALLED = (
    r"phone|telefon|\btel\b|\btel[.:]|mobile|mobil|\bcell|\bcall|\bfax|whatsapp|\bsms\b|\btext (?:me|us|him|her|at)\b|\bdial|hotline"
    r"|landline|unter der nummer|contact|\breach|\bring\b|\bnumber\b|msisdn|handy|answering|messages? to|r[üu]ckruf|anruf|rufnummer"
    r"|m[óo]v[ie]l|\bcel\b|celular|\btlf\b|\bpuh\b|\bgsm\b|t[ée]l[ée](?:fono|phone)|cellulare|тел|τηλ|κινητ|โทร|هاتف|جوال|फोन|मोबाइल|điện thoại|\bsđt\b|手机|电话|電話|携帯|전화|휴대폰"
)
_PHONE_WORDS = re.compile(_CALLED, re.IGNORECASE)
# Seven or eight digits without a break are a number to be called right behind such a word, not at the end of a sentence about calls.
_CALLED_AT = re.compile(
    rf"(?:{_CALLED})\w*(?:[\W_]+(?:number|no|nr|num|is|was|at|on|to|me|us|him|her|my|our|it|the|or|and|please|now|today|tomorrow|directly|via|ist|lautet|unter"
    r"|auf|bitte|und|nummer|est|es|al|au|le|el|número|numero|numéro|o|é|è|er|на|по|номер|是|为))*[\W_]*$",
    re.IGNORECASE,
)
_EXTENSION = re.compile(r"\s?(?:x|ext\.?|#)\s?(?=\d+$)", re.IGNORECASE)
_PHONE_AFTER = re.compile(r"\W{0,3}(?:office|fax|mobile|cell|home|work|phone|tel)\b", re.IGNORECASE)
_NOT_PHONE_WORDS = re.compile(
    r"\b(?:order|invoice|ticket|tracking|reference|ref|ndc|upc|ean|gtin|asin|vin|imei|account|reservation|booking|confirmation|flight|case|serial|isbn"
    r"|product|item|sku|policy|customer|client|member|employee|student|patient|batch|lot|document|contract|receipt|licen[cs]e|purchase|registration|zip|claim|transaction|request|version|parcel|part|model|id|bestell\w*|rechnung\w*|auftrag\w*|artikel\w*"
    r"|sendung\w*|kunden\w*|pedido|factura|fattura|ordine|commande|facture|zam[óo]wieni\w*|заказ\w*)"
    r"\b\W*(?:number|no|nr|id|code|#)?\W*(?:is|was)?\W*$|(?:订单|訂單|单号|注文|주문)\w{0,4}\W*$"
    r"|_id\W*$|\bid\W*$",
    re.IGNORECASE,
)
_CARD_WORDS = re.compile(
    r"card|kart[aei]|kaart|carte\b|carta\b|tarjeta|cart[ãa]o|visa|master|amex|maestro|credit|debit|\bcc\b|\bpan\b|карт|カード|카드|信用卡"
    r"|银行卡|銀行卡|卡号",
    re.IGNORECASE,
)
# Visa, Diners, Maestro and UnionPay in the lengths that few of them have.
_RARE = re.compile(
    r"4\d{12}(?:\d{6})?$|3(?:0[0-5]|[689])\d{11}$|(?:50[123]\d|5893|6304|6390|6759|676[1-3])\d{8}(?:\d{5,7})?$|62\d{15,17}$"
)
_SSN_WORDS = re.compile(r"ssn|social[ _-]?sec|tax(?:payer)?[ _-]?id", re.IGNORECASE)
_ID_WORDS = re.compile(
    r"\b(?:bsn|burgerservicenummer|pesel|cnp\b|rrn\b|aadhar|personnr|sofi|steuer|tax id|tin|sin|insurance|aadhaar|uidai|cpf|personnummer|national|passport"
    r"|identity|social|identification|nir|id card|resident|cnpj|cuit|cuil|oib|egn|inn|teudat|israeli id|주민|आधार|инн|егн|תעודת)",
    re.IGNORECASE,
)
_STRONG_PHONE = re.compile(
    r"\+\s?\d[\d ().\-/]{6,}\d"
    r"|00 ?[1-9]\d{0,2}[ .\-/(]{1,2}[\d ().\-/]{6,}\d"
    r"|(?:1[ .-]?)?\(\d{3}\)[ ]?\d{3}[ .-]?\d{4}"
    r"|(?:1[ .-])?\d{3}([-. ])\d{3}\1\d{4}"
    r"|\(0?\d{1,4}\)[ ]?\d{2,8}(?:[ .-]\d{2,5}){0,3}"
    r"|0\d{1,4}[ -]\d{2,4}(?:[ -]\d{2,4}){1,4}"
    r"|0[1-9](?:\.\d\d){4}|0\d{1,4}[ /-]\d{6,8}|[08][ -]?\(\d{3}\)[ -]?\d{3}[ -]\d{2}[ -]\d{2}"
    r"|0\d{1,3}/\d{2,3}(?:[. ]\d{2,3}){2}|0\d{2,3}\.\d{3,4}\.\d{3,4}"
    # Russia, China, Poland and Spain, Brazil, Chile, Italy, and mobile numbers without a break after their nought.
    r"|8[ -]9\d\d[ -]\d{3}([ -])\d\d\2\d\d|1[3-9]\d([ -])\d{4}\3\d{4}|[4-9]\d\d-\d{3}-\d{3}|[679]\d\d(?: \d\d){3}"
    r"|[1-9]\d \d{3} \d\d \d\d|\d\d 9\d{4}[- ]\d{4}|9 \d{4} \d{4}|3[2-9]\d[- ]\d{7}"
)
# Mobile numbers without a break after their nought, not in a path or an assignment.
_UNBROKEN_MOBILE = re.compile(r"0(?:1[0-25-7]\d{8,9}|[4-9]\d{8,10})")
# A Chinese mobile number within Chinese; elsewhere eleven digits are anything.
_CHINESE_MOBILE = re.compile(r"1[3-9]\d{9}")
_CHINESE = re.compile(r"[1-9]\d{16}[0-9Xx]")
_EASTERN = re.compile("[\u3400-\u9fff]")
_BEFORE = 48


def _card_shape(groups: list[str]) -> bool:
    sizes = [len(g) for g in groups]
    return (
        len(sizes) == 1
        or sizes in ([4, 6, 5], [4, 6, 4])
        or sizes in ([4, 6, 6], [6, 13])
        or (sizes[:-1] == [4] * (len(sizes) - 1) and 1 <= sizes[-1] <= 4 and len(sizes) >= 3)
    )


def _cards(text: str, start: int, end: int, before: str) -> Iterator[tuple[int, int]]:
    tokens = [(m.start() + start, m.end() + start) for m in _TOKEN.finditer(text[start:end])]
    if len(tokens) in (15, 16) and all(b - a == 1 for a, b in tokens):
        # Read aloud, digit by digit.
        if verify.card("".join(text[a] for a, _ in tokens)):
            yield tokens[0][0], tokens[-1][1]
        return
    i = 0
    while i < len(tokens):
        for j in range(min(i + 6, len(tokens)), i, -1):
            groups = [text[a:b] for a, b in tokens[i:j]]
            digits = "".join(groups)
            if text[max(0, tokens[i][0] - 1) : tokens[i][0]] == "." and text[tokens[i][0] - 2].isdigit():
                break  # the fraction of a decimal number
            if not 12 <= len(digits) <= 19 or not _card_shape(groups) or not verify.luhn(digits):
                continue
            # One in ten numbers passes the checksum: it takes a known issuer, or a word that says card. Ids and goods (EAN) are
            # as long as rarer cards.
            usual = len(digits) in (15, 16) or len(groups) > 1
            known = verify.card(digits) and (
                usual
                or (_RARE.match(digits) and not verify.ean(digits) and not _NOT_PHONE_WORDS.search(before))
            )
            if not known and (len(set(digits)) < 2 or not _CARD_WORDS.search(before)):
                continue
            yield tokens[i][0], tokens[j - 1][1]
            i = j - 1
            break
        i += 1


def _personnummer(digits: str) -> bool:
    """Sweden: six digits of the birth date, four more, Luhn over the last ten."""
    return verify.luhn(digits[-10:]) and "01" <= digits[-8:-6] <= "12"


def _nir(digits: str) -> bool:
    """France, with a month that exists."""
    return digits[3:5] <= "12" and verify.nir(digits)


def _rut(digits: str) -> bool:
    return verify.rut(digits[:-1], digits[-1])


def _belgian(digits: str) -> bool:
    """Belgium, with a birth date that exists."""
    return verify.dated(digits) and verify.belgian(digits)


def _cuit(digits: str) -> bool:
    """Argentina: a kind, the number of the identity card, a check digit modulo 11."""
    return verify.weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1), 11)


# A suite's number runs into the street's.
_DOOR = re.compile(r"\b(?:suite|ste|apt|apartment|unit|room|floor|flat|box)\W*$", re.IGNORECASE)
_US = re.compile(r"\d{3}([- ])\d{2}\1\d{4}")
_KOREAN = re.compile(r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-?[1-8]\d{6}")
# What needs no word beside it, by its number of digits: two checks, or a form with separators and a checksum or a date.
_UNBROKEN: dict[int, tuple[Callable[[str], bool], ...]] = {
    11: (_belgian, verify.norwegian),
    13: (verify.ahv,),
    15: (_nir,),
}
# As those, of about one in a hundred other numbers too: not where a word says what else it is.
_UNBROKEN_ALONE: dict[int, tuple[Callable[[str], bool], ...]] = {
    11: (verify.cpf, verify.tckn, verify.pesel),
    13: (verify.south_african, verify.romanian),
    14: (verify.headquarters,),
}
_SHAPES: dict[int, tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]] = {
    n: tuple((re.compile(shape), check) for shape, check in shapes)
    for n, shapes in {
        8: ((r"\d\.\d{3}\.\d{3}-\d", _rut),),
        9: ((r"\d{2}\.\d{3}\.\d{3}-\d", _rut), (r"\d{3}-\d{2}-\d{4}", verify.itin)),
        10: ((r"\d{6}-\d{4}", _personnummer), (r"\d{6}/\d{4}", verify.czech)),
        11: (
            (r"\d{3}\.\d{3}\.\d{3}-\d{2}", verify.cpf),
            (r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", _belgian),
            (r"\d{6} \d{5}", verify.norwegian),
            (r"\d{3}-\d{3}-\d{3}[ -]\d\d", verify.snils),
            (r"2[0347]-\d{8}-\d", _cuit),
        ),
        12: (
            (r"[2-9]\d{3}([ -])\d{4}\1\d{4}", verify.aadhaar),
            (r"(?:19|20)\d{6}-\d{4}", _personnummer),
            (r"\d{6}-\d\d-\d{4}", verify.dated),
        ),
        13: (
            (r"\d{3}\.\d{4}\.\d{4}\.\d\d", verify.ahv),
            (r"\d{6}-[1-8]\d{6}", verify.dated),
            (r"\d-\d{4}-\d{5}-\d\d-\d", verify.thai),
            (r"[1-7]\d{4}-\d{7}-\d", lambda _: True),
        ),
        14: ((r"\d\d\.\d{3}\.\d{3}/\d{4}-\d\d", verify.cnpj),),
        15: (
            (r"\d{13} \d\d|\d(?:[ .]\d\d){3}(?:[ .]\d{3}){2}[ .]\d\d", _nir),
            (r"784-\d{4}-\d{7}-\d", verify.luhn),
        ),
    }.items()
}


def _national(run: str, digits: str, before: str) -> str | None:
    """The kind of national id a run is, by shape and checksum; without separators only beside a word that says so."""
    n = len(digits)
    if n == 9 and verify.ssn(digits):
        shaped = _US.fullmatch(run) and (" " not in run or not _DOOR.search(before))
        if shaped or _SSN_WORDS.search(before):
            return "ssn"
    if run == digits:
        if n in _UNBROKEN and any(check(digits) for check in _UNBROKEN[n]):
            return "national_id"
        alone = n in _UNBROKEN_ALONE and before[-1:] not in ("/", "=", "#", "-", ":")
        if (
            alone
            and any(check(digits) for check in _UNBROKEN_ALONE[n])
            and not _NOT_PHONE_WORDS.search(before)
        ):
            return "national_id"
    elif n in _SHAPES:
        for shape, check in _SHAPES[n]:
            if shape.fullmatch(run) and check(digits):
                return "national_id"
    if not 9 <= n <= 14 or not _ID_WORDS.search(before):
        return None
    known = (
        verify.cpf(digits)
        or verify.aadhaar(digits)
        or verify.steuer_id(digits)
        or (n == 14 and verify.cnpj(digits))
        or verify.weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11)
        or verify.weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)
        or (n in (9, 10) and verify.luhn(digits))
        or (n == 13 and _KOREAN.fullmatch(run))
    )
    return "national_id" if known else None


def _phone(run: str, digits: str, before: str, after: str) -> bool:
    n = len(digits)
    if re.fullmatch(r"\d{3}-\d{2}-\d{4}", run):
        # The shape of a social security number that was never issued.
        return False
    # A full hour may stand before a date.
    if not 6 <= n <= 21 or DATE.match(run.removeprefix("00 ")) or len(set(digits)) == 1:
        return False
    number, plain = run, n
    if "x" in run or "X" in run or "#" in run:
        number = _EXTENSION.split(run)[0]
        plain = sum(c.isdigit() for c in number)
    if not 6 <= plain <= 15:
        return False
    said = _PHONE_WORDS.search(before) is not None or _PHONE_AFTER.match(after) is not None
    if number != digits and _STRONG_PHONE.fullmatch(number.strip()):
        # Whoever writes a country's code gives a number to be called, also as somebody's id.
        return plain >= 8 and (said or number[0] == "+" or not _NOT_PHONE_WORDS.search(before))
    if number == digits:
        if _UNBROKEN_MOBILE.fullmatch(number) and before[-1:] not in ("/", "=", "#"):
            return said or not _NOT_PHONE_WORDS.search(before)
        said = said or bool(_CHINESE_MOBILE.fullmatch(number) and _EASTERN.search(before[-8:] + after[:8]))
    if not said or _NOT_PHONE_WORDS.search(before):
        return False
    if number == digits and n <= 8 and not (_CALLED_AT.search(before) or _PHONE_AFTER.match(after)):
        return False
    groups = [len(g) for g in _TOKEN.findall(number)]
    if plain < 7 and len(groups) < 3:
        return False
    # Beside a word for telephone: one unbroken number, or short groups; never decimals or long grouped references. What follows a prefix
    # in parentheses may be the whole number, and a slash may part the prefix from the rest.
    longest = 10 if number[0] == "(" else 8
    slashed = number.count("/")
    prefix = slashed == 1 and number[0] in "0(" and number.index("/") <= 6
    return (
        number.count(".") in (0, len(groups) - 1)
        and all(g <= longest for g in groups[1:])
        and (not slashed or prefix)
    )


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


def _glued(text: str, start: int, end: int) -> bool:
    """Whether a run is a card with a letter of a lost escape behind it (`4444n`); hashes have other letters."""
    run = text[start:end]
    alone = start == 0 or not touches(text[start - 1])
    return (
        alone
        and text[end : end + 1] in ("n", "r", "t")
        and len(run) in (15, 16)
        and run.isdigit()
        and verify.card(run)
    )


def _chinese(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Chinese identity numbers in a run; the last of their characters may be an X, which a run ends before."""
    for match in _CHINESE.finditer(text, start, end + 1):
        a, b = match.span()
        alone = not (a and touches(text[a - 1])) and not (b < len(text) and touches(text[b]))
        if alone and verify.chinese_id(match.group(0)):
            yield a, b


def numbers(text: str, kinds: frozenset[str], context: str = "") -> Iterator[tuple[int, int, str]]:
    """Cards, national ids and phones among the digit runs of a text. `context` is read as if it stood before it."""
    for match in RUN.finditer(text):
        start, end = match.span()
        if end - start >= 17 and "national_id" in kinds:
            yield from ((a, b, "national_id") for a, b in _chinese(text, start, end))
        bounds = _run(text, start, end)
        if bounds is None:
            if "card" in kinds and _glued(text, start, end):
                yield start, end, "card"
            continue
        start, end = bounds
        run = text[start:end]
        if len(run) == 10 and DATE.match(run):
            continue
        before = text[max(0, start - _BEFORE) : start]
        if start < _BEFORE and context:
            before = f"{context} {before}"
        digits = run if run.isdigit() else re.sub(r"\D", "", run)
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
