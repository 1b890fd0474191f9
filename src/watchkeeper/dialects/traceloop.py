"""Traceloop (OpenLLMetry): flattened prompts of older versions, entity inputs and outputs of all of them."""

import ast
import re
from typing import Any, cast

from watchkeeper.dialects import common, loose, messages, parameters, spellings
from watchkeeper.dialects.draft import Draft
from watchkeeper.dialects.replies import Reply
from watchkeeper.dialects.values import as_dict, as_float, as_list, as_text, decode, first, nested, word
from watchkeeper.model.span import Document, Message, Part, RawSpan

NAME = "traceloop"
HEADS = frozenset(("traceloop", "llm"))
# Flattened messages under the conventions' own names.
FLATTENED = frozenset(
    (
        "gen_ai.prompt.0.role",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.role",
        "gen_ai.completion.0.content",
    )
)
_KINDS = {"workflow": "workflow", "task": "workflow", "agent": "agent", "tool": "tool"}
# What else of an SDK is told like a call.
_NO_CALLS = ("watsonx.model_init", "watsonx.get_details")
# Cohere's and Voyage's places of a ranking, as texts of an answer.
_PLACE = re.compile(r"Doc (\d{1,6}), Score: (\S{1,40})(?:\n(.*))?", re.DOTALL)
# How Agno prints the outcome of a tool.
_OUTCOME = re.compile(
    r"status='(\w+)' result=(.*?) error=(None|'.*?'|\".*?\") updated_session_state=", re.DOTALL
)


def recognise(raw: RawSpan) -> bool:
    """Whether Traceloop names this span's kind or request type."""
    attributes = raw.attributes
    return (
        "traceloop.span.kind" in attributes
        or "llm.request.type" in attributes
        or "gen_ai.prompt.0.role" in attributes
        or _renamed(attributes) is not None
    )


