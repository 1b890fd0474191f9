"""OpenInference: flattened messages, input and output values, documents (Arize instrumentations, CrewAI, LlamaIndex…)."""

import re
from typing import Any, cast

from watchkeeper.dialects import common, loose, messages, parameters, printed, replies, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.gen_ai import system_text
from watchkeeper.dialects.replies import Reply, Tokens
from watchkeeper.dialects.values import (
    as_dict,
    as_float,
    as_int,
    as_list,
    as_text,
    decode,
    first,
    nested,
    said,
    unfold,
    word,
)
from watchkeeper.model.span import Evaluation, Message, Part, RawSpan

NAME = "openinference"
HEADS = frozenset(
    ("openinference", "llm", "input", "output", "retrieval", "reranker", "embedding", "tool", "graph")
)
_KINDS = {
    "LLM": "llm", "EMBEDDING": "embedding", "RETRIEVER": "retrieval", "RERANKER": "rerank", "TOOL": "tool",
    "AGENT": "agent", "CHAIN": "workflow", "GUARDRAIL": "guardrail", "EVALUATOR": "evaluator", "PROMPT": "other",
}  # fmt: skip
_ASKED = ("prompt", "inputText", "message", "texts")
# An answer that an instrumentation did not find.
_PRINTED_NONE = "None"
_AGENT = re.compile(r"current_agent_name='([^']{1,200})'")


