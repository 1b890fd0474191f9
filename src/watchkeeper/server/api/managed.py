"""One action on a failure signal: cases, a scorer, the gate's entry and a monitor; and what such actions made."""

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from pydantic import Field

from watchkeeper.config.base import formed
from watchkeeper.config.managed import as_yaml
from watchkeeper.config.problems import ConfigError
from watchkeeper.gating.subject import input_text
from watchkeeper.model.managed import Managed
from watchkeeper.model.review import Case
from watchkeeper.pipeline.from_signal import Accepted, Choice, Preview
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.server.answers import iso
from watchkeeper.server.api.datasets import case_dataset
from watchkeeper.server.api.shapes import Body, DatasetName, Query, Short
from watchkeeper.server.routing import Call, HttpError, needed, provided, refused, route
from watchkeeper.store.records import managed

ColumnName = Annotated[
    str,
    formed(r"^[a-z_][a-z0-9_]{0,79}$", "up to 80 small letters a to z, digits and _, first a letter or _"),
]


class Act(Body):
    """Without `accept` nothing is stored: the answer shows what would be made. `kind` chooses another proposal than the best;
    `model` (`provider:model`) measures a judge; `owner` and `runbook` are the monitor's."""

    accept: bool = False
    kind: Short | None = None
    dataset: DatasetName = "regressions"
    name: ColumnName | None = None
    owner: Short | None = None
    runbook: Short | None = None
    model: Short | None = None
    cases: int = Field(10, ge=1, le=100)


class Which(Query):
    """`retired` shows also what is not in force any more."""

    retired: bool = False


def choice_of(given: Act) -> Choice:
    """The request as the flow takes it."""
    return Choice(given.kind, given.dataset, given.name, given.owner, given.runbook, given.model, given.cases)


def managed_json(entry: Managed) -> dict[str, Any]:
    """One entry."""
    shown = msgspec.to_builtins(entry)
    return {**shown, "created": iso(entry.created_ns), "retired": iso(entry.retired_ns)}


def _case(case: Case, content: bool) -> dict[str, Any]:
    shown = {"id": case.id, "trace_id": case.trace_id, "labels": case.labels, "must_pass": case.must_pass}
    return {**shown, "input": input_text(case)[:500] if content else None}


def preview_json(seen: Preview, content: bool) -> dict[str, Any]:
    """What accepting would make."""
    return {
        "signal": seen.signal.id,
        "chosen": None if seen.chosen is None else seen.chosen.kind,
        "proposals": [msgspec.to_builtins(p) for p in seen.proposals],
        "cases": [_case(c, content) for c in seen.cases],
        "left_out": [{"trace_id": t, "like": c, "similarity": s} for t, c, s in seen.left_out],
        "moved": [asdict(m) for m in seen.moved],
        "scorer": seen.scorer,
        "scorecard": seen.scorecard,
        "monitor": seen.monitor,
        "failing": seen.failing,
        "passing": seen.passing,
    }


async def acted(call: Call, choice: Choice, accept: bool) -> Preview | Accepted:
    """The flow's answer, its refusals as HTTP errors."""
    case_dataset(choice.dataset)
    if choice.model is not None:
        provided(call, choice.model)
    flow = needed(call.services.from_signal, "actions on signals")
    signal_id = str(call.request.path_params["signal_id"])
    try:
        if not accept:
            return await flow.preview(call.project, signal_id, choice)
        return await flow.accept(
            call.project, signal_id, choice,
            actor=call.principal.actor, source=call.source, wall_ns=call.services.wall_clock(),
        )  # fmt: skip
    except Refused as error:
        raise refused(error) from None
    except ConfigError as error:
        raise HttpError(400, str(error), "choose another kind, name or owner") from None


@route("POST", "/api/signals/{signal_id}/act", permission="editor", body=Act)
async def act(call: Call) -> dict[str, Any]:
    """Preview, or with `accept` do in one action: cases into a dataset, a scorer aimed at the failure, the gate's entry and an
    online monitor. `moved` lists cases that this takes out of their split. Every proposal is shown with its recall and false alarms, measured on traces it was not learned from."""
    given: Act = call.body
    made = await acted(call, choice_of(given), given.accept)
    if isinstance(made, Accepted):
        return {"managed": managed_json(made.entry), "moved": [asdict(m) for m in made.moved]}
    return preview_json(made, call.sees_content)


@route("GET", "/api/managed", permission="viewer", query=Which)
async def listed(call: Call) -> list[dict[str, Any]]:
    """Configuration made from signals: in force beside the files until retired, or until a file has the same names."""
    entries = await call.services.records.read(
        lambda c: managed.find(c, call.project, retired=call.query.retired)
    )
    unused = {w.key for w in call.services.config.warnings if "is not in use" in w.message}
    return [{**managed_json(e), "in_use": e.retired_ns is None and e.id not in unused} for e in entries]


@route("GET", "/api/managed/export", permission="viewer")
async def export(call: Call) -> dict[str, Any]:
    """The entries in force as YAML, to be committed to the configuration's files."""
    entries = await call.services.records.read(lambda c: managed.find(c, call.project))
    return {"yaml": as_yaml(entries), "entries": [e.id for e in entries]}


@route("POST", "/api/managed/{managed_id}/retire", permission="editor")
async def retire(call: Call) -> dict[str, Any]:
    """Take an entry's scorer and monitor out of force. Its cases stay in their dataset."""
    wanted = str(call.request.path_params["managed_id"])
    flow = needed(call.services.from_signal, "actions on signals")
    done = await flow.retire(
        call.project,
        wanted,
        actor=call.principal.actor,
        source=call.source,
        wall_ns=call.services.wall_clock(),
    )
    if not done:
        raise HttpError(404, f"there is no entry {wanted[:80]!r} in force", "GET /api/managed lists them")
    return {"id": wanted, "retired": True}
