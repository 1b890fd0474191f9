"""Every page of the web surface. The server collects the routes of these modules."""

from types import ModuleType
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
    409: "It is there already",
    429: "Too fast",
    503: "Not now",
}


def error_page(status: int, error: str, hint: str) -> str:
    """An error as a page; the words are shown as text, whatever they hold."""
    title = WORDS.get(status, "Something went wrong")
    template = render.environment().get_template("error.html")
    return template.render(status=status, title=title, error=_sentence(error), hint=_sentence(hint))


def _sentence(text: str) -> str:
    """The API's words, which follow a name there, as a sentence of their own."""
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith((".", "?", "!")) else ".")
