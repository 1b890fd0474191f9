"""Examples of other products' datasets as cases: items of Langfuse, examples of LangSmith and of Phoenix, rows of Braintrust, samples
of OpenAI's evals, as their APIs write them and as rows of a table. Standard library only."""

import ast
import hashlib
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, cast

from watchkeeper.model.splits import ANY_SPLIT

# What a dataset calls the one value that matters, where there are several.
_ASKED = ("question", "query", "input", "text", "prompt", "user_input", "message")
_ANSWERED = ("answer", "output", "expected", "response", "text", "content", "result", "reference")
_TRACE = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# What products call the parts of an example, the most telling name first.
_IDS = ("id", "example_id", "item_id", "case_id", "row_id")
_QUESTIONS = ("input", "inputs", "question", "query", "user_input", "prompt", "messages")
_WANTED = (
    "expected_output", "expected_outputs", "expected", "expected_answer", "expected_response", "reference_outputs", "reference_output",
    "reference_answer", "reference", "ideal", "ground_truth", "golden_answer", "target_output",
)  # fmt: skip
# What came out, which is what should come out where nothing else says that.
_CAME = ("outputs", "output", "answer", "response", "actual_output", "actual")
_TRACES = ("source_trace_id", "trace_id")
# What a product notes for itself.
_ITS_OWN = frozenset(
    {"dataset_id", "dataset_name", "source_trace_id", "source_observation_id", "source_run_id", "status", "node_id", "project_id",
     "project_name", "created", "created_at", "updated_at", "modified_at", "root_span_id", "is_root", "_xact_id", "_pagination_key"}
)  # fmt: skip
_PLAIN = ("scenario", "severity", "owner")
_LISTS = ("labels", "must_pass")
# By any of these an example is told from a case of ours.
_TELLING = (
    {*_IDS, *_QUESTIONS, *_WANTED, *_CAME, *_ITS_OWN, "metadata", "item"}
    - {"id", "input", "expected", "actual"}
)  # fmt: skip
# A table has a column for each value of an object: inputs.question, output_answer, metadata.topic.
_PART = re.compile(
    r"(inputs?|outputs?|expected|expected[ _]?outputs?|reference[ _]?outputs?|metadata)([./_])(?=.)", re.I
)


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


def case_of(record: Mapping[str, Any], anyhow: bool = False) -> dict[str, Any] | None:
    """The case that another product's example makes, {} of one that was archived there, None of a record that is no such example;
    `anyhow` makes one also of a record that nothing tells as one."""
    table = {_snake(k): v for k, v in record.items()}
    if isinstance(table.get("item"), dict) and not table.keys() & set(_QUESTIONS):
        inner = {_snake(k): v for k, v in table.pop("item").items()}
        table = {**table, **inner}
    elif not anyhow and not table.keys() & _TELLING:
        return None
    if str(table.get("status")).upper() == "ARCHIVED":
        return {}
    return _case(table)


