"""A span while dialects fill it, and the one place where what they found becomes our span.

The first dialect that recognises a span writes first; the others fill what is still empty. A dialect therefore only
ever writes `draft.field = draft.field or value`.
"""

from typing import Any

from watchkeeper.dialects import messages as msgs
from watchkeeper.dialects import replies, spellings, unwrap
from watchkeeper.dialects.pricing import price
from watchkeeper.dialects.replies import Reply, Tokens
from watchkeeper.dialects.values import (
    as_text,
    decode,
    first,
    is_cut,
    is_hidden,
    is_object_repr,
    unfold,
    untraced,
    word,
)
from watchkeeper.model.span import (
    LLM,
    Context,
    Document,
    ErrorInfo,
    Evaluation,
    Guardrail,
    Message,
    RawSpan,
    Retrieval,
    Span,
    Tool,
    Usage,
)


class Draft:
    """What is known of one span so far; None is unknown. Names as in `model.span`."""

    # Class attributes are the defaults: setting fifty fields for every span would show in the profile.
    kind: str | None = None
    # The kind by a name of the client's own, where no dialect knew it.
    kind_told: str | None = None
    request_model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    # Whether the client puts what was asked for where the served model belongs.
    unserved: bool = False
    stream: bool | None = None
    system: str | None = None
    inputs: list[Message] | None = None
    outputs: list[Message] | None = None
    finish_raw: str | None = None
    cost_client: float | None = None
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    queue_ms: float | None = None
    attempts: int | None = None
    query: str | None = None
    top_k: int | None = None
    documents: list[Document] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None
    tool_arguments: Any = None
    tool_result: Any = None
    tool_error: str | None = None
    guardrail_name: str | None = None
    guardrail_result: str | None = None
    guardrail_triggered: bool | None = None
    guardrail_reasons: list[str] | None = None
    guardrail_skipped: list[str] | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_status: int | None = None
    error_detail: str | None = None
    # What came back is there and holds no answer: its dump is no text either.
    silent: bool = False
    input_text: str | None = None
    output_text: str | None = None
    session: str | None = None
    weak_session: str | None = None
    user: str | None = None
    agent: str | None = None
    weak_agent: str | None = None
    workflow: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    scenario: str | None = None
    environment: str | None = None
    region: str | None = None
    release: str | None = None
    variant: str | None = None
    keep_probability: float | None = None

    def __init__(self, raw: RawSpan) -> None:
        self.raw = raw
        self.provider_raw: dict[str, str] = {}
        self.params: dict[str, Any] = {}
        self.tool_definitions: list[dict[str, Any]] = []
        self.tokens = Tokens()
        self.evaluations: list[Evaluation] = []
        self.failed = raw.status == "error"
        self.tags: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.truncated: list[str] = []

    def take_inputs(self, key: str, value: Any, role: str = "user") -> None:
        """Messages sent to the model, from any shape, unless known already."""
        if self.inputs is not None or value is None:
            return
        decoded = unfold(value)
        if is_cut(decoded):
            self.cut(key)
            self.input_text = self.input_text or str(decoded)
            return
        self.inputs = msgs.read(decoded, role) or None

    def take_reply(self, key: str, value: Any) -> None:
        """The model's answer, from any shape, with whatever came along; fills only what is empty."""
        decoded = unfold(value)
        if is_cut(decoded):
            self.cut(key)
            self.output_text = self.output_text or str(decoded)
            return
        if isinstance(decoded, str) and is_object_repr(decoded):
            return
        reply = replies.read(decoded)
        if reply is not None:
            self.adopt(reply)

    def adopt(self, reply: Reply) -> None:
        """Fill what is empty from a provider's reply."""
        if not self.outputs and reply.messages:
            self.outputs = reply.messages
        self.finish_raw = self.finish_raw or reply.finish
        if reply.tokens is not None:
            self.tokens.fill(reply.tokens)
        self.response_model = self.response_model or reply.model
        self.response_id = self.response_id or reply.id
        if reply.streamed:
            self.stream = True
        self.error_message = self.error_message or reply.error
        self.error_status = self.error_status or reply.status

    def cut(self, key: str) -> None:
        """Remember that `key` holds JSON a length limit has cut."""
        if key not in self.truncated:
            self.truncated.append(key)

    def take_calls(self, value: Any) -> None:
        """Calls told beside the text of the answer (Sentry's integrations)."""
        told = msgs.read([{"role": "assistant", "tool_calls": value}], "assistant") or []
        if not self.outputs:
            self.outputs = told or None
        elif told and not any(p.type == "tool_call" for m in self.outputs for p in m.parts):
            self.outputs[0].parts += told[0].parts

    def take_tools(self, value: Any) -> None:
        """Tool definitions: a list (of objects or of JSON strings), nested under `function` or flat."""
        if self.tool_definitions:
            return
        listed = unfold(value)
        if isinstance(listed, list):
            told = [decode(item) for item in listed]
            # Langtrace prints the whole list into a list of one.
            told = told[0] if len(told) == 1 and isinstance(told[0], list) else told
            defined = [t for t in told if isinstance(t, dict)]
            self.tool_definitions = [one for t in defined for one in _declared(t)]


