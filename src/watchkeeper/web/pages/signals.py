"""Failures grouped: by the checks and error classes that found them, and like bugs; what one action makes of one."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from watchkeeper.gating.subject import input_text
from watchkeeper.model.errors import TRANSPORT
from watchkeeper.model.signal import SEVERITIES
from watchkeeper.pipeline.from_signal import Accepted
from watchkeeper.server.api.managed import Act, acted, choice_of
from watchkeeper.server.api.signals import Changed, decide, detail, listed
from watchkeeper.server.routing import Call, HttpError, needed, route
from watchkeeper.web import data, estimate
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import View, view_of

KINDS: Final = {
    "failure": ("Failures", "What goes wrong, how often and since when"),
    "topic": ("Topics", "What people ask, grouped by meaning over a random sample of all traffic"),
    "unanswered": ("Unanswered", "What people ask and do not get an answer to: refused, “I don't know”, or beside the point"),
}  # fmt: skip
PAGE: Final = 50


# What says a thing in its own words; everything else says it with a reason that a rule put together.
FREE: Final = ("judge", "user", "human", "external")


def unholed(text: str) -> str:
    """A template of reasons with dots where its holes are."""
    return re.sub(r"<(?:n|id|text|url|email)>…?", "…", text)


def headed(signal: dict[str, Any]) -> dict[str, Any]:
    """A signal with the `heading` pages show and the `detail` below it. A name from a person, or words from a judge or a user,
    stand alone; of a rule the heading is what it is called, and its reason, a template with holes, is the detail."""
    scorer, title = str(signal["scorer"]), str(signal["title"] or "")
    named = signal["name"] not in (signal["title"], signal["scorer"])
    # A scorer is a column and a tool a name in code; an error class is words.
    classes = [str(c).replace("_", " ") for c in (signal["error_class"],) if c and c != scorer]
    called = {"class": scorer.replace("_", " "), "human": "found in review"}
    parts = [
        called.get(signal["source"], scorer),
        *classes,
        *([signal["tool"]] if signal["tool"] else []),
    ]
    about = ", ".join(dict.fromkeys(parts))
    if signal["source"] == "human" and signal["name"] == signal["scorer"]:
        return {**signal, "heading": "called bad in review", "detail": "without a name for what is wrong"}
    if signal["kind"] != "failure" or named or signal["source"] in FREE:
        return {**signal, "heading": str(signal["name"]).replace("_", " "), "detail": about}
    said = unholed(title)
    return {
        **signal,
        "heading": about,
        "detail": "" if said.replace("_", " ") == about.replace("_", " ") else said,
    }


@route("GET", "/signals", permission="viewer")
async def signals(call: Call) -> Response:
    """What goes wrong, how often, and since when; what is asked; what is not answered."""
    view = view_of(call, "7d")
    kind = view.params.get("kind", "failure")
    kind = kind if kind in KINDS else "failure"
    if kind != "failure":
        grouped = [headed(s) for s in await listed(call, kind)]
        context = {"kind": kind, "kinds": KINDS, "grouped": grouped, "content": call.sees_content}
        return await answer(view, "signals", "Signals", "signals.html", context)
    before = view.range.before()
    params = {**data.span(view.range), **data.cohort_params(view), "before": before.since_ns}
    found, grouped = await asyncio.gather(data.rows(view, "page_failures", **params), listed(call))
    lines = distinct([f for f in found if f["family"]])
    asked = await _inputs(view, [str(f["example"]) for f in lines]) if call.sees_content else {}
    every = next((f for f in found if not f["family"]), {})
    context = {
        "kind": kind,
        "kinds": KINDS,
        "failures": [{**_line(f, every), "asked": asked.get(f["example"])} for f in lines],
        "grouped": [headed(s) for s in grouped],
        "content": call.sees_content,
        "before_label": before.label,
        "total": round(every.get("n", 0)),
    }
    return await answer(view, "signals", "Signals", "signals.html", context)


async def _inputs(view: View, ids: list[str]) -> dict[str, str]:
    """What was asked in each of these traces, as far as it is shown."""
    rows = await data.rows(view, "page_inputs", ids=ids) if ids else []
    return {str(r["trace_id"]): str(r["input"]) for r in rows}


def distinct(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Failures, each once, the commonest first. Of a check and an error class with one name the one that found more stays; a check
    and the class that the same traces got from it are one line, named by the check, with the others under `also`."""
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    names: set[str] = set()
    for row in sorted(found, key=lambda r: (-int(r["n"]), r["family"] != "check")):
        if row["name"] in names:
            continue
        names.add(row["name"])
        traces = tuple(row.get(k) for k in ("n", "n_before", "first_seen", "last_seen", "example"))
        line = lines.setdefault(traces, {**row, "also": []})
        if line["name"] != row["name"]:
            line["also"].append(row["name"])
    return list(lines.values())


