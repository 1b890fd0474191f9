"""Everything the surfaces may use, made once by `compose` and handed to every request."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from starlette.requests import Request

from watchkeeper.config.holder import ConfigHolder
from watchkeeper.model.prompt import Ask
from watchkeeper.model.score import Score
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.model.times import Clock
from watchkeeper.pipeline.act import Actor
from watchkeeper.pipeline.backfill import BackfillFlow
from watchkeeper.pipeline.calibrate import Calibrator
from watchkeeper.pipeline.erase import EraseFlow
from watchkeeper.pipeline.forward import ForwardFlow
from watchkeeper.pipeline.from_signal import ActFlow
from watchkeeper.pipeline.gate import Gate
from watchkeeper.pipeline.incidents import IncidentFlow
from watchkeeper.pipeline.ledger import Ledger
from watchkeeper.pipeline.playground import Playground
from watchkeeper.pipeline.reporting import ReportFlow
from watchkeeper.pipeline.reprice import Recompute
from watchkeeper.pipeline.retain import Retain
from watchkeeper.pipeline.review import ReviewRouting
from watchkeeper.pipeline.selfwatch import SelfWatch
from watchkeeper.pipeline.train import TrainFlow
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.reviewing.clusters import Embed
from watchkeeper.server.guarding import Guards
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

    def shut(self) -> Busy | None:
        """Why nothing is taken now, whoever sends and however little; None when something is."""
        ...

    def larger(self, was: int, size: int, project: str = "") -> Busy | None:
        """None when a request that was admitted with `was` bytes may go on though it turned out to have `size`."""
        ...

    def smaller(self, was: int, size: int, project: str = "") -> None:
        """Of a request that was admitted with `was` bytes no more than `size` need to be reserved until more comes."""
        ...

    def withdraw(self, project: str, reserved: int) -> None:
        """What was admitted with so many bytes is here and will be accepted now, or could not be read."""
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


class Pictures(Protocol):
    """Draws the charts that messages link to."""

    async def draw(self, project: str, alert_id: str) -> bytes | None:
        """The chart of an alert as PNG; None when there is nothing to draw or the drawing failed."""
        ...

    @property
    def key(self) -> str:
        """What signs the addresses of charts."""
        ...


@dataclass
class Services:
    """What a request may reach. Data time comes from `clock` (nanoseconds since 1970 UTC), which a demo may run
    faster than the world; `wall_clock` is the world's, for keys, sessions and the audit log.

    The flows from `watch` to `retain` are None where the server runs without that role. `error_page` makes
    a page of a status, what was wrong, what to do and the request. `embed` makes unit vectors of texts,
    `ask` is the provider port. `on_scores` is told of scores that came in by the API, so that the trace's row and the review
    queue follow. `redact` removes personal data and secrets from a text before it is kept. `backup` makes one and says its
    folder and how many files it has. `catch_up` does everything that is due at the clock's time, for a demo that moves the
    clock. `settle` ends the wait of a project's traces of the past, and says how many. `answering` hears the address once the
    server answers. `samplers` add lines to `/metrics`; `checks` answer `/readyz`: each returns None when well and otherwise
    one sentence that says what is wrong. Compressed requests begin one after the other, by the lock `inflating`.
    """

    data_dir: Path
    records: Records
    columns: Columns
    config: ConfigHolder
    clock: Clock
    ingest: IngestPort
    no_auth: bool = False
    bind: str = "127.0.0.1"
    wall_clock: Clock = time.time_ns
    error_page: Callable[[int, str, str, Request], str] | None = None
    watch: Watcher | None = None
    guard: Guards | None = None
    review: ReviewRouting | None = None
    gate: Gate | None = None
    backfill: BackfillFlow | None = None
    train: TrainFlow | None = None
    playground: Playground | None = None
    forward: ForwardFlow | None = None
    reprice: Recompute | None = None
    from_signal: ActFlow | None = None
    scorers: Calibrator | None = None
    incidents: IncidentFlow | None = None
    selfwatch: SelfWatch | None = None
    pictures: Pictures | None = None
    actor: Actor | None = None
    reports: ReportFlow | None = None
    erasing: EraseFlow | None = None
    retain: Retain | None = None
    ask: Ask | None = None
    embed: Embed | None = None
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
    inflating: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    held: "dict[tuple[str, str], Held]" = field(init=False, default_factory=dict)
    auth: "Authenticator" = field(init=False)
    routes: "list[Route]" = field(init=False, default_factory=list)
