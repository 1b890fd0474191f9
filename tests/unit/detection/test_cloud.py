"""Texts as vectors: the tests hold their level, find a topic that grew and one that is new, and say which."""

import numpy as np
import pytest

from tests.unit.detection.made import at, vectors
from watchkeeper.detection.baseline import Config
from watchkeeper.detection.cloud import (
    FEATURES,
    WIDTH,
    CloudState,
    Geometry,
    Reference,
    compare,
    describe,
    fit_reference,
    make_geometry,
    project,
    update_cloud,
)
from watchkeeper.model.series import Insufficient, SeriesKey
from watchkeeper.model.sketch import Sketch, field_of_metric

KEY = SeriesKey("p", "drift(input)")
RNG = np.random.default_rng(4)


def made() -> Geometry:
    found = make_geometry(vectors(np.random.default_rng(1), 1500), 0)
    assert not isinstance(found, Insufficient)
    return found


GEOMETRY = made()


def sketch(t: int, x: np.ndarray) -> Sketch:
    sums = tuple(project(GEOMETRY, x).sum(axis=0).tolist()) if len(x) else ()
    return Sketch(KEY, at(t), at(t + 1), len(x), sums, "v")


def reference(rng: np.random.Generator, days: int = 14, first: float = 0.0) -> Reference:
    sketches = [sketch(24 * d, vectors(rng, 150, first=first * (d % 2))) for d in range(days)]
    found = fit_reference(sketches, GEOMETRY.moments)
    assert isinstance(found, Reference)
    return found


def test_a_row_has_features_of_unit_length_one_cluster_and_a_mark_for_the_strange():
    rows = project(GEOMETRY, vectors(RNG, 50, new=0.2))
    assert rows.shape == (50, WIDTH)
    assert np.allclose((rows[:, :FEATURES] ** 2).sum(axis=1), 1.0)
    assert np.array_equal(rows[:, FEATURES:-1].sum(axis=1), np.ones(50))
    assert rows[-10:, -1].all() and rows[:-10, -1].mean() < 0.3


def test_the_p_values_are_what_they_say_on_texts_like_the_baseline():
    ref = reference(np.random.default_rng(2))
    rng = np.random.default_rng(3)
    p = np.array([compare(ref, 300, project(GEOMETRY, vectors(rng, 300)).sum(axis=0)).p for _ in range(120)])
    # 120 tries at 5 %: more than 14 would happen once in a thousand times.
    assert ((p < 0.05).sum(axis=0) <= 14).all()
    assert (p.mean(axis=0) > 0.35).all()


@pytest.mark.parametrize(
    ("change", "test", "words"), [({"new": 0.05}, 2, "unlike"), ({"first": 0.2}, 1, "topic")]
)
def test_what_changed_is_found_and_named(change: dict[str, float], test: int, words: str):
    ref = reference(np.random.default_rng(5))
    found = compare(ref, 500, project(GEOMETRY, vectors(np.random.default_rng(6), 500, **change)).sum(axis=0))
    assert found.p_all < 1e-4 and found.p[test] < 1e-4 and words in describe(found)


def test_days_that_differ_anyway_are_not_news():
    calm, lively = reference(np.random.default_rng(7)), reference(np.random.default_rng(7), first=0.3)
    assert calm.dispersion == (1.0, 1.0, 1.0) and max(lively.dispersion[:2]) > 1.4
    batch = project(GEOMETRY, vectors(np.random.default_rng(8), 500, first=0.3)).sum(axis=0)
    assert compare(lively, 500, batch).p_all > compare(calm, 500, batch).p_all * 10


def test_small_hours_are_gathered_and_a_day_is_enough_with_fifty():
    ref, rng = reference(np.random.default_rng(9)), np.random.default_rng(10)
    state, seen = CloudState(), []
    for t in range(24 * 20, 24 * 21):
        state, e = update_cloud(ref, state, sketch(t, vectors(rng, 4)))
        seen.append(e.verdict)
    assert seen[:-1] == ["insufficient"] * 23 and seen[-1] == "quiet" and state.held_n == 0
    assert e.n == 96


def test_sums_of_hours_are_the_sums_of_their_texts():
    x = vectors(np.random.default_rng(11), 600)
    whole, parts = project(GEOMETRY, x).sum(axis=0), [sketch(0, x[:200]), sketch(1, x[200:])]
    assert np.allclose(np.sum([s.sums for s in parts], axis=0), whole)


def test_too_little_is_said_to_be_too_little():
    assert isinstance(make_geometry(vectors(RNG, 100), 0), Insufficient)
    assert isinstance(fit_reference([sketch(0, vectors(RNG, 50))], GEOMETRY.moments), Insufficient)
    assert field_of_metric("input") is None


def test_the_threshold_is_the_budget():
    ref, rng = reference(np.random.default_rng(12)), np.random.default_rng(13)
    state, fired = CloudState(), []
    for t in range(40):
        state, e = update_cloud(
            ref, state, sketch(24 * 20 + t, vectors(rng, 500, new=0.03)), Config(threshold=1e3)
        )
        fired.append(e.firing)
        if e.firing:
            break
    assert fired.index(True) < 12 and e.component == "novelty" and e.onset_ns is not None
    assert at(24 * 20) <= e.onset_ns <= e.tick_ns and e.log10_m is not None and e.log10_m >= 3
