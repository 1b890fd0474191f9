"""Review items, labels, datasets, cases and gate results as data."""

from typing import Any

import msgspec

# What stands where a text was erased on request.
ERASED = "[erased]"


class ReviewItem(msgspec.Struct):
    """One trace waiting for people. Higher `priority` first; `reason` says why it is here, in words.

    `status` is open, disputed (`reviewers` people labelled it and they disagree), done, displaced or gone (its content has passed its retention). `assigned_to` is who should
    read it, None for anybody; `held_by` reads it now; `votes` people have labelled it. `probability` is that with which it was
    drawn, None unless it is part of a random sample.
    """

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
    reviewers: int = 1
    probability: float | None = None
    held_by: list[str] = []
    votes: int = 0


class Label(msgspec.Struct):
    """What a reviewer said. `verdict` is good or bad; a correction is a new label with its author and time.

    `role` is vote, or final where somebody decided between votes that disagree. A label whose name was changed later keeps
    author and time, `replaces` the one with the old name, and says who changed it in `relabelled_by`.
    """

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
    role: str = "vote"
    replaces: str | None = None
    relabelled_by: str | None = None


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

    @property
    def erased(self) -> bool:
        """Whether its content was erased on request: only its id and place are left, and it asks nothing any more."""
        return self.input == ERASED and self.labels == ["erased"]


class DatasetVersion(msgspec.Struct):
    """An immutable list of cases; `content_hash` identifies it. `erased` are the ids of cases whose content was erased since."""

    project: str
    dataset: str
    version: int
    created_ns: int
    author: str
    note: str
    content_hash: str
    cases: list[Case] = []
    erased: list[str] = []
