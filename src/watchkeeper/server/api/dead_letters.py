"""What was given up, and another try for it: judgements whose attempts are used up, messages that no receiver took."""

from typing import Any

from sqlalchemy.engine import Connection

from watchkeeper.model.alert import Notification
from watchkeeper.pipeline import judge_jobs
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Page, Short
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import jobs, outbox


class Again(Body):
    """What is tried again: one by its `id`, everything when it is left out."""

    id: Short | None = None


def _judgement(job: jobs.Job) -> dict[str, Any]:
    about = f"{job.payload.get('scorer')} of trace {job.payload.get('trace_id')}"
    return {
        "id": job.key, "kind": "judgement", "about": about, "reason": job.error, "attempts": job.attempts,
        "time": iso(job.created_ns),
    }  # fmt: skip


def _message(message: Notification) -> dict[str, Any]:
    return {
        "id": message.id, "kind": "message", "about": f"{message.route}: {message.subject}",
        "reason": message.failed_reason, "attempts": message.attempts, "time": iso(message.created_ns),
    }  # fmt: skip


@route("GET", "/api/dead-letters", permission="editor", query=Page)
async def listed(call: Call) -> list[dict[str, Any]]:
    """Judgements and messages that were given up, with the reason; of each kind the latest first."""
    limit = int(call.query.limit)

    def read(c: Connection) -> list[dict[str, Any]]:
        judged = jobs.listed(c, project=call.project, status="dead", limit=limit)
        told = outbox.find(c, call.project, "dead", limit=limit)
        return [*(_judgement(j) for j in judged), *(_message(m) for _, m in told)][:limit]

    return await call.services.records.read(read)


@route("POST", "/api/dead-letters/retry", permission="editor", body=Again)
async def retry(call: Call) -> dict[str, Any]:
    """Try one again, or all: a judgement with all its attempts, a message under the same id."""
    given: Again = call.body
    now = call.services.clock()

    def work(c: Connection) -> tuple[int, list[dict[str, Any]]]:
        judged, totals = judge_jobs.again(c, call.project, now, given.id)
        return judged + outbox.requeue(c, call.project, now, given.id), totals

    number, totals = await call.services.records.write(work)
    if totals:
        await call.services.columns.write_coverage(totals)
    if given.id is not None and not number:
        raise HttpError(404, f"{given.id[:80]!r} was not given up", "GET /api/dead-letters lists what was")
    await note_change(call, "dead_letters.retry", given.id or f"all ({number})")
    return {"retried": number}
