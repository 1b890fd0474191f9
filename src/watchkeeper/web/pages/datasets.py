"""Datasets: immutable versions of cases, and what changed between two of them."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.gating.dataset import changes, splits
from watchkeeper.gating.subject import input_text
from watchkeeper.model.review import DatasetVersion
from watchkeeper.model.splits import SPLITS
from watchkeeper.pipeline.curate import leaks, refreshed
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit, datasets, experiments
from watchkeeper.web import conversation
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.view import view_of

SHOWN_CASES = 200
MOST_TEXT = 200_000


@route("GET", "/datasets", permission="viewer")
async def listing(call: Call) -> Response:
    """Every dataset with its newest version, its splits and how fresh its golden set is."""
    view = view_of(call, "30d")
    now = call.services.clock()

    def read(conn: Connection) -> list[dict[str, Any]]:
        rows = datasets.listing(conn, view.project)
        for row in rows:
            newest = datasets.get(conn, view.project, row["name"])
            row["splits"] = splits(newest.cases) if newest else {}
            row["refresh"] = refreshed(conn, newest, now) if newest else None
        return rows

    found = await call.services.records.read(read)
    return await answer(view, "datasets", "Datasets", "datasets.html", {"datasets": found})


def _version(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 9 else None


@route("GET", "/datasets/{name}", permission="viewer")
async def one(call: Call) -> Response:
    """One version of a dataset, the newest without `?version=`, with what changed against the one before or `?against=`."""
    view = view_of(call, "30d")
    name = str(call.request.path_params["name"])
    wanted, against = _version(view.params.get("version")), _version(view.params.get("against"))
    now = call.services.clock()

    def read(conn: Connection) -> dict[str, Any] | None:
        found = datasets.get(conn, view.project, name, wanted)
        if found is None:
            return None
        number = found.version - 1 if against is None else against
        before = datasets.get(conn, view.project, name, number) if number > 0 else None
        runs = [e for e in experiments.listing(conn, view.project) if e["dataset"] == name]
        return {
            "dataset": found,
            "versions": datasets.versions(conn, view.project, name),
            "before": before.version if before else 0,
            "changed": changes(before, found),
            "refresh": refreshed(conn, found, now),
            "runs": runs[:10],
        }

    found = await call.services.records.read(read)
    if found is None:
        listed = await call.services.records.read(lambda c: datasets.listing(c, view.project))
        if wanted is None and (empty := next((d for d in listed if d["name"] == name), None)):
            return await answer(view, "datasets", name, "dataset_empty.html", {"dataset": empty})
        raise HttpError(
            404, "there is no such dataset or version in this project", "the list of datasets has all of them"
        )
    version: DatasetVersion = found["dataset"]
    leaking = await asyncio.to_thread(leaks, version.cases)
    split = view.params.get("split", "")
    chosen = [c for c in version.cases if split in ("", c.split)]
    context = {
        **found,
        "split": split,
        "splits": splits(version.cases),
        "cases": chosen[:SHOWN_CASES],
        "more_cases": max(0, len(chosen) - SHOWN_CASES),
        "kinds": {c.id: c.kind for c in found["changed"]},
        "tally": Counter(c.kind for c in found["changed"]),
        "leaking": dict(leaking),
        "moved": [
            (c.id, *c.fields["split"])
            for c in found["changed"]
            if c.kind == "changed" and "split" in c.fields
        ],
        "input_text": input_text,
        "content": call.sees_content,
    }
    return await answer(view, "datasets", name, "dataset.html", context)


@route("GET", "/datasets/{name}/cases/{case_id:path}", permission="viewer")
async def case(call: Call) -> Response:
    """One case: what was asked, what came out, what should have."""
    view = view_of(call, "30d")
    name, case_id = str(call.request.path_params["name"]), str(call.request.path_params["case_id"])
    wanted = _version(view.params.get("version"))
    found = await call.services.records.read(lambda c: datasets.get(c, view.project, name, wanted))
    ids = [c.id for c in found.cases] if found else []
    if found is None or case_id not in ids:
        raise HttpError(404, "there is no such case in this version", "another version may have it")
    at = ids.index(case_id)
    one = found.cases[at]
    context = {
        "dataset": found,
        "case": one,
        "number": at + 1,
        "previous": ids[at - 1] if at else None,
        "following": ids[at + 1] if at + 1 < len(ids) else None,
        "asked": input_text(one),
        "readable": conversation.readable,
        "content": call.sees_content,
        "splits": SPLITS,
        "newest": await _newest(call, name) == found.version,
    }
    return await answer(view, "datasets", f"{name} {case_id}", "case.html", context)


async def _newest(call: Call, name: str) -> int:
    rows = await call.services.records.read(lambda c: datasets.versions(c, call.project, name))
    return int(rows[0]["version"]) if rows else 0


@route("POST", "/datasets/{name}/cases/{case_id:path}", permission="editor", kind="page")
async def edit(call: Call) -> Response:
    """Change a case's expected output, split or owner: the next version. Refused when somebody else changed the dataset's
    case since the page was opened."""
    view = view_of(call, "30d")
    name, case_id = str(call.request.path_params["name"]), str(call.request.path_params["case_id"])
    call.need_content("cases hold prompts and outputs")
    given = await form_of(call)
    opened, now, wall = _version(given.get("version")), call.services.clock(), call.services.wall_clock()
    if given.get("split") not in SPLITS or len(given.get("expected", "")) > MOST_TEXT:
        raise HttpError(
            400,
            "that cannot be stored",
            f"a split is one of {', '.join(SPLITS)}; an output has {MOST_TEXT} characters at most",
        )

    def work(conn: Connection) -> int:
        was = datasets.get(conn, view.project, name, opened)
        newest = datasets.get(conn, view.project, name)
        then = next((c for c in was.cases if c.id == case_id), None) if was else None
        held = next((c for c in newest.cases if c.id == case_id), None) if newest else None
        if then is None or held is None or then != held:
            raise HttpError(
                409, "somebody changed this case meanwhile", "open its newest version and edit that"
            )
        changed = msgspec.structs.replace(
            held,
            expected=given.get("expected") or None,
            split=given["split"],
            owner=given.get("owner") or None,
        )
        note = given.get("note") or f"edited {case_id}"
        made = datasets.commit(
            conn,
            view.project,
            name,
            add=[changed],
            remove=[],
            author=call.principal.actor,
            note=note[:1000],
            now_ns=now,
        )
        audit.record(
            conn, project=view.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action="dataset.change", target=f"{name} v{made.version}", detail={"case": case_id},
        )  # fmt: skip
        return made.version

    version = await call.services.records.write(work)
    return RedirectResponse(view.url(f"/datasets/{name}/cases/{case_id}", version=version), 303)
