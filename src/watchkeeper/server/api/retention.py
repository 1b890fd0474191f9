"""Retention: whether it runs, and taking a clock that has leapt for right."""

from typing import Any

from watchkeeper.server.api.keys import everywhere
from watchkeeper.server.api.shapes import Body
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, needed, route


class Confirmed(Body):
    """Nothing to say."""


@route("POST", "/api/retention", permission="admin", body=Confirmed)
async def confirm(call: Call) -> dict[str, Any]:
    """Say that the server's clock is right. It drops nothing by age while its clock is more than a day past the latest time it has seen, until this call or until it has run so for a day. `held` says whether it was so. Needs an admin of every project."""
    if not everywhere(call):
        raise HttpError(403, "only an admin of every project may do this", "retention is of all of them")
    retain = needed(call.services.retain, "retention")
    held = retain.held
    await retain.confirm()
    await note_change(call, "retention.confirm", f"held: {held}")
    return {"held": held}
