"""SDKs that name a span's kind, input and output under a prefix of their own: one row each, one reader for all."""

from typing import Any, NamedTuple, cast

from watchkeeper.dialects import common, gen_ai_tool, loose, messages, parameters, replies, spellings, unwrap
from watchkeeper.dialects.draft import Draft, last_user_text
from watchkeeper.dialects.replies import Tokens, read_usage, seconds
from watchkeeper.dialects.values import (
    as_bool,
    as_dict,
    as_float,
    as_int,
    as_list,
    as_text,
    decode,
    first,
    nested,
    word,
)
from watchkeeper.model.span import Document, Evaluation, RawSpan

NAME = "typed"


class _Sdk(NamedTuple):
    """Where an SDK puts what. `kind` is a word or an object with a `type`; usage, parameters and scores are objects.

    `marker` is another name that the SDK's spans have, where `kind` alone may be anybody's; `untyped` is one that tells its
    spans also without a kind.
    """

    kind: str
    given: tuple[str, ...]
    result: tuple[str, ...]
    usage: str = ""
    params: str = ""
    documents: tuple[str, ...] = ()
    model: str = ""
    tokens: tuple[str, str] = ("", "")
    cost: str = ""
    tool: str = ""
    agent: str = ""
    query: tuple[str, ...] = ()
    scores: str = ""
    evaluation: str = ""
    marker: str = ""
    untyped: str = ""
    top_k: str = ""
    # When the answer began, in microseconds since 1970.
    began: str = ""


def _entities(prefix: str, end: str) -> tuple[str, ...]:
    return tuple(
        f"{prefix}.{entity}.{end}"
        for entity in (
            "entity",
            "tool",
            "task",
            "operation",
            "agent",
            "workflow",
            "session",
            "chain",
            "guardrail",
        )
    )


def _toolkit(prefix: str) -> _Sdk:
    """NVIDIA's agent toolkit, whose spans carry the prefix of their version beside OpenInference's values."""
    return _Sdk(f"{prefix}.span.kind", ("input.value",), ("output.value",), model=f"{prefix}.subspan.name",
                tool=f"{prefix}.subspan.name", agent=f"{prefix}.function.name")  # fmt: skip


