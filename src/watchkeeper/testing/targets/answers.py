"""Cases and answers as plain dictionaries, and how a target fails."""

import json
import math
from collections.abc import Callable
from typing import Any, cast

Case = dict[str, Any]
Answer = dict[str, Any]
FIELDS = (
    "output", "documents", "tool_calls", "finish_reason", "model", "usage", "cost", "latency_ms", "error", "excused",
)  # fmt: skip


class TargetError(Exception):
    """The target cannot be used at all; the text says what was wrong and what a target may be."""


class Transient(Exception):
    """One attempt failed in a way that may pass: overload, a cut connection. `after_s` is the other side's own wish."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


def text_of(case: Case) -> Any:
    """What the case asks: its input's text where it has one, else the input itself."""
    given = case["input"]
    return given["text"] if isinstance(given, dict) and given.get("text") is not None else given


def answer_of(case: Case, returned: Any, seconds: float | None) -> Answer:
    """What a target returned, as an answer: a string, or a dict with `output` and more."""
    if isinstance(returned, str):
        returned = {"output": returned}
    if not isinstance(returned, dict) or not ("output" in returned or "error" in returned):
        kind = type(returned).__name__
        return failed(case, f"the target returned {kind}, not text or a dict with 'output'")
    if (
        not any(returned.get(k) for k in ("error", "tool_calls", "finish_reason"))
        and returned.get("output") is None
    ):
        return failed(case, "the target returned no output, and no tool call or finish reason instead")
    answer = {k: sendable(returned[k]) for k in FIELDS if k in returned}
    if answer.get("output") is not None and not isinstance(answer["output"], str):
        answer["output"] = json.dumps(answer["output"], ensure_ascii=False, default=str)
    if isinstance(usage := answer.get("usage"), dict):
        # Providers nest details among the counts.
        counts = cast("dict[str, Any]", usage).items()
        answer["usage"] = {k: int(v) for k, v in counts if _number(v) and v == int(v)}
    if wrong := next((w for k, v in answer.items() if (w := _misshapen(k, v))), None):
        return failed(case, f"the target returned {wrong}")
    timed = {} if seconds is None else {"latency_ms": seconds * 1000}
    return {"case_id": case["id"], **timed, **answer}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, dict) for v in cast("list[Any]", value))


# What a field beside `output` may hold, in words, and whether a value is so.
_SHAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("documents", "tool_calls"), ("a list of objects", _objects)),
    **{k: ("text", lambda v: isinstance(v, str)) for k in ("finish_reason", "model", "error")},
    **dict.fromkeys(("cost", "latency_ms"), ("a number", _number)),
    "usage": ("an object of counts", lambda v: isinstance(v, dict)),
    "excused": ("true or false", lambda v: isinstance(v, bool)),
}


def _misshapen(field: str, value: Any) -> str | None:
    """Why the server could not take a field: one such answer must not cost the run all others."""
    expected, fits = _SHAPES.get(field, ("", lambda _: True))
    if value is not None and not fits(value):
        return f"{field} {value!r:.60}, not {expected}"
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"{field} that is no JSON: {error}"
    return None


def sendable(value: Any) -> Any:
    """The value with a mark for each half of a character, which no JSON carries; models that were cut off leave such."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {sendable(k): sendable(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [sendable(v) for v in cast("list[Any]", value)]
    return value


def failed(case: Case, reason: str) -> Answer:
    """The target's failure on this case: it counts against the release."""
    return {"case_id": case["id"], "error": sendable(reason)}


def excused(case: Case, reason: str) -> Answer:
    """No answer, and nobody knows whether it would have been good: it counts neither way, but it is never lost."""
    return {"case_id": case["id"], "error": reason, "excused": True}
