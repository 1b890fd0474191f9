"""The half-hour soak is `make soak`; here its verdict is shown to go red."""

import pytest

from tests.flow.soak import Sample, verdict

STEADY = [Sample(n / 6, 400 + n % 3, 40 + n % 2, 30, 0.05) for n in range(60)]


def test_a_steady_server_meets_the_marks() -> None:
    said, met = verdict(STEADY)
    assert met and "files within 1" in said


@pytest.mark.parametrize(
    "creeping",
    [
        [Sample(s.minute, s.rss + s.minute, s.files, s.threads, s.p99) for s in STEADY],
        [Sample(s.minute, s.rss, s.files + int(3 * s.minute), s.threads, s.p99) for s in STEADY],
        [Sample(s.minute, s.rss, s.files, s.threads + int(3 * s.minute), s.p99) for s in STEADY],
        [Sample(s.minute, s.rss, s.files, s.threads, s.p99 * (1 + s.minute / 10)) for s in STEADY],
    ],
    ids=["memory", "files", "threads", "answers"],
)
def test_what_creeps_is_found_out(creeping: list[Sample]) -> None:
    assert not verdict(creeping)[1]
