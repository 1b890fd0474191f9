"""Distances as conditions: chance is not distance, a real one is found, and one that is too small for the limit is not."""

import numpy as np
import pytest

from watchkeeper.alerting.conditions import DISTANCES
from watchkeeper.alerting.distances import compared, distance
from watchkeeper.model.series import TEN, UNIT, Estimate, Insufficient, Point, SeriesKey, gather

ALPHA = 1e-3


def point(seed: int, n: int, mean: float = 8.0, sd: float = 1.8) -> Point:
    x = np.clip(np.rint(np.random.default_rng(seed).normal(mean, sd, n)), 0, 10)
    return gather(SeriesKey("p", "m"), 0, 1, TEN, [(float(v), 1.0) for v in x])


BASELINE = point(1, 20_000)


def found(current: Point, stat: str, alpha: float = ALPHA) -> Estimate:
    made = distance(BASELINE, current, stat, alpha, 20)
    assert isinstance(made, Estimate)
    return made


@pytest.mark.parametrize("stat", DISTANCES)
def test_two_samples_of_one_population_are_never_surely_apart(stat: str):
    sure = [found(point(s, 100), stat).low > 0 for s in range(100, 200)]
    assert sum(sure) <= 1
    assert np.mean([abs(found(point(s, 100), stat).value) for s in range(100, 130)]) < 0.2


@pytest.mark.parametrize("stat", DISTANCES)
def test_a_real_change_has_a_distance_beyond_doubt(stat: str):
    moved = found(point(5, 400, mean=6.0), stat)
    assert moved.low > 0 or moved.high < 0
    assert moved.low <= moved.value <= moved.high
    assert moved.n == 400


def test_the_sign_of_a_mean_difference_is_kept_and_sizes_are_in_their_units():
    assert -1.2 < found(point(6, 5000, mean=6.2), "smd").value < -0.8
    assert 1.4 < found(point(6, 5000, mean=6.2), "wasserstein").value < 1.9


def test_a_change_of_shape_with_the_same_mean_is_seen_by_the_shape_only():
    wide = point(7, 2000, mean=8.15, sd=3.2)
    names = compared(BASELINE, wide)
    assert found(wide, "ks").low > 0 and found(wide, "psi").low > 0
    assert all("effect_size" in type(v).__struct_fields__ for v in names.values())


def test_what_cannot_be_compared_is_insufficient():
    other = gather(SeriesKey("p", "m"), 0, 1, UNIT, [(0.5, 1.0)] * 50)
    assert isinstance(distance(BASELINE, other, "psi", ALPHA, 20), Insufficient)
    assert isinstance(distance(BASELINE, point(8, 10), "psi", ALPHA, 20), Insufficient)
    assert isinstance(distance(BASELINE, None, "ks", ALPHA, 20), Insufficient)
