"""How well failures are grouped: `python -m bench.clustering`.

Clusters of meaning on banking77 intents (B-cubed F1, AMI, one mode left whole), joining by nearest signal, ids over
nights, near-duplicates that slip through, reasons of agent failures, and the time for 20,000 failures.
"""

import json
import random
import re
import resource
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import gammaln

from tests.shared import ROOT
from watchkeeper.model.signal import Failure
from watchkeeper.reviewing import clusters
from watchkeeper.reviewing.fingerprint import near_duplicates, template
from watchkeeper.reviewing.signals import Traffic, regroup
from watchkeeper.reviewing.similar import jaccard, shingles
from watchkeeper.scoring.classifiers.embed import embed

DAY = 86_400 * 10**9


def _table(a: Sequence[Any], b: Sequence[Any]) -> np.ndarray[Any, Any]:
    _, x = np.unique(np.asarray(a), return_inverse=True)
    _, y = np.unique(np.asarray(b), return_inverse=True)
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1)
    return table


def bcubed(found: Sequence[Any], true: Sequence[Any]) -> tuple[float, float, float]:
    """B-cubed F1, precision and recall (Bagga and Baldwin 1998)."""
    t = _table(found, true)
    p = float((t**2 / t.sum(1, keepdims=True)).sum() / t.sum())
    r = float((t**2 / t.sum(0, keepdims=True)).sum() / t.sum())
    return 2 * p * r / (p + r), p, r


def ami(found: Sequence[Any], true: Sequence[Any]) -> float:
    """Adjusted mutual information, arithmetic mean (Vinh, Epps and Bailey 2010)."""
    t = _table(found, true)
    n, a, b = t.sum(), t.sum(1), t.sum(0)
    seen = t > 0
    mutual = float((t[seen] / n * np.log(n * t[seen] / np.outer(a, b)[seen])).sum())
    entropy = [float(-(m / n * np.log(m / n)).sum()) for m in (a, b)]
    expected = 0.0
    for x, nx in Counter(a.tolist()).items():
        for y, ny in Counter(b.tolist()).items():
            k = np.arange(max(1, x + y - n), min(x, y) + 1)
            log_p = (
                gammaln(x + 1) + gammaln(y + 1) + gammaln(n - x + 1) + gammaln(n - y + 1) - gammaln(n + 1)
                - gammaln(k + 1) - gammaln(x - k + 1) - gammaln(y - k + 1) - gammaln(n - x - y + k + 1)
            )  # fmt: skip
            expected += nx * ny * float((k / n * np.log(n * k / (x * y)) * np.exp(log_p)).sum())
    mean = sum(entropy) / 2
    return (mutual - expected) / (mean - expected) if mean > expected else 1.0


def _read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in open(ROOT / "data" / name, encoding="utf-8")]


def _vectors(texts: Sequence[str]) -> clusters.Vectors:
    return clusters.centred([clusters.words(t, 80) for t in texts], embed)


def meaning(rows: list[dict[str, Any]]) -> None:
    """Clusters against intents, on the half that the cuts were chosen on and on the other."""
    for name, part in (("chosen on", rows[:2500]), ("kept aside", rows[2500:])):
        vectors, true = _vectors([r["text"] for r in part]), [r["intent"] for r in part]
        for together in (0.30, 0.35, 0.40, 0.45, 0.50):
            found = clusters.cluster(vectors, together)
            f, p, r = bcubed(found, true)
            whole = []
            for intent in sorted(set(true))[::6]:
                one = clusters.cluster(vectors[[i for i, t in enumerate(true) if t == intent]], together)
                whole.append(max(Counter(one).values()) / len(one))
            print(
                f"  {name:10s} together {together:.2f}: {len(set(found)):4d} clusters, B-cubed F1 {f:.3f} (P {p:.3f} R {r:.3f}), "
                f"AMI {ami(found, true):.3f}, one mode alone: largest share {np.mean(whole):.2f}"
            )


def joining(rows: list[dict[str, Any]]) -> None:
    """New texts to the nearest of the signals known: right, wrong, left waiting; 20 of 77 intents are unknown."""
    vectors, true = _vectors([r["text"] for r in rows]), np.array([r["intent"] for r in rows])
    known = sorted(set(true))[:57]
    half = len(rows) // 2
    means = np.stack([vectors[:half][true[:half] == k].mean(axis=0) for k in known])
    alike = vectors[half:] @ means.T
    best, near = alike.max(axis=1), np.array(known)[alike.argmax(axis=1)]
    is_known = np.isin(true[half:], known)
    for join in (0.35, 0.4, 0.45, 0.5, 0.55):
        taken = best >= join
        right = taken & (near == true[half:])
        print(
            f"  join {join:.2f}: of known kinds {np.mean(right[is_known]):.2f} right, {np.mean(taken[is_known] & ~right[is_known]):.2f} "
            f"wrong; of unknown kinds {np.mean(taken[~is_known]):.2f} taken in wrongly"
        )


def _failures(rows: Sequence[dict[str, Any]], start: int) -> list[Failure]:
    return [Failure(r["id"], start + i * 10**9, "relevance", "judge", r["text"]) for i, r in enumerate(rows)]


