"""A classifier trained from labels: its weights, what it was trained on, and how it did on labels it has not seen."""

from typing import Any

import msgspec

from watchkeeper.model.series import Estimate

STATES = ("candidate", "active", "measuring", "retired")


class Weights(msgspec.Struct, frozen=True):
    """P(good) = σ(intercept + Σ weightᵢ·(xᵢ − meanᵢ)/scaleᵢ); `threshold` is the probability from which on an answer passes."""

    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    intercept: float
    threshold: float
    features: str


class Comparison(msgspec.Struct, kw_only=True):
    """On held-out labels of people (or of the judge, where people have too few): how often the classifier is right, how well it
    ranks, and beside the judge on the same traces. `difference` is right(classifier) − right(judge), paired. `verdict`: `as_good`
    (the interval is above −5 points), `worse` (below 0), `unclear`, or `no_judge`."""

    truth: str
    n: int
    good: int
    agreement: Estimate
    recall_good: Estimate | None = None
    recall_bad: Estimate | None = None
    auroc: Estimate | None = None
    judge_agreement: Estimate | None = None
    difference: Estimate | None = None
    verdict: str = "no_judge"


class Trained(msgspec.Struct, kw_only=True):
    """One version. `judge` is the judge it is to stand in for. state: `candidate` runs nowhere, `measuring` runs on all traffic without
    passing or failing anything, `active` decides, `retired` has been replaced."""

    project: str
    name: str
    version: int
    judge: str | None
    created_ns: int
    author: str
    trained_on: int
    from_people: int
    from_judge: int
    weights: Weights
    comparison: Comparison
    state: str = "candidate"

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return msgspec.to_builtins(self)
