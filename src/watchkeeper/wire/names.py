"""What a log record is called and how it is recognised again."""

import hashlib
import re
from typing import Any

import msgspec

from watchkeeper.model.span import LogRecord

_NAME = re.compile(r"[a-z][a-z0-9_]*(?:[.\-][a-z0-9_]+)+")
_encoder = msgspec.json.Encoder(order="deterministic")


def event_name(field: str, attributes: dict[str, Any], body: Any) -> str:
    """The event's name: the record's own field, `event.name`, or a body that is nothing but a dotted name."""
    named = attributes.get("event.name")
    if field:
        # Rust's bridge puts the place in the source into the field (Codex CLI).
        placed = isinstance(named, str) and " " in field and _NAME.fullmatch(named)
        return str(named) if placed else field
    # A client that names the event in the body may put the bare last word in `event.name`.
    bare = not isinstance(named, str) or (isinstance(body, str) and body.endswith(named))
    if bare and isinstance(body, str) and len(body) <= 100 and _NAME.fullmatch(body):
        return body
    return named if isinstance(named, str) else ""


def log_id(log: LogRecord) -> str:
    """The same 32 hex digits for the same record however often and in whichever encoding it is sent."""
    content = (
        log.trace_id, log.span_id, log.time_ns, log.name, log.severity,
        log.body, log.attributes, log.resource, log.scope_name,
    )  # fmt: skip
    return hashlib.blake2b(_encoder.encode(content), digest_size=16).hexdigest()
