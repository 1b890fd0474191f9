"""Feedback and scores about traces, sent in the background like spans."""

import math
import re
from typing import Final, cast

from opentelemetry import trace as otel

from watchkeeper.sdk.client import client
from watchkeeper.sdk.health import note, quiet
from watchkeeper.sdk.values import text_of

FEEDBACK_PATH: Final = "/api/feedback"
SCORES_PATH: Final = "/api/scores"
#: What the server accepts, less room for a truncation mark and for placeholders longer than what they hide.
_MAX_LONG: Final = 19_000
_MAX_SHORT: Final = 200
_MAX_NAME: Final = 255
_THUMBS: Final = {"up": "up", "👍": "up", "down": "down", "👎": "down"}
_UNNAMED: Final = re.compile(r'["`\\\x00-\x1f\x7f]')
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")


@quiet(False)
def feedback(
    trace_id: str | None = None,
    rating: bool | float | str | None = None,
    comment: str | None = None,
    source: str = "user",
    name: str | None = None,
    *,
    correction: str | None = None,
    span_id: str | None = None,
) -> bool:
    """What a user said or did about an answer; True when it was queued.

    ``trace_id``: which answer, by default the current trace. ``rating``: ``True``/``"up"`` and
    ``False``/``"down"`` are thumbs, a number is stars or any measurement. ``name``: which signal (``copied``,
    ``escalated``, ``resolved``, ``minutes_to_resolution`` …); by default thumbs or a user rating, as the value
    says. ``correction``: the text the user replaced the answer by.

    >>> feedback(trace_id, rating="down", comment="wrong order")  # doctest: +SKIP
    """
    target = _trace(trace_id, "feedback")
    if target is None:
        return False
    if rating is None and comment is None and name is None and correction is None:
        note("feedback without rating, comment or name is not sent")
        return False
    value = _rating(rating)
    if rating is not None and value is None:
        note("feedback whose rating is not up, down, true, false or a number is not sent")
        return False
    fields: dict[str, object] = {"trace_id": target, "span_id": _span(span_id), "rating": value}
    fields |= {"name": name, "source": _short(source), "comment": _long(comment)}
    fields |= {"correction": _long(correction)}
    return _send(FEEDBACK_PATH, fields)


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

    ``value``: a number, or True/False for passed or not; a text is a label. The same name on the same trace
    again replaces the earlier score.

    >>> score("answer_has_steps", True, reason="3 steps found")  # doctest: +SKIP
    """
    target = _trace(trace_id, "score")
    if isinstance(value, str):
        value, label = None, label or value
    if target is None:
        return False
    number = None if value is None else float(value)
    if (number is None and label is None) or (number is not None and not math.isfinite(number)):
        note("a score without a value or label, or whose value is no finite number, is not sent", name)
        return False
    fields: dict[str, object] = {
        "trace_id": target,
        "span_id": _span(span_id),
        "scorer": name,
        "value": number,
    }
    fields |= {"label": _short(label), "reason": _long(reason)}
    if isinstance(value, bool):
        fields["passed"] = value
    return _send(SCORES_PATH, fields)


def _rating(rating: bool | float | str | None) -> bool | float | str | None:
    if isinstance(rating, str):
        return _THUMBS.get(rating.strip().lower())
    if isinstance(rating, bool) or rating is None:
        return rating
    # Numbers of other libraries are no JSON.
    number = rating if type(rating) is int else float(rating)
    return number if math.isfinite(number) else None


def _trace(given: str | None, what: str) -> str | None:
    if given is None:
        current = otel.get_current_span().get_span_context()
        if not current.is_valid:
            note(f"{what} outside of any trace is not sent; pass trace_id")
        # What is said of a trace that is not recorded would be counted without the trace's weight.
        return format(current.trace_id, "032x") if current.is_valid and current.trace_flags.sampled else None
    compact = str(given).replace("-", "").lower()
    if len(compact) != 32 or any(c not in "0123456789abcdef" for c in compact):
        note(f"{what} for something that is not a trace id is not sent")
        return None
    return compact


def _span(given: object) -> str | None:
    """A span id, None for anything else: what was said is still true of the trace."""
    if given is None:
        return None
    if isinstance(given, str) and re.fullmatch("[0-9a-fA-F]{16}", given):
        return given.lower()
    note("a report on something that is not a span id is sent for its trace")
    return None


def _name(name: str) -> str:
    """A name as the server takes it: one line without double quotes, backticks and backslashes."""
    clean = " ".join(_UNNAMED.sub(" ", name).split())
    return clean[:_MAX_NAME].rstrip() or "_"


def _short(text: str | None) -> str | None:
    return None if text is None else _CONTROLS.sub(" ", text_of(text, _MAX_SHORT)) or None


def _long(text: str | None) -> str | None:
    return None if text is None else text_of(text, _MAX_LONG)


def _send(path: str, fields: dict[str, object]) -> bool:
    exporter = client().exporter
    if exporter is None:
        return False
    clean = exporter.encoder.cleaner.text
    for key in ("name", "scorer"):
        if fields.get(key) is not None:
            fields[key] = _name(clean(cast("str", fields[key])))
    private = ("comment", "correction", "reason", "label", "source")
    payload = {
        key: clean(value) if key in private and isinstance(value, str) else value
        for key, value in fields.items()
        if value is not None
    }
    exporter.put_report(path, payload)
    return True
