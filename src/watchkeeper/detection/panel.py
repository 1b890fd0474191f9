"""The panel detector: is this series still like its frozen baseline?

    baseline = fit(points, ticks, config)              # or Insufficient
    state = start()
    state, evidence = update(baseline, state, point)   # once per tick, in order

`step` does one tick of many series at once; `update` is the same arithmetic for one series with its state machine.
"""

from dataclasses import dataclass
from math import log, log10, sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection import resolve
from watchkeeper.detection.baseline import Baseline, Config, middles, reduce_points, stack
from watchkeeper.detection.family import COMPONENTS, N_COMPONENTS, Ticks, components
from watchkeeper.detection.fit import Panel, expected_positive
from watchkeeper.detection.protocol import Evidence, Verdict
from watchkeeper.detection.recursion import (
    DELTAS,
    SIGNS,
    STREAMS,
    Streams,
    advance,
    combined,
    z_scores,
)
from watchkeeper.model.series import Estimate, Point, merge
from watchkeeper.stats.sequential import log10_evidence

Floats = NDArray[np.float64]
# A cohort too small for its ticks is judged on merged ones; beyond this many the merged tick means nothing.
MAX_HELD = 24


class State(msgspec.Struct, frozen=True):
    """The panel's state of one series. `r`, `w`, `run`, `since` hold one entry per component and stream (empty before
    the first judged tick, and while an incident is open); `held` waits for more data.

    `tick` is the start of the last tick taken, so that a replayed tick returns `last`.
    """

    tick: int = -1
    r: tuple[float, ...] = ()
    w: tuple[float, ...] = ()
    run: tuple[int, ...] = ()
    held: Point | None = None
    held_ticks: int = 0
    incident: resolve.Incident | None = None
    since: tuple[int, ...] = ()
    last: Evidence | None = None


def start() -> State:
    """The state before the first tick."""
    return State()


def step(panel: Panel, streams: Streams, ticks: Ticks, time_ns: int) -> Floats:
    """One tick of S series in place: M (S,) afterwards. `ticks` are (S, 1); a series with n_eff 0 is not touched."""
    z = z_scores(panel, ticks, np.array([time_ns], dtype=np.int64))[:, 0]
    advance(streams, z, panel.mask, ticks.n_eff[:, 0] > 0)
    return combined(streams.r, panel.mask)


def update(
    baseline: Baseline, state: State, point: Point, config: Config = Config()
) -> tuple[State, Evidence]:
    """The state and evidence after `point`. A tick at or before the last one taken changes nothing.

    Raises ValueError when the point was collected with another axis than the baseline's.
    """
    if point.axis != baseline.axis:
        raise ValueError(f"{point.key.metric}: the point's axis {point.axis.text} is not the baseline's")
    if point.start_ns <= state.tick and state.last is not None:
        return state, state.last
    firing = state.incident is not None
    if point.n == 0:
        evidence = _bare(state, point, "no_data", "no scores arrived in this tick")
        return msgspec.structs.replace(state, tick=point.start_ns, last=evidence), evidence
    held = merge([state.held, point]) if state.held is not None else point
    if held.n_eff < config.min_n_eff:
        count = state.held_ticks + 1
        reason = f"{held.n_eff:.1f} effective scores so far; a judgement needs {config.min_n_eff:g}"
        evidence = _bare(state, point, "insufficient", reason)
        keep = held if count < MAX_HELD else None
        return (
            msgspec.structs.replace(
                state,
                tick=point.start_ns,
                held=keep,
                held_ticks=count if keep is not None else 0,
                last=evidence,
            ),
            evidence,
        )
    state = msgspec.structs.replace(state, held=None, held_ticks=0)
    look = _look(baseline, held)
    return _while_firing(look, state, held, config) if firing else _while_ok(look, state, held, config)


@dataclass(frozen=True)
class _Look:
    baseline: Baseline
    panel: Panel
    z: Floats
    g: Floats
    m: Floats
    n: Floats


def _look(baseline: Baseline, point: Point) -> _Look:
    panel = stack([baseline])
    ticks, times = reduce_points([point]), middles([point])
    m = expected_positive(panel.coef, times)
    g = components(ticks, m[..., 0], panel.cuts)
    z = z_scores(panel, ticks, times)
    return _Look(baseline, panel, z[0, 0], g[0, 0], m[0, 0], point.n_eff * panel.kappa[0])


