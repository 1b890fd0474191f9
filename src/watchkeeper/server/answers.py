"""Answers in their three shapes: data, errors as data, errors as pages."""

import html
import math
from datetime import UTC, date, datetime
from typing import Any, cast

import msgspec
import orjson
from pydantic import BaseModel
from starlette.responses import Response

from watchkeeper.server.routing import HttpError


def _known(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, set | frozenset | tuple):
        return list(cast("set[Any]", value))
    if isinstance(value, int):
        return str(value)
    return str(value)


def plain(value: Any) -> Any:
    """The value with what JSON cannot say made sayable: surrogates replaced, 64-bit overflows as text."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {
            str(plain(k) if isinstance(k, str) else k): plain(v)
            for k, v in cast("dict[Any, Any]", value).items()
        }
    if isinstance(value, list | tuple):
        return [plain(v) for v in cast("list[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        return str(value)
    return value if isinstance(value, bool | int | float | datetime | date | None) else plain(_known(value))


_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC


def to_json(data: Any) -> bytes:
    """JSON bytes of plain data, structs, models, times (ISO 8601 UTC)."""
    try:
        return orjson.dumps(data, default=_known, option=_OPTIONS)
    except (TypeError, ValueError):
        return orjson.dumps(plain(data), default=str, option=_OPTIONS)


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Data as JSON."""
    return Response(to_json(data), status, {**(headers or {}), "content-type": "application/json"})


def error_json(error: HttpError) -> Response:
    """An error as `{"error", "hint"}`."""
    return json_response({"error": error.error, "hint": error.hint}, error.status, error.headers)


def page(title: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A small page of our own for what must work even without the web pages. `body` is trusted HTML."""
    text = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        # Under the header's no-referrer a browser sends forms with `Origin: null`, which is refused as another site's.
        "<meta name='referrer' content='same-origin'>"
        f"<title>{html.escape(title)} · Watchkeeper</title>"
        "<link rel='icon' href='/static/icon.svg' type='image/svg+xml'>"
        "<link rel='stylesheet' href='/static/app.css'></head>"
        f"<body class='plain'><main class='plain'>{body}</main></body></html>"
    )
    return Response(text, status, {**(headers or {}), "content-type": "text/html; charset=utf-8"})


def error_page(error: HttpError) -> Response:
    """An error as a page."""
    words = {400: "That did not work", 401: "Please sign in", 403: "Not allowed", 404: "Not found"}
    title = words.get(error.status, "Something went wrong")
    said = f"<h1>{title}</h1><p>{html.escape(error.error)}</p><p class='muted'>{html.escape(error.hint)}</p>"
    return page(title, f"{said}<p><a href='/'>Back to the overview</a></p>", error.status, error.headers)


def timed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with every `…_ns` also as a time that people read."""
    return {**row, **{k.removesuffix("_ns"): iso(v) for k, v in row.items() if k.endswith("_ns")}}


def iso(ns: int | None) -> str | None:
    """Nanoseconds since 1970 as ISO 8601 UTC with milliseconds; None stays None, and so does what no calendar has."""
    if ns is None:
        return None
    try:
        return (
            datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            + f"{ns % 10**9 // 10**6:03d}Z"
        )
    except (OverflowError, ValueError, OSError):
        return None
