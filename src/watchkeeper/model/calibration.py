"""How far a model-based scorer may be trusted: its agreement with people, and what follows from it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from watchkeeper.model.series import Estimate

MODEL_BASED = ("judge", "classifier")


class Pair(msgspec.Struct, frozen=True):
    """One verdict of a scorer beside the people's. `key` is a trace or a case.

    `passed` and `good` are the two verdicts; `value` the scorer's own scale; `probability` the chance with which this
    item was chosen to be labelled (1 for a set somebody put together). `length` counts the answer's characters, `kin`
    says whether scorer and answer come from one model family (None: unknown), `cluster` is the session.
    """

    key: str
    passed: bool
    good: bool
    value: float | None = None
    probability: float = 1.0
    time_ns: int = 0
    length: int = 0
    kin: bool | None = None
    cluster: str | None = None
    cohort: dict[str, str] = {}


class Candidate(msgspec.Struct, frozen=True):
    """A scored trace that may be drawn to be labelled. `chance` is the probability with which it was scored at all."""

    trace_id: str
    passed: bool
    value: float | None = None
    chance: float = 1.0
    time_ns: int = 0
    length: int = 0
    kin: bool | None = None
    cluster: str | None = None
    cohort: dict[str, str] = {}


class Probe(msgspec.Struct, frozen=True):
    """One check of a known bias. `value` with its 95 % interval is in the unit that `words` names."""

    name: str
    status: Literal["clear", "biased", "insufficient"]
    words: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Drift(msgspec.Struct, frozen=True):
    """The same examples judged again: how many were, how many verdicts turned either way, and McNemar's exact p."""

    n: int
    to_fail: int
    to_pass: int
    p: float
    drifted: bool
    time_ns: int = 0


class Calibration(msgspec.Struct):
    """One comparison of a scorer version with people. Never changed once stored.

    `cut` is the value from which on the scorer's verdict counts as a pass, None where it gives its own. `table` counts
    (verdict, label): pass_good, pass_bad, fail_good, fail_bad. `agreement` counts the labelled set as it is,
    `agreement_weighted` what it says of the traffic it was drawn from. `failed` names the rules that were not met.
    """

    id: str
    project: str
    scorer: str
    version: str
    judge_model: str
    time_ns: int
    expires_ns: int
    source: str
    status: Literal["calibrated", "provisional"]
    failed: list[str]
    n: int
    table: dict[str, int]
    agreement: Estimate | None = None
    agreement_floor: float | None = None
    agreement_weighted: Estimate | None = None
    kappa: Estimate | None = None
    recall: dict[str, Estimate] = {}
    cut: float | None = None
    probes: list[Probe] = []
    alpha: float | None = None
    annotators: int = 0
    disputed: int = 0
    left_out: int = 0
    author: str = ""


class Standing(msgspec.Struct, frozen=True):
    """Whether a model-based scorer may gate and page now. `reason` says why not, in words; empty when it may."""

    scorer: str
    kind: str
    version: str
    judge_model: str
    provisional: bool
    reason: str = ""
    calibrated_ns: int | None = None
    expires_ns: int | None = None
    n: int = 0

    def covers(self, version: str) -> bool:
        """Whether a score of this version comes from a scorer that may decide."""
        return not self.provisional and version == self.version


def is_provisional(scorer: str, version: str, source: str, standings: Mapping[str, Standing]) -> bool:
    """Whether a stored score comes from a model nobody has compared with people in that version. A rule never does."""
    known = standings.get(scorer)
    return not known.covers(version) if known is not None else source in MODEL_BASED


class Corrected(msgspec.Struct, frozen=True):
    """The share of answers people would call good, beside the scorer's own pass rate `raw`.

    `method` is post_stratified, ppi or rogan_gladen; with None `reason` says why there is no correction. `labels` is how
    many labels it rests on, of which `recent` are from the very window.
    """

    raw: Estimate | None
    estimate: Estimate | None = None
    method: Literal["post_stratified", "ppi", "rogan_gladen"] | None = None
    reason: str = ""
    labels: int = 0
    recent: int = 0
