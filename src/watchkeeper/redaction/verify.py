"""Checksums and shapes that tell a real number from one that looks like it. All take bare characters."""

import math
from collections import Counter

from watchkeeper.redaction.words import IBANS

# Issuer prefixes (ISO/IEC 7812 ranges in use) with the lengths they allow.
_CARDS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4, 4, frozenset((13, 16, 19))),
    (34, 34, frozenset((15,))),
    (37, 37, frozenset((15,))),
    (51, 55, frozenset((16,))),
    (2221, 2720, frozenset((16,))),
    (300, 305, frozenset((14, 16))),
    (36, 36, frozenset((14,))),
    (38, 39, frozenset((14,))),
    (6011, 6011, frozenset((16, 19))),
    (644, 659, frozenset((16, 19))),
    (3528, 3589, frozenset((16, 19))),
    (62, 62, frozenset((16, 17, 18, 19))),
    (50, 50, frozenset((12, 13, 14, 15, 16, 18, 19))),
    (56, 58, frozenset((12, 13, 14, 15, 16, 18, 19))),
    (60, 61, frozenset((12, 13, 14, 15, 16, 18, 19))),
    (63, 63, frozenset((12, 13, 14, 15, 16, 18, 19))),
    (67, 67, frozenset((12, 13, 14, 15, 16, 18, 19))),
    (2131, 2131, frozenset((15,))),
    (2200, 2204, frozenset((16, 17, 18, 19))),
    (81, 82, frozenset((16,))),
    (9792, 9792, frozenset((16,))),
    (1800, 1800, frozenset((15,))),
)
_IBAN_LENGTHS = {pair[:2]: int(pair[2:]) for pair in IBANS}
_VERHOEFF_D = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_VERHOEFF_P = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
_CF_VALUES = "1 0 5 7 9 13 15 17 19 21 1 0 5 7 9 13 15 17 19 21 2 4 18 20 11 3 6 8 12 14 16 10 22 25 24 23"
_CF_ODD = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", map(int, _CF_VALUES.split()), strict=True))


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B check digit."""
    total = 0
    for i, char in enumerate(reversed(digits)):
        value = ord(char) - 48
        if i % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def ean(digits: str) -> bool:
    """Whether 13 digits carry the check digit of goods and books (GTIN-13)."""
    return len(digits) == 13 and sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(digits)) % 10 == 0


def card(digits: str) -> bool:
    """A payment card: known issuer prefix with its length, Luhn, not one digit repeated."""
    if len(set(digits)) < 2:
        return False
    for low, high, lengths in _CARDS:
        if len(digits) in lengths and low <= int(digits[: len(str(low))]) <= high:
            return luhn(digits)
    return False


def iban_length(country: str) -> int | None:
    """Characters of an IBAN of this country, None for a country without."""
    return _IBAN_LENGTHS.get(country.upper())


def iban(compact: str) -> bool:
    """ISO 13616: length of the country and remainder 1 modulo 97."""
    if iban_length(compact[:2]) != len(compact):
        return False
    moved = (compact[4:] + compact[:4]).upper()
    return int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def ssn(digits: str) -> bool:
    """A US social security number that can have been issued (areas 000, 666 and 900–999 never are)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def itin(digits: str) -> bool:
    """A US taxpayer number: area 900–999, and the groups that the tax office gives out."""
    group = digits[3:5]
    return digits[0] == "9" and ("50" <= group <= "65" or "70" <= group <= "88" or "90" <= group != "93")


def dated(digits: str, day_first: bool = False) -> bool:
    """Whether six digits are a date without its century: yymmdd, or ddmmyy."""
    month, day = digits[2:4], digits[:2] if day_first else digits[4:6]
    return "01" <= month <= "12" and "01" <= day <= "31"


