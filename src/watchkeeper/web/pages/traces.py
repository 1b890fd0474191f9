"""The explorer: filters as chips, a histogram of time, and a table whose rows open beside it."""

import asyncio
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from starlette.responses import RedirectResponse, Response

from watchkeeper.server.login import safe_next
from watchkeeper.server.reading import refuse_probing
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.columns import QueryRefused, TraceFilter
from watchkeeper.store.records import saved_views
from watchkeeper.web import data, humane, render
from watchkeeper.web.charts.inline import bars
from watchkeeper.web.metrics import ERRED, LOWER_IS_BETTER
from watchkeeper.web.pages.common import answer
from watchkeeper.web.pages.saved import shown
from watchkeeper.web.view import DIMENSIONS, View, parse_cohort, view_of

PAGE: Final = 50
ORDERS: Final = {
    "time": ("time desc", "Newest"),
    "duration": ("duration_ms desc", "Slowest"),
    "cost": ("cost desc", "Costliest"),
    "tokens": ("output_tokens desc", "Longest answers"),
}
TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
# What the filter menu offers beside scorers; `text` columns are quoted, `number` columns are not, `list` ones hold it.
FIELDS: Final = {
    "error_class": "text",
    "failed_check": "list",
    "model": "list",
    "input_text": "text",
    "output_text": "text",
    "scenario": "text",
    "prompt_version": "text",
    "prompt_name": "text",
    "provider": "text",
    "variant": "text",
    "release": "text",
    "environment": "text",
    "service": "text",
    "session_id": "text",
    "user_id": "text",
    "root_name": "text",
    "finish_reason": "text",
    "agent_name": "text",
    "region": "text",
    "policy": "text",
    "pricing_version": "text",
    "duration_ms": "number",
    "ttft_ms": "number",
    "cost": "number",
    "input_tokens": "number",
    "output_tokens": "number",
    "cached_input_tokens": "number",
    "reasoning_output_tokens": "number",
    "llm_calls": "number",
    "tool_calls": "number",
    "spans": "number",
    "errors": "number",
    "inclusion_probability": "number",
}
# Metrics whose column has another name.
COLUMNS: Final = {"latency_ms": "duration_ms"}
LISTS: Final = {"failed_check": "failed_checks", "model": "models"}
# Rows of the live list are asked for again for so long: a row made before another may be written after it.
OVERLAP_NS: Final = 15 * humane.NS
# The parameters that say which traces, beside those every page shares.
SAME: Final = ("where", "q", "session", "user")
OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=", "contains", "is unknown", "is known")
PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")


