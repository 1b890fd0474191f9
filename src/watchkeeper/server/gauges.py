"""How the stores and queues stand, read when `/metrics` or `/readyz` is asked."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from watchkeeper.server.metrics import Sample
from watchkeeper.server.services import Services
from watchkeeper.store import damage
from watchkeeper.store.records import jobs, outbox

log = logging.getLogger("watchkeeper.server")


async def _queues(services: Services) -> list[Sample]:
    now = services.clock()
    depth = await services.records.read(lambda c: jobs.depth(c, now))
    told = await services.records.read(lambda c: outbox.summary(c, now))
    oldest = told.pop("oldest_undelivered_s")
    age = 0.0 if depth.oldest_due_ns is None else max(0.0, (now - depth.oldest_due_ns) / 1e9)
    return [
        *(
            Sample("watchkeeper_jobs", {"status": s}, getattr(depth, s))
            for s in ("waiting", "due", "running", "done", "dead")
        ),
        Sample("watchkeeper_jobs_oldest_due_seconds", {}, age),
        *(Sample("watchkeeper_notifications", {"status": s}, n) for s, n in sorted(told.items())),
        Sample("watchkeeper_notifications_oldest_due_seconds", {}, oldest),
    ]


async def _store(services: Services) -> list[Sample]:
    found = await services.columns.stats()
    tables: dict[str, dict[str, Any]] = found["tables"]
    made = [Sample("watchkeeper_store_rows", {"table": t}, float(x["rows"])) for t, x in tables.items()]
    made += [Sample("watchkeeper_store_bytes", {"table": t}, float(x["bytes"])) for t, x in tables.items()]
    if found["free_bytes"] is not None:
        made.append(Sample("watchkeeper_store_free_bytes", {}, float(found["free_bytes"])))
    if found.get("unchecked_parts") is not None:
        made.append(Sample("watchkeeper_store_unchecked_parts", {}, float(found["unchecked_parts"])))
    made.append(
        Sample(
            "watchkeeper_damaged",
            {},
            float(len(damage.found(services.data_dir))),
            "Things set aside as damaged.",
        )
    )
    return made


async def gauges(services: Services) -> list[Sample]:
    """Everything that can be read now; a part that fails is counted and left out, so that the rest is still seen."""
    parts: list[Callable[[], Awaitable[list[Sample]]]] = [
        lambda: _queues(services),
        lambda: _store(services),
        *(_listed(sampler) for sampler in services.samplers),
    ]
    made: list[Sample] = []
    for part in parts:
        try:
            made.extend(await part())
        except Exception:
            services.counters.add("watchkeeper_errors_total", route="metrics")
            log.exception("a part of the metrics could not be read")
    return made


def _listed(sampler: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[list[Sample]]]:
    async def read() -> list[Sample]:
        return list(await sampler())

    return read


async def records_answer(services: Services) -> str | None:
    """None when the records database answers."""
    await services.records.read(lambda c: c.exec_driver_sql("select 1").scalar())
    return None


async def columns_answer(services: Services) -> str | None:
    """None when the column store answers."""
    await services.columns.stats()
    return None


async def ingest_answer(services: Services) -> str | None:
    """None when telemetry is taken in: a full disk is read from, but not written to."""
    shut = services.ingest.shut()
    return None if shut is None else str(shut.reason)
