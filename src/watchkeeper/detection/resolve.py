"""Is it over? An e-process against "still shifted by at least half of what fired".

Firing and resolving are two tests: evidence that falls is not evidence of recovery. Per tick the likelihood ratio of
"back at the baseline" to "still shifted by half" multiplies into E, which restarts at 1 when it falls below, because
an incident lasts before it ends. At E ≥ 20 the shift is over. Ticks without data change nothing. When a cohort was
replaced (a prompt version rolled back) its points stop: feed the parent's points and baseline instead.
"""

from math import exp, log, sqrt

import msgspec

REJECT_AT = 20.0
LOG_REJECT = log(REJECT_AT)
# No single tick says more than this, so it takes at least four clear ticks: a tail that is empty for an hour or two
# by chance does not end an incident.
MAX_GAIN = 0.76


class Incident(msgspec.Struct, frozen=True):
    """What fired: component index, direction (+1, −1), mean calibrated z since the onset at `n_eff` scores a tick.

    `log_e` is the evidence that it is over, `clear` the number of ticks since it last restarted.
    """

    component: int
    sign: int
    z: float
    n_eff: float
    log_e: float = 0.0
    clear: int = 0


def step(incident: Incident, z: float, n_eff: float) -> Incident:
    """The incident after a tick whose calibrated score of the fired component is `z` at `n_eff` scores."""
    half = 0.5 * abs(incident.z) * sqrt(max(n_eff, 1e-9) / max(incident.n_eff, 1e-9))
    half = min(max(half, 0.25), 2.5)
    towards = z * incident.sign
    # log N(z; 0, 1) − log N(z; half, 1)
    gain = min(half * half / 2 - half * towards, MAX_GAIN)
    log_e = max(0.0, incident.log_e + gain)
    return msgspec.structs.replace(incident, log_e=log_e, clear=incident.clear + 1 if log_e > 0 else 0)


def over(incident: Incident) -> bool:
    """Whether "still shifted by half" is rejected at 20."""
    return incident.log_e >= LOG_REJECT


def evidence(incident: Incident) -> float:
    """E itself, for display."""
    return exp(min(incident.log_e, 230.0))
