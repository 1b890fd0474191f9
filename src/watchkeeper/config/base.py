"""What every section of the configuration is made of: a strict model, and the kinds of text its fields hold."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

_FORMS: dict[str, str] = {}


def formed(pattern: str, words: str, **more: Any) -> StringConstraints:
    """A text of a form: its pattern, and the words that tell it to whoever sent another ("takes" stands before them)."""
    _FORMS[pattern] = words
    return StringConstraints(pattern=pattern, **more)


def form_in_words(fault: Mapping[str, Any]) -> str | None:
    """What a fault of pydantic's says of a text's form, in words; None where it is about something else."""
    words = _FORMS.get(fault["ctx"]["pattern"]) if fault["type"] == "string_pattern_mismatch" else None
    return f"takes {words}" if words else None


# By how the names of pydantic's faults begin; those about a value's kind first, as they say nothing of its size.
_KINDS = {
    "string_type": "a text",
    "string_sub_type": "a text",
    "string_unicode": "a text",
    "bool_": "true or false",
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "mapping_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "{expected}",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} character",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entry",
    "json_invalid": "is not JSON: {error}",
}


def of_kind(fault: Mapping[str, Any]) -> str | None:
    """What kind of value belongs where a fault of pydantic's found another; None where it is about something else."""
    kind = str(fault["type"])
    words = next((words for name, words in _KINDS.items() if kind.startswith(name)), None)
    return words.format(**fault.get("ctx", {})) if words else None


def fault_in_words(fault: Mapping[str, Any]) -> str:
    """What a fault of pydantic's says, in the words of every other message: what belongs there."""
    if kind := of_kind(fault):
        return f"must be {kind}"
    context: Mapping[str, Any] = fault.get("ctx", {})
    if words := _BOUNDS.get(fault["type"]):
        many = context.get("min_length" if fault["type"].endswith("short") else "max_length", 1) != 1
        plural = words.replace("entry", "entries") if words.endswith("entry") else f"{words}s"
        return (plural if many else words).format(**context)
    return form_in_words(fault) or str(fault["msg"]).removeprefix("Value error, ")


Name = Annotated[
    str,
    formed(
        r"^[A-Za-z_][A-Za-z0-9_.\-]{0,99}$",
        "up to 100 letters a to z, digits, _ . and -, first a letter or _",
    ),
]
# What is read, not made: evaluations of other systems come with names of their own (`Correctness [GEval]`, `Größe`).
MetricName = Annotated[
    str,
    formed(
        r'^[^\s"`\\\x00-\x1f\x7f]([^"`\\\x00-\x1f\x7f]{0,253}[^\s"`\\\x00-\x1f\x7f])?$',
        "a name of up to 255 characters in one line, without double quotes, backticks and backslashes",
    ),
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Line = Annotated[str, formed(r"^[^\r\n]+$", "one line", min_length=1, max_length=500)]
Project = Annotated[
    str,
    formed(
        r"^[a-z0-9][a-z0-9_\-]{0,62}$",
        "up to 63 small letters a to z, digits, _ and -, first a letter or digit",
    ),
]
Url = Annotated[
    str, formed(r"^https?://[^\s]+$", "an address with http:// or https:// and no spaces", max_length=2000)
]
Origin = Annotated[str, formed(r"^https?://[^/\s?#]+$", "http:// or https:// and a host, without a path")]


class Strict(BaseModel):
    """A section: unknown keys are refused, values are never silently converted, objects cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Open(BaseModel):
    """A section whose further keys belong to whoever reads it (a scorer's own parameters)."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)
