"""The turns of a session before a trace, for judges that grade across turns."""

from watchkeeper.dialects import derive
from watchkeeper.model.span import Trace
from watchkeeper.store.columns import Columns

MOST_TURNS = 12


async def turns_before(columns: Columns, project: str, trace: Trace, most: int = MOST_TURNS) -> list[Trace]:
    """The session's last traces that began before this one, oldest first; empty without a session."""
    session = trace.context.session_id
    if not session:
        return []
    table = await columns.named(
        "session_before", project, session=session, before=trace.start_ns, trace_id=trace.trace_id, limit=most
    )
    ids = [str(row[0]) for row in table.rows]
    found = await columns.read_traces(project, ids)
    made = [derive(*found[i]) for i in ids if i in found]
    return sorted((t for t in made if t.spans), key=lambda t: (t.start_ns, t.trace_id))
