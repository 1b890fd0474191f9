"""Feeding the sequential detectors: an hour at a time, and again from a checkpoint when an hour got data late."""

from collections.abc import Mapping

import msgspec

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.detection.baseline import Config
from watchkeeper.detection.cloud import CloudState, update_cloud
from watchkeeper.detection.panel import start, update
from watchkeeper.detection.rates import RateState, update_rate
from watchkeeper.model.series import BINARY, Cohort, SeriesKey, empty, remade
from watchkeeper.model.sketch import Sketch
from watchkeeper.model.times import DAY, HOUR
from watchkeeper.pipeline.watching.book import Book, Checkpoint, Watched
from watchkeeper.pipeline.watching.normals import Normal


def run_detectors(
    watched: Watched,
    monitor: Monitor,
    subject: Cohort,
    end: int,
    book: Book,
    normals: Mapping[str, Normal],
    config: Config,
) -> None:
    """Feed each moving metric its hour, once an hour, whatever the tick: evidence is calibrated per hour."""
    length = max(HOUR, book.tick_ns)
    if end % length:
        return
    for metric in monitor.moving:
        normal = normals.get(metric)
        if normal is not None and normal.watchable:
            _feed(watched, monitor.project, metric, subject, end - length, end, book, normal, config)


def _feed(
    watched: Watched,
    project: str,
    metric: str,
    subject: Cohort,
    since: int,
    end: int,
    book: Book,
    normal: Normal,
    config: Config,
) -> None:
    if normal.cloud is not None:
        sketch = book.sketches.get((metric, subject), {}).get(since)
        if sketch is None or remade(normal.version, sketch.version):
            sketch = Sketch(SeriesKey(project, metric, subject), since, end)
        before = watched.clouds.get(metric, CloudState())
        watched.clouds[metric], watched.evidence[metric] = update_cloud(normal.cloud, before, sketch, config)
        return
    axis = normal.fit.axis if normal.fit is not None else BINARY
    point = book.window(metric, subject, since, end)
    if point is not None and (point.axis != axis or remade(normal.version, point.version)):
        return
    if point is None:
        point = empty(SeriesKey(project, metric, subject), since, end, axis)
    else:
        # Whole ticks, wherever in them the scores lie: the state is keyed by the tick's start.
        point = msgspec.structs.replace(point, start_ns=since, end_ns=end)
    if normal.rate is not None:
        before = watched.rates.get(metric, RateState())
        watched.rates[metric], watched.evidence[metric] = update_rate(normal.rate, before, point, config)
        return
    state = watched.detectors.get(metric, start())
    if state.held is not None and (
        state.held.key.cohort != subject or remade(state.held.version, point.version)
    ):
        state = msgspec.structs.replace(state, held=None, held_ticks=0)
    assert normal.fit is not None
    watched.detectors[metric], watched.evidence[metric] = update(normal.fit, state, point, config)


def checkpoint(watched: Watched, end: int) -> None:
    """Remember the detectors once a day, two days back: what comes later than that is not judged again."""
    if end % DAY == 0 and (watched.detectors or watched.rates):
        made = Checkpoint(end, dict(watched.detectors), dict(watched.rates))
        watched.checkpoints = (*watched.checkpoints, made)[-2:]


def judge_again(
    watched: Watched,
    monitor: Monitor,
    subject: Cohort,
    first_late: int,
    end: int,
    book: Book,
    normals: Mapping[str, Normal],
    config: Config,
) -> bool:
    """Feed the detectors everything from the last checkpoint before `first_late` up to `end` again, as if what came late
    had been there. Nothing is told of the hours in between: what they add up to is seen by the next look. False when no
    checkpoint is old enough, and then nothing is changed."""
    known = [c for c in watched.checkpoints if c.end_ns <= first_late]
    if not known:
        return False
    watched.detectors, watched.rates = dict(known[-1].detectors), dict(known[-1].rates)
    length = max(HOUR, book.tick_ns)
    for hour in range(known[-1].end_ns + length, end // length * length + 1, length):
        run_detectors(watched, monitor, subject, hour, book, normals, config)
        checkpoint_again(watched, hour)
    return True


def checkpoint_again(watched: Watched, end: int) -> None:
    """Bring a later checkpoint up to date with what has been judged again."""
    watched.checkpoints = tuple(
        msgspec.structs.replace(c, detectors=dict(watched.detectors), rates=dict(watched.rates))
        if c.end_ns == end
        else c
        for c in watched.checkpoints
    )
