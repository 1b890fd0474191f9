"""Every page of the web surface. The server collects the routes of these modules."""

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Final

from watchkeeper.web import files, render
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
)
WORDS: Final = {
    400: "That did not work",
    401: "Please sign in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "It is there already",
    421: "Not known under this name",
    429: "Too fast",
    503: "Not now",
}
NO_COOKIES: Final[Mapping[str, str]] = MappingProxyType({})


def error_page(status: int, error: str, hint: str, cookies: Mapping[str, str] = NO_COOKIES) -> str:
    """An error as a page; the words are shown as text, whatever they hold."""
    title = WORDS.get(status, "Something went wrong")
    if status == 401:
        # A form was sent after its session had ended.
        error, hint = (
            "your login has ended",
            "sign in with a new link (watchkeeper login-link), then come back",
        )
    template = render.environment().get_template("error.html")
    words = {"title": title, "error": _sentence(error), "hint": _sentence(hint)}
    return template.render(status=status, theme=theme_of(cookies), **words)


def _sentence(text: str) -> str:
    """The API's words, which follow a name there, as a sentence of their own; a name they begin with stays as it is."""
    first = text.partition(" ")[0]
    return (
        (text[:1].upper() if first.isalpha() else text[:1])
        + text[1:]
        + ("" if not text or text.endswith((".", "?", "!")) else ".")
    )
