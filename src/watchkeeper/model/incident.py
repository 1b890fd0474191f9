"""What triage says of an incident: what may have caused the change, in the order one would look."""

from typing import Literal

import msgspec

from watchkeeper.model.alert import Moved

Verdict = Literal["explains", "contributes", "holds", "not_enough"]
# The order in which one looks: from what the answer was made of to what the question was.
STEPS = ("retrieval", "generation", "routing", "upstream")


class Factor(msgspec.Struct, frozen=True):
    """One thing that may explain the change, before against after.

    `kind`: "cohort" (the traffic with one value of a dimension) or "fact" (something measured on each trace).
    `line` is the cohort's own metric, or the fact itself. `share` is the part of the whole change it accounts for (1 =
    all of it; may pass 1 or be negative), with its 95 % interval; None where it cannot be said. `traffic` is the
    cohort's part of all traffic before and after. `moved`: it stands apart beyond doubt, for the number of factors looked at.
    """

    step: str
    name: str
    kind: Literal["cohort", "fact"]
    verdict: Verdict
    line: Moved
    note: str
    share: float | None = None
    share_low: float | None = None
    share_high: float | None = None
    traffic: tuple[float, float] | None = None
    moved: bool = False
    value: str = ""


class Step(msgspec.Struct, frozen=True):
    """One step of triage: its verdict is that of its strongest factor, which `says` puts in words."""

    name: str
    verdict: Verdict
    says: str
    factors: list[Factor] = []


class Triage(msgspec.Struct, frozen=True):
    """The whole of it: the change itself (`line`), the four steps in order, and every factor that explains or contributes,
    the strongest first. `n` are the scored traces looked at before and after; times in ns."""

    metric: str
    cohort: dict[str, str]
    line: Moved
    n: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    made_ns: int
    says: str
    steps: list[Step]
    ranked: list[Factor] = []
