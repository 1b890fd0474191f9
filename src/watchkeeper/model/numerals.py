"""Numbers as people write them."""

import math
import re


def figure(value: float, sign: bool = False) -> str:
    """Three significant digits, no exponent for ordinary sizes; with `sign`, a plus before what is not negative.

    >>> figure(0.0000962), figure(8.25), figure(999.7), figure(1370.0, sign=True)
    ('0.0000962', '8.25', '1,000', '+1,370')
    """
    size, plus = abs(value), "+" if sign else ""
    if 1e-7 <= size < 1e-4:  # the price of one small answer
        return f"{value:{plus}.{2 - math.floor(math.log10(size))}f}".rstrip("0")
    # From 999.5 on three digits would be written as 1e+03.
    return f"{value:{plus},.0f}" if 999.5 <= size < 1e15 else f"{value:{plus}.3g}"


def dollars(amount: float, spread: float | None = None) -> str:
    """US dollars with enough places to be non-zero; below a dime known to ± `spread`, with the digits that justifies.

    >>> [dollars(x) for x in (1204.4, 3.4, -0.0123, 0.00041, 0.0)], dollars(0.00009573, 0.0000007)
    (['$1,204', '$3.40', '-$0.012', '$0.00041', '$0'], '$0.0000957')
    """
    sign, size = ("-", -amount) if amount < 0 else ("", amount)
    if size == 0:
        return "$0"
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 0.1:
        return f"{sign}${size:.2f}"
    known = spread if spread is not None and 0 < spread <= size else float(f"{size:.2g}") / 10
    return f"{sign}${size:.{min(10, -math.floor(math.log10(known)))}f}"


def price(amount: float) -> str:
    """A price as it is asked for, never rounded.

    >>> price(15.0), price(0.0375)
    ('$15.00', '$0.0375')
    """
    whole, _, cents = f"{amount:,.10f}".rstrip("0").partition(".")
    return f"${whole}.{cents:0<2}"


def natural(name: str) -> list[tuple[bool, int, str]]:
    """The key by which names are in the order that people expect: the numbers in them count as numbers.

    >>> sorted(("errors-10", "errors-2", "errors", "2.0"), key=natural)
    ['2.0', 'errors', 'errors-2', 'errors-10']
    """
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(False, int(p), p) if p[0] in "0123456789" else (True, 0, p) for p in parts]


def counted(n: int, noun: str = "case") -> str:
    """A number with its noun, which takes an s unless it is one.

    >>> counted(1), counted(2000, "session")
    ('1 case', '2,000 sessions')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