def recognise(raw: RawSpan) -> bool:
    """Whether OpenInference names this span's kind."""
    return "openinference.span.kind" in raw.attributes


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from the flattened attributes."""
    kind = word(attributes.get("openinference.span.kind"))
    if draft.kind is None and kind:
        draft.kind = _KINDS.get(kind.upper(), "other")
    draft.input_text = draft.input_text or value_text(attributes.get("input.value"))
    draft.output_text = draft.output_text or value_text(attributes.get("output.value"))
    if draft.kind == "llm":
        _llm(draft, attributes)
    elif draft.kind == "embedding":
        _embedding(draft, attributes)
    elif draft.kind in ("retrieval", "rerank"):
        _retrieval(draft, attributes)
    elif draft.kind == "tool":
        _tool(draft, attributes)
    elif draft.kind == "evaluator":
        common.verdicts(draft, attributes.get("output.value"))
    elif draft.kind == "guardrail":
        loose.guard(draft, attributes)
        common.guardrail_outcome(draft, attributes.get("output.value"))
        if (
            draft.guardrail_triggered is None
            and draft.raw.status == "ok"
            and not attributes.get("output.value")
        ):
            draft.guardrail_triggered = False
    elif draft.kind == "agent":
        draft.agent = draft.agent or word(attributes.get("agent.name"))
        draft.weak_agent = draft.weak_agent or word(first(attributes, "graph.node.name", "graph.node.id"))
    if draft.weak_agent is None and draft.raw.scope_name.endswith("llama_index"):
        found = _AGENT.search(str(attributes.get("output.value", ""))[:20_000])
        draft.weak_agent = found.group(1) if found else None
    if any(
        key.startswith(("annotation", "evaluation", "trace.evaluation", "session.evaluation"))
        for key in attributes
    ):
        _annotations(draft, attributes)


def value_text(value: Any) -> str | None:
    """What a person would read in `input.value` or `output.value`: the text inside a small JSON object, else as is."""
    decoded = decode(value)
    if isinstance(decoded, dict):
        table = cast(dict[str, Any], decoded)
        for key in ("input", "query", "question", "prompt", "output", "answer", "response", "result", "text", "raw",
                    "content", "query_str", "message", "task", "value"):  # fmt: skip
            if isinstance(table.get(key), str) and table[key]:
                return table[key]
        for key in ("new_message", "content"):
            told = as_dict(table[key]) if key in table else None
            if told is not None and isinstance(told.get("parts"), list):
                # What went into a run of Google's ADK, and its last event.
                return "".join(t for m in messages.read([told]) or [] if (t := m.text)) or None
        for entry in table.values():
            bundle = as_dict(entry) if isinstance(entry, dict | str) else None
            if bundle is not None and "query_str" in bundle:
                return value_text(bundle)
    return said(value)


def _llm(draft: Draft, attributes: dict[str, Any]) -> None:
    tree = nested(attributes, "llm.")
    llm: dict[str, Any] = cast(dict[str, Any], tree) if isinstance(tree, dict) else {}
    for key in ("llm.provider", "llm.system"):
        value = word(attributes.get(key))
        if value:
            draft.provider_raw.setdefault(key, value)
    params = parameters.take(draft, llm.get("invocation_parameters"))
    draft.system = draft.system or as_text(params.get("instructions"))
    draft.request_model = draft.request_model or word(attributes.get("llm.request.model_name"))
    draft.response_model = draft.response_model or word(attributes.get("llm.response.model_name"))
    _usage(draft, attributes)
    cost = as_float(attributes.get("llm.cost.total"))
    draft.cost_client = cost if draft.cost_client is None else draft.cost_client
    flattened = llm.get("input_messages")
    if draft.inputs is None and isinstance(flattened, list):
        draft.inputs = messages.read(flattened, "user")
    answers = llm.get("output_messages")
    if not draft.outputs and isinstance(answers, list):
        draft.adopt(Reply(messages.read(answers, "assistant") or []))
    if isinstance(llm.get("tool_calls"), list):
        draft.take_calls(llm["tool_calls"])
    tools = llm.get("tools")
    if isinstance(tools, list):
        listed = [cast(dict[str, Any], t) for t in cast(list[Any], tools) if isinstance(t, dict)]
        draft.take_tools(
            [t["tool"].get("json_schema") if isinstance(t.get("tool"), dict) else t for t in listed]
        )
    if isinstance(llm.get("prompts"), list | str):
        draft.take_inputs("llm.prompts", _prompts(llm["prompts"]))
    _values(draft, attributes, bool(answers))
    if draft.inputs is None and params:
        # The whole body of a request counts as parameters where Bedrock is given it as it is.
        asked = params if "messages" in params else first(params, *_ASKED)
        draft.take_inputs("llm.invocation_parameters", asked)
    draft.finish_raw = draft.finish_raw or word(attributes.get("llm.finish_reason"))
    _models(draft, attributes)
    draft.take_tools(params.get("tools") or (as_dict(params.get("toolConfig")) or {}).get("tools"))
    if not recognise(draft.raw):
        return
    evidence = draft.inputs or draft.outputs or draft.tokens.input is not None or draft.failed
    if spellings.embeds(draft.request_model) and not draft.outputs:
        draft.kind = "embedding"
    elif (
        not evidence and draft.output_text is None and params and not attributes.get("llm.request.model_name")
    ):
        # A helper around the call (LlamaIndex `_prepare_chat_with_tools`), not a provider call.
        draft.kind = "workflow"
    elif not evidence and isinstance(unfold(attributes.get("output.value")), dict):
        draft.kind = "workflow"
    elif _only_tells(draft, attributes) and "input_messages" not in llm and not (params and draft.inputs):
        # An event of a call told as a span of its own (BeeAI's tokens): no model was asked anything.
        draft.kind = "other"


def _only_tells(draft: Draft, attributes: dict[str, Any]) -> bool:
    """Whether a span has nothing of a model: an object went in, and nothing came out."""
    model = draft.request_model or draft.response_model or draft.tokens.input is not None
    answer = draft.outputs or draft.output_text is not None or draft.failed
    return not (model or answer) and isinstance(unfold(attributes.get("input.value")), dict)


def _prompts(told: list[Any] | str) -> list[Any] | str:
    """The prompts of a text completion, each under `prompt` or as it is."""
    if isinstance(told, str):
        return told
    return [cast(dict[str, Any], p).get("prompt", p) if isinstance(p, dict) else p for p in told]


def _blocks(request: dict[str, Any]) -> int:
    """How many blocks the conversation of a provider's request has, system messages left out."""
    count = 0
    listed = request.get("messages") or request.get("input")
    for item in cast(list[Any], listed) if isinstance(listed, list) else []:
        table = cast(dict[str, Any], item) if isinstance(item, dict) else {}
        if table.get("role") not in ("system", "developer"):
            content, calls = table.get("content"), table.get("tool_calls")
            count += len(cast(list[Any], content)) if isinstance(content, list) else content is not None
            count += len(cast(list[Any], calls)) if isinstance(calls, list) else 0
    return count


