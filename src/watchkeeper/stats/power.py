"""How much data, or how small a difference: printed beside every "no drift" and every plan."""

from math import ceil, sqrt

from watchkeeper.stats.distributions import normal_quantile


def _z(p: float) -> float:
    return normal_quantile(p)


def needed_n(
    sd: float, delta: float, *, alpha: float = 0.05, power: float = 0.8, two_sided: bool = False
) -> int:
    """Scores needed to see a shift `delta` of a mean: n ≥ ((z₁₋α + z₁₋β)·sd/δ)². Raises ValueError for δ = 0."""
    if delta == 0:
        raise ValueError("no sample finds a difference of zero; give the smallest difference that matters")
    return ceil(((_z(1 - alpha / (2 if two_sided else 1)) + _z(power)) * sd / delta) ** 2)


def detectable(
    sd: float, n: float, *, alpha: float = 0.05, power: float = 0.8, two_sided: bool = False
) -> float:
    """The smallest shift of a mean that n (effective) scores find with `power`; infinite for n = 0."""
    if n <= 0:
        return float("inf")
    return (_z(1 - alpha / (2 if two_sided else 1)) + _z(power)) * sd / sqrt(n)


def detectable_rate_drop(p: float, n: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest drop of a rate p that n scores find: variance under p for the level, under p − δ for the power."""
    if n <= 0:
        return p
    za, zb = _z(1 - alpha), _z(power)
    low, high = 0.0, p
    for _ in range(60):
        d = (low + high) / 2
        q = p - d
        enough = d * sqrt(n) >= za * sqrt(p * (1 - p)) + zb * sqrt(max(q * (1 - q), 0.0))
        low, high = (low, d) if enough else (d, high)
    return high


def rule_of_three_n(p_max: float) -> int:
    """Passes in a row that show with 95 % confidence that a failure rate is below `p_max`: n ≥ 3/p_max (600 for 0.5 %)."""
    if not 0 < p_max < 1:
        raise ValueError(f"a largest failure rate is between 0 and 1, not {p_max}")
    return ceil(3 / p_max - 1e-9)
