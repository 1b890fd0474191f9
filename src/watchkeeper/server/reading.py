"""Reading one trace, the same way for the API and the pages."""

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Final

from watchkeeper.dialects import derive
from watchkeeper.model.calibration import Standing
from watchkeeper.model.score import Score
from watchkeeper.model.span import Trace
from watchkeeper.server.remains import remains
from watchkeeper.server.routing import Call, HttpError
from watchkeeper.server.services import Services
from watchkeeper.store.columns import StoreUnavailable, TraceFilter
from watchkeeper.store.records import audit

log = logging.getLogger("watchkeeper.audit")


# Spans from which on it pays to ask whether a trace is still the same before it is put together again, and beyond which it
# would take too much memory; how many such traces are held, and for how long.
LARGE: Final = range(1000, 30_001)
HELD: Final = 2
HELD_SECONDS: Final = 300.0


@dataclass(slots=True)
class Held:
    """A large trace as it was when `stamp` was what the store said of it; `trace` is None until it is asked for again."""

    stamp: object = None
    trace: Trace | None = None


async def load_trace(services: Services, project: str, trace_id: str) -> tuple[Trace, list[Score]] | None:
    """A trace of this project with all its scores, derived anew from what was stored; None when there is none. Whoever walks
    through the spans of a large one has it put together once, until something of it arrives or goes."""
    trace = await _trace(services, project, trace_id)
    return None if trace is None else (trace, await services.columns.read_scores(project, [trace_id]))


async def shown_trace(services: Services, project: str, trace_id: str) -> tuple[Trace, list[Score]]:
    """The same for who looks at it: of one whose content has passed its retention the steps are left, also if something came late.
    Raises `HttpError` 404."""
    found = await load_trace(services, project, trace_id)
    if found is not None and found[0].spans and not found[0].orphan_parents:
        return found
    left = await remains(services, project, trace_id)
    if found is not None and (left is None or len(left.spans) <= len(found[0].spans)):
        return found
    if left is None:
        raise await no_trace(services, project, trace_id)
    return left, await services.columns.read_scores(project, [trace_id])


async def no_trace(services: Services, project: str, trace_id: str) -> HttpError:
    """The refusal of a trace that cannot be read: storage sampling decided against it, its content is gone, or nothing is known."""
    decided = await services.columns.named("keeping_decided", project, ids=[trace_id])
    if any(not kept for _, kept, *_ in decided.rows):
        return HttpError(
            404, f"trace {trace_id} was not kept: nothing spoke for it, and of such traces a share is stored",
            "storage.keep in the configuration says which share, and what keeps a trace whatever the draw",
        )  # fmt: skip
    if (await services.columns.named("page_traces_by_id", project, ids=[trace_id])).rows:
        return HttpError(
            404, f"the content of trace {trace_id} is gone: it has passed its retention",
            "its steps without texts stay until server.retention.traces; server.retention.content says how long texts do",
        )  # fmt: skip
    hint = "it may not have arrived yet, or have passed its retention"
    return HttpError(404, f"there is no trace {trace_id} in {project}", hint)


async def _trace(services: Services, project: str, trace_id: str) -> Trace | None:
    key = (project, trace_id)
    held = services.held.get(key)
    # Asked before reading: what arrives in between makes the next stamp another one.
    stamp = None
    if held is not None:
        stamp = (await services.columns.named("page_trace_stamp", project, trace=trace_id)).rows
        if held.trace is not None and held.stamp == stamp:
            return held.trace
    raw, logs = await services.columns.read_trace(project, trace_id)
    if not raw and not logs:
        services.held.pop(key, None)
        return None
    trace = derive(raw, logs)
    if len(trace.spans) in LARGE:
        _hold(services, key, Held(stamp, trace) if held is not None else Held())
    return trace


def _hold(services: Services, key: tuple[str, str], held: Held) -> None:
    services.held.pop(key, None)
    while len(services.held) >= HELD:
        del services.held[next(iter(services.held))]
    services.held[key] = held
    asyncio.get_running_loop().call_later(HELD_SECONDS, _let_go, services, key, held)


def _let_go(services: Services, key: tuple[str, str], held: Held) -> None:
    if services.held.get(key) is held:
        del services.held[key]


async def standings(call: Call) -> dict[str, Standing]:
    """Which model-based scorers of the call's project may decide; empty where this server runs no scorers."""
    found = call.services.scorers
    return {} if found is None else await found.standings(call.project)


_CONTENT = re.compile(r"\b(?:input_text|output_text|attributes|attribute|checks)\b", re.IGNORECASE)


def refuse_probing(call: Call, wanted: TraceFilter) -> None:
    """Stop a caller who may not see content from reading it by asking which traces match. Raises `HttpError` 403."""
    asked = f"{wanted.where or ''} {wanted.order_by}"
    if wanted.text or _CONTENT.search(asked):
        call.need_content(
            "looking for words of prompts and outputs tells what they say",
            "; other columns and scores can be filtered",
        )


async def note_opened(call: Call, target: str, action: str = "trace.open") -> None:
    """Write down that somebody saw content: a trace, a dataset, the answer to a query. On a full disk reading goes on,
    and the server's own log has the line instead."""
    now = call.services.wall_clock()
    try:
        await call.services.records.write(
            lambda c: audit.record(
                c, project=call.project, now_ns=now, actor=call.principal.actor, source=call.source,
                action=action, target=target,
            )
        )  # fmt: skip
    except StoreUnavailable:
        call.services.counters.add("watchkeeper_audit_unwritten_total")
        log.warning(
            "not in the audit log, the disk is full: %s by %s: %r", action, call.principal.actor, target
        )


async def note_change(call: Call, action: str, target: str) -> None:
    """Write down that somebody changed something of this project."""
    now = call.services.wall_clock()
    await call.services.records.write(
        lambda c: audit.record(
            c, project=call.project, now_ns=now, actor=call.principal.actor, source=call.source,
            action=action, target=target,
        )
    )  # fmt: skip