def _lacks(message: Message) -> bool:
    """Whether a flattened message has no content, or calls and results without their ids."""
    return not message.parts or any(
        p.id is None and p.type in ("tool_call", "tool_result") for p in message.parts
    )


def _values(draft: Draft, attributes: dict[str, Any], answered: bool) -> None:
    """`input.value` is the request and `output.value` the response where a client passes them on."""
    request = as_dict(attributes.get("input.value"))
    if request is not None and ("model" in request or "system" in request):
        told = draft.inputs or []
        if _blocks(request) > sum(len(m.parts) for m in told if m.role != "system"):
            # Older versions flatten one tool result of a message that has several.
            system = [m for m in told if m.role == "system"]
            whole = messages.read(request) or []
            draft.inputs = whole if whole and whole[0].role == "system" else [*system, *whole] or None
        parameters.take(draft, request)
        draft.take_tools(request.get("tools"))
        if draft.inputs is not None and draft.system is None and "system" in request:
            draft.system = system_text(request["system"])
    if draft.inputs is None:
        draft.take_inputs("input.value", attributes.get("input.value"))
    elif any(map(_lacks, draft.inputs)):
        # LangChain's in JS flattens neither the ids of calls nor contents made of blocks, Haystack's no tools.
        given = attributes.get("input.value")
        whole = messages.read(given if request is None else printed.unprinted(request)) or []
        if [m.role for m in whole] == [m.role for m in draft.inputs]:
            draft.inputs = whole
    output = attributes.get("output.value")
    if output == _PRINTED_NONE:
        draft.silent = True
    elif isinstance(response := unfold(output), dict | list):
        reply = replies.read(response)
        if reply is None and spellings.embeds(as_text(attributes.get("llm.model_name"))):
            # Titan's vectors, with their count beside them.
            reply = Reply(tokens=replies.read_usage(response))
        if reply is not None:
            _response(draft, reply)
            draft.silent = not draft.outputs and isinstance(response, dict)
    elif not answered and not draft.outputs:
        draft.take_reply("output.value", output)


def _response(draft: Draft, reply: Reply) -> None:
    """What the response says beside the flattened answer, or better than it."""
    said = draft.outputs
    whole = (not any(m.parts for m in said or [])) or (not _calls(said or []) and _calls(reply.messages))
    items = len(reply.messages) == 1 and sum(len(m.parts) for m in said or []) <= len(reply.messages[0].parts)
    if said and (
        whole
        or (items and len(said) > 1)
        or _left_over(said, reply)
        or _declined(said, reply)
        or _poorer(said, reply)
    ):
        # Some clients flatten the text alone, or the items of one Responses answer as messages of their own.
        draft.outputs = None
    draft.adopt(reply)
    draft.outputs = draft.outputs or said
    _call_ids(said or [], reply)


def _left_over(said: list[Message], reply: Reply) -> bool:
    """Whether the flattened calls are an earlier answer's, told on the same span (ADK under OpenInference)."""
    ended = spellings.finish_reason(reply.finish, False) == "stop"
    return (
        ended and bool(_calls(said)) and any(m.parts for m in reply.messages) and not _calls(reply.messages)
    )


def _declined(said: list[Message], reply: Reply) -> bool:
    """Whether the flattened text is what the response calls a refusal (the Responses API in Python)."""
    parts = [p for m in said for p in m.parts]
    refused = {p.text for m in reply.messages for p in m.parts if p.type == "refusal"}
    return bool(refused) and all(p.type == "text" and p.text in refused for p in parts)


