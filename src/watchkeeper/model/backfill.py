"""A scorer run over history: what was asked for, what it may cost, and how far it is."""

from typing import Any

import msgspec

STATES = ("running", "paused", "done", "cancelled")


class Preview(msgspec.Struct, kw_only=True):
    """What a backfill would do, before it starts. `traces` match; `chosen` of them would be scored; `calls`, `input_tokens`,
    `output_tokens` and `cost` (USD) are what judges would use at most, estimated from `sampled` prompts built without asking.
    `cost` None: no price is known for a model. `probability` is π of the chosen traces."""

    traces: int
    chosen: int
    already: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    pricing_version: str = ""
    sampled: int = 0
    probability: float = 1.0


class Backfill(msgspec.Struct, kw_only=True):
    """One run. Times are ns; the traces are those of [since_ns, until_ns) that meet `where`.

    scorers: names to the versions that were in force at its start. limit: most traces; they are then chosen by hash, so that
    their scores are a sample with a known probability (`threshold`). budget: USD this run may spend on its own account; None
    means the scorecard's daily budget. `before` is where the scan is, latest traces first; `scanned` all of them were seen.
    seen, chosen: traces; queued: judgements added; raised: judgements that existed and got a larger probability; scored:
    scores written by deterministic scorers; not_scored, failed: their outcomes otherwise; gone: traces without content.
    """

    id: str
    project: str
    scorers: dict[str, str]
    since_ns: int
    until_ns: int
    author: str
    created_ns: int
    where: str | None = None
    limit: int | None = None
    budget: float | None = None
    state: str = "running"
    reason: str | None = None
    updated_ns: int = 0
    finished_ns: int | None = None
    preview: Preview | None = None
    threshold: float | None = None
    before: tuple[int, str] | None = None
    scanned: bool = False
    seen: int = 0
    chosen: int = 0
    queued: int = 0
    raised: int = 0
    scored: int = 0
    not_scored: int = 0
    failed: int = 0
    gone: int = 0
    smallest: list[float] = []

    def document(self) -> dict[str, Any]:
        """As plain data."""
        return msgspec.to_builtins(self)


class Spent(msgspec.Struct, frozen=True):
    """What a run's judgements came to: `waiting` are due or running, `held` of them until somebody resumes, `done` finished, `dead`
    set aside, `cost` USD."""

    waiting: int = 0
    held: int = 0
    done: int = 0
    dead: int = 0
    calls: int = 0
    cost: float = 0.0
