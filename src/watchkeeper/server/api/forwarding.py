"""How forwarding to other backends stands."""

from typing import Any

from watchkeeper.server.answers import timed
from watchkeeper.server.routing import Call, HttpError, route


@route("GET", "/api/forwarding", permission="admin")
async def forwarding(call: Call) -> list[dict[str, Any]]:
    """Each target and signal: what was sent, what waits and for how long, what will never be taken, what is wrong."""
    if call.services.forward is None:
        raise HttpError(
            409, "this server does not forward", "describe a target under forward in its configuration"
        )
    return [timed(row) for row in await call.services.forward.summary()]