def _poorer(said: list[Message], reply: Reply) -> bool:
    """Whether the flattened answer leaves out what the response has beside the same text: reasoning, or a result."""
    if len(said) != len(reply.messages) or said[-1].text != reply.messages[-1].text:
        return False
    known = [p for m in said for p in m.parts]
    hollow = any(p.type == "tool_result" and p.id is None and p.result is None for p in known)
    thought = any(p.type == "reasoning" for m in reply.messages for p in m.parts)
    return hollow or (thought and all(p.type != "reasoning" for p in known))


def _calls(answers: list[Message]) -> list[Part]:
    return [p for m in answers for p in m.parts if p.type == "tool_call"]


def _call_ids(said: list[Message], reply: Reply) -> None:
    """Ids and arguments that the flattened calls lack and the response has, by their order."""
    calls = _calls(said)
    if all(p.id and p.arguments is not None for p in calls):
        return
    told = _calls(reply.messages)
    if [p.name for p in told] == [p.name for p in calls]:
        for call, answer in zip(calls, told, strict=True):
            call.id = call.id or answer.id
            call.arguments = answer.arguments if call.arguments is None else call.arguments


def _models(draft: Draft, attributes: dict[str, Any]) -> None:
    """`llm.model_name` is mostly the served model; alone it is the requested one unless it pins a snapshot."""
    name = word(attributes.get("llm.model_name"))
    if name is None or name == draft.response_model:
        return
    if draft.response_model is None and (
        spellings.is_pinned(name) or draft.request_model not in (None, name)
    ):
        draft.response_model = name
    else:
        draft.request_model = draft.request_model or name


def _usage(draft: Draft, attributes: dict[str, Any]) -> None:
    if "metadata.usage.prompt_tokens" in attributes and (
        told := replies.read_usage(nested(attributes, "metadata.usage."))
    ):
        draft.tokens.fill(told)
    draft.tokens.fill(
        Tokens(
            as_int(attributes.get("llm.token_count.prompt")),
            as_int(attributes.get("llm.token_count.completion")),
            as_int(first(attributes, "llm.token_count.prompt_details.cache_read",
                         "llm.token_count.prompt_details.cache_input")),
            as_int(attributes.get("llm.token_count.prompt_details.cache_write")),
            as_int(attributes.get("llm.token_count.completion_details.reasoning")),
            total=as_int(attributes.get("llm.token_count.total")),
        )
    )  # fmt: skip


def _embedding(draft: Draft, attributes: dict[str, Any]) -> None:
    _usage(draft, attributes)
    parameters.take(draft, attributes.get("embedding.invocation_parameters"))
    for key in ("llm.provider", "llm.system"):
        value = word(attributes.get(key))
        if value:
            draft.provider_raw.setdefault(key, value)
    asked = first(attributes, "embedding.model_name", "llm.model_name")
    draft.request_model = draft.request_model or word(asked)
    items = nested(attributes, "embedding.embeddings.")
    if draft.inputs is None and isinstance(items, list):
        texts = [as_dict(i.get("embedding")) or {} for i in cast(list[Any], items) if isinstance(i, dict)]
        draft.inputs = messages.read([t for e in texts if (t := as_text(e.get("text")))], "user")
    if draft.inputs is None:
        # LiteLLM's for Arize, which tells every call as a chat.
        draft.inputs = messages.read(nested(attributes, "llm.input_messages."), "user")
    if draft.inputs is None:
        # LiteLLM's for Weave.
        texts = as_list((as_dict(attributes.get("input.value")) or {}).get("messages")) or []
        draft.inputs = messages.read([t for t in texts if isinstance(t, str)] or None, "user")


