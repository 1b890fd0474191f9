"""Reading one trace, the same way for the API and the pages."""

import logging
import re

from watchkeeper.dialects import derive
from watchkeeper.model.calibration import Standing
from watchkeeper.model.score import Score
from watchkeeper.model.span import Trace
from watchkeeper.server.routing import Call
from watchkeeper.server.services import Services
from watchkeeper.store.columns import StoreUnavailable, TraceFilter
from watchkeeper.store.records import audit

log = logging.getLogger("watchkeeper.audit")


async def load_trace(services: Services, project: str, trace_id: str) -> tuple[Trace, list[Score]] | None:
    """A trace of this project with all its scores, derived anew from what was stored; None when there is none."""
    raw, logs = await services.columns.read_trace(project, trace_id)
    if not raw and not logs:
        return None
    trace = derive(raw, logs)
    return trace, await services.columns.read_scores(project, [trace_id])


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
