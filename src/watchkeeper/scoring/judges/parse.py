"""Strict reading of a judge's reply: exactly the asked keys, numbers in range, or it is not a reply."""

import json
import math
from typing import Any, cast


class BadReply(ValueError):
    """The reply is not what was asked for; the text says why, and may be shown to the judge."""


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise BadReply("a key is given twice")
    return out


def _no_constant(name: str) -> Any:
    raise BadReply(f"{name} is not a JSON number")


def json_object(text: str) -> dict[str, Any]:
    """The reply as one JSON object. A surrounding code fence and what a model thought before it are the only decoration accepted."""
    body = text.strip()
    if not body.startswith(("{", "```")):
        # Some servers leave a model's thoughts in its reply, and some of them their opening tag out. What follows the first end of
        # thoughts has to be the object and nothing else, so that a closing tag quoted among the thoughts ends in a bad reply.
        body = (body.partition("</think>")[2] or body).strip()
    if body.startswith("```") and body.endswith("```") and "\n" in body:
        body = body.partition("\n")[2][:-3].strip()
    try:
        value: Any = json.loads(body, object_pairs_hook=_no_doubles, parse_constant=_no_constant)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadReply(f"the reply is not one JSON object: {error}") from error
    except BadReply:
        raise
    except ValueError as error:
        # Integers of thousands of digits.
        raise BadReply(f"the reply holds a number that cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise BadReply(f"the reply is a JSON {type(value).__name__}, not an object")
    return cast("dict[str, Any]", value)


def keys(value: dict[str, Any], wanted: set[str], where: str = "the reply") -> None:
    """Exactly these keys."""
    if set(value) != wanted:
        lacking, extra = sorted(wanted - set(value)), sorted(set(value) - wanted)
        said = [f"lacks {', '.join(lacking)}"] if lacking else []
        said += [f"has unknown keys {', '.join(extra)[:200]}"] if extra else []
        raise BadReply(f"{where} {' and '.join(said)}")


def number(value: Any, low: float, high: float, where: str) -> float:
    """A number within its scale. Booleans and numbers in quotation marks are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadReply(f"{where} is {type(value).__name__}, not a number")
    try:
        number_ = float(value)
    except OverflowError as error:
        raise BadReply(f"{where} is out of range") from error
    if not math.isfinite(number_) or not low <= number_ <= high:
        raise BadReply(f"{where} is {number_:g}, outside {low:g} to {high:g}")
    return number_


def text(value: Any, where: str) -> str:
    """A string that says something."""
    if not isinstance(value, str) or not value.strip():
        raise BadReply(f"{where} must be a text that is not empty")
    return value


def boolean(value: Any, where: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise BadReply(f"{where} must be true or false")
    return value
