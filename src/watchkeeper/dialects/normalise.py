"""One client span to our span: the dialect that recognises it first, then every other one that has something to add."""

from types import ModuleType
from typing import Any, NamedTuple

from watchkeeper.dialects import (
    adk,
    claude_code,
    common,
    context,
    crewai,
    datadog,
    events,
    gen_ai,
    gen_ai_tool,
    genkit,
    haystack,
    langfuse,
    langsmith,
    litellm,
    llama_index,
    logfire,
    loose,
    mastra,
    mirascope,
    mlflow,
    monocle,
    openinference,
    openlit,
    plain,
    prompty,
    spare,
    strands,
    traceloop,
    typed,
    vectordb,
    vercel,
    watchkeeper,
)
from watchkeeper.dialects.draft import Draft, finish
from watchkeeper.model.span import LogRecord, RawSpan, Span

# In order of recognition: a client's own marker before the general conventions it also sends.
TABLE: tuple[ModuleType, ...] = (
    watchkeeper,
    langfuse,
    # Before OpenInference: its processor for the AI SDK adds a translation to what the SDK itself says.
    vercel,
    # Before OpenInference: Mastra's exporter for Arize adds it to its own types.
    mastra,
    openinference,
    langsmith,
    mlflow,
    strands,
    logfire,
    litellm,
    openlit,
    crewai,
    adk,
    datadog,
    claude_code,
    mirascope,
    genkit,
    haystack,
    llama_index,
    monocle,
    typed,
    vectordb,
    gen_ai,
    traceloop,
    prompty,
    loose,
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


class _Shape(NamedTuple):
    """What the names of a span's attributes decide, whatever their values."""

    heads: frozenset[str]
    primary: Any
    others: tuple[Any, ...]
    sampled: bool
    spare: dict[str, str]
    prefixed: bool


# An application's spans repeat a few sets of attribute names. Clients that invent names fill the table; it starts anew then.
_SHAPES: dict[tuple[Any, ...], _Shape] = {}
_MOST_SHAPES = 4096
_LONGEST_SHAPE = 64
# The values that recognition looks at beside the names.
_MARKS = ("gen_ai.system", "telemetry.sdk.name")


def _shape(raw: RawSpan) -> _Shape:
    attributes = raw.attributes
    if len(attributes) > _LONGEST_SHAPE:
        return _read_shape(raw)
    marks = tuple(str(attributes[m])[:64] for m in _MARKS if m in attributes)
    key = (raw.scope_name, raw.otel_kind, marks, *attributes)
    known = _SHAPES.get(key)
    if known is None:
        if len(_SHAPES) >= _MOST_SHAPES:
            _SHAPES.clear()
        known = _SHAPES[key] = _read_shape(raw)
    return known


def _read_shape(raw: RawSpan) -> _Shape:
    heads = {key.partition(".")[0] for key in raw.attributes}
    if "gen_ai" in heads and not traceloop.FLATTENED.isdisjoint(raw.attributes):
        heads.add("traceloop")
    primary: Any = next(d for d in TABLE if d.recognise(raw))
    others = tuple(d for d in TABLE if d is not primary and not heads.isdisjoint(d.HEADS))
    sampled = "sampl" in " ".join(heads).lower() or "logfire" in heads
    own, told = spare.names(raw.attributes), context.prefixed(raw.attributes)
    return _Shape(frozenset(heads), primary, others, sampled, own, told)


def _inside(draft: Draft, attributes: dict[str, Any]) -> None:
    """What an unknown client says under its own prefix (`neatlogs.llm.token_count.prompt`), in the words that others use without one."""
    openinference.read(draft, attributes)
    if draft.kind == "llm":
        loose.call(draft, attributes)
    elif draft.kind == "tool":
        gen_ai_tool.read(draft, attributes)


def _normalise(raw: RawSpan, logs: list[LogRecord] | None, aliases: context.Aliases) -> Span:
    attributes = raw.attributes
    heads, primary, others, sampled, own, prefixed = _shape(raw)
    if "logfire" in heads:
        raw = logfire.begun(raw)
    draft = Draft(raw)
    primary.read(draft, attributes)
    if draft.kind is None and own:
        # What the client says by a name of its own outranks what the conventions' content lets guess.
        draft.kind = draft.kind_told = spare.kind(own, attributes)
        if draft.kind is not None and primary is plain:
            _inside(draft, spare.inside(own, attributes))
    for dialect in others:
        dialect.read(draft, attributes)
    happened = raw.events
    if logs:
        happened = happened + [events.as_event(log) for log in logs]
    if happened:
        events.read(draft, happened)
    if draft.kind is None:
        plain.guess(draft)
    if primary is plain and draft.kind == "llm":
        loose.call(draft, attributes)
    elif primary is gen_ai and draft.kind == "llm" and "llm" in heads:
        # Who writes spans by hand mixes the conventions with the older names.
        loose.call(draft, {key: value for key, value in attributes.items() if key.startswith("llm.")})
    if own:
        spare.fill(draft, own, attributes)
    context.fill(draft, attributes, aliases, prefixed)
    for log in logs or ():
        # Some clients say who asked in the record alone (Google's ADK).
        context.fill(draft, log.attributes, aliases, with_prefixed=False)
    common.errors(draft, attributes, happened)
    if sampled or raw.trace_state:
        draft.keep_probability = common.keep_probability(raw.trace_state, attributes, raw.resource)
    return finish(draft, primary.NAME)
