"""Datasets: immutable versions of cases, and what changed between two of them."""

from typing import Any

from sqlalchemy.engine import Connection
from starlette.responses import Response

from watchkeeper.gating.subject import input_text
from watchkeeper.model.review import DatasetVersion
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import datasets, experiments
from watchkeeper.web import conversation
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import view_of


@route("GET", "/datasets", permission="viewer")
async def listing(call: Call) -> Response:
    """Every dataset with its newest version."""
    view = view_of(call, "30d")
    found = await call.services.records.read(lambda c: datasets.listing(c, view.project))
    return await answer(view, "datasets", "Datasets", "datasets.html", {"datasets": found})


def _version(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 9 else None


@route("GET", "/datasets/{name}", permission="viewer")
async def one(call: Call) -> Response:
    """One version of a dataset; the newest without `?version=`. Changes are against the version before."""
    view = view_of(call, "30d")
    name = str(call.request.path_params["name"])
    wanted = _version(view.params.get("version"))

    def read(conn: Connection) -> dict[str, Any] | None:
        found = datasets.get(conn, view.project, name, wanted)
        if found is None:
            return None
        before = datasets.get(conn, view.project, name, found.version - 1) if found.version > 1 else None
        runs = [e for e in experiments.listing(conn, view.project) if e["dataset"] == name]
        return {
            "dataset": found,
            "versions": datasets.versions(conn, view.project, name),
            "change": _change(before, found),
            "runs": runs[:10],
        }

    found = await call.services.records.read(read)
    if found is None:
        raise HttpError(
            404, "there is no such dataset or version in this project", "the list of datasets has all of them"
        )
    context = {**found, "input_text": input_text, "content": call.sees_content}
    return await answer(view, "datasets", name, "dataset.html", context)


def _change(before: DatasetVersion | None, now: DatasetVersion) -> dict[str, set[str]]:
    if before is None:
        return {"added": {c.id for c in now.cases}, "removed": set(), "changed": set()}
    return {k: set(v) for k, v in datasets.diff(before, now).items()}


@route("GET", "/datasets/{name}/cases/{case_id}", permission="viewer")
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
    }
    return await answer(view, "datasets", f"{name} {case_id}", "case.html", context)
