"""Static files of the pages."""

from starlette.responses import Response

from watchkeeper.server.routing import Call, route
from watchkeeper.server.static import static_file
from watchkeeper.web.render import STATIC, assets_version


@route("GET", "/static/{name:path}", permission="public", kind="static")
async def static(call: Call) -> Response:
    """One static file, alone or below a version; one below the present version may be kept for ever."""
    version, _, name = str(call.request.path_params["name"]).rpartition("/")
    # A page that was open before an upgrade asks below the old version, and gets the present file without keeping it.
    if "/" in version:
        name = f"{version}/{name}"
    return static_file(call.request, STATIC, name, kept=version == assets_version())
