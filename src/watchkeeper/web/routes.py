"""Every page of the web surface. The server collects the routes of these modules."""

import re
from functools import lru_cache
from types import ModuleType
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.routing import compile_path

from watchkeeper.server.routing import routes_of
from watchkeeper.web import files, render
from watchkeeper.web.humane import sentence
from watchkeeper.web.pages import (
    actions,
    alerts,
    backfills,
    charts,
    compare,
    dashboards,
    datasets,
    drift,
    experiments,
    incidents,
    monitors,
    outward,
    overview,
    people,
    playground,
    prices,
    quality,
    raw,
    releases,
    reports,
    review,
    saved,
    scorers,
    sessions,
    settings,
    signals,
    taxonomy,
    trace,
    traces,
    trained,
)
from watchkeeper.web.pages.common import nav_items
from watchkeeper.web.view import theme_of

MODULES: Final[tuple[ModuleType, ...]] = (
    files,
    charts,
    overview,
    traces,
    saved,
    trace,
    compare,
    raw,
    sessions,
    quality,
    scorers,
    backfills,
    trained,
    playground,
    alerts,
    actions,
    incidents,
    monitors,
    drift,
    review,
    taxonomy,
    signals,
    datasets,
    experiments,
    releases,
    reports,
    dashboards,
    settings,
    prices,
    outward,
    people,
)
WORDS: Final = {
    400: "That did not work",
    401: "Please sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "That cannot be done",
    421: "Not known under this name",
    429: "Too fast",
    503: "Not now",
}


@lru_cache(maxsize=1)
def _addresses() -> tuple[re.Pattern[str], ...]:
    return tuple(
        compile_path(r.path)[0] for r in routes_of(*MODULES) if r.method == "GET" and r.kind == "page"
    )


def ways_out(path: str, status: int) -> list[tuple[str, str]]:
    """(path, words) of where to go from an error at `path`: back to the page it was asked from, the list it belongs to, and the
    first page. What is not there has no page of its own."""
    parts = path.strip("/").split("/")
    above = ["/" + "/".join(parts[:n]) for n in range(len(parts) - 1, 1, -1)]
    found = [(p, "Back") for p in above if any(a.match(p) for a in _addresses())][:1] if status != 404 else []
    found += [(i.path, i.title) for i in nav_items() if i.path.strip("/") == parts[0] != ""]
    return [*found, ("/", "Overview")]


def error_page(status: int, error: str, hint: str, request: Request | None = None) -> str:
    """An error as a page; the words are shown as text, whatever they hold."""
    title = WORDS.get(status, "Something went wrong")
    sent = request is not None and request.method == "POST"
    if status == 401:
        # A form was sent after its session had ended.
        error, hint = (
            "your login has ended",
            "sign in with a new link (watchkeeper login-link), then come back",
        )
    elif status == 405:
        error, hint = "this address takes only what a form sends", "open the page with the form instead"
    elif hint.startswith("/api/docs") and not sent:
        hint = "the address may be cut short or mistyped"
    project = request.query_params.get("project") if request is not None else None
    ways = ways_out(request.url.path if request is not None else "/", status)
    if project:
        ways = [(f"{path}?{urlencode({'project': project})}", words) for path, words in ways]
    template = render.environment().get_template("error.html")
    return template.render(
        status=status,
        theme=theme_of(request.cookies if request is not None else {}),
        title=title,
        error=sentence(error),
        hint=sentence(hint),
        typed=sent and status in (400, 409, 422),
        ways=ways,
    )
