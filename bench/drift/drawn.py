"""Worlds nobody chose: drawn at random from the families of `scenarios`, another draw for every seed."""

from dataclasses import replace
from typing import Any

import numpy as np

from bench.drift.engine import delays, fit, null_rate
from bench.drift.scenarios import LATENCY_SD, SD, World, constant, simulate
from watchkeeper.detection import rates
from watchkeeper.detection.panel import detectable

Rng = np.random.Generator


def draw(rng: Rng, name: str) -> World:
    """One world without a change. Each trait is there with some probability; the name says which were drawn."""

    def some(chance: float, low: float, high: float) -> float:
        return float(np.round(rng.uniform(low, high), 2)) if rng.random() < chance else 0.0

    kind = str(rng.choice(["score", "score", "latency", "failures", "failures"]))
    wander = some(0.5, 0.03, 0.12)
    rate = float(np.round(np.exp(rng.uniform(np.log(0.001), np.log(0.05))), 4))
    traits: dict[str, Any] = {
        "n": int(np.round(np.exp(rng.uniform(np.log(5 if kind != "failures" else 50), np.log(500))))),
        "wander": wander,
        "phi": some(1.0, 0.2, 0.75) if wander else 0.0,
        "tails": int(rng.choice([0, 0, 6])) if wander else 0,
        "daily": some(0.5, 0.1, 0.5),
        "weekly": some(0.3, 0.1, 0.4),
        "office": some(0.2, 0.1, 0.5),
        "uneven": some(0.4, 0.3, 1.3),
        "missing": some(0.3, 0.02, 0.3),
        "closed": int(rng.integers(1, 8)) if rng.random() < 0.2 else 0,
        "zeros": some(0.3, 0.01, 0.3) if kind == "score" else 0.0,
    }
    if kind == "failures":
        traits["fail"] = (rate, rate)
    shown = " ".join(f"{k} {v if k != 'fail' else rate}" for k, v in traits.items() if v)
    return World(f"{name} {kind} {shown}", kind=kind, **traits)


def nulls(count: int, series: int, seed: int) -> list[tuple[World, float]]:
    """(world, false alarms per 1000 window-series) of `count` worlds."""
    return [(w, null_rate(w, series, seed)) for w in worlds(count, seed)]


def worlds(count: int, seed: int) -> list[World]:
    """The worlds of a seed."""
    rng = np.random.default_rng([seed, 7])
    return [draw(rng, str(i + 1)) for i in range(count)]


def changed(world: World, seed: int) -> World:
    """The world with a step half as large again as what its own baselines say would be found within a day."""
    data = simulate(world, 20, seed)
    if world.kind == "failures":
        p = world.fail[0]
        size = float(np.median(data.n[data.n > 0]))
        base = rates.fit_rates(data.hist[:, : data.base, 1], data.n[:, : data.base], data.times[: data.base])
        d, high = float(np.median(base.d)), float(np.median(base.high))
        ratio = rates.smallest_ratio(high, d, size, 1e4) or 20.0
        return replace(world, fail=(p, float(rates.at_odds(np.array(high), np.array(1.5 * ratio)))))
    panel = fit(data)
    size = [float(np.median(n[n > 0])) for n in data.n_eff]
    found = [detectable(panel.rows(slice(i, i + 1)), n) or 0.0 for i, n in enumerate(size)]
    # A step of one sd of the latent score moves the mean by less: zeros stay, and scores are clipped at ten.
    unit = LATENCY_SD if world.kind == "latency" else 0.85 * SD * (1 - world.zeros)
    return replace(world, shift=constant(-1.5 * float(np.median(found)) / unit))


def found(count: int, series: int, seed: int) -> list[tuple[World, float, float]]:
    """(changed world, median delay in ticks, share missed in 168) of the worlds of a seed."""
    out: list[tuple[World, float, float]] = []
    for world in worlds(count, seed):
        moved = changed(world, seed)
        out.append((moved, *delays(moved, series, seed)))
    return out
