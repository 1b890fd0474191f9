"""What every detector must do, whatever it computes. A new one needs a line in `MAKE` and a stream."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.unit.detection.made import BASE, at, events, point, quality, ticks, vectors
from watchkeeper.detection.baseline import Baseline, Config, fit
from watchkeeper.detection.cloud import (
    CloudState,
    Reference,
    fit_reference,
    make_geometry,
    project,
    update_cloud,
)
from watchkeeper.detection.panel import start, update
from watchkeeper.detection.protocol import Evidence
from watchkeeper.detection.rates import RateBaseline, RateState, fit_rate, update_rate
from watchkeeper.model.series import BINARY, TEN, Insufficient, Point, SeriesKey
from watchkeeper.model.sketch import Sketch


@dataclass(frozen=True)
class Detector:
    """A detector's `step(baseline, state, point, config)` with its baseline."""

    baseline: Any
    start: Callable[[], Any]
    step: Callable[[Any, Any, Any, Config], tuple[Any, Evidence]]

    def update(self, state: Any, point: Any) -> tuple[Any, Evidence]:
        return self.step(self.baseline, state, point, Config())


def drift(seed: int) -> Detector:
    found = fit(quality(np.random.default_rng(seed), 0, BASE), ticks())
    assert isinstance(found, Baseline)
    return Detector(found, start, update)


def rate(seed: int) -> Detector:
    found = fit_rate(events(np.random.default_rng(seed), 0, BASE, 0.02), ticks())
    assert isinstance(found, RateBaseline)
    return Detector(found, RateState, update_rate)


GEOMETRY = make_geometry(vectors(np.random.default_rng(1), 1500), 0)


def sketch(t: int, found: Any) -> Sketch:
    assert not isinstance(GEOMETRY, Insufficient)
    key = SeriesKey("p", "drift(input)")
    sums = tuple(project(GEOMETRY, found).sum(axis=0).tolist()) if len(found) else ()
    return Sketch(key, at(t), at(t + 1), len(found), sums)


def embedding(seed: int) -> Detector:
    assert not isinstance(GEOMETRY, Insufficient)
    rng = np.random.default_rng(seed)
    found = fit_reference([sketch(t, vectors(rng, 100)) for t in range(0, BASE, 6)], GEOMETRY.moments)
    assert isinstance(found, Reference)
    return Detector(found, CloudState, update_cloud)


MAKE: dict[str, Callable[[int], Detector]] = {
    "drift": drift,
    "rate": rate,
    "embedding": embedding,
}


def stream(name: str, seed: int, count: int, *, bad: bool) -> list[Any]:
    rng = np.random.default_rng(seed)
    if name == "embedding":
        return [sketch(BASE + t, vectors(rng, 500, 0.08 if bad else 0.0)) for t in range(count)]
    if name == "rate":
        return events(rng, BASE, count, 0.08 if bad else 0.02)
    return quality(rng, BASE, count, 6.3 if bad else 8.0)


def run(detector: Any, points: list[Any]) -> tuple[Any, list[Evidence]]:
    state, found = detector.start(), []
    for p in points:
        state, evidence = detector.update(state, p)
        found.append(evidence)
    return state, found


def nothing(name: str, t: int) -> Point | Sketch:
    if name == "embedding":
        return sketch(t, [])
    return point(t, [], BINARY if name == "rate" else TEN)


NAMES = pytest.mark.parametrize("name", list(MAKE))


@NAMES
def test_its_state_survives_json_and_goes_on_the_same(name: str):
    detector = MAKE[name](1)
    points = stream(name, 2, 12, bad=False) + stream(name, 3, 24, bad=True)[12:]
    state, _ = run(detector, points[:10])
    again = msgspec.json.decode(msgspec.json.encode(state), type=type(state))
    assert again == state
    for p in points[10:]:
        state, a = detector.update(state, p)
        again, b = detector.update(again, p)
        assert a == b
    assert again == state


@NAMES
def test_it_changes_nothing_when_a_tick_is_replayed(name: str):
    detector = MAKE[name](1)
    state = detector.start()
    for p in stream(name, 4, 15, bad=True):
        state, evidence = detector.update(state, p)
        replayed, same = detector.update(state, p)
        assert replayed == state
        assert same == evidence


@NAMES
def test_it_leaves_its_arguments_alone(name: str):
    detector = MAKE[name](1)
    state, _ = run(detector, stream(name, 5, 5, bad=False))
    p = stream(name, 6, 6, bad=True)[-1]
    before = msgspec.json.encode((state, p))
    detector.update(state, p)
    assert msgspec.json.encode((state, p)) == before


@NAMES
def test_missing_data_is_neither_fine_nor_zero(name: str):
    detector = MAKE[name](1)
    state, _ = run(detector, stream(name, 7, 5, bad=False))
    for t in range(5, 30):
        state, evidence = detector.update(state, nothing(name, BASE + t))
        assert evidence.verdict == "no_data"
        assert not evidence.firing
        assert evidence.current is None
    assert evidence.reason


@NAMES
def test_missing_data_does_not_close_an_incident(name: str):
    detector = MAKE[name](1)
    state, found = run(detector, stream(name, 8, 20, bad=True))
    assert found[-1].firing
    state, evidence = detector.update(state, nothing(name, BASE + 20))
    assert evidence.verdict == "no_data"
    assert evidence.firing


@NAMES
def test_it_stays_quiet_on_data_like_the_baseline(name: str):
    alarms = 0
    # One over embeddings takes seconds a stream.
    for seed in range(1 if name == "embedding" else 4):
        _, found = run(MAKE[name](seed + 20), stream(name, seed + 40, 120, bad=False))
        alarms += sum(e.verdict == "firing" for e in found)
    assert alarms == 0


@NAMES
def test_it_finds_a_clear_change_soon_and_once(name: str):
    detector = MAKE[name](1)
    calm, bad = stream(name, 9, 24, bad=False), stream(name, 10, 48, bad=True)[24:]
    _, found = run(detector, calm + bad)
    firing = [e.firing for e in found]
    assert not any(firing[:24])
    assert firing.index(True) <= 24 + 8
    assert all(firing[firing.index(True) :])
    last = found[-1]
    assert last.n > 0
    assert last.n_eff > 0
    assert last.current is not None
    assert last.current.low <= last.current.value <= last.current.high
    assert last.baseline is not None


@NAMES
def test_it_says_resolved_once_after_recovery(name: str):
    detector = MAKE[name](1)
    points = stream(name, 11, 24, bad=True) + stream(name, 12, 72, bad=False)[24:]
    _, found = run(detector, points)
    verdicts = [e.verdict for e in found]
    assert verdicts.count("resolved") == 1
    assert "resolved" not in verdicts[:24]
    assert not found[-1].firing