def case_of_row(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The case that a row of a table makes, whoever wrote it; {} and None as of `case_of`. Cells may hold JSON or what Python prints
    of its objects."""
    return case_of(gathered(row), anyhow=True)


def _snake(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[ \-]+", "_", key.strip()).lower()


def gathered(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the columns of one object as that object, and its cells read."""
    names = {_snake(name) for name in row}
    made: dict[str, Any] = {}
    for name, cell in row.items():
        value = _value(cell) if isinstance(cell, str) else cell
        part = _PART.match(name.strip())
        whole = _snake(part[1]) if part is not None else ""
        # With an underscore it may as well be a name of its own beside the whole: input and input_language.
        if part is None or _snake(name) in _TELLING or (part[2] == "_" and whole in names):
            if name.strip():
                made[name] = value
            continue
        held = made.setdefault(whole, {})
        if not isinstance(held, dict):
            made[name] = value
            continue
        _put(cast(dict[str, Any], held), name.strip()[part.end() :].split("."), value)
    return {name: _listed(value) for name, value in made.items() if value is not None}


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    for step in path[:-1]:
        deeper = into.setdefault(step, {})
        if not isinstance(deeper, dict):
            return
        into = cast(dict[str, Any], deeper)
    into.setdefault(path[-1], value)


def _listed(value: Any) -> Any:
    """An object whose names count from nothing is the list that somebody flattened."""
    if not isinstance(value, dict):
        return value
    table = {k: _listed(v) for k, v in cast(dict[str, Any], value).items()}
    return list(table.values()) if table and [*table] == [str(i) for i in range(len(table))] else table


def _value(cell: str) -> Any:
    """What a cell says: text, or what it holds as JSON, or printed by Python. None of nothing."""
    text = cell.strip()
    if text in ("", "null", "None"):
        return None
    if text[0] + text[-1] not in ("{}", "[]", '""'):
        return cell
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings(action="ignore"):
            made = ast.literal_eval(text) if text[0] != '"' else cell
        # A set, bytes or a complex number could be no part of a case.
        return json.loads(json.dumps(made)) if isinstance(made, dict | list) else cell
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return cell


def _case(table: Mapping[str, Any]) -> dict[str, Any] | None:
    """The case of an example; None of one that asks nothing."""
    left = {k: v for k, v in table.items() if v is not None}
    key = next((k for k in _QUESTIONS if left.get(k) not in (None, "", {}, [])), None)
    if key is None:
        return None
    asked = left.pop(key)
    wanted = _taken(left, _WANTED)
    came = _taken(left, _CAME)
    if wanted is None:
        wanted, came = came, None
    if key == "messages" and wanted is None and isinstance(asked, list):
        asked, wanted = _last_said(cast(list[Any], asked))
    text, messages = _asked(asked)
    known = str(_taken(left, _IDS) or "") or "case_" + hashlib.sha256(_json(asked).encode()).hexdigest()[:16]
    ours = _ours(asked)
    made: dict[str, Any] = {
        "id": known,
        "input": {"text": text, "messages": messages} if messages else {"text": text},
    }
    if ours:
        made["input"] = asked
    trace = next((t for k in _TRACES if (t := _trace(left.get(k)))), None)
    if trace is not None and _trace(left.get("trace_id")) == trace:
        left.pop("trace_id")
    fields = _our_fields(left)
    context: dict[str, Any] = left.pop("context") if isinstance(left.get("context"), dict) else {}
    if isinstance(asked, dict) and not ours:
        context = {**context, "inputs": asked}
    if metadata := _metadata(left):
        context = {**context, "metadata": metadata}
    made |= {"context": context} if context else {}
    made |= {name: said for name, value in (("expected", wanted), ("actual", came)) if (said := _said(value))}
    made |= {"trace_id": trace} if trace is not None else {}
    return made | fields


def _ours(asked: Any) -> bool:
    """Whether this is an input as cases have it."""
    table = cast(dict[str, Any], asked) if isinstance(asked, dict) else {}
    messages = table.get("messages", [])
    return (
        isinstance(table.get("text"), str)
        and table.keys() <= {"text", "messages"}
        and isinstance(messages, list)
        and all(isinstance(m, dict) and "parts" in m for m in cast(list[Any], messages))
    )


def _taken(left: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of these names there is one of, which is then no longer there."""
    key = next((k for k in names if left.get(k) not in (None, "", {}, [])), None)
    return None if key is None else left.pop(key)


def _trace(value: Any) -> str | None:
    text = value.lower() if isinstance(value, str) else ""
    return text.replace("-", "") if _TRACE.fullmatch(text) else None


def _our_fields(left: dict[str, Any]) -> dict[str, Any]:
    """What an example says in the words of a case, which is then no longer there."""
    found: dict[str, Any] = {k: left.pop(k) for k in _PLAIN if isinstance(left.get(k), str) and left[k]}
    if left.get("split") in ANY_SPLIT:
        found["split"] = left.pop("split")
    for name in _LISTS:
        value = left.get(name)
        words = [w.strip() for w in value.split(",")] if isinstance(value, str) else value
        if isinstance(words, list) and all(isinstance(w, str) for w in cast(list[Any], words)):
            left.pop(name)
            found |= {name: [w for w in cast(list[str], words) if w]} if words else {}
    return found


def _metadata(left: Mapping[str, Any]) -> dict[str, Any]:
    """What else an example says, as its metadata."""
    given = left.get("metadata")
    named: dict[str, Any] = (
        cast(dict[str, Any], given) if isinstance(given, dict) else {"metadata": given} if given else {}
    )
    rest = {k: v for k, v in left.items() if k not in _ITS_OWN and k != "metadata" and v not in ("", {}, [])}
    return {**rest, **named}


def _last_said(messages: list[Any]) -> tuple[list[Any], Any]:
    """A conversation that ends with the answer as what was asked and what should come out."""
    last = messages[-1] if messages else None
    if isinstance(last, dict) and cast(dict[str, Any], last).get("role") == "assistant":
        return messages[:-1], cast(dict[str, Any], last)
    return messages, None


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
    if isinstance(value, list) and len(cast(list[Any], value)) == 1:
        return _said(value[0])
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
