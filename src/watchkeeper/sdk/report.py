"""Feedback and scores about traces, sent in the background like spans."""

import math
import uuid
from typing import Final

from watchkeeper.sdk.client import client
from watchkeeper.sdk.encode import Cleaner
from watchkeeper.sdk.health import note, quiet
from watchkeeper.sdk.spans import current_trace_id
from watchkeeper.sdk.values import text_of

FEEDBACK_PATH: Final = "/api/feedback"
SCORES_PATH: Final = "/api/scores"
_MAX_COMMENT: Final = 20_000
_THUMBS: Final = {"up": 1, "👍": 1, "down": 0, "👎": 0}


@quiet(False)
def feedback(
    trace_id: str | None = None,
    rating: bool | float | str | None = None,
    comment: str | None = None,
    source: str = "user",
    name: str = "rating",
    *,
    correction: str | None = None,
) -> bool:
    """What a user said or did about an answer; True when it was queued.

    ``trace_id``: which answer, by default the current trace. ``rating``: ``True``/``"up"`` is 1,
    ``False``/``"down"`` is 0, a number stays (stars, seconds), another text stays. ``name``: which signal
    (``rating``, ``stars``, ``copied``, ``edited``, ``escalated``, ``resolved`` …). ``correction``: the
    text the user replaced the answer by.

    >>> feedback(trace_id, rating="down", comment="wrong order")  # doctest: +SKIP
    """
    target = _trace(trace_id, "feedback")
    if target is None:
        return False
    if rating is None and comment is None and correction is None and name == "rating":
        note("feedback without content is not sent")
        return False
    value = _THUMBS.get(rating, rating) if isinstance(rating, str) else rating
    value = int(value) if isinstance(value, bool) else value
    if isinstance(value, float) and not math.isfinite(value):
        note("feedback with a rating that is not a number is not sent")
        return False
    return _send(
        FEEDBACK_PATH,
        {
            "trace_id": target,
            "rating": value,
            "name": name,
            "source": source,
            "comment": comment,
            "correction": correction,
        },
    )


@quiet(False)
def score(
    name: str,
    value: bool | float | str | None = None,
    *,
    label: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    reason: str | None = None,
) -> bool:
    """The result of a check of your own on a trace or one of its spans; True when it was queued.

    ``value``: a number, or True/False; a text is a label.

    >>> score("answer_has_steps", True, reason="3 steps found")  # doctest: +SKIP
    """
    target = _trace(trace_id, "score")
    if isinstance(value, str):
        value, label = None, label or value
    if target is None:
        return False
    if value is None and label is None:
        note("a score without a value is not sent", name)
        return False
    number = None if value is None else float(value)
    if number is not None and not math.isfinite(number):
        note("a score that is not a number is not sent", name)
        return False
    return _send(
        SCORES_PATH,
        {
            "trace_id": target,
            "span_id": span_id,
            "scorer": text_of(name, 200),
            "value": number,
            "label": label,
            "reason": reason,
        },
    )


def _trace(given: str | None, what: str) -> str | None:
    if given is None:
        current = current_trace_id()
        if current is None:
            note(f"{what} outside of any trace is not sent; pass trace_id")
        return current
    compact = str(given).replace("-", "").lower()
    if len(compact) != 32 or any(c not in "0123456789abcdef" for c in compact):
        note(f"{what} for something that is not a trace id is not sent")
        return None
    return compact


def _send(path: str, fields: dict[str, object]) -> bool:
    state = client()
    if state.exporter is None:
        return False
    cleaner: Cleaner = state.exporter.encoder.cleaner
    # The id lets the server recognise a repeat: a request may arrive although its answer was lost.
    payload: dict[str, object] = {"id": uuid.uuid4().hex}
    for key, value in fields.items():
        if value is not None:
            exact = key in ("trace_id", "span_id") or not isinstance(value, str)
            payload[key] = value if exact else cleaner.text(text_of(value, _MAX_COMMENT))
    state.exporter.put_report(path, payload)
    return True
