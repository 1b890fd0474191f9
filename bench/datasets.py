"""How many near-duplicates slip into a dataset, and between its splits: `python -m bench.datasets`.

Real questions (banking77) are added one by one with rewordings of earlier ones (case, spaces, punctuation, a typo, an order's
number, a word more), each into a random split. A near-duplicate is a pair whose character 5-grams have a Jaccard similarity
of 0.8 or more, found by comparing all pairs. Each seed is another draw.
"""

import json
import random
import statistics
import time

from tests.shared import ROOT
from watchkeeper.gating.dataset import SPLITS
from watchkeeper.gating.subject import input_text
from watchkeeper.model.review import Case
from watchkeeper.pipeline.curate import admitted
from watchkeeper.reviewing.fingerprint import SAME
from watchkeeper.reviewing.similar import jaccard, shingles

N, BATCH, SEEDS = 2_000, 50, range(5)


def reworded(text: str, rng: random.Random) -> str:
    """The same question as people send it twice."""
    kind = rng.randrange(6)
    if kind == 0:
        return text.upper()
    if kind == 1:
        return text.replace(" ", "  ").rstrip("?.! ")
    if kind == 2:
        at = rng.randrange(len(text))
        return text[:at] + text[at + 1 :]
    if kind == 3:
        return f"{text} My order is {rng.randrange(10**6)}."
    if kind == 4:
        return f"Hello, {text}"
    return text + "!"


def stream(texts: list[str], rng: random.Random) -> list[Case]:
    """N cases, a third of them rewordings of earlier ones, each in a random split."""
    chosen: list[str] = []
    fresh = iter(rng.sample(texts, min(N, len(texts))))
    while len(chosen) < N:
        again = chosen and rng.random() < 1 / 3
        chosen.append(reworded(rng.choice(chosen), rng) if again else next(fresh))
    return [Case(id=f"c{i}", input=t, split=rng.choice(SPLITS)) for i, t in enumerate(chosen)]


def leaking(cases: list[Case]) -> tuple[float, float]:
    """The shares of cases with a near-duplicate anywhere, and in another split, over all pairs."""
    sets = [shingles(input_text(c)) for c in cases]
    anywhere, across = set[int](), set[int]()
    for i, a in enumerate(sets):
        for j in range(i):
            b = sets[j]
            if min(len(a), len(b)) >= SAME * max(len(a), len(b)) and jaccard(a, b) >= SAME:
                anywhere |= {i, j}
                if cases[i].split != cases[j].split:
                    across |= {i, j}
    return len(anywhere) / len(cases), len(across) / len(cases)


def main() -> None:
    """Print the shares without and with the guard."""
    path = ROOT / "data" / "banking77_intents.jsonl"
    texts = sorted({json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()})
    before: list[tuple[float, float]] = []
    after: list[tuple[float, float]] = []
    seconds: list[float] = []
    for seed in SEEDS:
        cases = stream(texts, random.Random(seed))
        before.append(leaking(cases))
        held: list[Case] = []
        for start in range(0, N, BATCH):
            began = time.perf_counter()
            held += admitted(held, cases[start : start + BATCH])[0]
            seconds.append(time.perf_counter() - began)
        after.append(leaking(held))
    print(
        f"{N} cases a draw, a third rewordings, {len(SEEDS)} draws; near-duplicate: Jaccard >= {SAME} of character 5-grams\n"
    )
    print("| | near-duplicate in the dataset | in another split |")
    print("|---|---|---|")
    for name, found in (("all added", before), ("with the guard", after)):
        shares = [
            f"{100 * statistics.fmean(f[i] for f in found):.2f} % (worst {100 * max(f[i] for f in found):.2f} %)"
            for i in (0, 1)
        ]
        print(f"| {name} | {shares[0]} | {shares[1]} |")
    print(
        f"\nadding {BATCH} cases to up to {N}: median {1000 * statistics.median(seconds):.0f} ms, longest {1000 * max(seconds):.0f} ms"
    )


if __name__ == "__main__":
    main()
