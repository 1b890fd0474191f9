"""The explorer: filters as chips, a histogram of time, and a table whose rows open beside it."""

import asyncio
import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import RedirectResponse, Response

from watchkeeper.server.login import safe_next
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.columns import QueryRefused, TraceFilter
from watchkeeper.web import data, humane
from watchkeeper.web.charts.inline import bars
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import DIMENSIONS, View, parse_cohort, view_of

PAGE: Final = 50
ORDERS: Final = {
    "time": ("time desc", "Newest"),
    "duration": ("duration_ms desc", "Slowest"),
    "cost": ("cost desc", "Costliest"),
    "tokens": ("output_tokens desc", "Longest answers"),
}
TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")
# What the filter menu offers beside scorers; `text` columns are quoted, `number` columns are not.
FIELDS: Final = {
    "error_class": "text",
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
    "duration_ms": "number",
    "ttft_ms": "number",
    "cost": "number",
    "input_tokens": "number",
    "output_tokens": "number",
    "llm_calls": "number",
    "tool_calls": "number",
    "spans": "number",
    "errors": "number",
}
OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=", "contains", "is unknown", "is known")
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}")


def quoted(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def condition(field: str, operator: str, value: str, kinds: dict[str, str]) -> str:
    """The condition one line of the filter menu stands for. Raises ValueError with what is wrong."""
    if field not in kinds or not NAME.fullmatch(field):
        raise ValueError(f"there is no column or score called {field[:60]!r}")
    if operator not in OPERATORS:
        raise ValueError(f"the comparison must be one of {', '.join(OPERATORS)}")
    if operator == "is unknown":
        return f"{field} is null"
    if operator == "is known":
        return f"{field} is not null"
    if operator == "contains":
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"{field} ilike {quoted(f'%{escaped}%')}"
    if kinds[field] == "number":
        try:
            float(value)
        except ValueError:
            raise ValueError(f"{field} is a number, and {value[:40]!r} is not") from None
        return f"{field} {operator} {value.strip()}"
    return f"{field} {operator} {quoted(value)}"


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


def wanted(view: View) -> TraceFilter:
    """What the URL asks the store for."""
    every = [*cohort_conditions(view.cohort), *(f"({c})" for c in conditions(view))]
    order = ORDERS.get(view.params.get("sort", "time"), ORDERS["time"])[0]
    if view.params.get("order"):
        order = f"{view.params['order'][:120]} asc"
    return TraceFilter(
        since_ns=view.range.since_ns,
        until_ns=view.range.until_ns,
        where=" and ".join(every) or None,
        text=view.search or None,
        session_id=view.params.get("session"),
        user_id=view.params.get("user"),
        order_by=order,
        before=_cursor(view.params.get("before", "")) if order.startswith("time") else None,
        limit=PAGE + 1,
    )


def tidy(row: dict[str, Any], content: bool) -> dict[str, Any]:
    """A row for the table: time in ns, scores as pairs with the failed ones first, text only for who may see it."""
    scores: dict[str, float] = dict(row.get("scores") or {})
    failed = [str(name) for name in row.get("failed_checks") or []]
    shown = [n for n in scores if n not in failed and not _is_pass(scores[n])]
    return {
        **row,
        "start": humane.to_ns(row.get("time")),
        "input": (row.get("input_text") or "")[:400] if content else None,
        "output": (row.get("output_text") or "")[:400] if content else None,
        "failed": failed[:3],
        "failed_more": max(0, len(failed) - 3),
        "shown": [(n, scores[n]) for n in sorted(shown)][:3],
    }


def _is_pass(value: float) -> bool:
    """0 and 1 are how checks say fail and pass; the failed ones are shown by name."""
    return value in (0.0, 1.0)


async def histogram(view: View, chosen: TraceFilter) -> list[tuple[int, int, int]] | None:
    """(start, traces, with errors) per bucket under the same filter; None when the filter cannot be counted."""
    bucket = view.range.bucket
    simple = not (conditions(view) or chosen.text or chosen.session_id or chosen.user_id)
    if simple:
        found = await data.rows(
            view, "page_traffic", bucket=bucket, **data.span(view.range), **data.cohort_params(view)
        )
        counted = {int(r["start"]): (int(r["n"]), int(r["bad"])) for r in found}
    else:
        try:
            counted = await _counted(view, chosen, bucket)
        except QueryRefused as refused:
            view.problems.append(f"No histogram: {refused}")
            return None
    step = bucket * humane.NS
    starts = range(view.range.since_ns // step * step, view.range.until_ns, step)
    return [(start, *counted.get(start, (0, 0))) for start in starts]


async def _counted(view: View, chosen: TraceFilter, bucket: int) -> dict[int, tuple[int, int]]:
    parts = [
        f"time >= fromUnixTimestamp64Nano({chosen.since_ns})",
        f"time < fromUnixTimestamp64Nano({chosen.until_ns})",
    ]
    if chosen.where:
        parts.append(f"({chosen.where})")
    if chosen.text:
        # The list's index matches whole words, every one of them; user SQL has no index, so the words are looked for.
        for word in [w for w in re.split(r"[^\w]|_", chosen.text.lower()) if w][:20]:
            like = quoted(f"%{word}%")
            parts.append(f"(input_text ilike {like} or output_text ilike {like})")
    if chosen.session_id:
        parts.append(f"session_id = {quoted(chosen.session_id)}")
    if chosen.user_id:
        parts.append(f"user_id = {quoted(chosen.user_id)}")
    query = (
        f"select intDiv(toUnixTimestamp(time), {bucket}) as slot, count() as n, "
        f"countIf(errors > 0 or error_class is not null) as bad from traces where {' and '.join(parts)} group by slot"
    )
    table = await view.call.services.columns.sql(view.project, query)
    return {int(slot) * bucket * humane.NS: (int(n), int(bad)) for slot, n, bad in table.rows}


@route("GET", "/traces", permission="viewer")
async def traces(call: Call) -> Response:
    """The list. A trace id in the search box goes straight to its page."""
    view = view_of(call)
    if TRACE_ID.fullmatch(view.search.strip().lower()):
        return RedirectResponse(view.url(f"/traces/{view.search.strip().lower()}"), 303)
    chosen = wanted(view)
    refused: QueryRefused | None = None
    found: list[dict[str, Any]] = []
    counts: list[tuple[int, int, int]] | None = None
    try:
        found, counts = await asyncio.gather(
            call.services.columns.list_traces(call.project, chosen), histogram(view, chosen)
        )
    except QueryRefused as error:
        refused = error
    scorers = await call.services.columns.scorers(call.project)
    first = [{"n": 1}] if found else await data.rows(view, "page_first_trace")
    drawn, top = bars(counts or [], view.range.bucket)
    last = found[PAGE - 1] if len(found) > PAGE and chosen.order_by.startswith("time") else None
    older = f"{humane.to_ns(last['time'])}.{last['trace_id']}" if last else None
    context = {
        "ever": bool(first and first[0]["n"]),
        "origin": str(call.request.base_url).rstrip("/"),
        "rows": [tidy(row, call.sees_content) for row in found[:PAGE]],
        "refused": refused,
        "bars": drawn,
        "top_count": top,
        "matching": sum(n for _, n, _ in counts) if counts is not None else None,
        "failing": sum(bad for _, _, bad in counts) if counts is not None else None,
        "chips": chips(view),
        "fields": [*sorted(scorers), *FIELDS],
        "operators": OPERATORS,
        "orders": {k: words for k, (_, words) in ORDERS.items()},
        "order": view.params.get("sort", "time") if view.params.get("sort", "time") in ORDERS else "time",
        "older": older,
        "session": view.params.get("session"),
        "user": view.params.get("user"),
    }
    return await answer(view, "traces", "Traces", "traces.html", context, 400 if refused else 200)


@route("GET", "/traces/filter", permission="viewer")
async def add_filter(call: Call) -> Response:
    """Turn one line of the filter menu into a condition and go back to the list with it."""
    given = call.request.query_params
    back = urlsplit(safe_next(given.get("back", "/traces")))
    kinds = {**dict.fromkeys(await call.services.columns.scorers(call.project), "number"), **FIELDS}
    raw = given.get("raw", "").strip()
    try:
        made = raw or condition(given.get("field", ""), given.get("op", "="), given.get("value", ""), kinds)
    except ValueError as error:
        raise HttpError(400, str(error), "go back and choose another column or value") from None
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
