"""What a scorer says in a window, from its sums."""

import pytest

from watchkeeper.model.series import BINARY, Estimate
from watchkeeper.pipeline.scorecards import estimate_of


def row(*values: float) -> dict[str, object]:
    x, x2 = sum(values), sum(v * v for v in values)
    n = len(values)
    return {
        "metric": "m",
        "axis": BINARY.text,
        "n": n,
        "sw": n,
        "sw2": n,
        "swx": x,
        "swx2": x2,
        "sw2x": x,
        "sw2x2": x2,
    }


@pytest.mark.parametrize(("values", "low", "value"), [((1, 1, 0, 1), 0.3, 0.75), ((1, 4, 4, 4), 1.0, 3.25)])
def test_a_scale_that_began_with_zeros_and_ones_is_no_rate(
    values: tuple[float, ...], low: float, value: float
) -> None:
    found = estimate_of(row(*values))
    assert isinstance(found, Estimate) and found.value == pytest.approx(value)
    assert found.low == pytest.approx(low, abs=0.15) and found.high >= value
