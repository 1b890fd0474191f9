"""Static files of the pages."""

from starlette.responses import Response

from watchkeeper.server.routing import Call, route
from watchkeeper.server.static import static_file
from watchkeeper.web.render import STATIC


@route("GET", "/static/{name:path}", permission="public", kind="static")
async def static(call: Call) -> Response:
    """One static file; a versioned URL may be kept for ever."""
    return static_file(call.request, STATIC, call.request.path_params["name"])
