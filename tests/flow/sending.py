"""Spans as OTLP/JSON, and a client that keeps its connection: what the flow tests send."""

import hashlib
import http.client
import json
import time
from typing import Any


def hex_id(*parts: object, digits: int = 32) -> str:
    """A deterministic id made of the parts."""
    return hashlib.sha256("\x00".join(map(str, parts)).encode()).hexdigest()[:digits]


def value_of(value: Any) -> dict[str, Any]:
    """A Python value as an OTLP AnyValue."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": value}
    return {"stringValue": json.dumps(value)}


def attributes_of(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Attributes as OTLP/JSON sends them."""
    return [{"key": key, "value": value_of(value)} for key, value in values.items()]


def span(
    trace_id: str,
    span_id: str,
    name: str = "chat gpt-4o-mini",
    *,
    parent: str | None = None,
    start_ns: int | None = None,
    seconds: float = 0.5,
    error: str | None = None,
    **attributes: Any,
) -> dict[str, Any]:
    """One span; attribute names are written with `__` for a dot."""
    start = time.time_ns() - 10 * 10**9 if start_ns is None else start_ns
    made: dict[str, Any] = {
        "traceId": trace_id,
        "spanId": span_id,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + int(seconds * 1e9)),
        "attributes": attributes_of({k.replace("__", "."): v for k, v in attributes.items()}),
        "status": {"code": 2, "message": error} if error is not None else {},
    }
    if parent is not None:
        made["parentSpanId"] = parent
    return made


def call(trace_id: str, span_id: str, question: str, answer: str, **more: Any) -> dict[str, Any]:
    """A root span that is a model call, in the current GenAI conventions."""
    said = {"role": "user", "parts": [{"type": "text", "content": question}]}
    replied = {
        "role": "assistant",
        "parts": [{"type": "text", "content": answer}],
        "finish_reason": "stop",
    }
    values: dict[str, Any] = {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4o-mini",
        "gen_ai__response__model": "gpt-4o-mini-2024-07-18",
        "gen_ai__input__messages": [said],
        "gen_ai__output__messages": [replied],
        "gen_ai__usage__input_tokens": 31,
        "gen_ai__usage__output_tokens": 12,
        **more,
    }
    return span(trace_id, span_id, **values)


def request(spans: list[dict[str, Any]], **resource: Any) -> bytes:
    """An export request's body."""
    about = {"attributes": attributes_of({k.replace("__", "."): v for k, v in resource.items()})}
    return json.dumps({"resourceSpans": [{"resource": about, "scopeSpans": [{"spans": spans}]}]}).encode()


class Connection:
    """One kept-alive HTTP connection to a server; opened again after a failure."""

    def __init__(self, port: int, **headers: str) -> None:
        self._port = port
        self._headers = {k.replace("_", "-"): v for k, v in headers.items()}
        self._open: http.client.HTTPConnection | None = None

    def post(
        self, path: str, body: bytes, content_type: str = "application/json", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body. Raises OSError or HTTPException when there is no full answer."""
        if self._open is None:
            self._open = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        sent = {
            "content-type": content_type,
            **self._headers,
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        try:
            self._open.request("POST", path, body, sent)
            answer = self._open.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def close(self) -> None:
        """Close it; the next post opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None
