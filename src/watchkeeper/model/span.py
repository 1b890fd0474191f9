"""What happened: the span as a client sent it (`RawSpan`, `LogRecord`) and as we understand it (`Span`).

`RawSpan` is what is stored, whole and redacted; `Span` is derived from it by a dialect and may be derived
again at any time, so a better dialect also improves history. All times are integer nanoseconds since 1970 UTC.
`None` always means unknown.
"""

from typing import Any

import msgspec

KINDS = (
    "llm",
    "embedding",
    "retrieval",
    "tool",
    "agent",
    "workflow",
    "guardrail",
    "evaluator",
    "rerank",
    "memory",
    "http",
    "other",
)
FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "refusal")


class RawEvent(msgspec.Struct, gc=False):
    """A span event as sent."""

    name: str
    time_ns: int
    attributes: dict[str, Any]


class RawLink(msgspec.Struct, gc=False):
    """A link to a span of this or another trace, as sent."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class RawSpan(msgspec.Struct, gc=False):
    """One span as a client sent it, attribute values turned into plain Python values.

    `end_ns` is 0 while the span is still running. `status` is `ok`, `error` or `unset`. `otel_kind` is the OTLP
    span kind in lower case (`internal`, `server`, `client`, `producer`, `consumer`, `unspecified`).
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    otel_kind: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str | None
    attributes: dict[str, Any]
    events: list[RawEvent]
    links: list[RawLink]
    resource: dict[str, Any]
    scope_name: str = ""
    scope_version: str = ""
    trace_state: str = ""
    flags: int = 0
    time_suspect: bool = False


class LogRecord(msgspec.Struct, gc=False):
    """One OTLP log record. `name` is the event name, wherever the client put it (event_name, `event.name`, body)."""

    trace_id: str
    span_id: str
    time_ns: int
    name: str
    severity: int
    body: Any
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope_name: str = ""
    log_id: str = ""
    time_suspect: bool = False


class Part(msgspec.Struct, omit_defaults=True, gc=False):
    """One piece of a message. `type`: text, tool_call, tool_result, reasoning, media, refusal or unknown."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    arguments: Any = None
    result: Any = None
    uri: str | None = None
    mime_type: str | None = None
    raw: Any = None


class Message(msgspec.Struct, gc=False):
    """One message of a conversation; `role` is system, user, assistant or tool."""

    role: str
    parts: list[Part]
    name: str | None = None
    finish_reason: str | None = None

    @property
    def text(self) -> str | None:
        """The text parts joined by newlines, or None when there are none."""
        texts = [p.text for p in self.parts if p.type == "text" and p.text is not None]
        return "\n".join(texts) if texts else None


class ToolCall(msgspec.Struct, gc=False):
    """A call a model asked for. `arguments` is the parsed object, or the raw text where it does not parse."""

    id: str | None
    name: str | None
    arguments: Any = None


class Usage(msgspec.Struct, gc=False):
    """Tokens of one provider call: input includes cached, output includes reasoning. None is unknown."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    input_tokens_as_sent: int | None = None


class LLM(msgspec.Struct):
    """One provider call. `duplicate_of` names the span that carries the same call and is counted instead."""

    provider: str | None = None
    provider_raw: dict[str, str] = {}
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    params: dict[str, Any] = {}
    stream: bool | None = None
    system: str | None = None
    input_messages: list[Message] = []
    output_messages: list[Message] = []
    output_text: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] = []
    tool_definitions: list[dict[str, Any]] = []
    finish_reason: str | None = None
    finish_reason_raw: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)
    cost: float | None = None
    cost_client: float | None = None
    pricing_version: str | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    attempts: int | None = None
    duplicate_of: str | None = None


class Document(msgspec.Struct, gc=False):
    """A retrieved document; `score` is the retriever's own, in its own unit."""

    id: str | None = None
    score: float | None = None
    content: str | None = None
    metadata: dict[str, Any] = {}


class Retrieval(msgspec.Struct, gc=False):
    """A retrieval or reranking step."""

    query: str | None = None
    top_k: int | None = None
    documents: list[Document] = []


