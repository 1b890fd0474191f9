"""How long a flow waits before it tries again: the one rule of delivery, judging and forwarding."""

from watchkeeper.model.times import SECOND


def backoff_ns(
    attempts: int, roll: float, after_s: float | None = None, cap_s: float = 300.0, wish_cap_s: float = 300.0
) -> int:
    """How long to wait before attempt `attempts` + 1, ns: 1, 2, 4, … s up to `cap_s`, of which the upper half is random
    (`roll` in [0, 1)), so that receivers are not hit in step. The receiver's own wish `after_s` counts where it is
    longer, up to `wish_cap_s`.

    >>> backoff_ns(1, 0.0), backoff_ns(30, 0.999999) <= 300 * 10**9, backoff_ns(1, 0.0, after_s=1e9) // SECOND
    (500000000, True, 300)
    """
    full = min(2.0 ** min(max(attempts, 1) - 1, 30), cap_s)
    wait = full / 2 + full / 2 * roll
    return round(max(wait, min(after_s or 0.0, wish_cap_s)) * SECOND)
