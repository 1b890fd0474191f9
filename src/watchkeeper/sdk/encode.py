"""Ended spans as one OTLP request, with everything private already replaced."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from google.protobuf.message import DecodeError
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

from watchkeeper.sdk import keys
from watchkeeper.sdk.health import note
from watchkeeper.sdk.parcel import Parcel
from watchkeeper.sdk.redaction import Redactor, keyed_hash
from watchkeeper.sdk.settings import Settings
from watchkeeper.sdk.values import clip, valid

#: Spans encoded in one go: few, because the interpreter belongs to us meanwhile.
_TOGETHER: Final = 2
_GZIP_FROM: Final = 1400
_PROTOBUF: Final = "application/x-protobuf"
TRACES_PATH: Final = "/v1/traces"


class Cleaner:
    """Makes any string or attribute safe to send: valid Unicode, bounded, redacted, identities hashed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redact = Redactor(settings.names, settings.patterns) if settings.redact else None
        self._user = keyed_hash(settings.hash_users) if settings.hash_users else None
        # An address used as session id must neither leave nor merge every session into one placeholder.
        secret = settings.hash_users or settings.api_key or settings.project or "watchkeeper"
        self._identity = keyed_hash(secret)

    def text(self, text: str) -> str:
        """One string, for any place that is not an attribute with a known key."""
        text = valid(clip(text, self._settings.max_text))
        return self._redact(text) if self._redact is not None else text

    def attributes(self, attributes: Mapping[str, object] | None) -> dict[str, object]:
        """All attributes of a span, an event, a link or a resource; keys are cleaned too."""
        out: dict[str, object] = {}
        for key, value in (attributes or {}).items():
            if not self._settings.capture_content and _is_content(key):
                continue
            out[self.text(key) if len(key) > 40 or not key.isascii() or "@" in key else key] = self._value(
                key, value
            )
        return out

    def _value(self, key: str, value: object) -> object:
        if isinstance(value, str):
            if key in keys.USERS and self._user is not None:
                return self._user(value)
            if key in keys.IDENTITIES:
                cleaned = self.text(value)
                return cleaned if cleaned == value else self._identity(value)
            return value if key in _STRUCTURAL else self.text(value)
        if isinstance(value, bytes):
            return value if self._redact is None else self.text(value.decode("utf-8", "replace"))
        if isinstance(value, Mapping):
            return self.attributes(cast("Mapping[str, object]", value))
        if isinstance(value, Sequence):
            return [self._value("", item) for item in cast("Sequence[object]", value)]
        if self._redact is not None and type(value) is int and value >= 10**12 and ".usage." not in key:
            return self._redact.value(value)
        return value

    def span(self, span: ReadableSpan) -> ReadableSpan:
        """A copy of the span that may leave the process."""
        status = span.status
        if status.description:
            status = Status(status.status_code, self.text(status.description))
        return ReadableSpan(
            name=self.text(span.name),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=cast("Mapping[str, str]", self.attributes(span.attributes)),
            events=[
                Event(
                    self.text(e.name), cast("Mapping[str, str]", self.attributes(e.attributes)), e.timestamp
                )
                for e in span.events
            ],
            links=[
                Link(k.context, cast("Mapping[str, str]", self.attributes(k.attributes))) for k in span.links
            ],
            kind=span.kind,
            status=status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


#: Values the SDK or a semantic convention fixes; they are never personal and must stay exact.
_STRUCTURAL: Final = frozenset(
    {
        keys.OPERATION, keys.PROVIDER, keys.REQUEST_MODEL, keys.RESPONSE_MODEL, keys.RESPONSE_ID, keys.TOOL_CALL_ID,
        keys.SPAN_KIND, keys.SCENARIO, keys.VARIANT, keys.PROMPT_VERSION, keys.ERROR_TYPE,
    }
)  # fmt: skip


def _is_content(key: str) -> bool:
    return key in keys.CONTENT or key.startswith(keys.CONTENT_PREFIXES)


class Encoder:
    """Turns batches of spans into parcels and stamps what this process knows onto their resource."""

    def __init__(self, settings: Settings, instance_id: str) -> None:
        self.cleaner = Cleaner(settings)
        self._instance_id = instance_id
        self._extra = {
            keys.PROJECT: settings.project,
            keys.ENVIRONMENT: settings.environment,
            keys.SERVICE_VERSION: settings.release,
        }
        self._resource = Resource()
        _set(self._resource, keys.SERVICE_NAME, settings.service or "unknown_service")

    def parcel(
        self, spans: Sequence[ReadableSpan], dropped: int, pause: Callable[[], None] = lambda: None
    ) -> Parcel | None:
        """One request. ``dropped``: spans lost so far; ``pause`` is called between spans to let others run.

        A span that cannot be encoded is noted and left out; the result's ``spans`` says how many are in.
        None when none is.
        """
        clean: list[ReadableSpan] = []
        for span in spans:
            try:
                clean.append(self.cleaner.span(span))
            except Exception as error:  # noqa: BLE001  one unreadable span must not cost the batch; counted and logged
                note("a span cannot be encoded and is dropped", f"{type(error).__name__}: {error}")
            pause()
        request = ExportTraceServiceRequest()
        encoded = 0
        for at in range(0, len(clean), _TOGETHER):
            part, size = _encode(clean[at : at + _TOGETHER])
            _merge(request, part)
            encoded += size
            pause()
        if not encoded:
            return None
        for group in request.resource_spans:
            self._stamp(group.resource, dropped)
        return _traces(request, encoded, dropped)

    def report(self, dropped: int) -> Parcel:
        """A request without spans that only says how many were lost."""
        group = ResourceSpans(resource=self._resource)
        self._stamp(group.resource, dropped)
        return _traces(ExportTraceServiceRequest(resource_spans=[group]), 0, dropped)

    def _stamp(self, resource: Resource, dropped: int) -> None:
        present = {pair.key for pair in resource.attributes}
        for pair in resource.attributes:
            _clean_value(pair.value, self.cleaner)
        for key, value in self._extra.items():
            if value and key not in present:
                _set(resource, key, value)
        _set(resource, keys.SDK_INSTANCE, self._instance_id)
        if dropped:
            resource.attributes.append(KeyValue(key=keys.DROPPED_SPANS, value=AnyValue(int_value=dropped)))


def split(parcel: Parcel) -> list[Parcel]:
    """Two halves of a request the server found too large, in order."""
    body = gzip.decompress(parcel.body) if parcel.encoding == "gzip" else parcel.body
    halves = [ExportTraceServiceRequest(), ExportTraceServiceRequest()]
    seen = 0
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scoped in group.scope_spans:
            for span in scoped.spans:
                half = halves[0 if seen * 2 < parcel.spans else 1]
                seen += 1
                _append(half, group, scoped, span)
    sizes = (sum(len(s.spans) for g in half.resource_spans for s in g.scope_spans) for half in halves)
    return [_traces(half, size, parcel.dropped) for half, size in zip(halves, sizes, strict=True)]


def _merge(request: ExportTraceServiceRequest, part: ExportTraceServiceRequest) -> None:
    """Add ``part`` to the request without repeating a resource that is already there."""
    for group in part.resource_spans:
        for present in request.resource_spans:
            if present.resource == group.resource:
                present.scope_spans.extend(group.scope_spans)
                break
        else:
            request.resource_spans.append(group)


def _append(half: ExportTraceServiceRequest, group: ResourceSpans, scoped: ScopeSpans, span: Span) -> None:
    last = half.resource_spans[-1] if half.resource_spans else None
    if last is None or last.resource != group.resource:
        last = half.resource_spans.add(resource=group.resource, schema_url=group.schema_url)
    inner = last.scope_spans[-1] if last.scope_spans else None
    if inner is None or inner.scope != scoped.scope:
        inner = last.scope_spans.add(scope=scoped.scope, schema_url=scoped.schema_url)
    inner.spans.append(span)


def rejected_spans(answer: bytes) -> tuple[int, str]:
    """How many spans a successful answer says it did not take, and why; 0 when it does not say."""
    try:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:  # a proxy answered something else with 200
        return 0, ""
    return max(0, partial.rejected_spans), partial.error_message


def refusal(answer: bytes) -> str:
    """What an answer that refuses a request says, in one line: an OTLP server's words, or the beginning of anything else."""
    try:
        # A google.rpc.Status, whose own package is none of our dependencies: its message is a text of the same number.
        text = ExportTracePartialSuccess.FromString(answer).error_message
    except DecodeError:
        text = ""
    text = text or answer[:200].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _encode(spans: list[ReadableSpan]) -> tuple[ExportTraceServiceRequest, int]:
    try:
        return encode_spans(spans), len(spans)
    except Exception:  # noqa: BLE001  find the span that cannot be encoded, so that the others arrive; it is counted below
        good = [span for span in spans if _encodable(span)]
        return encode_spans(good), len(good)


def _encodable(span: ReadableSpan) -> bool:
    try:
        encode_spans([span])
    except Exception as error:  # noqa: BLE001  an attribute no encoder takes costs its span; counted and logged
        note("a span cannot be encoded and is dropped", f"{type(error).__name__}: {error}")
        return False
    return True


def _clean_value(value: AnyValue, cleaner: Cleaner) -> None:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        cleaned = cleaner.text(value.string_value)
        if cleaned != value.string_value:
            value.string_value = cleaned
    elif kind == "array_value":
        for item in value.array_value.values:
            _clean_value(item, cleaner)


def _set(resource: Resource, key: str, value: str) -> None:
    resource.attributes.append(KeyValue(key=key, value=AnyValue(string_value=valid(value))))


def _traces(request: ExportTraceServiceRequest, spans: int, dropped: int) -> Parcel:
    body = request.SerializeToString()
    if len(body) < _GZIP_FROM:
        return Parcel(TRACES_PATH, body, _PROTOBUF, spans=spans, dropped=dropped)
    return Parcel(TRACES_PATH, gzip.compress(body, 1), _PROTOBUF, "gzip", spans=spans, dropped=dropped)
