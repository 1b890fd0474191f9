"""Datasets with their immutable versions, and cases from traces."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import msgspec
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from watchkeeper.gating.dataset import changes, splits
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.model.splits import REPLAYS, AnySplit, Split
from watchkeeper.pipeline.curate import Twin, admitted, changed, leaks, refreshed
from watchkeeper.pipeline.promote import NearDuplicate, case_of, must_pass_of, promote
from watchkeeper.server.answers import timed
from watchkeeper.server.api.shapes import (
    Answer,
    Body,
    DatasetName,
    Long,
    Ordinal,
    Query,
    ScorerName,
    Short,
    TraceId,
)
from watchkeeper.server.reading import load_trace, no_trace, note_change, note_opened
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import datasets, reviews

_NAME: TypeAdapter[str] = TypeAdapter(DatasetName)


class Made(Body):
    """A new, empty dataset."""

    name: DatasetName
    description: Long = ""


class CaseIn(Body):
    """One case: what is asked, and what is known about the right answer."""

    id: Short
    input: Any
    context: dict[str, Any] = {}
    expected: Answer | None = None
    actual: Answer | None = None
    labels: list[Short] = []
    scenario: Short | None = None
    trace_id: TraceId | None = None
    severity: Short | None = None
    owner: Short | None = None
    split: AnySplit = "regression"
    must_pass: list[ScorerName] = []


class Cases(Body):
    """Cases to add (the same id replaces) and ids to remove: together one new version. `duplicates` says what becomes of a
    case that asks what another of the dataset asks: refuse the change, skip the case, or keep it."""

    add: list[CaseIn] = Field([], max_length=10_000)
    remove: list[Short] = Field([], max_length=10_000)
    note: Long = ""
    duplicates: Literal["refuse", "skip", "keep"] = "refuse"


class Promotion(Body):
    """A trace that becomes a case; `force` adds it although the dataset holds one that asks the same."""

    trace_id: TraceId
    note: Long = ""
    split: Split = "regression"
    owner: Short | None = None
    force: bool = False


class Version(Query):
    """Which version; the newest when not given."""

    version: Ordinal | None = None


@route("GET", "/api/datasets", permission="viewer")
async def list_datasets(call: Call) -> list[dict[str, Any]]:
    """Every dataset with its newest version and number of cases."""
    rows = await call.services.records.read(lambda c: datasets.listing(c, call.project))
    return [timed(row) for row in rows]


@route("POST", "/api/datasets", permission="editor", body=Made, status=201)
async def make(call: Call) -> dict[str, Any]:
    """Make an empty dataset."""
    given: Made = call.body
    now = call.services.clock()
    new = await call.services.records.write(
        lambda c: datasets.create(c, call.project, given.name, given.description, now)
    )
    if not new:
        raise HttpError(409, f"there is already a dataset {given.name}", "choose another name")
    await note_change(call, "dataset.create", given.name)
    return {"name": given.name}


def _name(call: Call) -> str:
    return str(call.request.path_params["name"])


@route("GET", "/api/datasets/{name}", permission="viewer", query=Version)
async def one(call: Call) -> dict[str, Any]:
    """One version with its cases; the newest unless `version` says otherwise. Reading cases is noted in the audit log."""
    name, version = _name(call), call.query.version
    call.need_content("cases hold prompts and outputs")
    found = await call.services.records.read(lambda c: datasets.get(c, call.project, name, version))
    if found is None:
        known = await _newest(call)
        if version is None and name in known:
            return {"dataset": name, "version": 0, "cases": []}
        raise _absent(known, name, version)
    await note_opened(call, f"{name} v{found.version}", "dataset.open")
    return {**msgspec.to_builtins(found), "created": timed({"created_ns": found.created_ns})["created"]}


@route("GET", "/api/datasets/{name}/versions", permission="viewer")
async def list_versions(call: Call) -> list[dict[str, Any]]:
    """The versions of a dataset, newest first, without their cases."""
    rows = await call.services.records.read(lambda c: datasets.versions(c, call.project, _name(call)))
    if not rows:
        known = await _newest(call)
        if _name(call) not in known:
            raise _absent(known, _name(call), None)
    return [timed(row) for row in rows]


@route(
    "POST",
    "/api/datasets/{name}/cases",
    permission="editor",
    body=Cases,
    status=201,
    max_body=32 << 20,
)
async def change(call: Call) -> dict[str, Any]:
    """Add and remove cases: one new version. A change that changes nothing makes none. `moved` lists cases that it takes out of
    their split."""
    given: Cases = call.body
    name, now = _dataset_name(call), call.services.clock()
    if not given.add and not given.remove:
        raise HttpError(400, "there is nothing to change", "give cases under add, or ids under remove")
    if given.remove:
        latest = await call.services.records.read(lambda c: datasets.get(c, call.project, name))
        strangers = sorted({*given.remove} - {c.id for c in latest.cases} if latest else {*given.remove})
        if strangers:
            raise HttpError(
                404,
                f"dataset {name} has no case {', '.join(s[:100] for s in strangers[:5])}",
                f"nothing was changed; GET /api/datasets/{name} lists its cases",
            )
    cases = [msgspec.convert(c.model_dump(), Case) for c in given.add]
    twins: list[Twin] = []
    if given.duplicates != "keep" and cases:
        held = await call.services.records.read(lambda c: datasets.get(c, call.project, name))
        known = [c for c in held.cases if c.id not in given.remove] if held else []
        cases, twins = await asyncio.to_thread(admitted, known, cases)
        if twins and given.duplicates == "refuse":
            raise HttpError(
                409,
                _asked_twice(twins),
                "'duplicates': skip leaves them out, keep adds them anyway",
            )
    made, moved = await call.services.records.write(
        lambda c: changed(
            c, call.project, name, add=cases, remove=given.remove,
            author=call.principal.actor, note=given.note, now_ns=now,
        )
    )  # fmt: skip
    await note_change(call, "dataset.change", f"{name} v{made.version}")
    return {
        "dataset": name,
        "version": made.version,
        "cases": len(made.cases),
        "content_hash": made.content_hash,
        "skipped": [asdict(t) for t in twins],
        "moved": [asdict(m) for m in moved],
    }


def _asked_twice(twins: list[Twin]) -> str:
    shown = "; ".join(
        f"{t.case_id} asks what {t.other_id} ({t.other_split}) asks ({t.similarity:.0%} alike)"
        for t in twins[:3]
    )
    return f"{len(twins)} of these cases are near-duplicates: {shown}"


class Between(Query):
    """Two versions; `to` is the newest and `from` the one before it when not given."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, populate_by_name=True)
    from_: int | None = Field(None, alias="from", ge=0, le=2**53 - 1)
    to: Ordinal | None = None


