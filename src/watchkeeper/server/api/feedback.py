"""What users and other systems say about a trace: feedback and external scores, also before the trace arrives."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import model_validator

from watchkeeper.config.base import MetricName
from watchkeeper.model.score import THUMBS, Score
from watchkeeper.scoring.edits import edit_distance
from watchkeeper.scoring.evidence import ESCALATIONS
from watchkeeper.server.api.shapes import Body, Finite, Long, Short, SpanId, TraceId, literal
from watchkeeper.server.reading import load_trace
from watchkeeper.server.routing import Call, HttpError, route

STAR_NAMES = ("user_rating", "rating", "stars")


class Feedback(Body):
    """One user's word: a rating (`up`, `down`, true, false, or a number such as 1 to 5 stars), a comment, or both. `correction`
    is the text the user made of the answer; `name` what happened: `copy`, `escalated`, `task_completed`, `minutes_to_resolution`."""

    trace_id: TraceId
    span_id: SpanId | None = None
    rating: Literal["up", "down"] | bool | Finite | None = None
    name: MetricName | None = None
    comment: Long | None = None
    correction: Long | None = None
    source: Short = "user"
    author: Short | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Feedback":
        if self.rating is None and not self.comment and self.name is None and self.correction is None:
            raise ValueError("give a rating, a comment, a correction, or the name of what happened")
        return self


class External(Body):
    """A score made elsewhere: a number, a label, or both."""

    trace_id: TraceId
    span_id: SpanId | None = None
    scorer: MetricName
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
        if given.name is None or given.name in THUMBS:
            return given.name or "thumbs", float(up), "up" if up else "down", up
        # That somebody had to take over is true when it is bad.
        good = not up if given.name in ESCALATIONS else up
        return given.name, float(up), "yes" if up else "no", good
    if isinstance(rating, int | float):
        name = given.name or "user_rating"
        stars = name in STAR_NAMES and 1 <= rating <= 5
        passed = (False if rating <= 2 else True if rating >= 4 else None) if stars else None
        return name, float(rating), None, passed
    if given.name is None:
        return "comment", None, None, None
    # A named event without a number happened: `copy`, `escalated`, `task_completed`.
    return given.name, 1.0, None, False if given.name in ESCALATIONS else None


def corrected(call: Call, given: Feedback, output: str | None) -> tuple[float | None, str]:
    """How much of the answer the user changed (None while the answer has not arrived), and the correction."""
    text = call.services.redact(given.correction or "")
    return (None if output is None else round(edit_distance(output, text), 4)), text


class Answered(msgspec.Struct):
    """When a trace began (now while it has not arrived), its session and its answer, as far as they are known."""

    time_ns: int
    session: str | None = None
    output: str | None = None


async def answered(call: Call, trace_id: str, span_id: str | None = None) -> Answered:
    """What feedback on a trace or one of its spans needs to know of it."""
    query = f"select time, session_id, output_text from traces where trace_id = {literal(trace_id)} limit 1"
    table = await call.services.columns.sql(call.project, query, 1)
    if not table.rows:
        return Answered(call.services.clock())
    time, session, output = table.rows[0]
    if span_id is not None:
        # The table cuts the outputs of steps; what is corrected is whole in what the client sent.
        loaded = await load_trace(call.services, call.project, trace_id)
        spans = loaded[0].spans if loaded else []
        output = next((s.output_text for s in spans if s.span_id == span_id), None)
    when = int(time.timestamp() * 1_000_000) * 1000 if isinstance(time, datetime) else call.services.clock()
    return Answered(when, session, output)


async def keep(call: Call, *scores: Score) -> None:
    """Store scores and let the rest of the product know of them. Raises `HttpError` 400 for a name that must not be stored."""
    for score in scores:
        if call.services.redact(score.scorer) != score.scorer:
            raise HttpError(
                400,
                "the name of this score looks like personal data or a key",
                "names are stored as they are: choose another",
            )
    await call.services.columns.write_scores(list(scores))
    if call.services.on_scores is not None:
        await call.services.on_scores(list(scores))


@route("POST", "/api/feedback", permission="ingest", body=Feedback, status=201)
async def give_feedback(call: Call) -> dict[str, Any]:
    """Record what a user said about a trace, as a score with the source `user`. The trace may arrive later."""
    given: Feedback = call.body
    known = await answered(call, given.trace_id, given.span_id)
    comment = call.services.redact(given.comment) if given.comment else None
    said = [(*judged(given), comment)] if given.rating is not None or given.correction is None else []
    if given.correction is not None:
        distance, text = corrected(call, given, known.output)
        said.append(("correction", distance, None, None, text))
    scores = [
        Score(
            project=call.project,
            trace_id=given.trace_id,
            span_id=given.span_id or "",
            scorer=name,
            version="1",
            source="user",
            time_ns=known.time_ns,
            scored_ns=call.services.clock(),
            session_id=known.session,
            author=call.services.redact(given.author or given.source),
            value=value,
            label=label,
            passed=passed,
            reason=reason,
        )
        for name, value, label, passed, reason in said
    ]
    await keep(call, *scores)
    first = scores[0]
    made = {"scorer": first.scorer, "value": first.value, "label": first.label, "passed": first.passed}
    return made if given.correction is None else {**made, "edit_distance": scores[-1].value}


@route("POST", "/api/scores", permission="ingest", body=External, status=201)
async def give_score(call: Call) -> dict[str, Any]:
    """Record a score made by another system. Sending it again with the same scorer and version replaces it."""
    given: External = call.body
    known = await answered(call, given.trace_id)
    await keep(
        call,
        Score(
            project=call.project,
            trace_id=given.trace_id,
            span_id=given.span_id or "",
            scorer=given.scorer,
            version=given.version,
            source="external",
            time_ns=known.time_ns,
            scored_ns=call.services.clock(),
            session_id=known.session,
            author=call.services.redact(given.author) if given.author else call.principal.actor,
            value=given.value,
            label=given.label and call.services.redact(given.label),
            passed=given.passed,
            reason=call.services.redact(given.reason) if given.reason else None,
        ),
    )
    return {"scorer": given.scorer, "value": given.value, "label": given.label}
