import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.model.series import (
    BINARY,
    MILLISECONDS,
    TEN,
    Axis,
    Point,
    SeriesKey,
    axis_of,
    cohort_of,
    empty,
    gather,
    merge,
)

KEY = SeriesKey("p", "m")
scored = st.lists(
    st.tuples(st.integers(0, 10).map(float), st.sampled_from([1.0, 0.5, 0.1, 0.02])), max_size=12
)


def made(values: list[tuple[float, float]], t: int = 0) -> Point:
    return gather(KEY, t, t + 1, TEN, values)


def close(a: Point, b: Point) -> None:
    assert (a.n, a.start_ns, a.end_ns, a.key) == (b.n, b.start_ns, b.end_ns, b.key)
    for name in ("sw", "sw2", "swx", "swx2", "sw2x", "sw2x2"):
        assert math.isclose(getattr(a, name), getattr(b, name), rel_tol=1e-9, abs_tol=1e-9)
    assert np.allclose(a.hist_w, b.hist_w)
    assert np.allclose(a.hist_w2, b.hist_w2)


@given(scored, scored, scored)
@settings(max_examples=60, deadline=None)
def test_it_merges_in_any_order_and_grouping_to_what_the_raw_scores_give(a, b, c):
    x, y, z = made(a, 0), made(b, 1), made(c, 2)
    whole = merge([x, y, z])
    close(whole, merge([merge([z, x]), y]))
    close(whole, merge([x, merge([y, z])]))
    raw = made(a + b + c)
    assert math.isclose(whole.swx, raw.swx, abs_tol=1e-9)
    assert np.allclose(whole.hist_w2, raw.hist_w2)


def test_an_empty_tick_is_the_identity_and_has_no_effective_size():
    p = made([(3.0, 0.5), (7.0, 1.0)])
    none = empty(KEY, 0, 1, TEN)
    assert none.n_eff == 0
    close(merge([p, none]), p)


def test_it_keeps_what_cohorts_have_in_common():
    a = gather(SeriesKey("p", "m", cohort_of({"model": "x", "region": "eu"})), 0, 1, TEN, [(1.0, 1.0)])
    b = gather(SeriesKey("p", "m", cohort_of({"region": "eu", "model": "y"})), 0, 1, TEN, [(2.0, 1.0)])
    assert merge([a, b]).key == SeriesKey("p", "m", (("region", "eu"),))
    assert a.key.parent() == KEY
    assert KEY.parent() is None


@pytest.mark.parametrize("bad", [(5.0, 0.0), (5.0, 1.5), (float("nan"), 1.0), (float("inf"), 1.0)])
def test_it_refuses_scores_that_cannot_be_weighted_or_are_not_numbers(bad):
    with pytest.raises(ValueError, match=r"m"):
        made([bad])


def test_it_refuses_to_add_histograms_of_different_axes():
    with pytest.raises(ValueError, match="axis"):
        merge([made([(1.0, 1.0)]), gather(KEY, 0, 1, BINARY, [(1.0, 1.0)])])
    with pytest.raises(ValueError, match="different metrics"):
        merge([made([(1.0, 1.0)]), gather(SeriesKey("p", "other"), 0, 1, TEN, [(1.0, 1.0)])])
    with pytest.raises(ValueError, match="empty"):
        merge([])


@pytest.mark.parametrize("axis", [TEN, BINARY, MILLISECONDS, Axis(0.1, 0.7, 3)])
def test_an_axis_survives_being_stored_as_text(axis):
    assert axis_of(axis.text) == axis
    assert len(axis.edges) == axis.bins + 1
    assert len(axis.centres) == axis.size <= 64


@pytest.mark.parametrize("args", [(0, 1, 63), (0, 1, 0), (1, 1, 5)])
def test_an_impossible_axis_is_an_error(args):
    with pytest.raises(ValueError, match="axis"):
        Axis(*args)
    with pytest.raises(ValueError, match="log axis"):
        Axis(0.0, 1.0, 5, log=True)
    with pytest.raises(ValueError, match="not an axis"):
        axis_of("0.0|1.0|50")


@given(st.floats(-5, 15))
def test_a_value_is_in_the_bin_whose_edges_hold_it(x):
    at = TEN.locate(x)
    edges = (-math.inf, *TEN.edges, math.inf)
    assert edges[at] < x <= edges[at + 1]
