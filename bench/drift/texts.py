"""Drift of texts: level and power of the three tests on real questions when they are at hand, else on simulated vectors."""

import json
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchkeeper.detection.cloud import (
    Reference,
    compare,
    fit_reference,
    make_geometry,
    project,
)
from watchkeeper.model.series import Insufficient, SeriesKey
from watchkeeper.model.sketch import Sketch
from watchkeeper.scoring.classifiers import embed as embedding
from watchkeeper.scoring.texts import words
from watchkeeper.stats.sequential import p_to_e

KEY = SeriesKey("bench", "drift(input)")


def _questions() -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.float64]] | None:
    folder = Path(os.environ.get("WATCHKEEPER_SHARED", Path(__file__).parents[3] / "shared")) / "data"
    banking, other = folder / "banking77_intents.jsonl", folder / "halueval_qa.jsonl"
    if not (banking.exists() and other.exists() and embedding.available()):
        return None
    rows = [json.loads(line) for line in banking.open()]
    strange = [json.loads(line)["question"] for line in other.open()][:800]
    vectors = embedding.embed([words(r["text"]) for r in rows])
    alien = embedding.embed([words(q) for q in strange])
    return (
        np.asarray(vectors, dtype=np.float64),
        np.array([r["intent"] for r in rows]),
        np.asarray(alien, dtype=np.float64),
    )


def _simulated() -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    topics = rng.standard_normal((60, 128))
    label = rng.integers(0, 60, 5000)
    x = topics[label] + 0.9 * rng.standard_normal((5000, 128))
    alien = 2 * rng.standard_normal(128) + 0.5 * rng.standard_normal((800, 128))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, alien)]
    return unit[0], label.astype(str), unit[1]


def run(trials: int, seed: int) -> dict[str, dict[str, float]]:
    """By scenario: share of batches below p = .05 for each test and together, at n = 300 and 500; milliseconds a batch."""
    found = _questions()
    vectors, topic, alien = found if found is not None else _simulated()
    print(
        "questions of banking customers, strange: questions of general knowledge"
        if found
        else "simulated vectors"
    )
    rng = np.random.default_rng(seed)
    out: dict[str, dict[str, float]] = {}
    for n in (300, 500):
        for scenario in ("no change", "+10 points of a topic", "5 % new topic"):
            p: list[tuple[float, ...]] = []
            took: list[float] = []
            for t in range(trials):
                order = rng.permutation(len(vectors))
                geometry = make_geometry(vectors[order[:1500]], t)
                assert not isinstance(geometry, Insufficient)
                base = project(geometry, vectors[order[1500:3000]])
                ref = fit_reference([Sketch(KEY, 0, 1, len(base), tuple(base.sum(axis=0)))], geometry.moments)
                assert isinstance(ref, Reference)
                batch = vectors[order[3000 : 3000 + n]].copy()
                if scenario.startswith("+"):
                    one = np.flatnonzero(topic == rng.choice(np.unique(topic)))
                    batch[: n // 10] = vectors[rng.choice(one, n // 10)]
                elif scenario.startswith("5"):
                    batch[: n // 20] = alien[rng.choice(len(alien), n // 20, replace=False)]
                begun = time.perf_counter()
                change = compare(ref, n, project(geometry, batch).sum(axis=0))
                took.append(time.perf_counter() - begun)
                p.append((*change.p, change.p_all))
            below = (np.array(p) < 0.05).mean(axis=0)
            names = ("features", "clusters", "novelty", "together")
            out[f"{scenario}, n = {n}"] = {
                **dict(zip(names, below.tolist(), strict=True)),
                "e-value": float(np.mean(p_to_e(np.array(p)[:, 3]))),
                "ms": 1000 * float(np.median(took)),
            }
    return out
