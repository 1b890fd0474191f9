"""One client span to our span: the dialect that recognises it first, then every other one that has something to add."""

from types import ModuleType
from typing import Any

from watchkeeper.dialects import (
    adk,
    common,
    context,
    crewai,
    events,
    gen_ai,
    langfuse,
    langsmith,
    litellm,
    logfire,
    mlflow,
    openinference,
    openlit,
    plain,
    strands,
    traceloop,
    vercel,
    watchkeeper,
)
from watchkeeper.dialects.draft import Draft, finish
from watchkeeper.model.span import LogRecord, RawSpan, Span

# In order of recognition: a client's own marker before the general conventions it also sends.
TABLE: tuple[ModuleType, ...] = (
    watchkeeper,
    langfuse,
    openinference,
    langsmith,
    mlflow,
    vercel,
    strands,
    logfire,
    litellm,
    openlit,
    crewai,
    adk,
    gen_ai,
    traceloop,
    plain,
)


def normalise(
    raw: RawSpan, logs: list[LogRecord] | None = None, aliases: context.Aliases = context.DEFAULT
) -> Span:
    """`raw` as our span, with the log records that belong to it. Never fails on content; unknown stays None."""
    try:
        return _normalise(raw, logs, aliases)
    except RecursionError:
        # JSON nested hundreds of levels deep is nobody's conversation: the span is kept whole and unread.
        draft = Draft(raw)
        draft.truncated = ["nesting"]
        return finish(draft, "unreadable")


def _normalise(raw: RawSpan, logs: list[LogRecord] | None, aliases: context.Aliases) -> Span:
    attributes = raw.attributes
    heads = {key.partition(".")[0] for key in attributes}
    if "gen_ai" in heads and not traceloop.FLATTENED.isdisjoint(attributes):
        heads.add("traceloop")
    draft = Draft(raw)
    primary: Any = next(d for d in TABLE if d.recognise(raw))
    primary.read(draft, attributes)
    for dialect in TABLE:
        if dialect is not primary and not heads.isdisjoint(dialect.HEADS):
            dialect.read(draft, attributes)
    happened = raw.events
    if logs:
        happened = happened + [events.as_event(log) for log in logs]
    if happened:
        events.read(draft, happened)
    if draft.kind is None:
        plain.guess(draft)
    context.fill(draft, attributes, aliases, heads)
    common.errors(draft, attributes)
    if raw.trace_state or "sampl" in " ".join(heads).lower() or "logfire" in heads:
        draft.keep_probability = common.keep_probability(raw.trace_state, attributes, raw.resource)
    return finish(draft, primary.NAME)
