"""The attribute layer: AnyValue, JSON in a string, quoted scalars, Python reprs and flattened keys to plain values."""

import ast
import base64
import json
import re
import warnings
from typing import Any, cast

import orjson

REPR_LIMIT = 256 * 1024
# Python doubts `'\d'` in what a client printed; that is no fault of our code, and would be a line in the log for each span.
warnings.filterwarnings("ignore", module=re.escape("<unknown>"))
_REDACTED = re.compile(
    r"\[?\s*(?:scrubbed|redacted|masked|filtered|hidden|removed)\b.*|[<_]*redacted[>_]*|\*{3,}|x{6,}|\[filtered\]",
    re.IGNORECASE,
)

# What a client writes where it cut a text ("…[truncated, original 81234 chars]").
_CUT_MARK = re.compile(r"\[truncated[^\[\]{}]{0,80}\]$", re.IGNORECASE)
# What is left of a value that a length limit cut: the beginning of a word or of a number, or nothing.
_UNFINISHED = re.compile(r"[\s,:]*(?:[-+.eE\d]*|tr?u?e?|fa?l?s?e?|nu?l?l?|(?:\.\.\.|…).{0,80})")
_OBJECT = re.compile(r"<[\w.]+(?: [\w.]+)? object(?: [\w.<>]+)? at 0x[0-9a-fA-F]+>")
_NO_WORD = frozenset(("", "None", "null", "undefined", "<not specified>"))

Json = Any


# Agenta's mark of a value it wrote as JSON.
_TAGGED_JSON = "@ag.type=json:"


def decode(value: Any) -> Json:
    """A value that may be JSON inside a string, as the plain value it stands for.

    A string that is not JSON stays itself, also one that starts like JSON and was cut (see `is_cut`).
    Python reprs (dicts and lists printed by a careless client) are read too, up to `REPR_LIMIT` characters.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text or text[0] not in '[{"@':
        return value
    if text[0] == "@":
        text = text.removeprefix(_TAGGED_JSON)
        if not text or text[0] not in '[{"':
            return value
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    if text[0] == '"':
        return value
    read = from_repr(text)
    return value if read is None else read


def unfold(value: Any) -> Json:
    """`decode`, also of an object or a list that was encoded twice on its way; a text that is no JSON stays itself."""
    told = decode(value)
    if type(told) is str and told is not value and told[:1] in ("{", "["):
        return decode(told)
    return told


def packed(block: dict[str, Any], end: str) -> Json:
    """The JSON in base64 under the first name that ends in `end`, None where there is none."""
    for key, value in block.items():
        if key.endswith(end) and isinstance(value, str):
            try:
                return decode(base64.b64decode(value, validate=True).decode())
            except ValueError:
                return None
    return None


def is_cut(decoded: Any) -> bool:
    """Whether what `decode` left a string is JSON that a length limit cut somewhere on the way."""
    if not isinstance(decoded, str):
        return False
    text = decoded.strip()
    if len(text) < 2 or text[0] not in "[{" or text[1] not in "{[\"'0123456789-tfn \n":
        return False
    if _CUT_MARK.search(text, max(0, len(text) - 120)):
        return True
    if text[1] == "'" or text[:3] == "[{'":
        return text[-1] not in "]}"
    try:
        json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        # Words that only begin in a bracket ("[note] …", "{name}: …") fail long before their end.
        within = error.msg.startswith(("Unterminated", "Invalid \\"))
        return within or (error.msg != "Extra data" and _UNFINISHED.fullmatch(text, error.pos) is not None)
    except RecursionError:
        return text[-1] not in "]}"
    return False


def from_repr(text: str) -> Json:
    """A Python literal printed with repr, or None when it is not one or too long to try."""
    if len(text) > REPR_LIMIT or "'" not in text:
        return None
    try:
        read: Any = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return cast(Json, read) if isinstance(read, dict | list) else None


def as_dict(value: Any) -> dict[str, Any] | None:
    """`value` decoded when it is an object, also one that was encoded twice, else None."""
    value = unfold(value)
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def as_list(value: Any) -> list[Any] | None:
    """`value` decoded when it is a list, also one that was encoded twice, else None."""
    value = unfold(value)
    return cast(list[Any], value) if isinstance(value, list) else None


def as_text(value: Any) -> str | None:
    """A string for people: strings as they are (quotes of a JSON scalar removed), other values as JSON; '' is None."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if len(value) > 1 and value[0] == '"' and value[-1] == '"':
            inner = decode(value)
            return inner if isinstance(inner, str) else value
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Integers past 64 bits.
        return json.dumps(value, default=str, ensure_ascii=False)


def said(value: Any) -> str | None:
    """`as_text` of what a step took or gave, None where a client prints that there was nothing."""
    return None if value in ("null", "{}", "[]") else as_text(value)


