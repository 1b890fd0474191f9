"""How small a difference a number of scores can show: printed beside every plan."""

from math import sqrt

from watchkeeper.stats.distributions import normal_quantile


def detectable(sd: float, n: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest shift of a mean that n (effective) scores find with `power`, one-sided at `alpha`.

    (z₁₋α + z₁₋β)·sd/√n, in the units of `sd`; infinite for n = 0.
    """
    if n <= 0:
        return float("inf")
    return (normal_quantile(1 - alpha) + normal_quantile(power)) * sd / sqrt(n)