def _declared(tool: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions of one definition: Gemini's is a list of them."""
    listed = tool.get("function_declarations") or tool.get("functionDeclarations")
    return [t for t in listed if isinstance(t, dict)] if isinstance(listed, list) else [tool]


def _usage(tokens: Tokens, provider: str | None, generates: bool) -> Usage:
    """Input includes cached, output includes reasoning; a client that left a part out is put right by the total."""
    if tokens.total is not None:
        replies.settle_total(tokens, provider, generates)
    sent = tokens.input
    if sent == 0 and not tokens.output and not tokens.cached:
        # No call sends nothing: zeros for both are a client that was told no numbers.
        return Usage()
    total, as_sent = sent, None
    beside = tokens.beside or (tokens.cached or 0) + (tokens.cache_write or 0)
    if sent is not None and beside and (tokens.exclusive or tokens.beside or sent < beside):
        total, as_sent = sent + beside, sent
    return Usage(total, tokens.output, tokens.cached, tokens.cache_write, tokens.reasoning, as_sent)


def _provider(raw: dict[str, str]) -> str | None:
    """The provider a client names; not inferred from the model, which several providers may serve."""
    for key, value in raw.items():
        if key != "litellm.provider.model" and (found := spellings.provider(value)):
            return found
    head, slash, _ = raw.get("litellm.provider.model", "").partition("/")
    return spellings.provider(head) if slash else None


def _routed(draft: Draft) -> str | None:
    """The provider before the model's name, where LiteLLM is told as the provider or a client always writes it there."""
    head, slash, _ = (draft.request_model or "").partition("/")
    told = [value.lower() for value in draft.provider_raw.values()]
    if not slash or not ("litellm" in told or (not told and draft.raw.scope_name.startswith(_PREFIXING))):
        return None
    return spellings.provider(head) if spellings.is_provider(head.lower()) else None


_PREFIXING = ("langwatch", "openinference.instrumentation.litellm")
# What clients write where they know no model; Claude Code where it answers itself.
_NO_MODEL = ("unknown", "<synthetic>")
# How a client prints that nothing came back.
_NOTHING = ("null", "None")


def _pinned_twice(draft: Draft, served: str) -> bool:
    """Whether this is MLflow's GenAI export or Weave's, which put the served model in both places."""
    return draft.raw.scope_name.startswith(("mlflow", "weave.")) and spellings.is_pinned(served)


def _unanswered(draft: Draft) -> None:
    """A failed call's error is no answer, wherever a client puts it; nothing was served where nothing came back."""
    said = _only_said(draft)
    if said in _NOTHING:
        said = draft.outputs = draft.output_text = None
    message = draft.error_message or draft.raw.status_message
    if said and not message and spellings.is_failure(said):
        draft.error_message = message = said
    if said and message and message in said and not any(m.finish_reason for m in draft.outputs or []):
        draft.error_detail = said
        draft.outputs = draft.output_text = None
    empty = not any(m.parts for m in draft.outputs or [])
    if empty and draft.response_id is None and not draft.tokens.output:
        if spellings.finish_reason(draft.finish_raw, False) == "stop":
            # A processor's translation of a failed call has an empty answer that ended well.
            draft.finish_raw = draft.outputs = None
        draft.request_model = draft.request_model or spellings.family(draft.response_model or "") or None
        draft.response_model = None


def _only_said(draft: Draft) -> str | None:
    return draft.outputs[0].text if draft.outputs and len(draft.outputs) == 1 else draft.output_text


def _llm(draft: Draft) -> LLM:
    llm = LLM()
    llm.provider_raw = draft.provider_raw
    if draft.response_id is not None and draft.response_id == draft.raw.attributes.get("litellm.call_id"):
        # LiteLLM puts an id of its own where the provider gave none (failures, vectors).
        draft.response_id = None
    if draft.failed:
        _unanswered(draft)
    elif (
        spellings.finish_reason(draft.finish_raw, False) == "content_filter" and _only_said(draft) in _NOTHING
    ):
        draft.outputs = draft.output_text = None
    draft.request_model = spellings.unplaced(draft.request_model)
    served = None if draft.unserved else spellings.unplaced(draft.response_model)
    if draft.request_model in _NO_MODEL:
        draft.request_model = None
    if served and served == draft.request_model and _pinned_twice(draft, served):
        draft.request_model = None
    llm.provider = _provider(draft.provider_raw) or spellings.maker(draft.raw.name) or _routed(draft)
    echo = draft.kind == "llm" and spellings.is_echo(draft.request_model or served, served, llm.provider)
    llm.response_model = None if echo else served
    # A client that only sends the served snapshot has at least asked for its family.
    llm.request_model = draft.request_model or (spellings.family(served) if served else None)
    llm.response_id = draft.response_id
    llm.params = draft.params
    llm.stream = draft.stream
    if llm.stream is None:
        # The method of an SDK that was called (`converse_stream`, `GenerateContentStream`).
        method = str(draft.raw.attributes.get("rpc.method") or draft.raw.name)
        llm.stream = True if method.endswith(("_stream", "Stream")) else None
    system, llm.input_messages = msgs.split_system(draft.inputs or [])
    llm.system = draft.system or system
    if not any(m.parts for m in llm.input_messages):
        # Roles alone tell nothing of what was said.
        llm.input_messages = []
    llm.output_messages = draft.outputs or []
    if len(llm.output_messages) > 1:
        told = [m for m in llm.output_messages if m.parts] or llm.output_messages
        llm.output_messages = replies.one_answer(told, draft.params.get("n"))
    llm.tool_definitions = draft.tool_definitions
    if llm.output_messages:
        answer = llm.output_messages[0]
        llm.output_text = answer.text or None
        llm.tool_calls = msgs.tool_calls(answer)
        refusals = [p.text for m in llm.output_messages for p in m.parts if p.type == "refusal" and p.text]
        llm.refusal = refusals[0] if refusals else None
        draft.finish_raw = draft.finish_raw or answer.finish_reason or None
    llm.finish_reason_raw = draft.finish_raw
    # A provider's own tool that answered within the answer was not asked of anybody.
    answered = {p.id for m in llm.output_messages for p in m.parts if p.type == "tool_result" and p.id}
    asked = any(c.id not in answered for c in llm.tool_calls)
    llm.finish_reason = spellings.finish_reason(draft.finish_raw, asked)
    llm.usage = _usage(draft.tokens, llm.provider, draft.kind == "llm")
    llm.cost_client = draft.cost_client
    if llm.usage.input_tokens is not None:
        llm.cost, version = price(llm)
        llm.pricing_version = version if llm.cost is not None else None
    llm.ttft_ms = draft.ttft_ms
    llm.tpot_ms = draft.tpot_ms
    llm.attempts = draft.attempts
    raw = draft.raw
    output = llm.usage.output_tokens
    timed = llm.tpot_ms is None and llm.ttft_ms is not None and raw.end_ns > raw.start_ns
    if timed and llm.ttft_ms is not None and output is not None and output > 1:
        rest = (raw.end_ns - raw.start_ns) / 1e6 - llm.ttft_ms
        llm.tpot_ms = rest / (output - 1) if rest >= 0 else None
    return llm


def _error(draft: Draft, kind: str) -> ErrorInfo | None:
    raw = draft.raw
    # A tool may end with status ok and still name its error (ADK), or say so in its result.
    broken = kind == "tool" and (
        draft.tool_error is not None or word(raw.attributes.get("error.type")) is not None
    )
    if not draft.failed and not broken:
        return None
    message = draft.error_message or raw.status_message or draft.tool_error
    message = untraced(message) if message else message
    if kind == "tool":
        return ErrorInfo("tool_error", message, draft.error_type)
    # What a guardrail raises is its verdict, whatever it is called (Guardrails' ValidationError).
    found = (
        spellings.error_class(draft.error_type, message, draft.error_status) if kind != "guardrail" else None
    )
    found = found or spellings.error_class(None, draft.error_detail, None)
    return ErrorInfo(found or "other", message, draft.error_type)


def _context(draft: Draft) -> Context:
    resource = draft.raw.resource
    metadata = draft.metadata
    if draft.truncated:
        metadata["watchkeeper.truncated"] = draft.truncated
    return Context(
        session_id=draft.session or draft.weak_session,
        user_id=draft.user,
        agent_name=draft.agent or draft.weak_agent,
        workflow=draft.workflow,
        prompt_name=draft.prompt_name,
        prompt_version=draft.prompt_version,
        scenario=draft.scenario,
        service=as_text(resource.get("service.name")),
        environment=draft.environment
        or as_text(
            first(resource, "deployment.environment.name", "deployment.environment", "langfuse.environment")
        ),
        region=draft.region or as_text(first(resource, "cloud.region", "watchkeeper.region")),
        release=draft.release or as_text(first(resource, "service.version", "langfuse.release")),
        variant=draft.variant,
        tags=draft.tags,
        metadata=metadata,
    )


def finish(draft: Draft, dialect: str) -> Span:
    """The finished span of a draft that every dialect has seen."""
    raw = draft.raw
    if draft.kind == "llm" and spellings.embeds(draft.request_model) and not _answered(draft.outputs):
        # Clients of providers with one entrance for all models call every use of it a completion.
        draft.kind = "embedding"
    kind = draft.kind or "other"
    _leave_hidden(draft)
    if kind == "tool":
        _finish_tool(draft)
    llm = _llm(draft) if kind in ("llm", "embedding") else None
    error = _error(draft, kind)
    retrieval = tool = guardrail = None
    if draft.documents is not None or kind in ("retrieval", "rerank"):
        query = draft.query or (draft.input_text if kind in ("retrieval", "rerank") else None)
        retrieval = Retrieval(query, draft.top_k, draft.documents or [])
    if kind == "tool":
        failure = draft.tool_error
        if failure is None and error is not None:
            failure = error.message or as_text(draft.tool_result) or error.raw_type or "error"
        tool = Tool(
            draft.tool_name or raw.name.removeprefix("execute_tool "),
            draft.tool_call_id,
            draft.tool_arguments,
            draft.tool_result,
            failure,
        )
    if kind == "guardrail":
        guardrail = Guardrail(
            draft.guardrail_name or raw.name,
            draft.guardrail_result,
            draft.guardrail_triggered,
            draft.guardrail_reasons or [],
            draft.guardrail_skipped or [],
        )
    input_text, output_text = _texts(draft, llm, tool, retrieval)
    return Span(
        trace_id=raw.trace_id,
        span_id=raw.span_id,
        parent_id=raw.parent_id,
        name=raw.name,
        kind=kind,
        start_ns=raw.start_ns,
        end_ns=raw.end_ns,
        status="error" if draft.failed else raw.status,
        dialect=dialect,
        context=_context(draft),
        error=error,
        llm=llm,
        retrieval=retrieval,
        tool=tool,
        guardrail=guardrail,
        evaluations=draft.evaluations,
        input_text=input_text,
        output_text=output_text,
        keep_probability=draft.keep_probability,
        queue_ms=draft.queue_ms,
        raw=raw,
    )


_HIDEABLE = ("input_text", "output_text", "query", "system", "tool_arguments", "tool_result")


def _leave_hidden(draft: Draft) -> None:
    """The mark that content was left out is no content: what was said is unknown then."""
    for field in _HIDEABLE:
        if (told := getattr(draft, field)) is not None and is_hidden(told):
            setattr(draft, field, None)
    for message in (*(draft.inputs or ()), *(draft.outputs or ())):
        for part in message.parts:
            # Every part of every message passes here: the mark is short, so that nothing else is looked up.
            text = part.text
            if text is None:
                part.arguments = None if is_hidden(part.arguments) else part.arguments
                part.result = None if is_hidden(part.result) else part.result
            elif len(text) < 20 and is_hidden(text):
                message.parts = [p for p in message.parts if not is_hidden(p.text)]


def _finish_tool(draft: Draft) -> None:
    """Arguments and result may come as messages (inference events on tool spans) and wrapped by a framework."""
    for message in draft.inputs or []:
        for part in message.parts:
            if part.type == "tool_call" and draft.tool_arguments is None:
                draft.tool_arguments, draft.tool_call_id = part.arguments, draft.tool_call_id or part.id
            elif part.type == "tool_result" and draft.tool_arguments is None:
                # What went in, said in the tool's name.
                draft.tool_arguments = decode(part.result)
    for message in draft.outputs or []:
        for part in message.parts:
            if part.type == "tool_result" and draft.tool_result is None:
                draft.tool_result = part.result
    # ADK's words for what it was not told.
    draft.tool_arguments = None if draft.tool_arguments == "N/A" else draft.tool_arguments
    draft.tool_result = None if draft.tool_result == "<not specified>" else draft.tool_result
    draft.tool_result = unwrap.called_result(draft.tool_arguments, draft.tool_result)
    draft.tool_arguments, asked = unwrap.asked_call(unwrap.plain_arguments(draft.tool_arguments))
    draft.tool_result, call_id, failure = unwrap.plain_result(draft.tool_result)
    draft.tool_call_id = draft.tool_call_id or asked or call_id
    draft.tool_error = draft.tool_error or failure


def _answered(outputs: list[Message] | None) -> bool:
    """Whether anything was said: an empty text is no answer."""
    return any(p.text or p.type != "text" for m in outputs or [] for p in m.parts)


def last_user_text(found: list[Message]) -> str | None:
    """The text of the last user message that has any."""
    for message in reversed(found):
        if message.role == "user" and (text := message.text):
            return text
    return None


def _texts(
    draft: Draft, llm: LLM | None, tool: Tool | None, retrieval: Retrieval | None
) -> tuple[str | None, str | None]:
    given, answer = draft.input_text, draft.output_text
    if llm is not None and draft.kind == "llm":
        given = last_user_text(llm.input_messages) or given
        answer = llm.output_text or llm.refusal or (None if llm.output_messages or draft.silent else answer)
        if answer is not None and is_object_repr(answer):
            answer = None
    elif draft.kind == "embedding":
        # Vectors are no text.
        given, answer = last_user_text(draft.inputs or []) or given, None
    elif tool is not None:
        given = given or as_text(tool.arguments)
        answer = answer or as_text(tool.result)
    elif retrieval is not None:
        given = retrieval.query or given
    else:
        given = last_user_text(draft.inputs or []) or given
        answer = next((m.text for m in draft.outputs or [] if m.text), None) or answer
    return given, answer