_TRULENS = "ai.observability"
_SDKS = (
    _Sdk("langwatch.span.type", ("langwatch.input",), ("langwatch.output",), "langwatch.metrics", "langwatch.params",
         ("langwatch.contexts", "langwatch.rag_contexts")),
    _Sdk("braintrust.span_attributes", ("braintrust.input_json", "braintrust.input"),
         ("braintrust.output_json", "braintrust.output"), "braintrust.metrics", "braintrust.metadata",
         scores="braintrust.scores"),
    _Sdk("confident.span.type", ("confident.span.input",), ("confident.span.output",),
         documents=("confident.span.retrieval_context",), model="confident.llm.model",
         tokens=("confident.llm.input_token_count", "confident.llm.output_token_count"), tool="confident.tool.name",
         agent="confident.agent.name", top_k="confident.retriever.top_k"),
    _Sdk("lmnr.span.type", ("lmnr.span.input",), ("lmnr.span.output",), untyped="lmnr.span.input"),
    _Sdk("agentops.span.kind", _entities("agentops", "input"), _entities("agentops", "output"),
         tool="operation.name", agent="operation.name"),
    _Sdk(f"{_TRULENS}.span_type", (f"{_TRULENS}.record_root.input", f"{_TRULENS}.call.kwargs"),
         (f"{_TRULENS}.record_root.output", f"{_TRULENS}.call.return"),
         documents=(f"{_TRULENS}.retrieval.retrieved_contexts", f"{_TRULENS}.reranking.output_context_texts"), model=f"{_TRULENS}.cost.model",
         tokens=(f"{_TRULENS}.cost.num_prompt_tokens", f"{_TRULENS}.cost.num_completion_tokens"),
         cost=f"{_TRULENS}.cost.cost", query=(f"{_TRULENS}.retrieval.query_text", f"{_TRULENS}.reranking.query_text"),
         top_k=f"{_TRULENS}.retrieval.num_contexts", evaluation=f"{_TRULENS}.eval_root"),
    # VoltAgent: the type of a span within an agent, and of the agent itself.
    _Sdk("span.type", ("llm.messages", "agent.messages", "input"), ("output",), tool="tool.name",
         agent="entity.name", marker="entity.id"),
    _Sdk("entity.type", ("input", "agent.messages"), ("output",), agent="entity.name", marker="entity.id"),
    _toolkit("nat"),
    _toolkit("aiq"),
    _Sdk("judgment.span_kind", ("judgment.input",), ("judgment.output",), model="judgment.llm.model",
         tokens=("judgment.usage.non_cached_input_tokens", "judgment.usage.output_tokens"),
         cost="judgment.usage.total_cost_usd"),
    _Sdk("honeyhive_event_type", ("honeyhive_inputs._params_", "honeyhive_inputs"),
         ("honeyhive_outputs.result", "honeyhive_outputs"), "honeyhive_metadata", "honeyhive_config",
         model="honeyhive_config.model", tool="honeyhive_event_name"),
    _Sdk("ag.type.node", ("ag.data.inputs",), ("ag.data.outputs",), model="ag.meta.request.model",
         tokens=("ag.metrics.unit.tokens.prompt", "ag.metrics.unit.tokens.completion"),
         cost="ag.metrics.unit.costs.total"),
    _Sdk("cozeloop.span_type", ("cozeloop.input",), ("cozeloop.output",), began="cozeloop.time_to_first_token"),
    # TrueFoundry's gateway: the request that came, and beneath it the call it became.
    _Sdk("tfy.span_type", ("tfy.input",), ("tfy.output",), model="tfy.model.name", cost="tfy.model.metric.cost_in_usd",
         tokens=("tfy.model.metric.input_tokens", "tfy.model.metric.output_tokens")),
    # FutureAGI's for the Claude Agent SDK.
    _Sdk("claude_agent.span_kind", ("claude_agent.prompt", "claude_agent.subagent.prompt", "claude_agent.tool.input"),
         ("claude_agent.message.content", "claude_agent.tool.output", "output"), model="claude_agent.model",
         tool="claude_agent.tool.name", agent="claude_agent.subagent.type"),
    # Prompt flow tells what went in and came out as events.
    _Sdk("span_type", (), (), tool="function", marker="framework"),
)  # fmt: skip
# The others' names are on spans of nobody else.
HEADS = frozenset(("langwatch", "braintrust", "confident", "lmnr", "cozeloop", "tfy"))
_KINDS = {
    "llm": "llm", "generation": "llm", "tool": "tool", "function": "tool", "rag": "retrieval",
    "retriever": "retrieval", "retrieval": "retrieval", "vector": "retrieval", "agent": "agent",
    "guardrail": "guardrail", "evaluation": "evaluator", "evaluator": "evaluator", "score": "evaluator",
    "scorer": "evaluator", "eval_root": "evaluator", "eval": "evaluator", "embedding": "embedding",
    "embedder": "embedding", "rerank": "rerank", "reranker": "rerank", "reranking": "rerank", "memory": "memory",
    "http": "http", "model": "llm", "conversation": "agent", "assistant_turn": "llm", "tool_execution": "tool",
    "subagent": "agent", "mcp_tool": "tool",
}  # fmt: skip
_INPUTS = ("promptflow.function.inputs", "promptflow.retrieval.query")
_OUTPUTS = (
    "promptflow.llm.generated_message",
    "promptflow.retrieval.documents",
    "promptflow.function.output",
)


def _of(attributes: dict[str, Any]) -> _Sdk | None:
    for sdk in _SDKS:
        if (
            sdk.kind in attributes and (not sdk.marker or sdk.marker in attributes)
        ) or sdk.untyped in attributes:
            return sdk
    return None


