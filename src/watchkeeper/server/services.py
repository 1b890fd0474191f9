"""Everything the surfaces may use, made once by `compose.py` and handed to every request."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchkeeper.config.holder import ConfigHolder
from watchkeeper.server.metrics import Counters, Sample
from watchkeeper.store.columns import Columns
from watchkeeper.store.records.engine import Records

Sampler = Callable[[], Awaitable[Iterable[Sample]]]
Check = Callable[[], Awaitable[str | None]]


@dataclass
class Services:
    """What a request may reach. Times come from `clock` (nanoseconds since 1970 UTC), never from the system.

    `ingest` is `pipeline.ingest.Ingest`; `watch`, `guard`, `review`, `gate` and `judge` are the pipeline's own
    objects and None where the server runs without that role. `samplers` add lines to `/metrics`; `checks` answer
    `/readyz`: each returns None when well and otherwise one sentence that says what is wrong.
    """

    data_dir: Path
    records: Records
    columns: Columns
    config: ConfigHolder
    clock: Callable[[], int]
    ingest: Any
    no_auth: bool = False
    watch: Any = None
    guard: Any = None
    judge: Any = None
    review: Any = None
    gate: Any = None
    counters: Counters = field(default_factory=Counters)
    samplers: list[Sampler] = field(default_factory=lambda: [])
    checks: dict[str, Check] = field(default_factory=lambda: {})
    draining: bool = False
