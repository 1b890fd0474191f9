"""A server over doubles: real records in a temporary SQLite file, columns in memory."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.model.alert import Deploy
from watchkeeper.model.score import Score
from watchkeeper.model.span import LogRecord, RawSpan
from watchkeeper.pipeline.ledger import Ledger
from watchkeeper.server.app import App, create_app
from watchkeeper.server.services import Services
from watchkeeper.store.columns import Table, TraceFilter
from watchkeeper.store.records import access, migrate
from watchkeeper.store.records.engine import Records

NOW = 1_795_238_000 * 10**9


@dataclass
class MemoryColumns:
    """Just enough of the column store port for the surface's own behaviour."""

    traces: dict[tuple[str, str], tuple[list[RawSpan], list[LogRecord]]] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    deploys: list[Deploy] = field(default_factory=list)
    statements: list[tuple[str, str]] = field(default_factory=list)
    asked: list[TraceFilter] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False
    answer: Callable[[str], Table] = lambda query: Table([], [])

    async def read_trace(self, project: str, trace_id: str) -> tuple[list[RawSpan], list[LogRecord]]:
        return self.traces.get((project, trace_id), ([], []))

    async def read_scores(self, project: str, trace_ids: list[str]) -> list[Score]:
        return [s for s in self.scores if s.project == project and s.trace_id in trace_ids]

    async def write_scores(self, scores: list[Score]) -> None:
        self.scores.extend(scores)

    async def write_deploys(self, deploys: list[Deploy]) -> None:
        self.deploys.extend(deploys)

    async def read_deploys(self, project: str, since_ns: int, until_ns: int) -> list[Deploy]:
        return [d for d in self.deploys if d.project == project and since_ns <= d.time_ns < until_ns]

    async def list_traces(self, project: str, wanted: TraceFilter) -> list[dict[str, Any]]:
        self.asked.append(wanted)
        return [r for r in self.rows if r["project"] == project][: wanted.limit]

    async def export(self, project: str, query: str, form: str) -> AsyncGenerator[bytes]:
        self.statements.append((project, query))
        yield b""

    async def named(self, name: str, project: str, **params: Any) -> Table:
        self.statements.append((project, name))
        return Table([], [])

    async def stats(self) -> dict[str, Any]:
        if self.broken:
            raise OSError("the disk is gone")
        return {"tables": {"spans": {"rows": 3, "bytes": 10}}, "free_bytes": 5}

    async def sql(self, project: str, query: str, max_rows: int = 10_000) -> Table:
        self.statements.append((project, query))
        return self.answer(query)


@dataclass
class MemoryIngest:
    """Takes everything, or what `busy`, `too_large` (said of bodies that outgrow what they reserved) and `error` say."""

    taken: list[tuple[str, list[RawSpan], list[LogRecord]]] = field(default_factory=list)
    busy: Any = None
    too_large: Any = None
    error: Exception | None = None
    closed: Any = None
    ledger: Ledger = field(default_factory=Ledger)

    admitted: int = 0
    shrunk: list[tuple[int, int]] = field(default_factory=list)

    def admit(self, size: int, project: str = "") -> Any:
        self.admitted += self.busy is None
        return self.busy

    def refuses(self, size: int, project: str = "") -> Any:
        return self.busy

    def shut(self) -> Any:
        return self.closed

    def larger(self, was: int, size: int, project: str = "") -> Any:
        return self.too_large

    def smaller(self, was: int, size: int, project: str = "") -> None:
        self.shrunk.append((was, size))

    def withdraw(self, project: str, reserved: int) -> None:
        self.admitted -= 1

    async def accept(
        self, project: str, spans: list[RawSpan], logs: list[LogRecord], metrics: list[Any]
    ) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append((project, spans, logs))


@dataclass
class Rig:
    """A running surface and its parts."""

    services: Services
    app: App
    columns: MemoryColumns
    ingest: MemoryIngest

    def client(self, key: str | None = None, **headers: str) -> httpx.AsyncClient:
        """An HTTP client of this server, with a key when given."""
        sent = dict(headers)
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4318", headers=sent)

    def key(self, role: str, project: str = "default", **more: Any) -> str:
        """A new key's text."""
        now = self.services.wall_clock()
        return self.services.records.write_now(
            lambda c: access.create_key(
                c,
                project=project,
                name=f"{role} of {project}",
                role=role,
                created_by="test",
                now_ns=now,
                **more,
            )
        )[1]

    def session(self, role: str, project: str = "default", email: str | None = None) -> str:
        """A new session's cookie secret for a new person."""
        now = self.services.wall_clock()

        def work(conn: Any) -> str:
            user = access.create_user(conn, email or f"{role}.{project.replace('*', 'all')}@example.com", now)
            access.set_role(conn, user, project, role)
            made = access.log_in(conn, access.create_login(conn, user, now), now)
            assert made is not None
            return made[1]

        return self.services.records.write_now(work)


def rig(folder: Path, config: Config | None = None, no_auth: bool = False, **more: Any) -> Rig:
    """A surface over doubles with a fixed clock."""
    records = Records(f"sqlite:///{folder / 'records.db'}")
    migrate.upgrade(records)
    columns, ingest = MemoryColumns(), MemoryIngest()
    services = Services(
        data_dir=folder,
        records=records,
        columns=columns,  # type: ignore[arg-type]
        config=ConfigHolder(config or Config()),
        clock=lambda: NOW,
        ingest=ingest,
        no_auth=no_auth,
        **more,
    )
    return Rig(services, create_app(services), columns, ingest)
