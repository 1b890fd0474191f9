"""Read-only SQL over traces, spans, scores, series, alerts, deploys and coverage."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from watchkeeper.server.api.shapes import Body
from watchkeeper.server.reading import note_opened
from watchkeeper.server.routing import Call, route


class Statement(Body):
    """One SELECT. Every scorer is a column of `traces`."""

    query: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    max_rows: int = Field(10_000, ge=1, le=10_000)


@route("POST", "/api/sql", permission="viewer", body=Statement)
async def run(call: Call) -> dict[str, Any]:
    """Run one read-only statement over this project: `{"columns", "rows", "truncated"}`."""
    statement: Statement = call.body
    call.need_content("SQL can read prompts and outputs")
    await note_opened(call, call.services.redact(statement.query)[:500], "sql")
    table = await call.services.columns.sql(call.project, statement.query, statement.max_rows)
    return {"columns": table.columns, "rows": table.rows, "truncated": table.truncated}