def aadhaar(digits: str) -> bool:
    """India: 12 digits, not starting with 0 or 1, Verhoeff check digit."""
    if len(digits) != 12 or digits[0] in "01":
        return False
    check = 0
    for i, char in enumerate(reversed(digits)):
        check = int(_VERHOEFF_D[check][int(_VERHOEFF_P[i % 8][int(char)])])
    return check == 0


def cpf(digits: str) -> bool:
    """Brazil: 11 digits, two check digits modulo 11."""
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    for n in (9, 10):
        total = sum(int(d) * (n + 1 - i) for i, d in enumerate(digits[:n]))
        if (total * 10 % 11) % 10 != int(digits[n]):
            return False
    return True


def cnpj(digits: str) -> bool:
    """Brazil, a company or a person trading alone: 14 digits, two check digits modulo 11."""
    for n in (12, 13):
        total = sum(int(d) * (2 + i % 8) for i, d in enumerate(reversed(digits[:n])))
        if (0 if total % 11 < 2 else 11 - total % 11) != int(digits[n]):
            return False
    return len(set(digits)) > 1


def headquarters(digits: str) -> bool:
    """Brazil: a company's number as nearly all are, of its first branch (0001)."""
    return digits[8:12] == "0001" and cnpj(digits)


def tckn(digits: str) -> bool:
    """Türkiye: 11 digits, not starting with 0, two check digits modulo 10."""
    odd, even = sum(map(int, digits[0:9:2])), sum(map(int, digits[1:8:2]))
    tenth = (odd * 7 - even) % 10 == int(digits[9])
    return digits[0] != "0" and tenth and sum(map(int, digits[:10])) % 10 == int(digits[10])


def pesel(digits: str) -> bool:
    """Poland: birth date (months from 21 for those born from 2000 on), serial, a weighted sum modulo 10."""
    month = int(digits[2:4])
    born = 1 <= month % 20 <= 12 and month < 40 and "01" <= digits[4:6] <= "31"
    return born and weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10)


def romanian(digits: str) -> bool:
    """Romania (CNP): sex and century, birth date, county, serial, a weighted sum modulo 11 of which 10 is told as 1."""
    total = sum(int(a) * int(b) for a, b in zip(digits, "279146358279", strict=False)) % 11
    county = int(digits[7:9])
    told = 1 <= county <= 52 or county == 70
    return (
        "1" <= digits[0] <= "8"
        and dated(digits[1:7])
        and told
        and int(digits[12]) == (1 if total == 10 else total)
    )


def south_african(digits: str) -> bool:
    """South Africa: birth date, serial, citizenship 0 or 1, Luhn. Milliseconds of these years begin with 15 to 19, as nobody's
    number does who writes to an assistant."""
    return dated(digits) and digits[10] in "01" and not "15" <= digits[:2] <= "19" and luhn(digits)


def belgian(digits: str) -> bool:
    """Belgium: birth date, serial and 97 minus the rest modulo 97, with a 2 before it for those born from 2000 on."""
    number, check = int(digits[:9]), int(digits[9:])
    return check in (97 - number % 97, 97 - (2_000_000_000 + number) % 97)


def norwegian(digits: str) -> bool:
    """Norway: birth date with the day first, serial, two check digits modulo 11."""
    return (
        dated(digits, day_first=True)
        and weighted(digits[:10], (3, 7, 6, 1, 8, 9, 4, 5, 2, 1), 11)
        and weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1), 11)
    )


def snils(digits: str) -> bool:
    """Russia's insurance number: nine digits and a weighted sum modulo 101."""
    total = sum(int(d) * (9 - i) for i, d in enumerate(digits[:9])) % 101
    return total % 100 == int(digits[9:])


def thai(digits: str) -> bool:
    """Thailand: 12 digits and a check digit modulo 11."""
    total = sum(int(d) * (13 - i) for i, d in enumerate(digits[:12]))
    return (11 - total % 11) % 10 == int(digits[12])


