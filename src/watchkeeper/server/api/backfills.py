"""Scorers over history: what a run would cost, and the runs there are."""

from typing import Any, Literal

from pydantic import Field, model_validator
from sqlalchemy.engine import Connection

from watchkeeper.model.backfill import Backfill, Spent
from watchkeeper.pipeline.backfill import BackfillFlow
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, ScorerName, Short, period
from watchkeeper.server.routing import Call, HttpError, needed, route
from watchkeeper.store.columns import QueryRefused
from watchkeeper.store.records import audit, backfills
from watchkeeper.store.sandbox_words import of_condition

_INTERNAL = (
    "smallest",
    "before",
    "scanned",
    "since_ns",
    "until_ns",
    "created_ns",
    "updated_ns",
    "finished_ns",
)


class Asked(Body):
    """What to score: one scorer or the judges of a scorecard, over the traces since a time that meet a condition. With
    `confirm` it starts, without it only its preview is answered."""

    scorer: ScorerName | None = None
    scorecard: Short | None = None
    since: str = Field("7d", max_length=40)
    until: str | None = Field(None, max_length=40)
    where: str | None = Field(None, max_length=4000)
    limit: int | None = Field(None, ge=1, le=100_000)
    budget: float | None = Field(None, gt=0, le=1e9, description="USD, on an account of its own.")
    confirm: bool = False

    @model_validator(mode="after")
    def _one(self) -> "Asked":
        if (self.scorer is None) == (self.scorecard is None):
            raise ValueError("give a scorer or a scorecard")
        return self


class Changed(Body):
    """What to do with a run."""

    action: Literal["pause", "resume", "cancel"]


def flow_of(call: Call) -> BackfillFlow:
    """The part that runs backfills. Raises `HttpError` 503 where there is none."""
    return needed(call.services.backfill, "backfills")


def backfill_json(b: Backfill, stand: Spent | None = None) -> dict[str, Any]:
    """A run as its readers need it. `progress` is the share of its work that is done, None while that is not known."""
    stand = stand or Spent()
    shown = {k: v for k, v in b.document().items() if k not in _INTERNAL}
    total = b.preview.traces if b.preview else 0
    scanned = 1.0 if b.scanned else min(1.0, b.seen / total) if total else None
    judged = stand.done + stand.dead
    share = scanned
    if scanned is not None and b.queued:
        share = scanned * judged / max(judged + stand.waiting, 1)
    return {
        **shown,
        "since": iso(b.since_ns),
        "until": iso(b.until_ns),
        "created": iso(b.created_ns),
        "finished": iso(b.finished_ns),
        "progress": 1.0 if b.state == "done" else share,
        "judged": stand.done,
        "waiting": stand.waiting,
        "dead": stand.dead,
        "calls": stand.calls,
        "cost": stand.cost,
    }


async def asked(call: Call, given: Asked) -> Backfill:
    """The run a request describes, with its preview. Raises `HttpError` 400."""
    now = call.services.clock()
    since, until = period(given.since, given.until, now)
    try:
        return await flow_of(call).asked(
            call.project,
            scorer=given.scorer,
            scorecard=given.scorecard,
            since_ns=since or 0,
            until_ns=now if until is None else until,
            where=given.where or None,
            limit=given.limit,
            budget=given.budget,
            author=call.principal.actor,
        )
    except Refused as error:
        raise HttpError(
            400, str(error), "GET /api/scorers lists them; POST without confirm shows what would happen"
        ) from None
    except QueryRefused as error:
        fault = of_condition(error, given.where or "")
        raise HttpError(400, f"where: {fault}", fault.hint) from None


async def begin(call: Call, made: Backfill) -> None:
    """Start a run and say so in the audit log."""
    await flow_of(call).start(made)
    wall = call.services.wall_clock()
    detail = {
        "scorers": sorted(made.scorers),
        "where": made.where,
        "limit": made.limit,
        "budget": made.budget,
    }
    await call.services.records.write(
        lambda c: audit.record(
            c, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action="backfill.start", target=made.id, detail=detail,
        )
    )  # fmt: skip


async def listed(call: Call) -> list[dict[str, Any]]:
    """The project's runs with how far they are, the newest first."""

    def read(conn: Connection) -> list[tuple[Backfill, Spent]]:
        found = backfills.listing(conn, call.project)
        return [(b, backfills.spent(conn, b.project, b.id)) for b in found]

    return [backfill_json(b, stand) for b, stand in await call.services.records.read(read)]


async def changed(call: Call, backfill_id: str, action: str) -> Backfill:
    """Pause, resume or cancel. Raises `HttpError` 404 and 409."""
    try:
        made = await flow_of(call).change(call.project, backfill_id, action)
    except Refused as error:
        raise HttpError(409, str(error), "") from None
    if made is None:
        raise HttpError(404, f"there is no backfill {backfill_id[:80]!r}", "GET /api/backfills lists them")
    wall = call.services.wall_clock()
    await call.services.records.write(
        lambda c: audit.record(
            c, project=call.project, now_ns=wall, actor=call.principal.actor, source=call.source,
            action=f"backfill.{action}", target=backfill_id, detail={},
        )
    )  # fmt: skip
    return made


@route("GET", "/api/backfills", permission="viewer")
async def backfills_(call: Call) -> list[dict[str, Any]]:
    """The runs of scorers over history, the newest first, with their progress and cost."""
    return await listed(call)


@route("GET", "/api/backfills/{backfill_id}", permission="viewer")
async def one_backfill(call: Call) -> dict[str, Any]:
    """One run."""
    wanted = str(call.request.path_params["backfill_id"])
    found = next((b for b in await listed(call) if b["id"] == wanted), None)
    if found is None:
        raise HttpError(404, f"there is no backfill {wanted[:80]!r}", "GET /api/backfills lists them")
    return found


@route("POST", "/api/backfills", permission="editor", body=Asked, status=201)
async def ask(call: Call) -> dict[str, Any]:
    """What a run would score, call and cost; with `confirm` it starts as well."""
    given: Asked = call.body
    made = await asked(call, given)
    if not given.confirm:
        return {"started": False, **backfill_json(made), "id": None, "state": "preview"}
    await begin(call, made)
    return {"started": True, **backfill_json(made)}


@route("POST", "/api/backfills/{backfill_id}", permission="editor", body=Changed)
async def change(call: Call) -> dict[str, Any]:
    """Pause, resume or cancel a run. What has been scored stays."""
    given: Changed = call.body
    return backfill_json(await changed(call, str(call.request.path_params["backfill_id"]), given.action))