def word(value: Any) -> str | None:
    """A short identifier: stripped text, None for '', 'None', 'null' and anything that is no scalar."""
    if value is None:
        return None
    text = value
    if type(value) is not str or value[:1] == '"':
        # A whole number that an exporter sent as a fraction (a version, a thread) is the number.
        whole = type(value) is float and value.is_integer()
        text = None if isinstance(value, dict | list) else as_text(int(value) if whole else value)
        if text is None:
            return None
    text = text.strip()
    return None if text in _NO_WORD else text


def untraced(text: str) -> str:
    """What was raised, without the traceback some clients append to it: its paths name what did not fail."""
    return text.partition("Traceback (most recent call last)")[0].strip() or text


def identifier(value: Any) -> str | None:
    """An id of a session, user or release; None when it is not known or a scrubber has replaced it."""
    text = word(value)
    return None if text is None or text.lower() == "unknown" or is_redacted(text) else text


def is_redacted(text: str) -> bool:
    """Whether `text` is what a scrubber leaves behind rather than a value."""
    return _REDACTED.fullmatch(text.strip()) is not None


# What clients put where an application wants no content told: OpenInference, Google's, LiteLLM, coding agents.
_HIDDEN = frozenset(("__REDACTED__", "<elided>", "redacted-by-litellm", "<REDACTED>", "[REDACTED]"))


def is_hidden(value: Any) -> bool:
    """Whether a content is only the mark that it was left out."""
    return type(value) is str and len(value) < 20 and value in _HIDDEN


def is_object_repr(text: str) -> bool:
    """Whether `text` is how Python prints an object that has no text of its own (a stream nobody has read)."""
    return text[:1] == "<" and _OBJECT.fullmatch(text.strip()) is not None


def as_int(value: Any) -> int | None:
    """A count, from an int, an integral float or digits; None for anything else, negatives included."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value if value >= 0 else None
    if isinstance(value, str):
        text = value.strip().strip('"')
        if text.isascii() and text.isdigit() and len(text) < 19:
            return int(text)
        number = as_float(value)
        return int(number) if number is not None and number.is_integer() and 0 <= number < 1e18 else None
    if isinstance(value, float):
        return int(value) if value.is_integer() and 0 <= value < 1e18 else None
    return None


def as_float(value: Any) -> float | None:
    """A finite number, from a number or its text; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e300 else None
    if isinstance(value, str):
        try:
            number = float(value.strip().strip('"'))
        except ValueError:
            return None
        return number if abs(number) < 1e300 else None
    return None


def as_bool(value: Any) -> bool | None:
    """A truth value, from a bool or one of its usual spellings."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        lowered = value.strip().strip('"').lower()
        if lowered in ("true", "yes", "1"):
            return True
        if lowered in ("false", "no", "0"):
            return False
    return None


def first(attributes: dict[str, Any], *keys: str) -> Any:
    """The value of the first key that is present and neither None nor empty text."""
    for key in keys:
        value = attributes.get(key)
        if value is not None and value != "":
            return value
    return None


class Picker:
    """Many aliased fields in one walk over the attributes: for each field its strongest key that holds a value."""

    __slots__ = ("_where",)

    def __init__(self, fields: dict[str, tuple[str, ...]]) -> None:
        self._where = {key: (field, rank) for field, keys in fields.items() for rank, key in enumerate(keys)}

    def __call__(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Field -> value for the fields that are present."""
        out: dict[str, Any] = {}
        ranks: dict[str, int] = {}
        where = self._where
        for key, value in attributes.items():
            hit = where.get(key)
            if hit is None or value is None or value == "":
                continue
            field, rank = hit
            if field not in ranks or rank < ranks[field]:
                ranks[field] = rank
                out[field] = value
        return out


def nested(attributes: dict[str, Any], prefix: str) -> Json:
    """Flattened keys under `prefix` as one tree: `a.0.b` becomes lists, everything else dicts; None when absent.

    >>> nested({"m.0.role": "user", "m.1.role": "assistant"}, "m.")
    [{'role': 'user'}, {'role': 'assistant'}]
    """
    tree: dict[str, Any] = {}
    ours: set[int] = set()
    start = len(prefix)
    for key, value in attributes.items():
        if not key.startswith(prefix):
            continue
        node = tree
        *path, leaf = key[start:].split(".")
        for step in path:
            child = node.get(step)
            if id(child) not in ours:
                # A map that a client sent beside its own flattened form stays as it came.
                child = node[step] = dict(cast(dict[str, Any], child)) if isinstance(child, dict) else {}
                ours.add(id(child))
            node = cast(dict[str, Any], child)
        if leaf not in node:
            node[leaf] = value
    # What is told of the whole lies beside its numbered parts.
    parts = {key: node for key, node in tree.items() if _is_number(key)}
    return _listed(parts or tree) if tree else None


def _is_number(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) < 6


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    table = cast(dict[str, Any], node)
    if table and all(map(_is_number, table)):
        # Gaps are dropped: a client may number messages from 1 (openinference, responses API).
        return [_listed(table[key]) for key in sorted(table, key=int)]
    return {key: _listed(value) for key, value in table.items()}