def czech(digits: str) -> bool:
    """Czechia and Slovakia: a birth date (women's months from 51), a serial, divisible by 11."""
    month = int(digits[2:4]) % 50 % 20
    return 1 <= month <= 12 and "01" <= digits[4:6] <= "31" and int(digits) % 11 == 0


def hkid(text: str) -> bool:
    """Hong Kong: a letter, six digits, a check character modulo 11 (two letters are not checked)."""
    total = 324 + (ord(text[0]) - 55) * 8 + sum(int(d) * (7 - i) for i, d in enumerate(text[1:7]))
    return text[7] == "0123456789A"[-total % 11]


def taiwanese(text: str) -> bool:
    """Taiwan: a letter for the county, 1 or 2, seven digits, a check digit modulo 10."""
    county = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(text[0])
    total = county // 10 + county % 10 * 9 + sum(int(d) * (8 - i) for i, d in enumerate(text[1:9]))
    return (total + int(text[9])) % 10 == 0


def dni(text: str) -> bool:
    """Spain: DNI (8 digits and a letter) and NIE (X, Y or Z, 7 digits and a letter)."""
    body = text[:-1].upper().replace("X", "0", 1).replace("Y", "1", 1).replace("Z", "2", 1)
    return body.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(body) % 23] == text[-1].upper()


def codice_fiscale(text: str) -> bool:
    """Italy: 16 characters with a check letter."""
    up = text.upper()
    total = sum(
        _CF_ODD[c] if i % 2 == 0 else (int(c) if c.isdigit() else ord(c) - 65) for i, c in enumerate(up[:15])
    )
    return chr(65 + total % 26) == up[15]


def nir(digits: str) -> bool:
    """France: 15 digits, the last two are 97 minus the rest modulo 97."""
    return len(digits) == 15 and digits[0] in "12" and 97 - int(digits[:13]) % 97 == int(digits[13:])


def weighted(digits: str, weights: tuple[int, ...], modulus: int) -> bool:
    """Σ digit·weight divisible by the modulus (BSN, PESEL and relatives)."""
    return (
        len(digits) == len(weights)
        and digits.strip("0") != ""
        and sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % modulus == 0
    )


def steuer_id(digits: str) -> bool:
    """Germany: 11 digits, ISO 7064 mod 11,10; one digit of the first ten occurs two or three times."""
    if len(digits) != 11 or digits[0] == "0" or max(Counter(digits[:10]).values()) not in (2, 3):
        return False
    product = 10
    for char in digits[:10]:
        total = (int(char) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def nric(text: str) -> bool:
    """Singapore: a letter for the series, seven digits, a check letter modulo 11."""
    total = sum(int(c) * w for c, w in zip(text[1:8], (2, 7, 6, 5, 4, 3, 2), strict=True))
    total += {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = "JZIHGFEDCBA" if text[0] in "ST" else "XWUTRQPNMLK" if text[0] in "FG" else "XWUTRQPNJLK"
    return text[8] == letters[total % 11]


def ahv(digits: str) -> bool:
    """Switzerland: 13 digits beginning with 756, the last an EAN check digit."""
    return digits.startswith("756") and ean(digits)


def rut(digits: str, check: str) -> bool:
    """Chile: seven or eight digits and a check character modulo 11."""
    total = sum(int(c) * (2 + i % 6) for i, c in enumerate(reversed(digits)))
    return "0123456789K0"[11 - total % 11] == check.upper()


def chinese_id(text: str) -> bool:
    """China: 17 digits and a check character modulo 11-2, with a possible birth date."""
    if not (("1900" <= text[6:10] <= "2100") and "01" <= text[10:12] <= "12" and "01" <= text[12:14] <= "31"):
        return False
    total = sum(
        int(c) * w
        for c, w in zip(text[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), strict=True)
    )
    return "10X98765432"[total % 11] == text[17].upper()


def entropy(text: str) -> float:
    """Shannon entropy in bits per character."""
    n = len(text)
    return -sum(c / n * math.log2(c / n) for c in Counter(text).values()) if n else 0.0
