"""How large the reliability campaigns are: quick in `make test`, full in `make chaos`, or a share of full.

`WATCHKEEPER_CHAOS` is `full` or a share such as `0.2`; `WATCHKEEPER_CHAOS_SEED` repeats what a printed seed did.
"""

import os
import time


def share_of(said: str) -> float:
    """The share of the full sizes that `WATCHKEEPER_CHAOS` asks for; 0 is quick."""
    return 1.0 if said == "full" else float(said or 0)


SHARE = share_of(os.environ.get("WATCHKEEPER_CHAOS", ""))
# What has no size is as in the full campaign with any share.
FULL = SHARE > 0


def sized(quick: int, full: int) -> int:
    """The size of this run, never below the quick one."""
    return max(quick, round(SHARE * full))


def new_seed() -> int:
    """The seed of this run; whoever uses it prints it."""
    return int(os.environ.get("WATCHKEEPER_CHAOS_SEED", time.time_ns() % 10**6))


def progress(mark: str, done: int, of: int, more: str = "") -> None:
    """Say at each tenth of a campaign how far it has come, so that one that is ended early has said it."""
    if done * 10 // of != (done - 1) * 10 // of:
        print(f"\n{mark}: {done} of {of}{more and ', '}{more}", flush=True)
