"""Fits the small linear models that ship as data: `python bench/fit.py [--shared DIR] refusal|grounded|relevance|toxicity`.

Prints cross-validated figures (groups never split between folds) and writes src/watchkeeper/scoring/data/<name>.json.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import Bounds, minimize
from scipy.sparse import csr_matrix, hstack

from refusal_lines import ANSWERS, PARTIALS, REFUSALS

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src/watchkeeper/scoring/data"


def rows(shared: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shared / "data" / name).open(encoding="utf-8")]


def softmax_fit(x: np.ndarray, y: np.ndarray, classes: int, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression with an L2 penalty on the weights."""
    n, d = x.shape
    onehot = np.eye(classes)[y]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(classes, d + 1)
        z = x @ w[:, :d].T + w[:, d]
        z -= z.max(1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(1, keepdims=True)
        value = -np.log(p[np.arange(n), y] + 1e-12).sum() + 0.5 * penalty * (w[:, :d] ** 2).sum()
        delta = p - onehot
        grad = np.concatenate([delta.T @ x + penalty * w[:, :d], delta.sum(0)[:, None]], axis=1)
        return value, grad.ravel()

    flat = minimize(
        loss, np.zeros(classes * (d + 1)), jac=True, method="L-BFGS-B", options={"maxiter": 500}
    ).x
    w = flat.reshape(classes, d + 1)
    return w[:, :d], w[:, d]


def folds(groups: list[str], k: int = 5, seed: int = 7) -> list[np.ndarray]:
    """Test indices per fold; a group is in one fold only."""
    order = sorted(set(groups))
    np.random.default_rng(seed).shuffle(order)
    of = {g: i % k for i, g in enumerate(order)}
    fold = np.array([of[g] for g in groups])
    return [np.flatnonzero(fold == i) for i in range(k)]


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve by ranks (ties count half)."""
    from scipy.stats import rankdata

    ranks = rankdata(score)
    p, n = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - p * (p + 1) / 2) / (p * n))


def cross_predict(
    x: np.ndarray, y: np.ndarray, groups: list[str], classes: int, penalty: float
) -> np.ndarray:
    out = np.zeros((len(y), classes))
    for test in folds(groups):
        train = np.setdiff1d(np.arange(len(y)), test)
        w, b = softmax_fit(x[train], y[train], classes, penalty)
        out[test] = x[test] @ w.T + b
    return out


def write(name: str, document: dict[str, Any]) -> None:
    path = DATA / f"{name}.json"
    path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)} ({path.stat().st_size} bytes)")


REFUSAL_PENALTY = 2.0


def refusal_data(shared: Path) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Features, classes, prompts and answering models: the labelled answers, then the lines written by hand, which belong to
    no prompt and no model and are in every fit."""
    from watchkeeper.scoring.checks.refusal import features, own_words
    from watchkeeper.scoring.facts import words

    data = rows(shared, "xstest_responses.jsonl")
    label = {"1_full_compliance": 0, "2_full_refusal": 1, "3_partial_refusal": 2}
    texts = [*(r["completion"] for r in data), *(REFUSALS + ANSWERS + PARTIALS) * 2]
    # Twice: a hundred lines stand for all other applications against a thousand answers on safety.
    by_hand = ([1] * len(REFUSALS) + [0] * len(ANSWERS) + [2] * len(PARTIALS)) * 2
    y = [*(label[r["final_label"]] for r in data), *by_hand]
    x = np.array([features(own_words(t), len(words(t))) for t in texts])
    return x, np.array(y), [r["prompt_id"] for r in data], [r["model"] for r in data]


def refusal_left_out(x: np.ndarray, y: np.ndarray, tests: list[np.ndarray]) -> np.ndarray:
    """Classes of the labelled answers, each test set by a model fitted without it."""
    out = np.zeros(sum(map(len, tests)), dtype=int)
    for test in tests:
        train = np.setdiff1d(np.arange(len(y)), test)
        w, b = softmax_fit(x[train], y[train], 3, REFUSAL_PENALTY)
        out[test] = (x[test] @ w.T + b).argmax(1)
    return out


def fit_refusal(shared: Path) -> None:
    from watchkeeper.scoring.checks.refusal import LABELS

    x, y, prompts, models = refusal_data(shared)
    for title, groups in (("prompt", prompts), ("model", models)):
        found = refusal_left_out(x, y, folds(groups))
        print(f"folds split by {title}: {np.mean(found == y[: len(found)]):.3f}")
    w, b = softmax_fit(x, y, 3, REFUSAL_PENALTY)
    write(
        "refusal",
        {
            "labels": LABELS,
            "weights": np.round(w, 3).tolist(),
            "intercepts": np.round(b, 3).tolist(),
            "fitted_on": "xstest_responses (1,375 answers) and bench/refusal_lines.py",
        },
    )


def publish(
    name: str,
    features: tuple[str, ...],
    weights: np.ndarray,
    intercept: float,
    source: str,
    scale: float = 1.0,
) -> None:
    document = {
        "features": features,
        "weights": np.round(weights, 4).tolist(),
        "intercept": round(float(intercept), 4),
        "fitted_on": source,
        "scale": scale,
    }
    print(dict(zip(features, document["weights"], strict=True)), document["intercept"])
    write(name, document)


GroundedPair = tuple[str, str, list[str], str, bool, str]


def grounded_pairs(shared: Path) -> list[GroundedPair]:
    """(set, answer, evidence, question, supported, group). HaluEval is left out: length alone separates it."""
    out: list[GroundedPair] = []
    for r in rows(shared, "begin_groundedness.jsonl"):
        supported = r["label"] == "Fully attributable"
        out.append(
            (f"begin_{r['source']}", r["response"], [r["context"]], r["message"], supported, r["context"])
        )
    for r in rows(shared, "expertqa_claims.jsonl"):
        for claim in r["claims"]:
            evidence = [e for e in claim["evidence"] if e]
            if evidence and claim["support"] in ("Complete", "Partial", "Incomplete"):
                out.append(
                    (
                        "expertqa",
                        claim["text"],
                        evidence,
                        r["question"],
                        claim["support"] == "Complete",
                        r["question"],
                    )
                )
    return out


# Weights may take either sign only where a feature describes the evidence or the question; more support is never worse.
EITHER_SIGN = frozenset(
    ("topic", "answers_question", "repeats_question", "capitals", "links", "overlap_high", "passage_high")
)
# An invented number or name counts against an answer even where the labels hold too few of them to show it.
AT_LEAST = {"numbers": 0.25, "names": 0.25}
GROUNDED_PENALTY = 3.0


def within_sets(
    x: np.ndarray, y: np.ndarray, sets: np.ndarray, least: np.ndarray, penalty: float = GROUNDED_PENALTY
) -> tuple[np.ndarray, float]:
    """Logistic regression with one intercept a set, so that it learns to rank within a set and not which set an answer
    comes from. Weights are at least `least`. Claims of real modern answers count twice. Returns the weights
    and the mean intercept."""
    names = sorted(set(sets))
    dummies = (sets[:, None] == np.array(names)[None, :]).astype(float)
    counts = np.where(sets == "expertqa", 2.0, 1.0)
    d = x.shape[1]

    def loss(v: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ v[:d] + dummies @ v[d:]
        delta = counts * (1 / (1 + np.exp(-z)) - y)
        value = (counts * (np.logaddexp(0, z) - y * z)).sum() + 0.5 * penalty * (v[:d] ** 2).sum()
        return value, np.concatenate([x.T @ delta + penalty * v[:d], dummies.T @ delta])

    bounds = [(low, None) for low in least] + [(None, None)] * len(names)
    v = minimize(loss, np.zeros(d + len(names)), jac=True, method="L-BFGS-B", bounds=bounds).x
    return v[:d], float(v[d:].mean())


def grounded_data(shared: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Features, labels (1 supported), set names, groups, and the least value of each weight."""
    from watchkeeper.scoring.classifiers.groundedness import FEATURES, features
    from watchkeeper.scoring.texts import Texts

    pairs = grounded_pairs(shared)
    x = np.array([features(Texts(q, a, e)) for _, a, e, q, _, _ in pairs])
    y = np.array([int(p[4]) for p in pairs])
    least = np.array([-np.inf if f in EITHER_SIGN else AT_LEAST.get(f, 0.0) for f in FEATURES])
    return x, y, np.array([p[0] for p in pairs]), [p[5] for p in pairs], least


def grounded_out_of_fold(
    x: np.ndarray, y: np.ndarray, names: np.ndarray, groups: list[str], least: np.ndarray, seed: int = 7
) -> np.ndarray:
    """Scores of pairs whose evidence (BEGIN) or question (ExpertQA) the model did not see."""
    score = np.zeros(len(y))
    for test in folds(groups, seed=seed):
        train = np.setdiff1d(np.arange(len(y)), test)
        w, _ = within_sets(x[train], y[train], names[train], least)
        score[test] = x[test] @ w
    return score


def fit_grounded(shared: Path) -> None:
    from watchkeeper.scoring.classifiers.groundedness import FEATURES

    x, y, names, groups, least = grounded_data(shared)
    score = grounded_out_of_fold(x, y, names, groups, least)
    for name in sorted(set(names)):
        mask = names == name
        single = ", ".join(f"{f} {auroc(x[mask, i], y[mask] == 1):.3f}" for i, f in enumerate(FEATURES))
        print(f"{name} n={mask.sum()} model {auroc(score[mask], y[mask] == 1):.3f} | {single}")
    w, b = within_sets(x, y, names, least)
    publish("groundedness", FEATURES, w, b, "begin_groundedness and expertqa_claims")


EVASIONS = (
    "I'm not sure about that. Please contact our support team.",
    "Please check our website for more information.",
    "I'm sorry, I can't help with that.",
    "It depends on your situation. Let me know if you have other questions.",
    "Thank you for reaching out. How can I help you today?",
    "Unfortunately I don't have that information at the moment.",
    "That is a good question! There are many factors to consider.",
    "You can find more details in our documentation or help center.",
    "Sorry for the inconvenience. Our team will look into it.",
    "Could you please provide more details?",
    "Yes.",
    "No.",
    "OK, done.",
    "Sure, no problem.",
)


def relevance_pairs(shared: Path) -> list[tuple[str, str, str, str]]:
    """(kind, question, answer, group): real answers, answers to other questions, evasions, beginnings of answers."""
    rng = np.random.default_rng(3)
    real: list[tuple[str, str]] = []
    for r in rows(shared, "arena_model_versions.jsonl"):
        real += [(r["prompt"], a) for a in list(r["answers"].values())[:2]]
    real += [(r["query"], r["response"]) for r in rows(shared, "halueval_general.jsonl")[:1200]]
    for r in rows(shared, "xstest_responses.jsonl"):
        if r["final_label"] == "1_full_compliance" and r["prompt_safe"]:
            real.append((r["prompt"], r["completion"]))
    for r in rows(shared, "expertqa_claims.jsonl"):
        real.append((r["question"], r["answer"]))
    real = [(q, a) for q, a in real if 10 <= len(q) <= 1200 and len(a.split()) >= 12]
    out = [("real", q, a, q) for q, a in real]
    order = rng.permutation(len(real))
    for i, j in enumerate(order):
        if real[i][0] != real[j][0] and i % 2 == 0:
            out.append(("other", real[i][0], real[j][1], real[i][0]))
    for i, (q, a) in enumerate(real):
        if i % 3 == 0:
            out.append(("evasive", q, EVASIONS[int(rng.integers(len(EVASIONS)))], q))
        if i % 4 == 1:
            kept = a.split()[: int(rng.integers(2, 8))]
            out.append(("cut", q, " ".join(kept), q))
        if i % 4 == 2:
            lead = EVASIONS[int(rng.integers(10))]
            out.append(("evasive", q, f"{lead} {EVASIONS[int(rng.integers(10))]}", q))
        if i % 4 == 3:
            topic = " ".join(q.split()[:12]).rstrip("?.!")
            first, second = (EVASIONS[int(k)] for k in rng.integers(10, size=2))
            out.append(("echo", q, f"Regarding your question, {topic}: {first} {second}", q))
    return out


def fit_relevance(shared: Path) -> None:
    from watchkeeper.scoring.classifiers.answer_relevance import FEATURES, features
    from watchkeeper.scoring.texts import Texts

    pairs = relevance_pairs(shared)
    x = np.array([features(Texts(p[1], p[2])) for p in pairs])
    kinds = np.array([p[0] for p in pairs])
    y = (kinds == "real").astype(int)
    z = cross_predict(x, y, [p[3] for p in pairs], 2, 1.0)
    score = z[:, 1] - z[:, 0]
    scale = 0.4
    for kind in ("other", "evasive", "cut", "echo"):
        mask = (kinds == kind) | (kinds == "real")
        value = 10 / (1 + np.exp(-scale * score[kinds == kind]))
        print(
            f"{kind}: n={np.sum(kinds == kind)} AUROC {auroc(score[mask], kinds[mask] == 'real'):.3f}"
            f" score mean {value.mean():.2f} sd {value.std():.2f}"
        )
    value = 10 / (1 + np.exp(-scale * score[kinds == "real"]))
    print(f"real: n={np.sum(kinds == 'real')} score mean {value.mean():.2f} sd {value.std():.2f}")
    w, b = softmax_fit(x, y, 2, 1.0)
    source = "answers of four shared sets; shuffled, evasive and cut"
    publish("answer_relevance", FEATURES, w[1] - w[0], b[1] - b[0], source, scale)


def hashed_fit(
    x: csr_matrix,
    y: np.ndarray,
    weight: np.ndarray,
    dense: int,
    smooth: tuple[float, float],
    least: np.ndarray | None = None,
    most: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Weighted logistic regression, the two classes with equal total weight; `smooth` is the L2 penalty of the first `dense`
    inputs and of the buckets. `least` and `most` bound the weights of the dense inputs. Returns weights and intercept."""
    low = np.full(dense, -np.inf) if least is None else least
    high = np.full(dense, np.inf) if most is None else most
    weight = weight.copy()
    for label in (0.0, 1.0):
        weight[y == label] *= len(y) / (2 * weight[y == label].sum())
    penalty = np.where(np.arange(x.shape[1]) < dense, *smooth)

    def loss(v: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ v[:-1] + v[-1]
        delta = weight * (1 / (1 + np.exp(-z)) - y)
        value = (weight * (np.logaddexp(0, z) - y * z)).sum() + 0.5 * (penalty * v[:-1] ** 2).sum()
        return value, np.concatenate([x.T @ delta + penalty * v[:-1], [delta.sum()]])

    free = x.shape[1] + 1 - dense
    bounds = Bounds(np.append(low, np.full(free, -np.inf)), np.append(high, np.full(free, np.inf)))
    start = np.clip(np.zeros(x.shape[1] + 1), bounds.lb, bounds.ub)
    v = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300}).x
    return v[:-1], float(v[-1])


def hashed_inputs(dense: np.ndarray, tokens: list[list[str]], count: int) -> csr_matrix:
    """Dense features beside bucket presence, each text's buckets scaled by one over the root of their number."""
    from watchkeeper.scoring.classifiers.hashed import buckets

    cells = [buckets(w, count) if w else np.zeros(0, dtype=np.int64) for w in tokens]
    values = np.concatenate([np.full(len(c), 1 / np.sqrt(max(1, len(c)))) for c in cells])
    starts = np.concatenate([[0], np.cumsum([len(c) for c in cells])])
    return csr_matrix(
        hstack([csr_matrix(dense), csr_matrix((values, np.concatenate(cells), starts), (len(cells), count))])
    )


def hashed_document(
    features: tuple[str, ...], w: np.ndarray, b: float, threshold: float, source: str
) -> dict[str, Any]:
    """A model as it ships."""
    return {
        "features": features,
        "weights": np.round(w[: len(features)], 3).tolist(),
        "buckets": np.round(w[len(features) :], 2).tolist(),
        "intercept": round(b, 4),
        "at_one_percent": round(threshold, 4),
        "fitted_on": source,
    }


def toxicity_data(shared: Path) -> tuple[csr_matrix, np.ndarray, np.ndarray, list[str]]:
    """Inputs, labels, weights and texts: the tweets that people voted on, then harmless texts of other kinds, so that not
    being a tweet does not count as being kind."""
    from watchkeeper.scoring.classifiers.toxicity import BUCKETS, dense, telling
    from watchkeeper.scoring.facts import words

    votes = rows(shared, "toxicity_votes.jsonl")
    other = [r["text"] for r in rows(shared, "banking77_intents.jsonl")[:1500]]
    other += [r["response"] for r in rows(shared, "begin_groundedness.jsonl")[:1500]]
    texts = [*(r["text"] for r in votes), *other]
    y = np.array([*(float(r["label"] != "neither") for r in votes), *([0.0] * len(other))])
    tokens = [telling(words(t)) for t in texts]
    x = hashed_inputs(np.array([dense(t) for t in tokens]), tokens, BUCKETS)
    return x, y, np.array([1.0] * len(votes) + [0.3] * len(other)), texts


TOXICITY_SMOOTH = (1.0, 2.0)


def toxicity_out_of_fold(x: csr_matrix, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Scores of texts that the model did not see."""
    score = np.zeros(len(y))
    for test in folds([str(i) for i in range(len(y))]):
        train = np.setdiff1d(np.arange(len(y)), test)
        w, b = hashed_fit(x[train], y[train], weight[train], 2, TOXICITY_SMOOTH)
        score[test] = x[test] @ w + b
    return score


def fit_toxicity(shared: Path) -> None:
    from watchkeeper.scoring.classifiers.toxicity import FEATURES

    x, y, weight, _ = toxicity_data(shared)
    score = toxicity_out_of_fold(x, y, weight)
    votes = weight == 1.0
    print(f"AUROC on tweets {auroc(score[votes], y[votes] == 1):.3f}")
    threshold = float(np.quantile(1 / (1 + np.exp(-score[votes & (y == 0)])), 0.99))
    w, b = hashed_fit(x, y, weight, 2, TOXICITY_SMOOTH)
    source = "toxicity_votes, with banking77_intents and begin_groundedness as harmless texts (licences: docs/quality.md)"
    write("toxicity", hashed_document(FEATURES, w, b, threshold, source))


FITS: dict[str, Callable[[Path], None]] = {
    "refusal": fit_refusal,
    "grounded": fit_grounded,
    "relevance": fit_relevance,
    "toxicity": fit_toxicity,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(FITS))
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    arguments = parser.parse_args()
    FITS[arguments.model](arguments.shared)


if __name__ == "__main__":
    main()
