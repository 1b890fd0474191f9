"""Review: one trace at a time, why it is here, and labels under the digits."""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.errors import TAXONOMY
from watchkeeper.model.review import Label, ReviewItem
from watchkeeper.model.series import Insufficient
from watchkeeper.pipeline.desk import SEVERITIES, TRIAGE, Given
from watchkeeper.reviewing.triage import week_of
from watchkeeper.server.api.datasets import case_dataset
from watchkeeper.server.api.reviews import desk_of, told, who_of
from watchkeeper.server.login import safe_next
from watchkeeper.server.reading import load_trace, note_opened
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import datasets, reviews, taxonomy
from watchkeeper.store.records.calibration import SOURCE as CALIBRATION
from watchkeeper.web import data
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.pages.trace import chosen, of_cases, span_context, unlabelled
from watchkeeper.web.steps import tree
from watchkeeper.web.view import view_of

# Where cases go while there is no dataset.
DATASET: Final = "regressions"

MOST_CHOICES: Final = 9
PAGE: Final = 50
STATUSES: Final = {"open": "Waiting", "disputed": "Disputed", "done": "Done"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One label under one digit: `verdict` good or bad, `taxonomy` what is wrong."""

    key: str
    words: str
    verdict: str
    taxonomy: str
    definition: str


def choices(configured: list[tuple[str, str]], used: list[tuple[str, int]]) -> list[Choice]:
    """Good under 1, bad without a name under 2; then the configured failure names, those people used, and the built-in content classes."""
    names: dict[str, str] = dict(configured)
    for name, count in used:
        names.setdefault(name, f"given {count} times")
    for one in TAXONOMY:
        if one.family == "content":
            names.setdefault(one.name, one.definition)
    bad = list(names.items())[: MOST_CHOICES - 2]
    return [
        Choice("1", "Good", "good", "", "The answer is right as it is."),
        Choice(
            "2", "Bad", "bad", "", "Wrong or useless in a way that has no name yet; say how in the comment."
        ),
        *(
            Choice(str(i), name.replace("_", " "), "bad", name, words)
            for i, (name, words) in enumerate(bad, start=3)
        ),
    ]


def _choices(call: Call, conn: Connection) -> list[Choice]:
    configured = [(f.name, f.definition) for f in call.services.config.current.taxonomy]
    accepted = [(n.name, n.definition) for n in taxonomy.names(conn, call.project)]
    return choices([*configured, *accepted], reviews.taxonomy(conn, call.project))


@route("GET", "/review", permission="viewer")
async def queue(call: Call) -> Response:
    """What waits, most urgent first; what reviewers disagree on; what is one's own."""
    view = view_of(call, "30d")
    status = view.params.get("status", "open")
    status = status if status in STATUSES else "open"
    source = view.params.get("source") or None
    mine = call.principal.actor if view.params.get("mine") else None
    wall = call.services.wall_clock()

    def read(conn: Connection) -> dict[str, Any]:
        own = [x for x in reviews.votes_of(conn, view.project) if x.author == call.principal.actor]
        listed = reviews.queue(
            conn, view.project, status, PAGE + 1, view.offset, source=source, assigned_to=mine, now_ns=wall
        )
        return {
            "items": listed[:PAGE],
            "more": len(listed) > PAGE,
            "counts": reviews.counts(conn, view.project, source),
            "mine": len(own),
            "taxonomy_used": reviews.taxonomy(conn, view.project),
        }

    found = await call.services.records.read(read)
    ids = [i.trace_id for i in found["items"]]
    rows = await data.rows(view, "page_traces_by_id", ids=ids) if ids and call.sees_content else []
    context = {
        **found,
        "rows": {str(r["trace_id"]): r for r in rows},
        "status": status,
        "statuses": STATUSES,
        "source": source,
        "only_mine": mine is not None,
        "page_size": PAGE,
        "actor": call.principal.actor,
        "week": week_of(call.services.clock()),
    }
    return await answer(view, "review", "Review", "review.html", context)


def _source(form: dict[str, str]) -> str | None:
    return form.get("source", "").strip()[:64] or None


@route("POST", "/review/next", permission="reviewer", kind="page")
async def begin(call: Call) -> Response:
    """Reserve the most urgent item and open it; the queue when nothing is free."""
    source = _source(await form_of(call))
    item = await desk_of(call).take_next(call.project, who_of(call), source)
    view = view_of(call)
    path = f"/review/{item.id}" if item else "/review"
    return RedirectResponse(view.url(path, source=source), 303)


@route("POST", "/review/triage", permission="reviewer", kind="page")
async def triage(call: Call) -> Response:
    """Put the week's worst traces together, if that has not been done, and begin with the first."""
    source, _ = await desk_of(call).triage(call.project, call.services.columns, who_of(call))
    item = await desk_of(call).take_next(call.project, who_of(call), source)
    view = view_of(call)
    if item is None:
        return RedirectResponse(view.url("/review", source=source, done="nothing_bad"), 303)
    return RedirectResponse(view.url(f"/review/{item.id}", source=source), 303)


@route("GET", "/review/agreement", permission="viewer")
async def agreeing(call: Call) -> Response:
    """How far reviewers of the same traces agree."""
    view = view_of(call, "30d")
    found = await desk_of(call).agreement(call.project)
    said = {
        "Same verdict": (found.alike, "share of the traces on which everybody said the same"),
        "Krippendorff's alpha": (
            found.alpha,
            "of good and bad; 1 is perfect, 0 is chance; 0.8 is usually asked for",
        ),
        "Alpha of names": (found.alpha_names, "of the failure's name, where it is bad"),
        "Fleiss' kappa": (found.fleiss, "of good and bad, over traces with the same number of reviewers"),
    }
    context = {"found": found, "said": said, "unknown": lambda x: isinstance(x, Insufficient)}
    return await answer(view, "review", "Agreement", "agreement.html", context)


async def _item(call: Call) -> ReviewItem:
    item_id = str(call.request.path_params["item_id"])
    wall = call.services.wall_clock()
    item = await call.services.records.read(lambda c: reviews.get(c, call.project, item_id, wall))
    if item is None:
        raise HttpError(404, "there is no such review item in this project", "the queue lists what waits")
    return item


@route("GET", "/review/{item_id}", permission="reviewer")
async def one(call: Call) -> Response:
    """One item to label."""
    view = view_of(call, "30d")
    item = await _item(call)
    source = view.params.get("source") or None
    desk, who = desk_of(call), who_of(call)

    def read(conn: Connection) -> dict[str, Any]:
        return {
            "counts": reviews.counts(conn, view.project, source),
            "choices": _choices(call, conn),
            "all_datasets": of_cases(conn, view.project),
        }

    known, loaded, (labels, blind) = await asyncio.gather(
        call.services.records.read(read),
        load_trace(call.services, view.project, item.trace_id),
        desk.votes(item, who),
    )
    if loaded is not None and call.sees_content:
        await note_opened(call, item.trace_id, "review.open")
    trace, scores = (loaded[0], unlabelled(loaded[1])) if loaded is not None else (None, [])
    if item.source.startswith(CALIBRATION) or item.probability is not None:
        # Labels that know the verdict are not evidence about it.
        scores = []
    asked = call.request.query_params.get("span")
    shown = (
        span_context(trace, chosen(trace, asked), scores, call.sees_content)
        if trace
        else {"span": None, "content": False}
    )
    others = [h for h in item.held_by if h != call.principal.actor]
    context = {
        **shown,
        **known,
        "item": item,
        "labels": labels,
        "blind": blind,
        "source": source,
        "trace": trace,
        "steps": tree(trace, scores)[:60] if trace else [],
        "severities": SEVERITIES,
        # The one of the label before: whoever fills a dataset names it once.
        "dataset": view.params.get("dataset", "")[:100] or next(iter(known["all_datasets"]), DATASET),
        "taken": others if item.reviewers == 1 else [],
        "is_triage": bool(source and source.startswith(f"{TRIAGE}:")),
    }
    return await answer(view, "review", "Review", "review_item.html", context)


def _given(form: dict[str, str]) -> Given:
    expected = form.get("expected", "")
    changed = expected.strip() and expected != form.get("actual", "")
    verdict, _, name = form.get("label", "").partition(":")
    return Given(
        verdict,
        name[:255] or None,
        form.get("severity") or None,
        expected[:200_000] if changed else None,
        form.get("comment", "").strip()[:20_000] or None,
    )


@route("POST", "/review/{item_id}/label", permission="reviewer", kind="page")
async def label(call: Call) -> Response:
    """Label the item, make it a test case when asked, and open the next one."""
    item = await _item(call)
    form = await form_of(call)
    source = _source(form)
    given = _given(form)
    if given.verdict not in ("good", "bad"):
        raise HttpError(400, "a label is good or bad", "press one of the digits shown under the trace")
    named = form.get("dataset", "").strip()
    dataset = case_dataset(named or DATASET) if form.get("promote") == "yes" and call.may("editor") else None
    with told():
        made, status = await desk_of(call).label(call.project, item.id, given, who_of(call))
    said = "disputed" if status == "disputed" else "labelled"
    if dataset is not None:
        said = await _promoted(call, item, made, dataset)
    following = await desk_of(call).take_next(call.project, who_of(call), source)
    path = f"/review/{following.id}" if following else "/review"
    there = view_of(call).url(path, done=said, source=source, dataset=named or None if following else None)
    return RedirectResponse(there, 303)


async def _promoted(call: Call, item: ReviewItem, made: Label, dataset: str) -> str:
    loaded = await load_trace(call.services, call.project, item.trace_id)
    if loaded is None:
        return "not_promoted"
    scorers = call.services.gate.scorers(call.project) if call.services.gate else []
    promoted = await desk_of(call).promote(call.project, dataset, *loaded, scorers, made, who_of(call))
    if promoted is None:
        return "duplicate"
    return "moved" if promoted[1] else "promoted"


@route("POST", "/review/{item_id}/skip", permission="reviewer", kind="page")
async def skip(call: Call) -> Response:
    """Leave the item to others and open the next one."""
    item = await _item(call)
    source = _source(await form_of(call))
    with told():
        await desk_of(call).skip(call.project, item.id, who_of(call))
    following = await desk_of(call).take_next(call.project, who_of(call), source)
    path = f"/review/{following.id}" if following else "/review"
    return RedirectResponse(view_of(call).url(path, done="skipped", source=source), 303)


@route("POST", "/review/undo", permission="reviewer", kind="page")
async def undo(call: Call) -> Response:
    """Take back the newest label of the caller and open its item again."""
    source = _source(await form_of(call))
    item = await desk_of(call).undo(call.project, who_of(call))
    if item is None:
        return RedirectResponse(view_of(call).url("/review", source=source), 303)
    held = await call.services.records.read(
        lambda c: datasets.datasets_of_trace(c, call.project, item.trace_id)
    )
    said = "undone_case" if held else "undone"
    return RedirectResponse(view_of(call).url(f"/review/{item.id}", done=said, source=source), 303)


@route("POST", "/review/{item_id}/assign", permission="reviewer", kind="page")
async def assign(call: Call) -> Response:
    """Say who should read the item."""
    item = await _item(call)
    form = await form_of(call)
    with told():
        await desk_of(call).assign(
            call.project, item.id, form.get("to", "").strip()[:255] or None, who_of(call)
        )
    return RedirectResponse(view_of(call).url(f"/review/{item.id}", done="assigned"), 303)


@route("POST", "/review/{item_id}/release", permission="reviewer", kind="page")
async def release(call: Call) -> Response:
    """Give the item back and go to the queue."""
    item = await _item(call)
    form = await form_of(call)
    await call.services.records.write(
        lambda c: reviews.release(c, call.project, item.id, call.principal.actor)
    )
    return RedirectResponse(safe_next(form.get("back", "/review")), 303)
