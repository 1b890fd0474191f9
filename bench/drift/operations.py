"""What people feel: alerts of a fleet, episodes of an incident, and what a tick costs."""

import time
from dataclasses import replace

import numpy as np

from bench.drift import naive
from bench.drift.engine import evidence, fit
from bench.drift.scenarios import BASE, HOUR, SEASONAL, Data, World, constant, of, simulate
from watchkeeper.detection import baseline as frozen
from watchkeeper.detection import fleet, panel
from watchkeeper.detection.family import Ticks
from watchkeeper.detection.recursion import Streams
from watchkeeper.model.series import Point, SeriesKey


def points(data: Data, i: int) -> list[Point]:
    """One simulated series as the points a pipeline would feed."""
    x = naive.values_of(data)
    key = SeriesKey("bench", "metric")
    out: list[Point] = []
    for t, start in enumerate((data.times - HOUR // 2).tolist()):
        h, h2 = data.hist[i, t], data.hist2[i, t]
        sums = [float(f) for f in (h.sum(), h2.sum(), h @ x, h @ x**2, h2 @ x, h2 @ x**2)]
        out.append(
            Point(
                key,
                start,
                start + HOUR,
                data.axis,
                int(data.n[i, t]),
                *sums,
                hist_w=tuple(h.tolist()),
                hist_w2=tuple(h2.tolist()),
            )
        )
    return out


def run_fleet(series: int, changed: int, seed: int) -> dict[str, tuple[int, int, int, float]]:
    """rule -> (alerts, true alerts, changed series found, median delay); an alert per alarm, state restarted after it.

    n = 50, the first `changed` series lose 0.5 sd at the start of the watched week.
    """
    calm = World("fleet", n=50, quiet=0)
    moved = replace(calm, name="fleet changed", shift=constant(-0.5))
    threshold = fleet.threshold(series, HOUR)
    out: dict[str, list[np.ndarray]] = {}
    blocks = [(moved, changed)] + [
        (calm, min(500, series - changed - b)) for b in range(0, series - changed, 500)
    ]
    for b, (world, size) in enumerate(blocks):
        data = simulate(world, size, seed * 100 + b)
        hits = {
            "panel SR, fleet budget": evidence(world, data, threshold),
            "panel SR, A = 1e4": evidence(world, data, 1e4),
        }
        for name, s in naive.statistics(data).items():
            hits[f"{name} (as shipped)"] = s > naive.SHIPPED[name]
        for name, h in hits.items():
            out.setdefault(name, []).append(h)
    found: dict[str, tuple[int, int, int, float]] = {}
    for name, parts in out.items():
        h = np.concatenate(parts)
        ours = name.startswith("panel")
        true, false = h[:changed], h[changed:]
        # An open incident of ours is one alert; a rule without resolution alerts whenever it starts to hold.
        begun = np.diff(true, axis=1, prepend=False) & true
        count_true = int(true.any(axis=1).sum()) if ours else int(begun.sum())
        count_false = int(false.sum()) if ours else int((np.diff(false, axis=1, prepend=False) & false).sum())
        hit = true.any(axis=1)
        delay = float(np.median(true[hit].argmax(axis=1) + 1)) if hit.any() else float("inf")
        found[name] = (count_true + count_false, count_true, int(hit.sum()), delay)
    return found


INCIDENTS = [
    World("mean -0.4 sd for 24 h", shift=constant(-0.4), incident=24, watch=96),
    World("mean -1 sd for 24 h", shift=constant(-1.0), incident=24, watch=96),
    World("seasonal, -0.4 sd for 24 h", shift=constant(-0.4), incident=24, watch=96, **SEASONAL),
    World("4 % collapse for 24 h", collapse=0.04, incident=24, watch=96),
]


def episodes(world: World, series: int, seed: int) -> dict[str, float]:
    """Episodes per incident through the scalar API, early resolutions, hours to resolve, and naive rules' episodes."""
    data = simulate(world, series, seed)
    count = early = 0
    resolved: list[float] = []
    start = data.base + world.quiet
    for i in range(series):
        ps = points(data, i)
        b = frozen.fit(ps[: data.base], [p.start_ns for p in ps[: data.base]])
        assert isinstance(b, frozen.Baseline)
        state, was = panel.start(), False
        for t in range(data.base, len(ps)):
            state, e = panel.update(b, state, ps[t])
            if t >= start:
                count += e.firing and not was
                if e.verdict == "resolved":
                    early += t < start + (world.incident or 0)
                    resolved.append(t - start - (world.incident or 0) + 1)
            was = e.firing
    out = {
        "episodes": count / series,
        "early": early / series,
        "resolved after": float(np.median(resolved)) if resolved else float("inf"),
        "still open": 1 - len(resolved) / max(count, 1),
    }
    window = slice(world.quiet, world.quiet + 48)
    for name, s in naive.statistics(data).items():
        hit = (s > naive.SHIPPED[name])[:, window]
        out[name] = float((np.diff(hit, axis=1, prepend=False) & hit).sum() / series)
    return out


def speed(repeats: int = 9) -> dict[str, float]:
    """Milliseconds, the best of several, because others use the machine too: one tick of 10,000 series × 6 components, a baseline fit (scalar, batched), one scalar update."""
    world = World("speed", kind="latency", quiet=1, watch=1)
    data = simulate(world, 100, 1)
    fitted = fit(data)
    index = np.arange(10_000) % 100
    big = fitted.rows(index)
    tick = of(data.ticks(), slice(BASE, BASE + 1))
    ticks = Ticks(tick.n_eff[index], tick.a1[index], tick.a2[index], tick.share[index])
    streams = Streams.fresh(10_000)
    took: list[float] = []
    for _ in range(repeats):
        t0 = time.perf_counter()
        panel.step(big, streams, ticks, int(data.times[BASE]))
        took.append(time.perf_counter() - t0)
    t0 = time.perf_counter()
    fit(data)
    batch = (time.perf_counter() - t0) / 100
    scalar: list[float] = []
    update: list[float] = []
    for i in range(repeats):
        ps = points(data, i)
        t0 = time.perf_counter()
        b = frozen.fit(ps[: data.base], [p.start_ns for p in ps[: data.base]])
        scalar.append(time.perf_counter() - t0)
        assert isinstance(b, frozen.Baseline)
        t0 = time.perf_counter()
        panel.update(b, panel.start(), ps[BASE])
        update.append(time.perf_counter() - t0)
    used = float(fitted.mask.sum(axis=1).mean())
    return {
        "tick of 10,000 series (ms)": 1000 * min(took),
        "components in use": used,
        "baseline fit, one series with dry run (ms)": 1000 * min(scalar),
        "baseline fit, batched, per series (ms)": 1000 * batch,
        "scalar update (ms)": 1000 * min(update),
    }
