"""Settings: keys, the state of the configuration, who did what, and erasure."""

from typing import Any, Final

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.times import DAY
from watchkeeper.server.api.erasures import erase, shown
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import access, audit, erasure
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import view_of

LIVES: Final = {"": None, "30": 30 * DAY, "90": 90 * DAY, "365": 365 * DAY}
ENTRIES: Final = 200
ZONES: Final = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Los_Angeles",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
)


async def _page(call: Call, secret: str | None = None, made: access.Key | None = None) -> Response:
    view = view_of(call)
    wall = call.services.wall_clock()
    admin = call.may("admin")

    keys = await call.services.records.read(lambda c: access.list_keys(c, view.project)) if admin else []
    holder = call.services.config
    context = {
        "keys": keys,
        "secret": secret,
        "made": made,
        "wall_ns": wall,
        "holder": holder,
        "config": holder.current,
        "source": holder.path.name if holder.path else None,
        "admin": admin,
        "zones": ZONES,
        "zone": call.request.cookies.get("wk_zone", "UTC"),
        "origin": str(call.request.base_url).rstrip("/"),
        "principal": call.principal,
        "role": call.role,
        "store": await call.services.columns.stats() if admin else {},
    }
    return await answer(view, "settings", "Settings", "settings.html", context)


@route("GET", "/settings", permission="viewer")
async def settings(call: Call) -> Response:
    """Keys, the configuration in use, and what was refused."""
    return await _page(call)


@route("GET", "/settings/audit", permission="admin")
async def log(call: Call) -> Response:
    """Who did what, the latest first, and what was erased on request."""
    view = view_of(call)

    def read(conn: Connection) -> dict[str, Any]:
        return {
            "entries": audit.latest(conn, view.project, ENTRIES),
            "receipts": [shown(e) for e in erasure.find(conn, view.project, 20)],
        }

    found = await call.services.records.read(read)
    context = {**found, "wall_ns": call.services.wall_clock(), "most": ENTRIES}
    return await answer(view, "settings", "Audit and erasure", "settings_audit.html", context)


@route("POST", "/settings/keys", permission="admin", kind="page")
async def new_key(call: Call) -> Response:
    """Make a key and show it, once, in this answer."""
    form = await form_of(call)
    if form.get("life", "") not in LIVES:
        raise HttpError(400, "that is not a lifetime we offer", "choose one from the list")
    now, life = call.services.wall_clock(), LIVES[form.get("life", "")]

    def work(conn: Connection) -> tuple[access.Key, str]:
        key, text = access.create_key(
            conn, project=call.project, name=form.get("name", ""), role=form.get("role", "ingest"),
            created_by=call.principal.actor, now_ns=now, expires_ns=None if life is None else now + life,
        )  # fmt: skip
        audit.record(
            conn, project=call.project, now_ns=now, actor=call.principal.actor, source=call.source,
            action="key.create", target=f"{key.id} {key.name}", detail={"role": key.role, "expires_ns": key.expires_ns},
        )  # fmt: skip
        return key, text

    made, text = await call.services.records.write(work)
    return await _page(call, text, made)


@route("POST", "/settings/erase", permission="admin", kind="page")
async def erase_user(call: Call) -> Response:
    """Erase a user's traces and everything made from them; the receipt is on the page."""
    form = await form_of(call)
    user, again = form.get("user", "").strip(), form.get("again", "").strip()
    if not user or user != again:
        raise HttpError(400, "the two ids are not the same", "write the user id twice: this cannot be undone")
    if (await erase(call, user, [])).unknown_user:
        raise HttpError(
            404, "the user id is unknown: no trace here is theirs", "write it as your application sends it"
        )
    return RedirectResponse(view_of(call).url("/settings/audit") + "#erasure", 303)


@route("POST", "/settings/keys/{key_id}/revoke", permission="admin", kind="page")
async def revoke(call: Call) -> Response:
    """Revoke a key of this project."""
    key_id, now = str(call.request.path_params["key_id"]), call.services.wall_clock()

    def work(conn: Connection) -> bool:
        key = access.revoke_key(conn, call.project, key_id, now)
        if key is not None:
            audit.record(
                conn, project=call.project, now_ns=now, actor=call.principal.actor, source=call.source,
                action="key.revoke", target=f"{key.id} {key.name}", detail={"before": "active", "after": "revoked"},
            )  # fmt: skip
        return key is not None

    if not await call.services.records.write(work):
        raise HttpError(404, "there is no such key in this project", "it may have been revoked already")
    call.services.auth.forget()
    return RedirectResponse(view_of(call).url("/settings"), 303)
