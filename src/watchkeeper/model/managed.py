"""Configuration that one action made of a failure signal: a scorer, a monitor and an entry of the gate."""

from typing import Any

import msgspec


class Measured(msgspec.Struct, frozen=True):
    """k of n with a 95 % interval; `value` None when n is 0."""

    k: int
    n: int
    value: float | None
    low: float
    high: float


class Proposal(msgspec.Struct, frozen=True):
    """A scorer proposed for a failure, and how it did before anybody accepted it.

    `spec` is the metric as configuration writes it, without its name. `recall` is over the signal's failures, `false_alarms`
    over passing traces, `labelled_bad` and `labelled_good` over what people labelled of them; all by rules learned without
    the trace they are measured on (`folds`, 1 where nothing was learned). `precision` is what to expect of a flag in live
    traffic, from the signal's prevalence. `flagged` are passing traces it flags: false alarms, or failures nobody has seen yet.
    `existing` names the scorer in force that does the same.
    """

    kind: str
    spec: dict[str, Any]
    why: str
    recall: Measured
    false_alarms: Measured
    labelled_bad: Measured
    labelled_good: Measured
    precision: float | None = None
    precision_low: float | None = None
    folds: int = 1
    existing: str | None = None
    measured: bool = True
    flagged: list[str] = []


class GateEntry(msgspec.Struct, frozen=True):
    """What the gate got: cases of one dataset version that must pass these scorers."""

    dataset: str
    version: int
    cases: list[str]
    must_pass: list[str]


class Managed(msgspec.Struct):
    """Configuration kept in the records until somebody commits it to a file; a file's entry of the same name wins.

    `scorecards` and `monitors` are sections as configuration writes them. `scorer` is the name whose failures belong to the
    signal, be it a scorer of this entry or one that was there before.
    """

    id: str
    project: str
    signal_id: str
    author: str
    created_ns: int
    title: str
    scorer: str
    scorecards: list[dict[str, Any]]
    monitors: list[dict[str, Any]]
    gate: GateEntry | None = None
    proposal: Proposal | None = None
    retired_ns: int | None = None
    retired_by: str | None = None