def _while_ok(look: _Look, state: State, point: Point, config: Config) -> tuple[State, Evidence]:
    streams = _streams(state)
    advance(streams, look.z[None], look.panel.mask, np.array([True]))
    m = float(combined(streams.r, look.panel.mask)[0])
    since = np.array(state.since or [point.start_ns] * streams.run.size, dtype=np.int64)
    since = np.where(streams.run.ravel() <= 1, point.start_ns, since)
    c, k = divmod(int(np.argmax(np.where(look.panel.mask[0][:, None], streams.r[0], 0.0))), STREAMS)
    run = int(streams.run[0, c, k])
    onset = int(since[c * STREAMS + k])
    sign = int(SIGNS[k // DELTAS.size])
    reached = m >= config.threshold
    pending = m >= sqrt(config.threshold)
    stable = not look.baseline.unstable
    verdict: Verdict = (
        "quiet" if not pending else "unstable" if not stable else "firing" if reached else "pending"
    )
    evidence = _evidence(
        look, point, config, verdict, c if pending else 0, sign, m, onset if pending else None
    )
    if verdict == "firing":
        delta = float(DELTAS[k % DELTAS.size])
        z = (float(streams.w[0, c, k]) / max(run, 1) + delta * delta / 2) / delta
        incident = resolve.Incident(c, sign, z, point.n_eff)
        return State(tick=point.start_ns, incident=incident, last=evidence), evidence
    if reached:
        streams = Streams.fresh(1)
    new = State(
        point.start_ns,
        tuple(streams.r.ravel().tolist()),
        tuple(streams.w.ravel().tolist()),
        tuple(streams.run.ravel().tolist()),
        since=tuple(since.tolist()),
        last=evidence,
    )
    return new, evidence


def _while_firing(look: _Look, state: State, point: Point, config: Config) -> tuple[State, Evidence]:
    before, last = state.incident, state.last
    assert before is not None and last is not None
    incident = resolve.step(before, float(look.z[before.component]), point.n_eff)
    done = resolve.over(incident)
    m = 10.0 ** (last.log10_m or 0.0)
    evidence = _evidence(
        look, point, config, "resolved" if done else "firing", before.component, before.sign, m, last.onset_ns
    )
    if done:
        return State(tick=point.start_ns, last=evidence), evidence
    new = msgspec.structs.replace(state, tick=point.start_ns, incident=incident, last=evidence)
    return new, evidence


def _streams(state: State) -> Streams:
    if not state.r:
        return Streams.fresh(1)
    shape = (1, N_COMPONENTS, STREAMS)
    return Streams(
        np.array(state.r).reshape(shape),
        np.array(state.w).reshape(shape),
        np.array(state.run, dtype=np.int32).reshape(shape),
    )


def _bare(state: State, point: Point, verdict: Verdict, reason: str) -> Evidence:
    last = state.last
    return Evidence(
        point.start_ns,
        verdict,
        firing=state.incident is not None,
        component=last.component if last and state.incident else None,
        direction=last.direction if last and state.incident else None,
        log10_m=last.log10_m if last else None,
        log10_a=last.log10_a if last else None,
        onset_ns=last.onset_ns if last and state.incident else None,
        baseline=last.baseline if last else None,
        n=point.n,
        n_eff=point.n_eff,
        reason=reason,
    )


def _evidence(
    look: _Look,
    point: Point,
    config: Config,
    verdict: Verdict,
    c: int,
    sign: int,
    m: float,
    onset: int | None,
) -> Evidence:
    p = look.panel
    tick_sd = sqrt(float(p.v[0, c] / max(look.n[c], 1e-9) + p.tau2[0, c]))
    base_sd = float(p.se[0, c])
    quiet = verdict == "quiet"
    return Evidence(
        point.start_ns,
        verdict,
        firing=verdict == "firing",
        component=None if quiet else COMPONENTS[c],
        direction=None if quiet else "up" if sign > 0 else "down",
        log10_m=log10_evidence(m),
        log10_a=log10(config.threshold),
        onset_ns=onset,
        current=_interval(float(look.g[c]), tick_sd, point.n, float(look.n[c]), c),
        baseline=_interval(float(look.m[c]), base_sd, look.baseline.n, look.baseline.n_eff, c),
        n=point.n,
        n_eff=point.n_eff,
        detectable=detectable(look.panel, point.n_eff, config),
        reason=_why(look.baseline, verdict),
    )


def _why(baseline: Baseline, verdict: Verdict) -> str | None:
    if verdict == "unstable":
        return "this series also alarms on its own baseline; treat its drift as a hint"
    if baseline.inherited_from is not None:
        return "the cohort is new: compared with the baseline of all traffic"
    return None


def _interval(value: float, sd: float, n: int, n_eff: float, c: int) -> Estimate:
    low, high = value - 1.959964 * sd, value + 1.959964 * sd
    if c > 0:
        low = max(low, 0.0)
    if c > 1:
        high = min(high, 1.0)
    return Estimate(value, low, high, n, n_eff)


def detectable(panel: Panel, n_eff: float, config: Config = Config(), *, ticks: int = 24) -> float | None:
    """The shift of the mean, in the metric's own unit, whose evidence grows to A within `ticks` ticks of `n_eff`.

    From k·z²/2 = ln(A·streams): the best δ is z itself. None when the mean is not watched.
    """
    if not panel.mask[0, 0] or n_eff <= 0:
        return None
    used = int(panel.mask[0].sum()) * STREAMS
    z = sqrt(2 * log(config.threshold * used) / ticks)
    noise = float(panel.v[0, 0] / (n_eff * panel.kappa[0, 0]) + panel.tau2[0, 0])
    return float(panel.band[0, 0]) + z * sqrt(noise * float(panel.d[0, 0]))
