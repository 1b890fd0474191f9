"""The frame around every page: the rail with its counts, and the answer."""

import asyncio
from typing import Any

from sqlalchemy.engine import Connection
from starlette.responses import Response

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.config.adapters import rules_of
from watchkeeper.server.reading import standings
from watchkeeper.server.routing import DEFAULT_PROJECT, EVERY_PROJECT, Call, sent_form
from watchkeeper.store.records import access, alerts, reviews, states
from watchkeeper.web import render
from watchkeeper.web.render import NavItem
from watchkeeper.web.view import View

__all__ = ["answer", "form_of", "monitors_of", "nav", "nav_items"]


def nav_items(alerts: int = 0, open_reviews: int = 0) -> list[NavItem]:
    """The lines of the rail, with how much is firing and waiting."""
    return [
        NavItem("overview", "Overview", "/", "overview", "o"),
        NavItem("traces", "Traces", "/traces", "traces", "t"),
        NavItem("quality", "Quality", "/quality", "quality", "q"),
        NavItem("drift", "Drift", "/drift", "drift", "f"),
        NavItem("dashboards", "Dashboards", "/dashboards", "dashboards"),
        NavItem("alerts", "Alerts", "/alerts", "alerts", "a", alerts, "bad", "firing", group="Respond"),
        NavItem("incidents", "Incidents", "/incidents", "flag", "i", group="Respond"),
        NavItem("signals", "Signals", "/signals", "signals", "s", group="Respond"),
        NavItem("review", "Review", "/review", "review", "r", open_reviews, "", "waiting", group="Respond"),
        NavItem("datasets", "Datasets", "/datasets", "datasets", "d", group="Test"),
        NavItem("experiments", "Experiments", "/experiments", "experiments", "e", group="Test"),
        NavItem("releases", "Releases", "/releases", "releases", "l", group="Test"),
        NavItem("reports", "Reports", "/reports", "book", group="Test"),
        NavItem("scorers", "Scorers", "/scorers", "evaluator", "c", group="Set up"),
        NavItem("monitors", "Monitors", "/monitors", "guardrail", "m", group="Set up"),
        NavItem("settings", "Settings", "/settings", "settings", ",", group="Set up"),
    ]


async def nav(view: View) -> list[NavItem]:
    """The rail with how much is firing and waiting."""

    def counts(conn: Connection) -> tuple[int, int]:
        return alerts.counts(conn, view.project).get("firing", 0), reviews.counts(conn, view.project).get(
            "open", 0
        )

    return nav_items(*await view.call.services.records.read(counts))


async def projects(call: Call) -> list[str]:
    """The projects the caller may look at, the one shown included."""
    known = await call.services.records.read(access.list_projects)
    mine = {p for p in known if call.principal.role_in(p) is not None} | {call.project}
    if EVERY_PROJECT in call.principal.roles:
        mine.add(DEFAULT_PROJECT)
    return sorted(mine - {EVERY_PROJECT})


def monitors_of(call: Call) -> list[Monitor]:
    """Every monitor that is read in the call's project: written out, of packs, of objectives."""
    return [m for m in rules_of(call.services.config.current) if m.project == call.project]


async def reading_of(call: Call) -> set[str]:
    """The names of the monitors that have something to judge by in one of their series: the rest was not read yet or has no data."""
    known = await call.services.records.read(
        lambda c: states.fields(c, call.project, "watched", "life", "state")
    )
    return {key.partition("|")[0] for key, state in known.items() if state != "no_data"}


async def form_of(call: Call) -> dict[str, str]:
    """What a page's form sent, without the token and what was left empty; surrounding space is dropped, lines end in \\n."""
    sent = await sent_form(call.request)
    texts = {
        k: v.replace("\r\n", "\n").strip() for k, v in sent.items() if isinstance(v, str) and k != "csrf"
    }
    return {k: v for k, v in texts.items() if v}


async def answer(
    view: View, page: str, title: str, template: str, context: dict[str, Any], status: int = 200
) -> Response:
    """The page `template` inside the frame."""
    frame = render.frame(view, page, title, await nav(view), await projects(view.call))
    trust = await standings(view.call)
    # The empty states' commands name this server.
    origin = str(view.call.request.base_url).rstrip("/")
    # Beside the loop: while a page of hundreds of kilobytes is put together, others are answered.
    return await asyncio.to_thread(
        render.html, template, view, {"trust": trust, "origin": origin, **frame, **context}, status
    )