def recognise(raw: RawSpan) -> bool:
    """Whether one of these SDKs names this span's kind."""
    return _of(raw.attributes) is not None


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` by the row of the SDK that made the span."""
    sdk = _of(attributes)
    if sdk is None:
        return
    named = attributes.get(sdk.kind)
    kind = (word((as_dict(named) or {}).get("type", named)) or "").lower().rpartition(".")[2]
    draft.kind = draft.kind or _KINDS.get(kind) or spellings.kind_of_operation(kind) or "workflow"
    if "honeyhive_error_type" in attributes and "honeyhive_error" in attributes:
        # What was raised, told again on a span of its own beside the step that raised it.
        draft.kind = "other"
        draft.error_type = draft.error_type or word(attributes["honeyhive_error_type"])
    given = _value(_first(draft, attributes, sdk.given, _INPUTS))
    result = _value(_first(draft, attributes, sdk.result, _OUTPUTS))
    if sdk.marker == "framework":
        _promptflow(draft, attributes, given)
    given = unwrap.called_with(given) if draft.kind != "tool" else given
    if draft.kind in ("llm", "embedding"):
        _call(draft, attributes, sdk, given, result)
    else:
        _step(draft, attributes, sdk, given, result)
    if draft.kind == "workflow" and "messages" in (as_dict(given) or {}):
        # A gateway's request: its question and its answer are those of the call beneath it.
        draft.input_text = draft.input_text or last_user_text(messages.read(given) or [])
        reply = replies.read(result)
        draft.output_text = (
            draft.output_text or next((m.text for m in reply.messages if m.text), None) if reply else None
        )
    if draft.kind != "tool":
        draft.input_text = draft.input_text or common.plain_text(given)
        draft.output_text = draft.output_text or common.plain_text(result)
    if sdk.kind == "langwatch.span.type":
        _langwatch(draft, attributes)


def _promptflow(draft: Draft, attributes: dict[str, Any], given: Any) -> None:
    """What Prompt flow says beside its kind: the whole request and answer, and which SDK's method was called."""
    if draft.kind in ("llm", "embedding"):
        request = parameters.take(draft, given)
        draft.take_tools(request.get("tools"))
        if maker := spellings.maker(str(attributes.get("function") or "")):
            draft.provider_raw.setdefault("function", maker)
        if draft.kind == "llm":
            draft.take_reply(
                "output", _first(draft, attributes, ("output",), ("promptflow.function.output",))
            )
    elif draft.kind == "tool" and draft.raw.parent_id is None:
        # Every function is told alike; the outermost is the application's own.
        draft.kind = "workflow"


def _langwatch(draft: Draft, attributes: dict[str, Any]) -> None:
    """What LangWatch says of a span beside its kind: evaluations as events, labels among the metadata."""
    for event in draft.raw.events:
        told = as_dict(event.attributes.get("json_encoded_event"))
        if (
            event.name == "langwatch.evaluation.custom"
            and told is not None
            and (name := word(told.get("name")))
        ):
            score, label = as_float(told.get("score")), word(told.get("label"))
            made = Evaluation(name, score, label, as_text(told.get("details")), draft.raw.span_id)
            made.passed, made.scored_ns = as_bool(told.get("passed")), event.time_ns or None
            draft.evaluations.append(made)
    labels = as_list((as_dict(attributes.get("metadata")) or {}).get("labels")) or []
    draft.tags = draft.tags or [label for item in labels if (label := word(item))]


def _first(draft: Draft, attributes: dict[str, Any], keys: tuple[str, ...], events: tuple[str, ...]) -> Any:
    """The value under the first of the names, of its parts where it was taken apart, or of an event."""
    value = first(attributes, *keys)
    if value is not None:
        return value
    for key in keys:
        parts = nested(attributes, f"{key}.")
        if parts is not None:
            return parts
    for name in events:
        told = [
            e.attributes["payload"] for e in draft.raw.events if e.name == name and "payload" in e.attributes
        ]
        if told:
            return told[0]
    return None


def _table(attributes: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The object under a name, also where it was taken apart."""
    told = attributes.get(name)
    return as_dict(nested(attributes, f"{name}.") if told is None and name else told)


def _value(told: Any) -> Any:
    """A value, also where it lies beside the name of its type, or alone under a name for what has none (Agenta)."""
    value = decode(told)
    table = as_dict(value)
    if table is not None and set(table) == {"__default__"}:
        return decode(table["__default__"])
    return table["value"] if table is not None and set(table) == {"type", "value"} else value


def _step(draft: Draft, attributes: dict[str, Any], sdk: _Sdk, given: Any, result: Any) -> None:
    if draft.kind == "tool":
        gen_ai_tool.read(draft, attributes)
        draft.tool_name = draft.tool_name or word(
            first(attributes, sdk.tool, "tool.name", "confident.span.name")
        )
        if draft.tool_name is None and sdk.kind == "honeyhive_event_type":
            # The function's name after that of its module.
            draft.tool_name = draft.raw.name.rpartition(".")[2]
        elif draft.tool_name == attributes.get(f"{_TRULENS}.call.function"):
            draft.tool_name = draft.raw.name.rpartition(".")[2]
    elif draft.kind == "agent":
        draft.weak_agent = draft.weak_agent or word(attributes.get(sdk.agent))
    elif draft.kind == "guardrail":
        loose.guard(draft, attributes)
    elif draft.kind in ("retrieval", "rerank"):
        draft.query = draft.query or as_text(first(attributes, *sdk.query))
        draft.top_k = draft.top_k or as_int(attributes.get(sdk.top_k))
        found = common.documents(first(attributes, *sdk.documents))
        draft.documents = draft.documents or found or _dotted(result)
    elif draft.kind == "evaluator":
        _scores(draft, attributes, sdk)
    common.step(draft, given, result)


def _dotted(result: Any) -> list[Document] | None:
    """Documents whose fields are called `document.id`, `document.score`, `document.content` (Prompt flow)."""
    listed = as_list(result) or []
    tables = [t for item in listed if (t := as_dict(item)) is not None and "document.content" in t]
    return common.documents([{k.removeprefix("document."): v for k, v in t.items()} for t in tables]) or None


def _scores(draft: Draft, attributes: dict[str, Any], sdk: _Sdk) -> None:
    for name, value in (as_dict(attributes.get(sdk.scores)) or {}).items():
        draft.evaluations.append(Evaluation(name, as_float(value), None, None, draft.raw.span_id))
    name = word(attributes.get(f"{sdk.evaluation}.metric_name")) if sdk.evaluation else None
    if name is not None:
        score = as_float(attributes.get(f"{sdk.evaluation}.score"))
        why = as_text(attributes.get(f"{sdk.evaluation}.explanation"))
        target = word(attributes.get(f"{sdk.evaluation}.target_span_id")) or draft.raw.span_id
        draft.evaluations.append(Evaluation(name, score, None, why, target))


def _call(draft: Draft, attributes: dict[str, Any], sdk: _Sdk, given: Any, result: Any) -> None:
    draft.request_model = draft.request_model or word(attributes.get(sdk.model))
    params = parameters.take(draft, _table(attributes, sdk.params))
    draft.take_tools(params.get("tools"))
    if provider := word(params.get("provider")):
        draft.provider_raw.setdefault(sdk.params, provider)
    parts = cast(dict[str, Any], given) if isinstance(given, dict) else {}
    only = next(iter(parts.values())) if len(parts) == 1 else None
    draft.take_inputs("input", only if isinstance(only, str) else given)
    if draft.kind == "llm" and not draft.outputs:
        draft.take_reply("output", result)
    metrics = _table(attributes, sdk.usage)
    usage = read_usage(metrics)
    if metrics and draft.ttft_ms is None:
        draft.ttft_ms = seconds(metrics.get("time_to_first_token"))
    began = as_int(attributes.get(sdk.began))
    if draft.ttft_ms is None and began is not None and began * 1000 >= draft.raw.start_ns:
        draft.ttft_ms = began / 1000 - draft.raw.start_ns / 1e6
    # Agenta's counts are those of the unit, or what the application stored beside.
    sent, received = (as_int(first(attributes, key, key.replace(".unit.", "."))) for key in sdk.tokens)
    # Judgment counts cached tokens beside the others.
    beside = "non_cached" in sdk.tokens[0]
    draft.tokens.fill(usage or Tokens(sent, received, exclusive=beside))
    if draft.cost_client is None:
        draft.cost_client = as_float(
            first(attributes, sdk.cost, sdk.cost.replace(".unit.", ".")) or (metrics or {}).get("cost")
        )
    loose.call(draft, attributes)
