"""Everything the surfaces may use, made once by `compose` and handed to every request."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from watchkeeper.config.holder import ConfigHolder
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.score import Score
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.pipeline.ledger import Ledger
from watchkeeper.server.metrics import Counters, Sample
from watchkeeper.store.columns import Columns
from watchkeeper.store.records.engine import Records
from watchkeeper.wire.decoded import MetricPoint

if TYPE_CHECKING:
    from watchkeeper.server.auth import Authenticator
    from watchkeeper.server.reading import Held
    from watchkeeper.server.routing import Route


class Busy(Protocol):
    """Why ingest takes nothing now, and in how many seconds to try again."""

    @property
    def reason(self) -> str: ...
    @property
    def retry_after(self) -> float: ...
    @property
    def quota(self) -> bool: ...


class IngestPort(Protocol):
    """What the receivers need of `pipeline.ingest.Ingest`."""

    ledger: Ledger

    def admit(self, size: int, project: str = "") -> Busy | None:
        """None when a request of about this many bytes of a project may be read now. Must be cheap: overload asks it most."""
        ...

    def refuses(self, size: int, project: str = "") -> Busy | None:
        """What `admit` would say, without admitting anything."""
        ...

    def larger(self, was: int, size: int, project: str = "") -> Busy | None:
        """None when a request that was admitted with `was` bytes may go on though it turned out to have `size`."""
        ...

    def withdraw(self, project: str) -> None:
        """What was admitted last for the project could not be read, and will not be accepted."""
        ...

    async def accept(
        self, project: str, spans: list[RawSpan], logs: list[LogRecord], metrics: list[MetricPoint]
    ) -> None:
        """Redact, derive and store; durable on return. Raises `StoreUnavailable`, and then nothing is promised."""
        ...


async def nothing_due() -> None:
    """Where no pipeline runs, nothing is ever due."""


def nothing_open(_project: str) -> int:
    """Where no pipeline runs, no trace is waited for."""
    return 0


Sampler = Callable[[], Awaitable[Iterable[Sample]]]
Check = Callable[[], Awaitable[str | None]]


@dataclass
class Services:
    """What a request may reach. Data time comes from `clock` (nanoseconds since 1970 UTC), which a demo may run
    faster than the world; `wall_clock` is the world's, for keys, sessions and the audit log.

    `ingest` is `pipeline.ingest.Ingest`, `scorers` `pipeline.calibrate.Calibrator`; `watch`, `guard`, `review`, `gate`, `from_signal`, `embed` (texts as words to unit vectors),
    `incidents` and `judge` are the pipeline's own objects and None where the server runs without that role. `on_scores` is told of scores that came in by the API, so
    that the trace's row and the review queue follow. `redact` removes personal data and secrets from a text before it is kept. `catch_up` does everything that is due at the clock's time, for
    a demo that moves the clock. `settle` ends the wait of a project's traces of the past, and says how many. `answering` hears the address once the server answers. `samplers` add lines to `/metrics`; `checks` answer
    `/readyz`: each returns None when well and otherwise one sentence that says what is wrong.
    """

    data_dir: Path
    records: Records
    columns: Columns
    config: ConfigHolder
    clock: Callable[[], int]
    ingest: IngestPort
    no_auth: bool = False
    bind: str = "127.0.0.1"
    wall_clock: Callable[[], int] = time.time_ns
    error_page: Callable[[int, str, str], str] | None = None
    watch: Any = None
    guard: Any = None
    judge: Any = None
    review: Any = None
    gate: Any = None
    backfill: Any = None
    train: Any = None
    playground: Any = None
    ask: Callable[[Prompt], Awaitable[Reply]] | None = None
    forward: Any = None
    reprice: Any = None
    from_signal: Any = None
    embed: Any = None
    scorers: Any = None
    incidents: Any = None
    selfwatch: Any = None
    pictures: Any = None
    actor: Any = None
    reports: Any = None
    erasing: Any = None
    retain: Any = None
    backup: Callable[[], Awaitable[tuple[str, int]]] | None = None
    redact: Callable[[str], str] = str
    on_scores: Callable[[Sequence[Score]], Awaitable[None]] | None = None
    catch_up: Callable[[], Awaitable[None]] = nothing_due
    settle: Callable[[str], int] = nothing_open
    answering: Callable[[str], None] | None = None
    counters: Counters = field(default_factory=Counters)
    samplers: list[Sampler] = field(default_factory=list)
    checks: dict[str, Check] = field(default_factory=dict)
    draining: bool = False
    held: "dict[tuple[str, str], Held]" = field(init=False, default_factory=dict[tuple[str, str], Any])
    auth: "Authenticator" = field(init=False)
    routes: "list[Route]" = field(init=False, default_factory=list)
