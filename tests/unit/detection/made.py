"""Points of simulated scores for detector tests; seeds are fixed, so every run sees the same data."""

import numpy as np

from watchkeeper.model.series import BINARY, TEN, Axis, Point, SeriesKey, empty, gather

HOUR = 3_600_000_000_000
START = 1_736_121_600_000_000_000 // HOUR * HOUR
KEY = SeriesKey("p", "relevance")
DAYS = 14
BASE = 24 * DAYS


def at(t: int) -> int:
    return START + t * HOUR


def ticks(count: int = BASE) -> list[int]:
    return [at(t) for t in range(count)]


def point(
    t: int, values: "np.ndarray | list[float]", axis: Axis = TEN, key: SeriesKey = KEY, pi: float = 1.0
) -> Point:
    if len(values) == 0:
        return empty(key, at(t), at(t + 1), axis)
    return gather(key, at(t), at(t + 1), axis, [(float(v), pi) for v in values])


def scores(rng: np.random.Generator, n: int = 100, mean: float = 8.0, sd: float = 1.8) -> np.ndarray:
    return np.clip(np.rint(rng.normal(mean, sd, n)), 0, 10)


def quality(rng: np.random.Generator, start: int, count: int, mean: float = 8.0, n: int = 100) -> list[Point]:
    return [point(t, scores(rng, n, mean)) for t in range(start, start + count)]


def events(rng: np.random.Generator, start: int, count: int, p: float, n: int = 500) -> list[Point]:
    return [point(t, (rng.random(n) < p).astype(float), BINARY) for t in range(start, start + count)]


TOPICS = np.random.default_rng(99).standard_normal((8, 32))


def vectors(rng: np.random.Generator, n: int, new: float = 0.0, first: float = 0.0) -> np.ndarray:
    """Unit vectors of texts about eight topics; a share `new` about something never seen, `first` about the first."""
    topic = rng.integers(0, 8, n)
    topic[: round(first * n)] = 0
    x = TOPICS[topic] + 0.9 * rng.standard_normal((n, 32))
    strange = round(new * n)
    if strange:
        x[-strange:] = 3.0 * np.ones(32) + 0.3 * rng.standard_normal((strange, 32))
    return x / np.linalg.norm(x, axis=1, keepdims=True)