def nights(rows: list[dict[str, Any]]) -> None:
    """Ten nights, each with new failures and the oldest gone: do failures keep the id they had?"""
    signals, members = [], []
    kept: list[float] = []
    truth = {r["id"]: r["intent"] for r in rows}
    quality: list[float] = []
    agree: list[float] = []
    size, step = 1500, 150
    for night in range(10):
        window = _failures(rows[night * step : night * step + size], night * DAY)
        before = {m.trace_id: m.signal_id for m in members}
        made = regroup(
            window, signals, members, Traffic(50_000, 5000, 0, night * DAY), night * DAY,
            project="p", embed=embed, nightly=True,
        )  # fmt: skip
        signals, members = made.signals, made.members
        after = {m.trace_id: m.signal_id for m in members}
        quality.append(bcubed([after[t] for t in sorted(after)], [truth[t] for t in sorted(after)])[0])
        both = sorted(set(before) & set(after))
        if both:
            kept.append(sum(before[t] == after[t] for t in both) / len(both))
            agree.append(ami([before[t] for t in both], [after[t] for t in both]))
    print(
        f"  same id the night after: mean {np.mean(kept):.3f}, worst {min(kept):.3f}; AMI between nights: mean {np.mean(agree):.3f}, worst {min(agree):.3f}; {len(signals)} signals; B-cubed F1 of those grouped {quality[0]:.3f} the first night, {quality[-1]:.3f} the last"
    )


def duplicates(rows: list[dict[str, Any]]) -> None:
    """Pairs at Jaccard 0.8 or more that end in different groups."""
    dice = random.Random(3)
    texts = [r["text"] for r in rows if len(r["text"]) > 60][:700]
    for text in texts[:]:
        for _ in range(2):
            words = text.split()
            words[dice.randrange(len(words))] = dice.choice(["please", "now", "the", "42"])
            texts.append(" ".join(words))
    started = time.perf_counter()
    groups = near_duplicates(texts)
    took = time.perf_counter() - started
    sets = [shingles(t) for t in texts]
    pairs = missed = 0
    for i in range(len(texts)):
        for j in range(i):
            if jaccard(sets[i], sets[j]) >= 0.8:
                pairs += 1
                missed += groups[i] != groups[j]
    print(
        f"  {pairs} near-duplicate pairs among {len(texts)} texts: {missed} missed ({missed / pairs:.2%}), {took:.1f} s"
    )


def reasons() -> None:
    """Annotators' reasons of agent failures: 73 texts, no true clusters; the agent at fault is the only label."""
    rows = _read("agent_failure_attribution.jsonl")
    found = clusters.cluster(_vectors([r["mistake_reason"] for r in rows]))
    f, p, r = bcubed(found, [r["mistake_agent"] for r in rows])
    print(
        f"  {len(rows)} reasons: {len(set(found))} clusters; by agent at fault B-cubed F1 {f:.3f} (P {p:.3f} R {r:.3f}), AMI {ami(found, [r['mistake_agent'] for r in rows]):.3f}"
    )
    for label, n in Counter(found).most_common(4):
        print(
            f"    {n:3d}: "
            + " | ".join(
                template(r["mistake_reason"])[:80] for r, k in zip(rows, found, strict=True) if k == label
            )[:260]
        )


def speed(rows: list[dict[str, Any]], n: int = 20_000) -> None:
    """All stages over `n` distinct texts, the worst case: nothing collapses by fingerprint."""
    dice = random.Random(1)
    made: list[dict[str, Any]] = []
    seen: set[str] = set()
    while len(made) < n:
        a, b = dice.choice(rows), dice.choice(rows)
        text = (
            a["text"] + " " + " ".join(re.findall(r"\w+", b["text"])[:4])
            if len(made) >= len(rows)
            else rows[len(made)]["text"]
        )
        if text not in seen or len(made) < len(rows):
            seen.add(text)
            made.append({"id": f"t{len(made)}", "text": text})
    failures = _failures(made, 0)
    traffic = Traffic(1e6, 1e5, 0, 0)
    started = time.perf_counter()
    first = regroup(failures, [], [], traffic, 0, project="p", embed=embed, nightly=True)
    again = time.perf_counter()
    regroup(failures, first.signals, first.members, traffic, 0, project="p", embed=embed, nightly=True)
    later = time.perf_counter()
    regroup(failures, first.signals, first.members, traffic, 0, project="p", embed=embed, nightly=False)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"  {n} failures: first night {again - started:.1f} s, next night {later - again:.1f} s, by day {end - later:.1f} s; {len(first.signals)} signals, {first.waiting} waiting; peak {peak:.0f} MB"
    )


def main() -> None:
    """Print every part."""
    rows = _read("banking77_intents.jsonl")
    for name, part in (
        ("clusters of meaning (banking77)", meaning),
        ("joining", joining),
        ("nights", nights),
        ("near-duplicates", duplicates),
    ):
        print(name)
        part(rows)
    print("agent failures")
    reasons()
    print("speed")
    speed(rows)


if __name__ == "__main__":
    main()
