"""What Langfuse's SDK asks the server before it says where a trace can be seen, and where that address leads."""

from typing import Any
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from watchkeeper.server.routing import Call, route


@route("GET", "/api/public/projects", permission="ingest")
async def project(call: Call) -> dict[str, Any]:
    """The project of this key, as Langfuse's SDK asks for it (`auth_check`, `get_trace_url`)."""
    name = call.project
    return {
        "data": [
            {
                "id": name,
                "name": name,
                "organization": {"id": "watchkeeper", "name": "Watchkeeper"},
                "metadata": {},
            }
        ]
    }


@route("GET", "/project/{name}/traces/{trace_id}", permission="viewer")
async def trace(call: Call) -> Response:
    """The page of a trace, from the address that Langfuse's SDK gives it."""
    name, trace_id = (quote(call.request.path_params[key], safe="") for key in ("name", "trace_id"))
    return RedirectResponse(f"/traces/{trace_id}?project={name}", 303)
