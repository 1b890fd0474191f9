"""What every detector is: a frozen rule that turns (state, point) into (state, evidence).

The state is plain data that survives JSON; feeding a tick again changes nothing and gives the same evidence. A point
with n = 0 is a tick that held no data: the verdict is `no_data`, never `quiet`.
"""

from typing import Literal

import msgspec

from watchkeeper.model.series import Estimate

Verdict = Literal["quiet", "pending", "firing", "resolved", "no_data", "insufficient", "unstable"]
Direction = Literal["up", "down"]


class Evidence(msgspec.Struct, frozen=True):
    """What a detector knows after a tick.

    `verdict` of the series: `pending` is shown but not sent; `resolved` is said once, at the tick it happens;
    `unstable` would fire, but the series also fired on its own baseline; `no_data` and `insufficient` say that the
    tick could not be judged and leave the phase alone (`firing` stays True while an incident is open).
    `component` and `direction` name what moved; `log10_m` is the evidence and `log10_a` its threshold, which is the
    false-alarm budget: on data like the baseline's, M reaches A less than once in A ticks. `onset_ns` is the start of
    the tick where the change is estimated to have begun. `current` and `baseline` are of the moved component (of the
    mean when quiet), with 95 % intervals; on a log axis they are in ln units for the component's own scale.
    `detectable` is the smallest shift of the mean that would be found within a day of such ticks, or None.
    """

    tick_ns: int
    verdict: Verdict
    firing: bool = False
    component: str | None = None
    direction: Direction | None = None
    log10_m: float | None = None
    log10_a: float | None = None
    onset_ns: int | None = None
    current: Estimate | None = None
    baseline: Estimate | None = None
    n: int = 0
    n_eff: float = 0.0
    detectable: float | None = None
    reason: str | None = None
