"""Backups of a running server."""

from typing import Any

from watchkeeper.server.api.keys import everywhere
from watchkeeper.server.api.shapes import Body
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.snapshot import ELSEWHERE


class Wanted(Body):
    """Nothing to say."""


@route("POST", "/api/backups", permission="admin", body=Wanted, status=201)
async def backup(call: Call) -> dict[str, Any]:
    """Make a backup of everything while the server runs: it holds every span acknowledged before this call. `folder` is below the data directory, with a manifest of checksums; `watchkeeper restore` checks it. Needs an admin of every project."""
    if not everywhere(call):
        raise HttpError(403, "only an admin of every project may do this", "a backup holds all of them")
    if call.services.backup is None:
        raise HttpError(409, ELSEWHERE, "docs/servers.md says more")
    try:
        folder, number = await call.services.backup()
    except StoreUnavailable as error:
        raise HttpError(503, str(error), "free space, and try again", {"retry-after": "5"}) from None
    await note_change(call, "backup", f"{folder}: {number} files")
    return {"folder": folder, "files": number}
