"""Traces as the flows read them: derived anew from what was stored, so that a better dialect counts for the past too."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from watchkeeper.dialects import derive
from watchkeeper.model.score import Subject
from watchkeeper.model.span import Trace
from watchkeeper.store.columns import Columns

MOST_TURNS = 12
# The subject of (project, trace id, span id); of the whole trace where the span id is empty. None where it is gone.
Load = Callable[[str, str, str], Awaitable[Subject | None]]


def loading(columns: Columns) -> Load:
    """Reads one subject."""

    async def load(project: str, trace_id: str, span_id: str) -> Subject | None:
        trace = derive(*await columns.read_trace(project, trace_id))
        if not trace.spans:
            return None
        span = next((s for s in trace.spans if s.span_id == span_id), None)
        return None if span_id and span is None else Subject(trace, span)

    return load


async def read_traces(columns: Columns, project: str, trace_ids: Sequence[str]) -> dict[str, Trace]:
    """Those of these traces that still have a span, in the order given. In a thread: whoever waits for an acknowledgement
    waits for the loop."""
    found = await columns.read_traces(project, list(trace_ids)) if trace_ids else {}

    def build() -> dict[str, Trace]:
        made = {i: derive(*found[i]) for i in trace_ids if i in found}
        return {i: t for i, t in made.items() if t.spans}

    return await asyncio.to_thread(build)


async def turns_before(columns: Columns, project: str, trace: Trace, most: int = MOST_TURNS) -> list[Trace]:
    """The session's last traces that began before this one, oldest first, for judges that grade across turns; empty without
    a session."""
    session = trace.context.session_id
    if not session:
        return []
    table = await columns.named(
        "session_before", project, session=session, before=trace.start_ns, trace_id=trace.trace_id, limit=most
    )
    made = await read_traces(columns, project, [str(row[0]) for row in table.rows])
    return sorted(made.values(), key=lambda t: (t.start_ns, t.trace_id))