def _line(found: dict[str, Any], every: dict[str, Any]) -> dict[str, Any]:
    """A failure with its shares of `every` trace, now and before."""
    share, share_before = (
        estimate.share(
            found[f"n{when}"],
            found[f"w2{when}"],
            every[f"n{when}"],
            every[f"w2{when}"],
            every[f"stored{when}"],
        )
        for when in ("", "_before")
    )
    apart = share.apart_from(share_before)
    grew = (share.value or 0) > (share_before.value or 0)
    return {
        **found,
        "share": share,
        "share_before": share_before,
        "tone": "" if not apart else "bad" if grew else "good",
        "kind": "check"
        if found["family"] == "check"
        else "transport"
        if found["name"] in TRANSPORT
        else "content",
    }


def _back(call: Call, done: str | None = None) -> Response:
    return RedirectResponse(
        view_of(call).url(f"/signals/{call.request.path_params['signal_id']}", done=done), 303
    )


@route("GET", "/signals/{signal_id}", permission="viewer")
async def one(call: Call) -> Response:
    """One signal: how common, where, since when, what was done about it."""
    view = view_of(call, "30d")
    signal = headed(await detail(call, PAGE, view.offset))
    shown = [i for i in (signal["representative"], *signal["examples"]) if i]
    ids = list(dict.fromkeys([*shown, *(f["trace_id"] for f in signal["failures"])]))
    rows = await data.rows(view, "page_traces_by_id", ids=ids) if ids and call.sees_content else []
    context = {
        "signal": signal,
        "shown": shown,
        "rows": {str(r["trace_id"]): r for r in rows},
        "severities": SEVERITIES,
        "page_size": PAGE,
        "cohorts": [{**c, "wide": c["share"]["low"] > signal["overall"]["share"]["high"]} for c in signal["cohorts"]],
    }  # fmt: skip
    return await answer(view, "signals", signal["heading"], "signal.html", context)


@route("POST", "/signals/{signal_id}/change", permission="reviewer", kind="page")
async def change(call: Call) -> Response:
    """Confirm, assign, rate, ignore or fix."""
    form = await form_of(call)
    try:
        given = Changed.model_validate(form)
    except ValidationError:
        raise HttpError(
            400, "that is no state, owner or severity of a signal", "go back and choose one"
        ) from None
    await decide(call, given)
    return _back(call, "changed")


@route("GET", "/signals/{signal_id}/act", permission="editor")
async def preview(call: Call) -> Response:
    """What one action would make of the signal, before anything is stored."""
    view = view_of(call)
    wanted = {
        k: v for k in ("kind", "dataset", "name", "owner", "runbook", "model") if (v := view.params.get(k))
    }
    try:
        given = Act.model_validate(wanted)
    except ValidationError as error:
        fault = error.errors()[0]
        raise HttpError(400, f"{fault['loc'][0]}: {fault['msg']}", "change it") from None
    seen = await acted(call, choice_of(given), False)
    assert not isinstance(seen, Accepted)
    name = seen.signal.name or (seen.signal.title if call.sees_content else seen.signal.scorer)
    context = {
        "seen": seen,
        "signal": seen.signal,
        "title": headed({**msgspec.structs.asdict(seen.signal), "name": name})["heading"],
        "given": given,
        "proposals": [{**msgspec.to_builtins(p), "why": unholed(p.why)} for p in seen.proposals],
        "splits": {m.case_id: m.was for m in seen.moved},
        "asks": {c.id: input_text(c) for c in seen.cases} if call.sees_content else {},
    }
    return await answer(view, "signals", "Act on a signal", "signal_act.html", context)


@route("POST", "/signals/{signal_id}/act", permission="editor", kind="page")
async def accept(call: Call) -> Response:
    """Do what was shown."""
    try:
        given = Act.model_validate(await form_of(call))
    except ValidationError as error:
        fault = error.errors()[0]
        raise HttpError(400, f"{fault['loc'][0]}: {fault['msg']}", "change it") from None
    made = await acted(call, choice_of(given), True)
    return _back(call, "acted_moved" if isinstance(made, Accepted) and made.moved else "acted")


@route("POST", "/signals/{signal_id}/retire", permission="editor", kind="page")
async def retire(call: Call) -> Response:
    """Take the signal's scorer and monitor out of force."""
    form = await form_of(call)
    await needed(call.services.from_signal, "actions on signals").retire(
        call.project, form.get("id", ""),
        actor=call.principal.actor, source=call.source, wall_ns=call.services.wall_clock(),
    )  # fmt: skip
    return _back(call, "retired")
