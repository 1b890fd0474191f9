"""Templates to responses: one environment, autoescape always on, undefined names are errors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, cast

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.responses import HTMLResponse

from watchkeeper.model import numerals
from watchkeeper.model.errors import TAXONOMY
from watchkeeper.web import humane
from watchkeeper.web.view import DIMENSIONS, RANGES, View

STATIC: Final = Path(__file__).parent / "static"
SHORTCUTS: Final = (
    ("?", "This help"),
    ("/", "Search"),
    ("j k", "Next, previous row"),
    ("o", "Open the row in the side panel"),
    ("Enter", "Open the row's page"),
    ("↓ ↑ → ←", "In a trace: next, previous span; unfold, fold"),
    ("x", "Select the row"),
    ("c", "Compare the two selected rows"),
    ("f", "Filter the list of traces"),
    ("d", "Add the trace to a dataset"),
    ("r", "Send the trace to review"),
    ("1 2 … 9", "Label in review"),
    ("u", "Undo the last label"),
    ("Esc", "Close what is open"),
)


@dataclass(frozen=True, slots=True)
class NavItem:
    """One line of the rail, under its `group`; `g` and then `key` goes there; `count` with `tone` and what it `means` for
    screen readers."""

    page: str
    title: str
    path: str
    icon: str
    key: str = ""
    count: int = 0
    tone: str = ""
    means: str = ""
    group: str = "Watch"


@lru_cache(maxsize=1)
def _assets() -> tuple[str, frozenset[str]]:
    files = {p.relative_to(STATIC).as_posix(): p for p in sorted(STATIC.rglob("*")) if p.is_file()}
    found = hashlib.sha256()
    for name, path in files.items():
        found.update(f"{name}\0{len(path.read_bytes())}\0".encode() + path.read_bytes())
    return found.hexdigest()[:12], frozenset(files)


def assets_version() -> str:
    """A short hash of all static files: the folder in their address. One for all of them, so that a script that imports
    `./app.js` gets the very file the page loaded."""
    return _assets()[0]


def asset_url(name: str) -> str:
    """The address of a static file, another one whenever any of them changes. Raises KeyError for one that is not there."""
    version, names = _assets()
    if name not in names:
        raise KeyError(name)
    return f"/static/{version}/{name}"


def web_link(text: str) -> bool:
    """Whether a stored text may be a link's target: an address of the web and nothing that runs (`javascript:`)."""
    return text.startswith(("https://", "http://")) and not any(c.isspace() or ord(c) < 32 for c in text)


def _strict() -> Environment:
    # Autoescape is not chosen by file name: every template escapes, whatever it is called.
    return Environment(
        loader=PackageLoader("watchkeeper.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=400,
    )


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The template environment with the filters every page uses."""
    made = _strict()
    filters: dict[str, Any] = {
        "number": humane.number,
        "compact": humane.compact,
        "percent": humane.percent,
        "duration": humane.duration,
        "money": humane.money,
        "price": numerals.price,
        "length_text": humane.length,
        "undated": humane.undated,
        "sentence": humane.sentence,
        "as_ns": humane.to_ns,
        "ago": _ago,
        "moment": _moment,
        "short_moment": _short_moment,
    }
    names: dict[str, Any] = {
        "asset": asset_url,
        "iso": humane.iso,
        "ranges": RANGES,
        "dimensions": DIMENSIONS,
        "shortcuts": SHORTCUTS,
        "ago_wall": humane.ago,
        "web_link": web_link,
        "taxonomy": {c.name: c.definition for c in TAXONOMY},
    }
    cast("dict[str, Any]", made.filters).update(filters)
    cast("dict[str, Any]", made.globals).update(names)
    return made


def html(template: str, view: View, context: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A rendered page. Times in it are relative to the view's now, in the view's zone."""
    return HTMLResponse(text(template, view, context), status_code=status)


def text(template: str, view: View, context: dict[str, Any]) -> str:
    """A rendered template as text."""
    return environment().get_template(template).render(view=view, **context)


@pass_context
def _ago(context: Context, ns: int | None) -> str:
    return humane.ago(ns, context["view"].now_ns)


@pass_context
def _moment(context: Context, ns: int | None) -> str:
    return humane.moment(ns, context["view"].zone)


@pass_context
def _short_moment(context: Context, ns: int | None) -> str:
    return humane.short_moment(ns, context["view"].zone)


def frame(
    view: View, page: str, title: str, nav: Sequence[NavItem], projects: Sequence[str]
) -> dict[str, Any]:
    """What `base.html` needs beside the view."""
    call = view.call
    return {
        "page": page,
        "title": title,
        "nav": nav,
        "projects": projects,
        "csrf": call.csrf,
        "banner": call.banner,
        "signed_in": call.principal.kind == "session",
        "actor": call.principal.actor,
        "may": call.may,
    }