def _retrieval(draft: Draft, attributes: dict[str, Any]) -> None:
    reranked = draft.kind == "rerank"
    draft.query = (
        draft.query
        or as_text(first(attributes, "reranker.query", "retrieval.query"))
        or common.plain_text(value_text(attributes.get("input.value")))
    )
    draft.top_k = draft.top_k or as_int(attributes.get("reranker.top_k"))
    prefix = "reranker.output_documents." if reranked else "retrieval.documents."
    found = nested(attributes, prefix)
    if draft.documents is None and isinstance(found, list):
        draft.documents = common.documents(found)
    if draft.documents is None and not reranked:
        # Dify, and Alibaba's conventions.
        draft.documents = common.documents(first(attributes, "retrieval.document", "retrieval.documents"))
    if draft.documents is None and not reranked:
        found = common.documents(attributes.get("output.value"))
        if found and any(d.id is not None or d.score is not None for d in found):
            draft.documents = found


def _tool(draft: Draft, attributes: dict[str, Any]) -> None:
    draft.tool_name = draft.tool_name or word(first(attributes, "tool.name", "tool_call.function.name"))
    draft.tool_call_id = draft.tool_call_id or word(first(attributes, "tool_call.id", "tool.id"))
    if draft.tool_arguments is None:
        value = decode(first(attributes, "input.value", "tool_call.function.arguments"))
        if value is None:
            params = _named(as_list(attributes.get("tool.parameters")) or [])
            params = params or as_dict(attributes.get("tool.parameters"))
            value = None if params is None or "properties" in params or "type" in params else params
        table = as_dict(value)
        kwargs = table.get("kwargs") if table is not None else None
        if table is not None and isinstance(kwargs, dict) and (kwargs or set(table) <= {"args", "kwargs"}):
            value = kwargs or table.get("args") or {}
        draft.tool_arguments = value
    if draft.tool_result is None:
        result = decode(attributes.get("output.value"))
        table = as_dict(result)
        if table is not None and isinstance(table.get("blocks"), list) and "tool_name" in table:
            if table.get("is_error") is True:
                draft.tool_error = as_text(messages.result_of(table["blocks"])) or "error"
            result = decode(messages.result_of(table["blocks"]))
        draft.tool_result = _executed(draft, result)
    if draft.tool_error is None:
        draft.tool_error = common.tool_failure(draft.tool_result)


def _named(parameters: list[Any]) -> dict[str, Any] | None:
    """The arguments of a call told as a list of them (Bedrock's agents)."""
    tables = [as_dict(item) or {} for item in parameters]
    told = bool(tables) and all({"name", "value"} <= t.keys() for t in tables)
    return {str(t["name"]): decode(t["value"]) for t in tables} if told else None


def _executed(draft: Draft, result: Any) -> Any:
    """What a tool returned, where AG2 tells it as whether it went well and the message for the model."""
    if isinstance(result, list) and len(cast(list[Any], result)) == 2:
        well, message = cast(list[Any], result)
        table = as_dict(message)
        if isinstance(well, bool) and table is not None and table.get("role") in ("function", "tool"):
            if not well:
                draft.tool_error = as_text(table.get("content")) or "error"
            return decode(table.get("content"))
    return result


def _annotations(draft: Draft, attributes: dict[str, Any]) -> None:
    """`evaluations.N.evaluation.{name,score,label,explanation}` and its annotation spellings."""
    for prefix in ("evaluations.", "annotations.", "trace.evaluations.", "session.evaluations."):
        found = nested(attributes, prefix)
        for item in cast(list[Any], found) if isinstance(found, list) else []:
            table: dict[str, Any] = item if isinstance(item, dict) else {}
            inner = as_dict(table.get("evaluation")) or as_dict(table.get("annotation")) or table
            name = word(inner.get("name"))
            if name:
                result = as_dict(inner.get("result")) or inner
                draft.evaluations.append(
                    Evaluation(
                        name,
                        as_float(result.get("score")),
                        word(result.get("label")),
                        as_text(result.get("explanation")),
                        draft.raw.span_id,
                    )
                )
