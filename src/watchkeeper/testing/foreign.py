"""Examples of other products' datasets as cases: items of Langfuse, examples of LangSmith and of Phoenix, as their APIs write
them. Standard library only."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

# What a dataset calls the one value that matters, where there are several.
_ASKED = ("question", "query", "input", "text", "prompt", "user_input", "message")
_ANSWERED = ("answer", "output", "expected", "response", "text", "content", "result", "reference")
_TRACE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def examples_in(document: object) -> Iterator[object]:
    """The records of a JSON document: of a list, of an API's page under `data`, or itself."""
    inner = document
    while isinstance(inner, dict):
        table = cast(dict[str, Any], inner)
        key = next((k for k in ("data", "examples", "items") if isinstance(table.get(k), dict | list)), None)
        if key is None or "id" in table:
            break
        inner = table[key]
    if isinstance(inner, list):
        yield from cast(list[object], inner)
    else:
        yield inner


def case_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The case that another product's example makes, {} of one that was archived there, None of a record that is no such example."""
    table = {_snake(k): v for k, v in record.items()}
    if "expected_output" in table and {"dataset_id", "status"} & table.keys():
        if str(table.get("status")).upper() == "ARCHIVED":
            return {}
        return _case(table, table.get("input"), table.get("expected_output"), table.get("source_trace_id"))
    if isinstance(table.get("inputs"), dict):
        return _case(table, table["inputs"], table.get("outputs"))
    if isinstance(table.get("input"), dict) and isinstance(table.get("output"), dict) and "metadata" in table:
        return _case(table, table["input"], table["output"])
    return None


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()


def _case(table: Mapping[str, Any], asked: Any, expected: Any, trace: Any = None) -> dict[str, Any]:
    text, messages = _asked(asked)
    context = {"inputs": asked} if isinstance(asked, dict) else {}
    if isinstance(table.get("metadata"), dict) and table["metadata"]:
        context["metadata"] = table["metadata"]
    known = str(table.get("id") or "") or "case_" + hashlib.sha256(_json(asked).encode()).hexdigest()[:16]
    made: dict[str, Any] = {
        "id": known,
        "input": {"text": text, "messages": messages} if messages else {"text": text},
    }
    made |= {"context": context} if context else {}
    said = _said(expected)
    made |= {"expected": said} if said else {}
    if isinstance(trace, str) and _TRACE.fullmatch(trace):
        made["trace_id"] = trace.replace("-", "")
    return made


def _asked(value: Any) -> tuple[str, list[dict[str, Any]]]:
    """What is asked as text, and the conversation where it is one."""
    given = cast(dict[str, Any], value).get("messages") if isinstance(value, dict) else value
    if isinstance(given, list):
        messages = [m for x in cast(list[Any], given) if (m := _message(x)) is not None]
        asked = next(
            (m for m in reversed(messages) if m["role"] == "user"), messages[-1] if messages else None
        )
        if asked is not None:
            return str(asked["parts"][0]["text"]), messages
    return _one(value, _ASKED), []


def _message(value: Any) -> dict[str, Any] | None:
    """A message as cases hold them; None where its content is no text."""
    table = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    role, content = table.get("role"), table.get("content")
    if not (isinstance(role, str) and isinstance(content, str)):
        return None
    return {"role": role, "parts": [{"type": "text", "text": content}]}


def _said(value: Any) -> str | None:
    if value in (None, "", {}, []):
        return None
    table = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    if table.get("role") and isinstance(table.get("content"), str):
        return str(table["content"])
    if isinstance(table.get("messages"), list) and (last := _message((table["messages"] or [None])[-1])):
        return str(last["parts"][0]["text"])
    return _one(value, _ANSWERED)


def _one(value: Any, names: tuple[str, ...]) -> str:
    """The one text in a value: itself, its only one, that under the first of `names` it has, else all of it as JSON."""
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        if len(table) == 1:
            return _one(next(iter(table.values())), names)
        found = next((table[n] for n in names if isinstance(table.get(n), str) and table[n]), None)
        if found is not None:
            return str(found)
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