def quoted(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def condition(field: str, operator: str, value: str, kinds: dict[str, str]) -> str:
    """The condition one line of the filter menu stands for. Raises ValueError with what is wrong."""
    if field not in kinds:
        raise ValueError(f"there is no column or score called {field[:60]!r}")
    if operator not in OPERATORS:
        raise ValueError(f"the comparison must be one of {', '.join(OPERATORS)}")
    if kinds[field] == "list":
        return _in_list(LISTS[field], operator, value)
    # Scores of other systems come with names of their own.
    column = field if PLAIN.fullmatch(field) else f"`{field}`"
    if operator == "is unknown":
        return f"{column} is null"
    if operator == "is known":
        return f"{column} is not null"
    if operator == "contains":
        return _contains(column, value)
    if kinds[field] == "number":
        return f"{column} {operator} {_number(field, value)}"
    return f"{column} {operator} {quoted(value)}"


def _contains(what: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{what} ilike {quoted(f'%{escaped}%')}"


def _number(field: str, value: str) -> str:
    try:
        known = math.isfinite(float(value))
    except ValueError:
        known = False
    if not known:
        raise ValueError(f"{field} is a number, and {value[:40]!r} is not")
    return value.strip()


def _in_list(column: str, operator: str, value: str) -> str:
    ways = {
        "=": f"has({column}, {quoted(value)})",
        "!=": f"not has({column}, {quoted(value)})",
        "is known": f"notEmpty({column})",
        "is unknown": f"empty({column})",
    }
    if operator not in ways:
        raise ValueError(f"{column} holds several values: use one of {', '.join(ways)}")
    return ways[operator]


def attribute_condition(key: str, operator: str, value: str) -> str:
    """A condition on an attribute of any span of the trace. Raises ValueError with what is wrong."""
    if not 0 < len(key) <= 200:
        raise ValueError("the attribute needs a name of at most 200 characters, such as http.route")
    if operator not in OPERATORS:
        raise ValueError(f"the comparison must be one of {', '.join(OPERATORS)}")
    what = f"attributes[{quoted(key)}]"
    if operator in ("is known", "is unknown"):
        return f"{'' if operator == 'is known' else 'not '}mapContains(attributes, {quoted(key)})"
    if operator == "contains":
        return _contains(what, value)
    if operator in ("=", "!="):
        return f"{what} {operator} {quoted(value)}"
    return f"{what} {operator} {_number(key[:60], value)}"


def conditions(view: View) -> list[str]:
    """The conditions in the URL, one a line."""
    return [line.strip() for line in view.params.get("where", "").split("\n") if line.strip()]


def cohort_conditions(cohort: dict[str, str]) -> list[str]:
    """The cohort as conditions over the columns of `traces`."""
    return [
        f"has(models, {quoted(value)})" if name == "model" else f"{name} = {quoted(value)}"
        for name, value in cohort.items()
    ]


def chips(view: View) -> list[dict[str, str]]:
    """The conditions with the link that drops each."""
    known = conditions(view)
    return [
        {"words": one, "without": view.url(where="\n".join(c for j, c in enumerate(known) if j != i) or None)}
        for i, one in enumerate(known)
    ]


def _cursor(text: str) -> tuple[int, str] | None:
    time, _, trace_id = text.partition(".")
    return (
        (int(time), trace_id) if time.isdigit() and len(time) < 20 and TRACE_ID.fullmatch(trace_id) else None
    )


def order_of(view: View, scorers: Collection[str]) -> tuple[str, str, str]:
    """The `sort` of the URL, as a column's order, in words. A score or number sorts its lowest first, with `-` its highest."""
    key = view.params.get("sort", "time")
    if key not in ORDERS:
        name = key.removeprefix("-")
        column = COLUMNS.get(name, name)
        if column in scorers or FIELDS.get(column) == "number":
            way, words = ("desc", "Highest") if key.startswith("-") else ("asc", "Lowest")
            return key, f"{column} {way}", f"{words} {name}"
        key = "time"
    return key, *ORDERS[key]


def worst_first(scorers: Collection[str]) -> list[tuple[str, str]]:
    """(`sort`, scorer) of each by name, with which its worst answers stand first: the highest where less of it is better."""
    return [(f"-{name}" if name in LOWER_IS_BETTER else name, name) for name in sorted(scorers)]


def wanted(view: View, order: str = ORDERS["time"][0]) -> TraceFilter:
    """What the URL asks the store for, in this order."""
    every = [*cohort_conditions(view.cohort), *(f"({c})" for c in conditions(view))]
    return TraceFilter(
        since_ns=view.range.since_ns,
        until_ns=view.range.until_ns,
        where=" and ".join(every) or None,
        text=view.search or None,
        session_id=view.params.get("session"),
        user_id=view.params.get("user"),
        order_by=order,
        before=_cursor(view.params.get("before", "")) if order == ORDERS["time"][0] else None,
        after=_cursor(view.params.get("after", "")) if order == ORDERS["time"][0] else None,
        limit=PAGE + 1,
    )


def live_filter(view: View, since_ns: int | None = None) -> TraceFilter:
    """The same filters for the live list: newest first from now back, or only rows made since `since_ns`."""
    chosen = wanted(view)
    chosen.until_ns, chosen.before, chosen.after = None, None, None
    chosen.assembled_after_ns, chosen.limit = since_ns, PAGE
    return chosen


@dataclass(frozen=True)
class Page:
    """The rows of one page and the cursors beside it; None where the list ends."""

    rows: list[dict[str, Any]]
    older: str | None
    newer: str | None


def paged(found: list[dict[str, Any]], chosen: TraceFilter) -> Page:
    """Cut what was found, one row more than a page, into the page and its neighbours."""
    if chosen.order_by != ORDERS["time"][0]:
        return Page(found[:PAGE], None, None)
    more = len(found) > PAGE
    rows = found[-PAGE:] if chosen.after else found[:PAGE]
    older = rows and (more or chosen.after is not None)
    newer = rows and (chosen.before is not None or (chosen.after is not None and more))
    return Page(rows, _cursor_of(rows[-1]) if older else None, _cursor_of(rows[0]) if newer else None)


def _cursor_of(row: dict[str, Any]) -> str:
    return f"{humane.to_ns(row['time'])}.{row['trace_id']}"


def tidy(row: dict[str, Any], content: bool, by: str = "") -> dict[str, Any]:
    """A row for the table: time in ns, scores as pairs with the failed ones first, then the one the list is sorted `by`; text only
    for who may see it."""
    scores: dict[str, float] = dict(row.get("scores") or {})
    failed = [str(name) for name in row.get("failed_checks") or []]
    shown = [n for n in scores if n not in failed and (n == by or not _is_pass(scores[n]))]
    return {
        **row,
        "start": humane.to_ns(row.get("time")),
        "input": (row.get("input_text") or "")[:400] if content else None,
        "output": (row.get("output_text") or "")[:400] if content else None,
        "failed": failed[:3],
        "failed_more": max(0, len(failed) - 3),
        "shown": [(n, scores[n]) for n in sorted(shown, key=lambda n: (n != by, n))][:3],
    }


def _is_pass(value: float) -> bool:
    """0 and 1 are how checks say fail and pass; the failed ones are shown by name."""
    return value in (0.0, 1.0)


async def _nothing() -> None:
    return None


async def histogram(view: View, chosen: TraceFilter) -> list[tuple[int, int, int]]:
    """(start, traces, with errors) per bucket under the same filter."""
    bucket = view.range.bucket
    every = msgspec.structs.replace(chosen, before=None, after=None)
    found = await view.call.services.columns.tally(view.project, every, bucket)
    counted = {start: (n, bad) for start, n, bad in found}
    step = bucket * humane.NS
    starts = range(view.range.since_ns // step * step, view.range.until_ns, step)
    return [(start, *counted.get(start, (0, 0))) for start in starts]


@route("GET", "/traces", permission="viewer")
async def traces(call: Call) -> Response:
    """The list. A trace id in the search box goes straight to its page."""
    view = view_of(call)
    if TRACE_ID.fullmatch(view.search.strip().lower()):
        return RedirectResponse(view.url(f"/traces/{view.search.strip().lower()}"), 303)
    live = "live" in view.params
    asked_ns = call.services.clock()
    scorers = await call.services.columns.scorers(call.project)
    key, order, words = order_of(view, scorers)
    chosen = live_filter(view) if live else wanted(view, order)
    refuse_probing(call, chosen)
    refused: QueryRefused | None = None
    found: list[dict[str, Any]] = []
    counts: list[tuple[int, int, int]] | None = None
    try:
        found, counts = await asyncio.gather(
            call.services.columns.list_traces(call.project, chosen),
            _nothing() if live else histogram(view, chosen),
        )
    except QueryRefused as error:
        refused = error
    saved = await call.services.records.read(lambda c: saved_views.listing(c, call.project))
    first = [{"n": 1}] if found else await data.rows(view, "page_last_trace")
    drawn, top = bars(counts or [], view.range.bucket)
    page = paged(found, chosen)
    if chosen.after and not page.rows and not refused:
        return RedirectResponse(view.url(after=None), 303)
    context = {
        "ever": bool(first and first[0]["n"]),
        "origin": str(call.request.base_url).rstrip("/"),
        "rows": [tidy(row, call.sees_content, key.removeprefix("-")) for row in page.rows],
        "live": live,
        "saved": shown(view, saved),
        "live_url": view.url("/traces/live", **{k: view.params.get(k) for k in SAME}, after=asked_ns),
        "refused": in_words(refused) if refused else None,
        "bars": drawn,
        "top_count": top,
        "matching": sum(n for _, n, _ in counts) if counts is not None else None,
        "failing": sum(bad for _, _, bad in counts) if counts is not None else None,
        "errors_url": view.url(where="\n".join(dict.fromkeys([*conditions(view), ERRED]))),
        "chips": chips(view),
        "scorers": sorted(scorers),
        "worst": worst_first(scorers),
        "fields": list(FIELDS),
        "operators": OPERATORS,
        "orders": {**{k: said for k, (_, said) in ORDERS.items()}, key: words},
        "order": key,
        "older": page.older,
        "newer": page.newer,
        "session": view.params.get("session"),
        "user": view.params.get("user"),
    }
    return await answer(view, "traces", "Traces", "traces.html", context, 400 if refused else 200)


def in_words(refused: QueryRefused) -> tuple[str, str]:
    """(what is wrong with a condition, what to do); a column that is called otherwise here is named."""
    name = str(refused).removeprefix("there is no column ")
    if name in COLUMNS:
        return str(refused), f"{name} is the column {COLUMNS[name]} here"
    return str(refused), refused.hint


@route("GET", "/traces/live", permission="viewer")
async def live_rows(call: Call) -> Response:
    """The rows made since `after` under the same filters, as a table the live list takes its rows from."""
    view = view_of(call)
    given = view.params.get("after", "")
    if not (given.isdigit() and len(given) < 20):
        raise HttpError(400, "after must be a time in nanoseconds", "open /traces?live=1")
    now = call.services.clock()
    chosen = live_filter(view, max(int(given) - OVERLAP_NS, 0))
    refuse_probing(call, chosen)
    view.path = "/traces"
    try:
        found = await call.services.columns.list_traces(call.project, chosen)
    except QueryRefused as refused:
        raise HttpError(400, str(refused), refused.hint) from None
    context = {
        "may": call.may,
        "csrf": call.csrf,
        "rows": [tidy(row, call.sees_content) for row in found],
        "next": view.url("/traces/live", **{k: view.params.get(k) for k in SAME}, after=now),
    }
    return render.html("parts/live.html", view, context)


@route("GET", "/traces/attributes", permission="viewer", kind="json")
async def attribute_names(call: Call) -> list[str]:
    """The names of attributes in the range, the commonest first, for the filter menu's suggestions."""
    view = view_of(call)
    if not call.sees_content:
        return []
    return [str(row["key"]) for row in await data.rows(view, "page_attributes", **data.span(view.range))]


@route("GET", "/traces/filter", permission="viewer")
async def add_filter(call: Call) -> Response:
    """Turn one line of the filter menu into a condition and go back to the list with it."""
    given = call.request.query_params
    back = urlsplit(safe_next(given.get("back", "/traces")))
    kinds = {**dict.fromkeys(await call.services.columns.scorers(call.project), "number"), **FIELDS}
    raw = given.get("raw", "").strip()
    try:
        attribute = given.get("attribute", "").strip()
        if attribute:
            raw = attribute_condition(attribute, given.get("op", "="), given.get("value", ""))
        made = raw or condition(given.get("field", ""), given.get("op", "="), given.get("value", ""), kinds)
    except ValueError as error:
        raise HttpError(400, str(error), "choose another column or value") from None
    view = view_of(call)
    view.path = back.path or "/traces"
    view.params = _params(back.query)
    known = conditions(view)
    made = " ".join(made.split())
    wanted_lines = known if made in known else [*known, made]
    return RedirectResponse(view.url(where="\n".join(wanted_lines)), 303)


def _params(query: str) -> dict[str, str]:
    return {k: v for k, v in parse_qsl(query) if v}


@route("GET", "/cohort", permission="viewer")
async def set_cohort(call: Call) -> Response:
    """Set one dimension of the cohort and go back to the page it was set on."""
    given = call.request.query_params
    name, value = given.get("name", ""), given.get("value", "").strip()
    if name not in DIMENSIONS or not value:
        raise HttpError(400, "that is not a cohort", f"choose one of {', '.join(DIMENSIONS)} and a value")
    back = urlsplit(safe_next(given.get("back", "/")))
    view = view_of(call)
    view.path, view.params = back.path or "/", _params(back.query)
    problems: list[str] = []
    view.cohort = parse_cohort(view.params.get("cohort", ""), problems)
    return RedirectResponse(view.with_cohort(name, value[:300]), 303)


@route("GET", "/cohort/values", permission="viewer", kind="json")
async def values(call: Call) -> list[str]:
    """The commonest values of one dimension, for the menu's suggestions."""
    view = view_of(call)
    name = call.request.query_params.get("name", "")
    if name not in DIMENSIONS:
        raise HttpError(400, "that is not a cohort dimension", f"choose one of {', '.join(DIMENSIONS)}")
    found = await data.rows(view, "page_values", dimension=name, **data.span(view.range))
    return [str(row["value"]) for row in found]
