"""Cases and answers as plain dictionaries, and how a target fails."""

import json
from typing import Any

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
    answer = {k: returned[k] for k in FIELDS if k in returned}
    if answer.get("output") is not None and not isinstance(answer["output"], str):
        answer["output"] = json.dumps(answer["output"], ensure_ascii=False, default=str)
    timed = {} if seconds is None else {"latency_ms": seconds * 1000}
    return {"case_id": case["id"], **timed, **answer}


def failed(case: Case, reason: str) -> Answer:
    """The target's failure on this case: it counts against the release."""
    return {"case_id": case["id"], "error": reason}


def excused(case: Case, reason: str) -> Answer:
    """No answer, and nobody knows whether it would have been good: it counts neither way, but it is never lost."""
    return {"case_id": case["id"], "error": reason, "excused": True}
