"""Reading one trace, the same way for the API and the pages."""

from watchkeeper.dialects import assemble, normalise
from watchkeeper.model.score import Score
from watchkeeper.model.span import Trace
from watchkeeper.server.routing import Call
from watchkeeper.server.services import Services
from watchkeeper.store.records import audit


async def load_trace(services: Services, project: str, trace_id: str) -> tuple[Trace, list[Score]] | None:
    """A trace of this project with all its scores, derived anew from what was stored; None when there is none."""
    raw, logs = await services.columns.read_trace(project, trace_id)
    if not raw and not logs:
        return None
    trace = assemble([normalise(span) for span in raw], logs)
    return trace, await services.columns.read_scores(project, [trace_id])


async def note_opened(call: Call, trace_id: str, action: str = "trace.open") -> None:
    """Write down that somebody saw the content of a trace."""
    now = call.services.wall_clock()
    await call.services.records.write(
        lambda c: audit.record(
            c, project=call.project, now_ns=now, actor=call.principal.actor, source=call.source,
            action=action, target=trace_id,
        )
    )  # fmt: skip