def _renamed(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """What an SDK made from Traceloop's says, in Traceloop's words (`ioa_observe.`, Cisco's)."""
    return common.renamed(attributes, NAME, "entity.name", "span.kind")


def read(draft: Draft, attributes: dict[str, Any]) -> None:
    """Fill `draft` from entities and flattened messages."""
    if draft.kind is None and "traceloop.span.kind" not in attributes and (told := _renamed(attributes)):
        attributes = {**told, **attributes}
    if draft.kind is None:
        kind = word(attributes.get("traceloop.span.kind"))
        request = word(attributes.get("llm.request.type"))
        if draft.raw.name in _NO_CALLS:
            draft.kind = "other"
        elif request:
            draft.kind = spellings.kind_of_operation(request)
        elif kind:
            draft.kind = _KINDS.get(kind.lower(), "other")
        elif "gen_ai.request.model" in attributes and draft.raw.otel_kind == "client":
            draft.kind = "llm"
        if kind == "task" and draft.kind == "workflow":
            draft.kind = _kind_of_task(draft, attributes)
    if draft.kind in ("llm", "embedding"):
        _llm(draft, attributes)
    elif draft.kind == "rerank":
        _ranking(draft, attributes)
    _entity(draft, attributes)
    if draft.kind == "agent":
        draft.weak_agent = draft.weak_agent or word(attributes.get("traceloop.entity.name"))


def _kind_of_task(draft: Draft, attributes: dict[str, Any]) -> str:
    """LlamaIndex's components are all tasks, named after their class."""
    name = as_text(attributes.get("traceloop.entity.name")) or draft.raw.name
    if "retriever." in name.lower():
        return "retrieval"
    if name.endswith("Tool.task"):
        told = as_dict(attributes.get("traceloop.entity.output")) or {}
        if "tool_name" in told and "raw_output" in told:
            draft.tool_name = word(told["tool_name"])
            draft.tool_arguments = decode((as_dict(told.get("raw_input")) or {}).get("kwargs"))
            draft.tool_result = decode(told["raw_output"])
            draft.tool_error = (
                (as_text(told["raw_output"]) or "error") if told.get("is_error") is True else None
            )
            return "tool"
    return "workflow"


def _llm(draft: Draft, attributes: dict[str, Any]) -> None:
    flattened(draft, attributes, "gen_ai.prompt.", "gen_ai.completion.")
    if "llm.request.model" in attributes:
        # Its first names.
        flattened(draft, attributes, "llm.prompts.", "llm.completions.")
        loose.call(draft, attributes)
    functions = nested(attributes, "llm.request.functions.")
    if isinstance(functions, list):
        draft.take_tools(
            [
                {k: decode(v) for k, v in cast(dict[str, Any], f).items()}
                for f in cast(list[Any], functions)
                if isinstance(f, dict)
            ]
        )


def _ranking(draft: Draft, attributes: dict[str, Any]) -> None:
    """What was asked lies among the prompts as the user's, the documents as the system's, their places among the answers."""
    asked = nested(attributes, "gen_ai.prompt.")
    told = [t for p in cast(list[Any], asked if isinstance(asked, list) else []) if (t := as_dict(p))]
    sent = [as_text(t.get("content")) for t in told if t.get("role") == "system"]
    # In JS the text lies under its role.
    queries = [as_text(first(t, "content", "user")) for t in told if t.get("role") == "user"]
    draft.query = draft.query or (queries[0] if queries else None)
    places = nested(attributes, "gen_ai.completion.")
    found: list[Document] = []
    for answer in cast(list[Any], places) if isinstance(places, list) else []:
        place = _PLACE.fullmatch(as_text((as_dict(answer) or {}).get("content")) or "")
        if place is not None:
            index = int(place[1])
            content = place[3] or (sent[index] if index < len(sent) else None)
            found.append(Document(None, as_float(place[2]), content))
    if found and not draft.documents:
        draft.documents = found


def flattened(draft: Draft, attributes: dict[str, Any], given: str, answer: str) -> None:
    """The messages flattened under the prefixes `given` and `answer`."""
    if draft.inputs is None and any(k.startswith(given) for k in attributes):
        prompt = nested(attributes, given)
        if isinstance(prompt, list):
            # A text completion's prompt lies under its role.
            told = [
                _spoken(cast(dict[str, Any], p)) if isinstance(p, dict) else p
                for p in cast(list[Any], prompt)
            ]
            draft.inputs = messages.read(told, "user")
    if any(k.startswith(answer) for k in attributes):
        completion = nested(attributes, answer)
        if isinstance(completion, list):
            told = draft.outputs
            draft.outputs = None
            _completion(draft, cast(list[Any], completion))
            draft.outputs = _with_calls(told, draft.outputs) if told else draft.outputs


def _spoken(message: dict[str, Any]) -> Any:
    """A message of the conversation; of calls alone JS prints the content that there is not."""
    if message.get("content") in ("null", "undefined") and message.get("role") == "assistant":
        return {**message, "content": None}
    return message.get("user", message)


def _with_calls(told: list[Message], flattened: list[Message] | None) -> list[Message]:
    """The answer `told` with the calls that only its flattened form has (LiteLLM's streams of text and calls)."""
    calls = [p for m in flattened or [] for p in m.parts if p.type == "tool_call"]
    if len(told) == 1 and not any(p.type == "tool_call" for p in told[0].parts):
        told[0].parts += calls
    return told


def _completion(draft: Draft, items: list[Any]) -> None:
    tables = [cast(dict[str, Any], i) for i in items if isinstance(i, dict)]
    if draft.raw.scope_name.endswith(".haystack"):
        # Under Haystack 2 the names of the answer's fields are told in its place.
        tables = [t for t in tables if t.get("content") not in ("replies", "meta")]
    found: list[Message] = []
    thought = [
        Part("reasoning", text=as_text(t.get("content"))) for t in tables if t.get("role") == "thinking"
    ]
    for table in tables:
        if table.get("role") == "thinking":
            continue
        made = messages.message_of(table, "assistant")
        if found and "function_call" in table and "role" not in table:
            # LiteLLM gives each further call of one answer a number of its own.
            found[-1].parts += [p for m in made for p in m.parts]
        else:
            found += made
    if draft.raw.scope_name.endswith(".replicate") and all(t.keys() == {"content"} for t in tables):
        # Replicate gives an answer in pieces; each has a number here.
        said = [as_text(t["content"]) or "" for t in tables]
        found = [Message("assistant", [Part("text", text="".join(said))])]
    if any(m.parts for m in found):
        # What a client had no text for (thoughts, vectors) has a number of its own and nothing else.
        found = [m for m in found if m.parts]
    elif draft.kind == "embedding":
        found = []
    if thought and found:
        found[0].parts[:0] = thought
    finish = next((word(t.get("finish_reason")) for t in tables if word(t.get("finish_reason"))), None)
    if finish and spellings.finish_reason(finish, False) == "content_filter":
        # Older versions put the word FILTERED where the provider's text was.
        for message in found:
            message.parts = [p for p in message.parts if not (p.type == "text" and p.text == "FILTERED")]
    draft.adopt(Reply(found, finish))


def _entity(draft: Draft, attributes: dict[str, Any]) -> None:
    given = first(attributes, "traceloop.entity.input", "gen_ai.task.input")
    result = first(attributes, "traceloop.entity.output", "gen_ai.task.output")
    if given is None and result is None:
        return
    if draft.kind == "tool":
        draft.tool_name = draft.tool_name or word(attributes.get("traceloop.entity.name"))
        draft.tool_arguments = _arguments(given) if draft.tool_arguments is None else draft.tool_arguments
        draft.tool_result = _result(result) if draft.tool_result is None else draft.tool_result
        draft.tool_error = (
            draft.tool_error or common.tool_failure(draft.tool_result) or _message_error(result)
        )
    elif draft.kind in ("retrieval", "rerank"):
        table = as_dict(given) or {}
        asked = first(table, "query", "question", "input", "inputs", "str_or_query_bundle", "query_bundle")
        draft.query = draft.query or as_text((as_dict(asked) or {}).get("query_str", asked)) or _text(given)
        if draft.documents is None:
            draft.documents = common.documents(result)
    elif draft.kind == "llm":
        # SageMaker's endpoints take and give what their model was made for.
        request = as_dict(given) or {}
        draft.take_inputs("traceloop.entity.input", first(request, "messages", "inputs", "prompt") or given)
        parameters.take(draft, request.get("parameters"))
        draft.take_reply("traceloop.entity.output", result)
    elif draft.kind == "embedding" and draft.inputs is None:
        texts = first(as_dict(given) or {}, "texts", "text", "query", "input", "inputs")
        draft.inputs = messages.read(texts) if isinstance(texts, str | list) else None
    draft.input_text = draft.input_text or _text(given)
    draft.output_text = draft.output_text or _text(result)


def _arguments(value: Any) -> Any:
    decoded = decode(value)
    table = as_dict(decoded)
    if table is not None:
        kwargs = table.get("kwargs")
        if isinstance(kwargs, dict) and set(table) <= {"args", "kwargs"}:
            return kwargs if kwargs or not table.get("args") else table["args"]
        for key in ("input_str", "inputs", "input"):
            if key in table:
                return decode(table[key])
    return decoded


def _result(value: Any) -> Any:
    decoded = decode(value)
    if isinstance(decoded, str) and decoded.startswith("status='"):
        return _outcome(decoded)
    table = as_dict(decoded)
    if table is not None and "output" in table:
        inner = table["output"]
        message = as_dict(inner)
        if message is not None and "content" in (message.get("kwargs") or message):
            return decode((message.get("kwargs") or message)["content"])
        return decode(inner)
    return decode(decoded)


def _outcome(printed: str) -> Any:
    """What a tool returned, of an outcome as Agno prints it; one that failed as an object with its error."""
    found = _OUTCOME.match(printed)
    if found is None:
        return printed
    try:
        result, error = ast.literal_eval(found[2]), ast.literal_eval(found[3])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return printed
    return {"error": error} if error else decode(result)


def _message_error(value: Any) -> str | None:
    table = as_dict(value) or {}
    message = as_dict(table.get("output")) or {}
    body = as_dict(message.get("kwargs")) or message
    return (as_text(body.get("content")) or "error") if body.get("status") == "error" else None


def _text(value: Any) -> str | None:
    """The one text an entity carries: its `inputs`/`outputs`, its only argument, or the whole."""
    decoded = decode(value)
    table = as_dict(decoded)
    if table is None:
        return as_text(decoded)
    args = as_list(table.get("args"))
    if args and len(args) == 1 and isinstance(args[0], str) and not table.get("kwargs"):
        return args[0]
    kwargs = as_dict(table.get("kwargs"))
    for source in (table, kwargs or {}):
        for key in ("inputs", "outputs", "input", "output", "query", "question", "message", "response",
                    "str_or_query_bundle"):  # fmt: skip
            if isinstance(source.get(key), str) and source[key]:
                return source[key]
    found = messages.read(table.get("inputs") or table.get("outputs"), "user")
    if found:
        texts = [t for m in found if (t := m.text)]
        return texts[-1] if texts else as_text(value)
    return as_text(value)
