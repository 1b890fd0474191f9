"""Rubrics tried on stored traces: what a trial would cost, and the trial."""

from typing import Any, Literal

from pydantic import Field

from watchkeeper.pipeline.playground import MOST_TRACES, judge_of
from watchkeeper.pipeline.quote import said_usd
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.server.api.shapes import Body, Short, moment_ns
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, needed, provided, refused, route
from watchkeeper.store.columns import QueryRefused


class Version(Body):
    """One version of a judge: a pinned model with a built-in rubric or a question of its own."""

    model: Short
    rubric: Short | None = None
    prompt: str | None = Field(None, max_length=8000)
    scale: Short | None = None
    floor: float | None = Field(None, allow_inf_nan=False)
    self_judging: Literal["refuse", "allow"] = "refuse"


class Trial(Body):
    """One or two versions over the newest traces that meet a condition. Without `confirm` only the cost is answered."""

    versions: list[Version] = Field(min_length=1, max_length=2)
    since: str = Field("7d", max_length=40)
    where: str | None = Field(None, max_length=4000)
    n: int = Field(10, ge=1, le=MOST_TRACES)
    confirm: bool = False


async def tried(call: Call, given: Trial) -> dict[str, Any]:
    """The trial's plan, and with `confirm` its results. Raises `HttpError`."""
    flow = needed(call.services.playground, "models to ask")
    call.need_content("a trial shows prompts and outputs")
    for version in given.versions:
        provided(call, version.model)
    try:
        judges = [judge_of(v.model_dump(), name) for v, name in zip(given.versions, "AB", strict=False)]
        since = moment_ns(given.since, call.services.clock(), "since")
        subjects = await flow.subjects(call.project, since, given.where, given.n)
    except Refused as error:
        raise refused(error, 400) from None
    except QueryRefused as error:
        raise HttpError(400, f"where: {error}", error.hint) from None
    planned = await flow.preview(judges, subjects)
    if not given.confirm:
        return {"asked": False, "planned": planned}
    made = await flow.run(judges, subjects)
    await note_change(call, "playground.run", f"{made['calls']} calls, {said_usd(made['cost'])}")
    return {"asked": True, "planned": planned, **made}


@route("POST", "/api/playground", permission="editor", body=Trial)
async def playground(call: Call) -> dict[str, Any]:
    """Try one or two versions of a judge on stored traces, side by side: the cost first, and nothing is stored as a score."""
    return await tried(call, call.body)
