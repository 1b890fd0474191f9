"""Numbers as people write them."""

import math


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


def counted(n: int, noun: str = "case") -> str:
    """A number with its noun, which takes an s unless it is one.

    >>> counted(1), counted(2000, "session")
    ('1 case', '2,000 sessions')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
