"""What was erased on request: the receipt."""

import msgspec

STATES = ("running", "sweeping", "done")


class Remaining(msgspec.Struct, frozen=True):
    """Something that an erasure does not reach, and why."""

    what: str
    why: str


class Erasure(msgspec.Struct, kw_only=True):
    """One request to erase a user or some traces, and what came of it.

    `subject` is the user's keyed hash or empty; `traces` how many traces went, `unknown` how many of the given trace ids were not
    stored, `unknown_user` that no trace was the given user's. `columns` and `records` count what was removed
    or blanked by table. `trace_ids` are kept only until everything that was under way is swept as well (state `done`), so that
    a killed erasure goes on. `actor` asked for it.
    """

    id: str
    project: str
    actor: str
    created_ns: int
    subject: str = ""
    user_ids: list[str] = []
    trace_ids: list[str] = []
    traces: int = 0
    unknown: int = 0
    unknown_user: bool = False
    state: str = "running"
    finished_ns: int | None = None
    swept_ns: int | None = None
    columns: dict[str, int] = {}
    records: dict[str, int] = {}
    remains: list[Remaining] = []