@route("GET", "/api/datasets/{name}/diff", permission="viewer", query=Between)
async def diff(call: Call) -> dict[str, Any]:
    """What changed between two versions: cases added, changed (field by field, old and new) and removed. Version 0 is empty."""
    call.need_content("cases hold prompts and outputs")
    name, wanted = _name(call), call.query
    new = await _version(call, name, wanted.to)
    number = new.version - 1 if wanted.from_ is None else wanted.from_
    old = None if number == 0 else await _version(call, name, number)
    found = changes(old, new)
    await note_opened(call, f"{name} v{number} to v{new.version}", "dataset.diff")
    return {
        "dataset": name,
        "from": number,
        "to": new.version,
        "added": sum(c.kind == "added" for c in found),
        "changed": sum(c.kind == "changed" for c in found),
        "removed": sum(c.kind == "removed" for c in found),
        "changes": [asdict(c) for c in found],
    }


async def _version(call: Call, name: str, version: int | None) -> DatasetVersion:
    found = await call.services.records.read(lambda c: datasets.get(c, call.project, name, version))
    if found is None:
        raise _absent(await _newest(call), name, version)
    return found


async def _newest(call: Call) -> dict[str, int]:
    """The newest version of every dataset; 0 where it has none yet."""
    listed = await call.services.records.read(lambda c: datasets.listing(c, call.project))
    return {str(d["name"]): int(d["version"] or 0) for d in listed}


