"""Fits the small linear models that ship as data: `python bench/fit.py [--shared DIR] refusal|grounded|relevance|injection`.

Prints cross-validated figures (groups never split between folds) and writes src/watchkeeper/scoring/data/<name>.json.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

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


def folds(groups: list[str], k: int = 5) -> list[np.ndarray]:
    """Test indices per fold; a group is in one fold only."""
    order = sorted(set(groups))
    np.random.default_rng(7).shuffle(order)
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


def fit_refusal(shared: Path) -> None:
    from watchkeeper.scoring.checks.refusal import LABELS, features
    from watchkeeper.scoring.facts import words

    data = rows(shared, "xstest_responses.jsonl")
    label = {"1_full_compliance": 0, "2_full_refusal": 1, "3_partial_refusal": 2}
    y = np.array([label[r["final_label"]] for r in data])
    x = np.array([features(r["completion"], len(words(r["completion"]))) for r in data])
    for penalty in (0.3, 1.0, 3.0, 10.0):
        z = cross_predict(x, y, [r["prompt_id"] for r in data], 3, penalty)
        print(f"penalty {penalty}: agreement {np.mean(z.argmax(1) == y):.3f} (folds split by prompt)")
    z = cross_predict(x, y, [r["model"] for r in data], 3, 1.0)
    print(f"folds split by model: {np.mean(z.argmax(1) == y):.3f}")
    w, b = softmax_fit(x, y, 3, 1.0)
    write(
        "refusal",
        {
            "labels": LABELS,
            "weights": np.round(w, 3).tolist(),
            "intercepts": np.round(b, 3).tolist(),
            "fitted_on": "xstest_responses (1,375 answers)",
        },
    )


FITS: dict[str, Callable[[Path], None]] = {"refusal": fit_refusal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(FITS))
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    arguments = parser.parse_args()
    FITS[arguments.model](arguments.shared)


if __name__ == "__main__":
    main()
