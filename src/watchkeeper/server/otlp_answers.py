"""Errors as OTLP clients expect them: a `Status` in their own encoding, and codes that say whether to try again."""

from watchkeeper.server.routing import HttpError, Request, Response
from watchkeeper.wire.errors import UnsupportedEncoding
from watchkeeper.wire.otlp import encoding_of, status_response

RETRY_MOST_SECONDS = 5
# google.rpc.Code by HTTP status; a Status names its own code, whatever the transport.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 421: 3, 429: 8, 500: 13, 503: 14}


def retry_after(seconds: float) -> str:
    """The header's value: whole seconds, at least 1 and at most 5, so that no client backs off for long."""
    return str(min(RETRY_MOST_SECONDS, max(1, round(seconds))))


def otlp_error(request: Request, error: HttpError) -> Response:
    """The error as a `Status` body in the request's encoding (protobuf when that is unknown)."""
    try:
        encoding = encoding_of(request.headers.get("content-type"))
    except UnsupportedEncoding:
        encoding = "protobuf"
    message = f"{error.error}; {error.hint}" if error.hint else error.error
    body, content_type = status_response(CODES.get(error.status, 2), message, encoding)
    headers = {**error.headers, "content-type": content_type}
    if error.status in (429, 503):
        headers.setdefault("retry-after", "1")
    return Response(body, error.status, headers)
