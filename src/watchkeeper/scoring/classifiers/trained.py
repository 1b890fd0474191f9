"""A narrow classifier from labels: static embeddings of question and answer in a logistic regression (requirement J5).

It learns what one judge or one team calls good in one application; it knows nothing else. It costs microseconds, so it can see
all traffic where its judge sees a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log1p, sqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from watchkeeper.model.score import NotScored, Outcome, Subject, Verdict
from watchkeeper.model.series import Estimate
from watchkeeper.model.trained import Weights
from watchkeeper.scoring.classifiers import embed
from watchkeeper.scoring.texts import words
from watchkeeper.scoring.version import content_version
from watchkeeper.stats.distributions import ranks

FEATURES = "wordllama-256: question, answer, product; cosine, lengths"
LEAST, LEAST_OF_EACH = 100, 25
_QUESTION, _ANSWER = 300, 1500
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
Floats = NDArray[np.float64]


class TooFew(ValueError):
    """There are not enough labels; the text says how many there are and how many are needed."""


def features(pairs: Sequence[tuple[str, str]]) -> Floats:
    """One row for each question and answer. Raises ModuleNotFoundError without the embedding package."""
    asked = embed.embed([words(q)[-_QUESTION:] for q, _ in pairs]).astype(np.float64)
    said = embed.embed([words(a)[:_ANSWER] for _, a in pairs]).astype(np.float64)
    lengths = np.array([[log1p(len(words(q))), log1p(len(words(a)))] for q, a in pairs])
    near = (asked * said).sum(axis=1, keepdims=True)
    return np.hstack([asked, said, asked * said * 16.0, near, lengths])


def _solve(x: Floats, y: Floats, penalty: float) -> Floats:
    """Weights and intercept of an L2-penalised logistic regression."""
    signs = 2.0 * y - 1.0

    def loss(w: Floats) -> tuple[float, Floats]:
        z = signs * (x @ w[:-1] + w[-1])
        value = float(np.logaddexp(0.0, -z).sum() + 0.5 * penalty * (w[:-1] @ w[:-1]))
        slope = -signs / (1.0 + np.exp(np.clip(z, -30, 30)))
        return value, np.append(x.T @ slope + penalty * w[:-1], slope.sum())

    # Only training needs it, and importing it costs every other process memory.
    from scipy import optimize

    found: Any = optimize.minimize(
        loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}
    )
    return np.asarray(found.x, dtype=np.float64)


def _out_of_fold(x: Floats, y: Floats, groups: Sequence[str], penalty: float) -> Floats:
    """Logits of each row from a model that has not seen its group."""
    fold = np.array([hash_of(g) % 5 for g in groups])
    out = np.zeros(len(y))
    for f in range(5):
        held = fold == f
        if held.any() and 0 < y[~held].sum() < (~held).sum():
            w = _solve(x[~held], y[~held], penalty)
            out[held] = x[held] @ w[:-1] + w[-1]
    return out


def hash_of(text: str) -> int:
    """A stable hash, the same on every machine."""
    found = 2166136261
    for byte in text.encode("utf-8", "surrogatepass"):
        found = (found ^ byte) * 16777619 % 2**32
    return found


def enough(good: int, bad: int) -> None:
    """Raises `TooFew` when so many labels cannot train and test a classifier."""
    if good + bad < LEAST or min(good, bad) < LEAST_OF_EACH:
        more = max(LEAST - good - bad, 0)
        lacking = [
            f"{LEAST_OF_EACH - n} more {word}"
            for n, word in ((good, "good"), (bad, "bad"))
            if n < LEAST_OF_EACH
        ]
        said = " and ".join([*([f"{more} more in all"] if more else []), *lacking])
        raise TooFew(
            f"there are {good + bad} labels ({good} good, {bad} bad); at least {LEAST} are needed with {LEAST_OF_EACH} of "
            f"each: {said}"
        )


def fit(pairs: Sequence[tuple[str, str]], good: Sequence[bool], groups: Sequence[str]) -> Weights:
    """Train on questions and answers. The penalty and the threshold are chosen out of fold, no group in two folds.
    Raises `TooFew`."""
    y = np.array(good, dtype=np.float64)
    enough(int(y.sum()), int(len(y) - y.sum()))
    raw = features(pairs)
    means, scales = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-6)
    # All inputs on one scale, and so that the sum over hundreds of them stays near one.
    x = (raw - means) / scales / sqrt(raw.shape[1])
    logits = {p: _out_of_fold(x, y, groups, p) for p in PENALTIES}
    best = min(PENALTIES, key=lambda p: float(np.logaddexp(0.0, -(2 * y - 1) * logits[p]).sum()))
    w = _solve(x, y, best)
    probability = 1.0 / (1.0 + np.exp(-np.clip(logits[best], -30, 30)))
    cuts = np.unique(np.round(probability, 3))
    # Balanced accuracy: where nine of ten answers are good, calling all of them good is right and useless.
    quality = [
        ((probability >= c)[y == 1].mean() + (probability < c)[y == 0].mean(), -abs(c - 0.5), float(c))
        for c in cuts
    ]
    threshold = max(quality)[2]
    return Weights(
        weights=tuple(float(v) / sqrt(raw.shape[1]) for v in w[:-1]), means=tuple(map(float, means)),
        scales=tuple(map(float, scales)), intercept=float(w[-1]), threshold=threshold, features=FEATURES,
    )  # fmt: skip


def probabilities(made: Weights, pairs: Sequence[tuple[str, str]]) -> Floats:
    """P(good) of each answer."""
    if not pairs:
        return np.zeros(0)
    x = (features(pairs) - np.array(made.means)) / np.array(made.scales)
    z = x @ np.array(made.weights) + made.intercept
    return 1.0 / (1.0 + np.exp(-np.clip(z, -30, 30)))


def auroc(probability: Floats, good: Floats) -> Estimate | None:
    """Area under the ROC curve with Hanley and McNeil's 95 % interval (Radiology 143, 1982); None with one class only."""
    n1, n0 = int(good.sum()), int(len(good) - good.sum())
    if n1 == 0 or n0 == 0:
        return None
    placed = ranks(probability)
    area = float((placed[good == 1].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (n1 - 1) * (q1 - area**2) + (n0 - 1) * (q2 - area**2)) / (n1 * n0)
    half = 1.96 * sqrt(max(variance, 0.0))
    return Estimate(area, max(0.0, area - half), min(1.0, area + half), n1 + n0, float(n1 + n0), 0.95)


@dataclass(frozen=True, kw_only=True)
class TrainedClassifier:
    """A trained classifier as a scorer of all traffic. `decides` False measures only: nothing passes or fails by it."""

    kind: ClassVar[str] = "classifier"
    trusted: ClassVar[bool] = True
    type: ClassVar[str] = "trained"

    name: str
    weights: Weights
    decides: bool = False

    @property
    def level(self) -> str:
        return "trace"

    @property
    def version(self) -> str:
        return self._version

    @cached_property
    def _version(self) -> str:
        made = self.weights
        return content_version(
            type(self), made.weights, made.intercept, made.threshold, made.features, self.decides
        )

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        if not embed.available():
            return [NotScored("the embedding package wordllama is not installed")] * len(subjects)
        known = [
            (i, s.input_text or "", s.output_text or "") for i, s in enumerate(subjects) if s.output_text
        ]
        found = probabilities(self.weights, [(q, a) for _, q, a in known])
        outcomes: list[Outcome] = [NotScored("no output is recorded")] * len(subjects)
        for (i, _, _), p in zip(known, found, strict=True):
            passed = bool(p >= self.weights.threshold) if self.decides else None
            outcomes[i] = Verdict(
                value=round(float(p), 4), passed=passed, reason=f"passes from {self.weights.threshold:.2f}"
            )
        return outcomes