def _absent(known: Mapping[str, int], name: str, version: int | None) -> HttpError:
    """What is said of a dataset or version that is not there, and what is."""
    if name in known:
        newest = f"its newest is {known[name]}" if known[name] else "it has none yet"
        return HttpError(404, f"the dataset {name!r} has no version {version or ''}".rstrip(), newest)
    none = "there are no datasets yet; 'watchkeeper dataset import NAME FILE' makes one"
    hint = f"there are: {', '.join(known)}" if known else none
    return HttpError(404, f"there is no dataset {name[:100]!r}", hint)


@route("GET", "/api/datasets/{name}/health", permission="viewer", query=Version)
async def health(call: Call) -> dict[str, Any]:
    """Cases a split, how much of the golden set is new since a quarter ago (10 to 20 % is wanted), cases that ask what a case of
    another split asks, and cases without a trace they came from."""
    found = await _version(call, _name(call), call.query.version)
    now = call.services.clock()
    fresh = await call.services.records.read(lambda c: refreshed(c, found, now))
    leaking = await asyncio.to_thread(leaks, found.cases)
    n = len(found.cases)
    return {
        "dataset": found.dataset,
        "version": found.version,
        "cases": n,
        "splits": splits(found.cases),
        "refresh": asdict(fresh),
        "leaks": [{"case_id": a, "other_id": b} for a, b in leaking[:100]],
        "leaking": len(leaking),
        "leaking_share": len(leaking) / n if n else None,
        "without_trace": sum(c.trace_id is None for c in found.cases),
    }


def _dataset_name(call: Call) -> str:
    return dataset_name(_name(call))


def case_dataset(name: str) -> str:
    """The name of a dataset that a trace is to become a case of. Raises `HttpError` for what can be none."""
    if name == REPLAYS:
        said = f"every replay makes the dataset {REPLAYS} anew, without what others put there"
        raise HttpError(409, said, "choose another dataset")
    return dataset_name(name)


def dataset_name(name: str) -> str:
    """The name of a dataset that may be made. Raises `HttpError`."""
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        hint = "1 to 100 letters, digits, dots, - and _, starting with a letter or digit"
        raise HttpError(400, f"{name[:100]!r} cannot name a dataset", hint) from None


@route("POST", "/api/datasets/{name}/promote", permission="reviewer", body=Promotion, status=201)
async def promote_trace(call: Call) -> dict[str, Any]:
    """Make a trace a test case, with its newest label and the scorers that failed on it. Where the dataset has it already the case
    is made anew; `moved` says which split it was in, where that was another."""
    given: Promotion = call.body
    name = case_dataset(_name(call))
    found = await load_trace(call.services, call.project, given.trace_id)
    if found is None:
        raise await no_trace(call.services, call.project, given.trace_id)
    trace, scores = found
    labels = await call.services.records.read(lambda c: reviews.labels_of(c, call.project, [given.trace_id]))
    failed = must_pass_of(scores, call.services.gate.scorers(call.project) if call.services.gate else [])
    case = case_of(trace, labels[-1] if labels else None, given.split, given.owner, failed)
    try:
        made, moved = await promote(
            call.services.records, call.project, name, [case],
            author=call.principal.actor, note=given.note, now_ns=call.services.clock(), force=given.force,
        )  # fmt: skip
    except NearDuplicate as error:
        raise HttpError(409, str(error), "send force: true to add it anyway") from None
    await note_change(call, "dataset.promote", f"{name} v{made.version} {given.trace_id}")
    return {
        "dataset": name,
        "version": made.version,
        "case_id": case.id,
        "cases": len(made.cases),
        "moved": [asdict(m) for m in moved],
    }
