"""What is left of a wide cohort that recovers is noise: it is no second incident. Where the rest has changed too, it is."""

import numpy as np
import pytest

from tests.unit.detection.made import HOUR, at, point
from watchkeeper.alerting.lifecycle import Life
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.model.series import TEN, SeriesKey
from watchkeeper.pipeline.watching.attribution import explained
from watchkeeper.pipeline.watching.book import Book, Watched
from watchkeeper.pipeline.watching.normals import Normal

PARENT, V2 = (("scenario", "support"),), (("prompt_version", "v2"), ("scenario", "support"))
SHIFT = Monitor(
    "down", "shift(relevance) = 'down'", "o", "r.md", "p", window=HOUR, by=("prompt_version",), where=PARENT
)


def key(cohort: tuple[tuple[str, str], ...]) -> SeriesKey:
    return SeriesKey("p", "relevance", cohort)


def around(mean: float, n: int) -> np.ndarray:
    """Values whose mean is exactly this, spread as scores are."""
    values = np.resize([-1.5, 0.0, 1.5], n)
    return np.clip(values - values.mean() + mean, 0, 10)


# The rest of the hour is off by less than chance makes of 90 values, and by far more. Half of the parent's distance it is neither.
@pytest.mark.parametrize(("rest", "told", "by"), [(7.8, False, None), (7.8, True, V2), (7.2, True, None)])
def test_somebody_was_told_of_a_part(rest: float, told: bool, by: tuple[tuple[str, str], ...] | None) -> None:
    book = Book(HOUR)
    bad, left = around(6.0, 6), around(rest, 90)
    book.add([point(0, np.concatenate([bad, left]), TEN, key(PARENT)), point(0, bad, TEN, key(V2))])
    normals = {("relevance", PARENT): Normal(point=point(-1, around(8.0, 3000), TEN, key(PARENT)))}
    found = explained(SHIFT, PARENT, [V2], at(1), book, normals, Watched(Life("clear")), 0.01, told)
    assert found == by
