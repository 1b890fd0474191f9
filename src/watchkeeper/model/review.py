"""Review items, labels, datasets, cases and gate results as data."""

from typing import Any

import msgspec


class ReviewItem(msgspec.Struct):
    """One trace waiting for a person. Higher `priority` first; `reason` says why it is here, in words."""

    id: str
    project: str
    trace_id: str
    reason: str
    source: str
    priority: float
    created_ns: int
    status: str = "open"
    scorer: str | None = None
    alert_id: str | None = None
    assigned_to: str | None = None
    reserved_until_ns: int | None = None


class Label(msgspec.Struct):
    """What a reviewer said. `verdict` is good or bad; a correction is a new label with its author and time."""

    id: str
    project: str
    item_id: str
    trace_id: str
    author: str
    time_ns: int
    verdict: str
    taxonomy: str | None = None
    severity: str | None = None
    expected_output: str | None = None
    comment: str | None = None


class Case(msgspec.Struct):
    """One test: full input and context, what was answered, what should have been, and where it came from.

    `must_pass` names the scorers that failed when this was a live trace: in the gate they must pass on this case.
    """

    id: str
    input: Any
    context: dict[str, Any] = {}
    expected: str | None = None
    actual: str | None = None
    labels: list[str] = []
    scenario: str | None = None
    trace_id: str | None = None
    severity: str | None = None
    owner: str | None = None
    split: str = "regression"
    must_pass: list[str] = []


class DatasetVersion(msgspec.Struct):
    """An immutable list of cases; `content_hash` identifies it."""

    project: str
    dataset: str
    version: int
    created_ns: int
    author: str
    note: str
    content_hash: str
    cases: list[Case] = []
