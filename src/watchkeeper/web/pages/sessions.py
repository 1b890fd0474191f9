"""Sessions and users: who asked, in how many turns, at what cost, and the worst that any turn got."""

from typing import Any, Final

from starlette.responses import RedirectResponse, Response

from watchkeeper.model.errors import TRANSPORT
from watchkeeper.server.reading import note_opened
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.web import data
from watchkeeper.web.metrics import LOWER_IS_BETTER
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import View, view_of

PAGE: Final = 50
MOST_TURNS: Final = 200


async def _scorer(view: View) -> tuple[str, list[str]]:
    """The scorer whose worst value is shown: the one asked for, else the first that is not a check's yes or no."""
    known = sorted(await view.call.services.columns.scorers(view.project))
    asked = view.params.get("scorer", "")
    usual = [name for name in ("answer_relevance", "groundedness") if name in known]
    return asked if asked in known else next(iter([*usual, *known]), ""), known


def _cursor(text: str) -> tuple[int, str]:
    time, _, key = text.partition(".")
    return (int(time), key) if time.isdigit() and len(time) < 20 else (0, "")


async def _grouped(call: Call, by: str) -> dict[str, Any]:
    """One page of sessions or users, the latest first, with the cursor to the next."""
    view = view_of(call)
    scorer, known = await _scorer(view)
    before_ns, before = _cursor(view.params.get("before", ""))
    down = scorer in LOWER_IS_BETTER
    found = await data.rows(
        view, "page_groups", by=by, user=view.params.get("user", ""), scorer=scorer, sign=-1 if down else 1, most=PAGE + 1,
        before_ns=before_ns, before_key=before, **data.span(view.range), **data.cohort_params(view),
    )  # fmt: skip
    rows = found[:PAGE]
    older = f"{rows[-1]['last']}.{rows[-1]['key']}" if len(found) > PAGE else None
    return {
        "view": view,
        "rows": rows,
        "older": older,
        "scorer": scorer,
        "scorers": known,
        "extreme": "highest" if down else "lowest",
        "user": view.params.get("user"),
        "by": by,
    }


@route("GET", "/sessions", permission="viewer")
async def sessions(call: Call) -> Response:
    """The sessions of the range, the latest first; `?user=` shows one user's."""
    found = await _grouped(call, "session")
    return await answer(found.pop("view"), "traces", "Sessions", "groups.html", found)


@route("GET", "/users", permission="viewer")
async def users(call: Call) -> Response:
    """The users of the range, the latest first."""
    found = await _grouped(call, "user")
    return await answer(found.pop("view"), "traces", "Users", "groups.html", found)


@route("GET", "/sessions/{session_id:path}", permission="viewer")
async def session(call: Call) -> Response:
    """One session: its turns in order as one conversation, with what the scorers said."""
    view = view_of(call)
    session_id = str(call.request.path_params["session_id"])
    if not session_id:
        return RedirectResponse(view.url("/sessions"), 303)
    turns = await data.rows(view, "page_turns", session=session_id, most=MOST_TURNS + 1)
    if not turns:
        raise HttpError(
            404,
            "there is no such session in this project",
            "its traces may not have arrived yet, or have passed their retention",
        )
    content = call.sees_content
    if content:
        await note_opened(call, session_id[:200], "session.open")
    for turn in turns:
        scores: dict[str, float] = dict(turn.get("scores") or {})
        failed = [str(name) for name in turn.get("failed_checks") or []]
        turn["failed"] = failed
        turn["shown"] = [(n, v) for n, v in sorted(scores.items()) if n not in failed and v not in (0.0, 1.0)]
        if not content:
            turn["input"] = turn["output"] = None
    cut, turns = len(turns) > MOST_TURNS, turns[:MOST_TURNS]
    costs = [t["cost"] for t in turns if t["cost"] is not None]
    context = {
        "session_id": session_id,
        "turns": turns,
        "cut": cut,
        "content": content,
        "users": sorted({str(t["user_id"]) for t in turns if t["user_id"]}),
        "cost": sum(costs) if costs else None,
        "unpriced": len(turns) - len(costs),
        "errors": sum(1 for t in turns if t["error_class"] in TRANSPORT or t["errors"]),
        "start": int(turns[0]["start"]),
        "took_ms": (max(int(t["ended"]) for t in turns) - int(turns[0]["start"])) / 1e6,
    }
    return await answer(view, "traces", "Session", "session.html", context)
