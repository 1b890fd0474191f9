"""How common a signal is and whether it grows, with intervals."""

from collections.abc import Sequence
from math import inf

from watchkeeper.model.signal import UNKNOWN, Rate
from watchkeeper.stats.intervals import wilson


def prevalence(weights: Sequence[float], total: float, level: float = 0.95) -> Rate:
    """Σw/N̂, the share of all traces with this failure, w = 1/π and N̂ traces in the window.

    Wilson's interval on the effective size p(1 − p)/V with V = p(1 − p)/N̂ + Σw(w − 1)/N̂²: the traffic's own chance
    and that of sampling (Horvitz–Thompson). Unknown without traffic.
    """
    if total <= 0:
        return UNKNOWN
    p = min(sum(weights) / total, 1.0)
    variance = p * (1 - p) / total + sum(w * (w - 1) for w in weights) / total**2
    size = p * (1 - p) / variance if variance > 0 and 0 < p < 1 else total
    low, high = wilson(p * size, size, level)
    return Rate(p, low, high)


def growth(
    recent: Sequence[float],
    all_of_it: Sequence[float],
    recent_total: float,
    total: float,
    level: float = 0.95,
) -> Rate:
    """The rate per trace in the last day over the rate before it, with an interval.

    Given k₁ recent and k₀ earlier failures, k₁ is binomial with p = r·e₁/(r·e₁ + e₀), e the traces of each period
    (Przyborowski and Wilenski 1940); Wilson's interval of p is carried over to r. Weighted counts enter at Kish's
    effective size. An unbounded end is None; everything is None when either period has no traffic.
    """
    before_total = total - recent_total
    weight = sum(all_of_it)
    if recent_total <= 0 or before_total <= 0 or weight <= 0:
        return UNKNOWN
    size = weight**2 / sum(w * w for w in all_of_it)
    share = min(sum(recent) / weight, 1.0)
    exposure = before_total / recent_total
    ends = [_odds(s) * exposure for s in (share, *wilson(share * size, size, level))]
    value, low, high = (None if e == inf else e for e in ends)
    return Rate(value, low, high)


def _odds(share: float) -> float:
    return inf if share >= 1 else share / (1 - share)


def trend_of(rate: Rate) -> str:
    """What the interval of a growth ratio allows to say."""
    if rate.low is None:
        return "unknown"
    if rate.low > 1:
        return "growing"
    return "shrinking" if rate.high is not None and rate.high < 1 else "steady"