class Tool(msgspec.Struct, gc=False):
    """One execution of a tool. An empty result is not an error."""

    name: str | None = None
    call_id: str | None = None
    arguments: Any = None
    result: Any = None
    error: str | None = None


class ErrorInfo(msgspec.Struct, gc=False):
    """Why a span failed: `class_` from the closed taxonomy of `model.errors`, the client's own words beside it."""

    class_: str = msgspec.field(name="class")
    message: str | None = None
    raw_type: str | None = None


class Evaluation(msgspec.Struct, gc=False):
    """A score that arrived inside telemetry (an evaluation event or annotation).

    `scored_ns` is when it was made; `source` is `user` where it says that a user said it.
    """

    name: str
    value: float | None = None
    label: str | None = None
    explanation: str | None = None
    span_id: str | None = None
    response_id: str | None = None
    author: str | None = None
    version: str | None = None
    passed: bool | None = None
    scored_ns: int | None = None
    source: str | None = None


class Guardrail(msgspec.Struct, gc=False):
    """What a guardrail said about a request or an answer; `skipped` names what it could not check and why."""

    name: str | None = None
    result: str | None = None
    triggered: bool | None = None
    reasons: list[str] = []
    skipped: list[str] = []


class Context(msgspec.Struct):
    """Who and what a span belongs to; missing values are filled from the root at read time."""

    session_id: str | None = None
    user_id: str | None = None
    agent_name: str | None = None
    workflow: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    scenario: str | None = None
    service: str | None = None
    environment: str | None = None
    region: str | None = None
    release: str | None = None
    variant: str | None = None
    tags: list[str] = []
    metadata: dict[str, Any] = {}


class Span(msgspec.Struct):
    """One step of a trace, normalised. `input_text`/`output_text` are what a person would call its input and output;
    `queue_ms` is how long the request waited before it was worked on."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    dialect: str
    context: Context
    error: ErrorInfo | None = None
    llm: LLM | None = None
    retrieval: Retrieval | None = None
    tool: Tool | None = None
    guardrail: Guardrail | None = None
    evaluations: list[Evaluation] = []
    input_text: str | None = None
    output_text: str | None = None
    keep_probability: float | None = None
    queue_ms: float | None = None
    raw: RawSpan | None = None

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from start to end, None while the span runs or when its clock ran backwards."""
        return (self.end_ns - self.start_ns) / 1e6 if self.end_ns >= self.start_ns > 0 else None


class Totals(msgspec.Struct, gc=False):
    """Sums over the provider calls of a trace, each call once."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    cost: float | None = None
    pricing_version: str | None = None


class Trace(msgspec.Struct):
    """All we know of one request, whatever order it arrived in. `spans` are sorted by start, then id. `content_gone`: the texts have
    passed their retention, and what columns hold of the spans is left."""

    trace_id: str
    spans: list[Span]
    context: Context
    totals: Totals
    start_ns: int
    end_ns: int
    complete: bool
    error_class: str | None = None
    input_text: str | None = None
    output_text: str | None = None
    log_events: dict[str, int] = {}
    orphan_parents: list[str] = []
    content_gone: bool = False

    @property
    def root(self) -> Span | None:
        """The first span without a parent in the trace, else the earliest span; None for an empty trace."""
        for span in self.spans:
            if span.parent_id is None:
                return span
        return self.spans[0] if self.spans else None

    @property
    def llm_calls(self) -> list[Span]:
        """The spans that carry a provider call, duplicates left out."""
        return [s for s in self.spans if s.kind == "llm" and s.llm is not None and s.llm.duplicate_of is None]

    @property
    def tools(self) -> list[Span]:
        """The spans that ran a tool."""
        return [s for s in self.spans if s.kind == "tool" and s.tool is not None]

    @property
    def documents(self) -> list[Document]:
        """Every retrieved document, in order."""
        return [d for s in self.spans if s.retrieval is not None for d in s.retrieval.documents]

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds from the first start to the last end, None while anything runs."""
        return (self.end_ns - self.start_ns) / 1e6 if self.end_ns >= self.start_ns > 0 else None
