"""What users and other systems say about a trace: feedback and external scores, also before the trace arrives."""

from datetime import datetime
from typing import Any, Literal

from pydantic import model_validator

from watchkeeper.model.score import Score
from watchkeeper.server.api.shapes import Body, Finite, Long, ScorerName, Short, SpanId, TraceId, literal
from watchkeeper.server.routing import Call, route

STAR_NAMES = ("user_rating", "rating", "stars")


class Feedback(Body):
    """One user's word: a rating (`up`, `down`, true, false, or a number such as 1 to 5 stars), a comment, or both."""

    trace_id: TraceId
    span_id: SpanId | None = None
    rating: Literal["up", "down"] | bool | Finite | None = None
    name: ScorerName | None = None
    comment: Long | None = None
    source: Short = "user"
    author: Short | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Feedback":
        if self.rating is None and not self.comment and self.name is None:
            raise ValueError("give a rating, a comment, or the name of what happened")
        return self


class External(Body):
    """A score made elsewhere: a number, a label, or both."""

    trace_id: TraceId
    span_id: SpanId | None = None
    scorer: ScorerName
    value: Finite | None = None
    label: Short | None = None
    passed: bool | None = None
    reason: Long | None = None
    version: Short = "1"
    author: Short | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "External":
        if self.value is None and self.label is None:
            raise ValueError("give a value or a label")
        return self


def judged(given: Feedback) -> tuple[str, float | None, str | None, bool | None]:
    """The scorer's name, value, label and verdict of a feedback. Thumbs are 1 or 0; stars of 1 and 2 are a fail,
    4 and 5 a pass; any other number is a measurement and neither."""
    rating = given.rating
    if isinstance(rating, bool) or rating in ("up", "down"):
        up = rating is True or rating == "up"
        return given.name or "thumbs", float(up), "up" if up else "down", up
    if isinstance(rating, int | float):
        name = given.name or "user_rating"
        stars = name in STAR_NAMES and 1 <= rating <= 5
        passed = (False if rating <= 2 else True if rating >= 4 else None) if stars else None
        return name, float(rating), None, passed
    # A named event without a number happened: `copy`, `escalated`, `task_completed`.
    return given.name or "comment", 1.0 if given.name else None, None, None


async def trace_time(call: Call, trace_id: str) -> tuple[int, str | None]:
    """When the trace began and its session, as far as we know; now when it has not arrived yet."""
    query = f"select time, session_id from traces where trace_id = {literal(trace_id)} limit 1"
    table = await call.services.columns.sql(call.project, query, 1)
    if not table.rows:
        return call.services.clock(), None
    time, session = table.rows[0]
    if isinstance(time, datetime):
        return int(time.timestamp() * 1_000_000) * 1000, session
    return call.services.clock(), session


async def keep(call: Call, score: Score) -> None:
    """Store a score and let the rest of the product know of it."""
    await call.services.columns.write_scores([score])
    if call.services.on_scores is not None:
        await call.services.on_scores([score])


@route("POST", "/api/feedback", permission="ingest", body=Feedback, status=201)
async def give_feedback(call: Call) -> dict[str, Any]:
    """Record what a user said about a trace, as a score with the source `user`. The trace may arrive later."""
    given: Feedback = call.body
    name, value, label, passed = judged(given)
    time_ns, session = await trace_time(call, given.trace_id)
    await keep(
        call,
        Score(
            project=call.project,
            trace_id=given.trace_id,
            span_id=given.span_id or "",
            scorer=name,
            version="1",
            source="user",
            time_ns=time_ns,
            scored_ns=call.services.clock(),
            session_id=session,
            author=given.author or given.source,
            value=value,
            label=label,
            passed=passed,
            reason=given.comment,
        ),
    )
    return {"scorer": name, "value": value, "label": label, "passed": passed}


@route("POST", "/api/scores", permission="ingest", body=External, status=201)
async def give_score(call: Call) -> dict[str, Any]:
    """Record a score made by another system. Sending it again with the same scorer and version replaces it."""
    given: External = call.body
    time_ns, session = await trace_time(call, given.trace_id)
    await keep(
        call,
        Score(
            project=call.project,
            trace_id=given.trace_id,
            span_id=given.span_id or "",
            scorer=given.scorer,
            version=given.version,
            source="external",
            time_ns=time_ns,
            scored_ns=call.services.clock(),
            session_id=session,
            author=given.author or call.principal.actor,
            value=given.value,
            label=given.label,
            passed=given.passed,
            reason=given.reason,
        ),
    )
    return {"scorer": given.scorer, "value": given.value, "label": given.label}
