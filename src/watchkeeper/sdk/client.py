"""The one SDK state of a process: settings, tracer and export thread, made on first use."""

import atexit
import contextlib
import os
import re
import threading
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from watchkeeper.sdk import health, keys, leaving
from watchkeeper.sdk.ambient import ambient
from watchkeeper.sdk.direct import attributes_of, put_attributes
from watchkeeper.sdk.exporter import Exporter
from watchkeeper.sdk.health import log, note
from watchkeeper.sdk.settings import Settings, read_settings
from watchkeeper.sdk.weight import shrink, weigh


@dataclass(frozen=True)
class Client:
    """What the rest of the SDK works with. ``exporter`` is None when the SDK is switched off. ``kept``: with what
    probability a trace that begins here is recorded, None when that is all of them or not known."""

    settings: Settings
    tracer: otel.Tracer
    exporter: Exporter | None
    kept: float | None = None


_RATIO = re.compile(r"(?:ParentBased\{root:)?TraceIdRatioBased\{([0-9.e-]+)\}")
_lock = threading.RLock()
_client: Client | None = None
_bridged: "weakref.WeakSet[TracerProvider]" = weakref.WeakSet()
_own_provider: TracerProvider | None = None


def init(
    endpoint: str | None = None,
    api_key: str | None = None,
    *,
    project: str | None = None,
    service: str | None = None,
    environment: str | None = None,
    release: str | None = None,
    redact: bool | None = None,
    names: Iterable[str] | None = None,
    patterns: Mapping[str, str | re.Pattern[str]] | None = None,
    hash_users: str | bytes | None = None,
    capture_content: bool | None = None,
    spool_dir: str | os.PathLike[str] | None = None,
    spool_max_bytes: int | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    certificate: str | None = None,
    flush_interval: float | None = None,
    max_text: int | None = None,
    max_queue_spans: int | None = None,
    max_queue_bytes: int | None = None,
    max_batch_spans: int | None = None,
    sample_rate: float | None = None,
    exit_timeout: float | None = None,
    enabled: bool | None = None,
    tracer_provider: TracerProvider | None = None,
) -> None:
    """Say where telemetry goes and what may leave the process. Optional, and may be called again.

    What is not given comes from ``WATCHKEEPER_ENDPOINT``, ``WATCHKEEPER_API_KEY``, ``WATCHKEEPER_PROJECT``
    …, then from ``OTEL_EXPORTER_OTLP_*``, then ``http://127.0.0.1:4318``. An application that already has
    an OpenTelemetry ``TracerProvider`` keeps it: we join as one more span processor.

    Never raises for a value that cannot be used: that is logged as an error and nothing is sent, because a
    wrong environment variable must not stop the application.
    """
    global _client
    given = {name: value for name, value in locals().items() if name not in ("tracer_provider", "given")}
    try:
        settings = read_settings(given)
    except (ValueError, TypeError) as error:
        log.error("watchkeeper.init: %s. Nothing will be sent until this is corrected.", error)
        settings = Settings(enabled=False)
    if tracer_provider is not None and not isinstance(cast("object", tracer_provider), TracerProvider):
        log.error(
            "watchkeeper.init: tracer_provider is not a TracerProvider of the OpenTelemetry SDK; not used."
        )
        tracer_provider = None
    with _lock:
        before, _client = _client, _built(settings, tracer_provider)
    if before is not None and before.exporter is not None:
        before.exporter.close(min(0.5, before.settings.exit_timeout))


def client() -> Client:
    """The state in force; made from the environment when ``init`` was not called."""
    current = _client
    if current is None:
        with _lock:
            if _client is None:
                init()
            current = cast("Client", _client)
    return current


def flush(timeout: float = 5.0) -> bool:
    """Send everything recorded so far; True when the server has it, or the spool where there is one and the server is away. Waits at most
    ``timeout`` seconds."""
    current = _client
    return current is None or current.exporter is None or current.exporter.flush(timeout)


def shutdown(timeout: float | None = None) -> None:
    """Send or spool what is left and stop. Runs by itself at exit; spans made later are dropped, counted."""
    current = _client
    if current is not None and current.exporter is not None:
        current.exporter.close(current.settings.exit_timeout if timeout is None else timeout)


def stats() -> dict[str, object]:
    """What became of this process's spans and reports, and what went wrong inside the SDK."""
    current = _client
    if current is None or current.exporter is None:
        return {"enabled": False, "problems": health.counts()}
    tally = current.exporter.tally
    return {
        "enabled": True,
        "accepted_spans": tally.accepted,
        "sent_spans": tally.sent,
        "spooled_spans": tally.spooled,
        "rejected_spans": tally.rejected,
        "dropped_spans": dict(tally.dropped),
        "accepted_reports": tally.reports_accepted,
        "sent_reports": tally.reports_sent,
        "dropped_reports": {k: v for k, v in tally.reports_dropped.items() if v},
        "problems": health.counts(),
    }


def _built(settings: Settings, given: TracerProvider | None) -> Client:
    try:
        return _build(settings, given)
    except Exception as error:  # noqa: BLE001  OpenTelemetry refuses what its own environment variables say; logged
        log.error(
            "watchkeeper.init: OpenTelemetry cannot start: %s. Nothing will be sent until this is corrected.",
            error,
        )
        return Client(Settings(enabled=False), otel.NoOpTracer(), None)


def _build(settings: Settings, given: TracerProvider | None) -> Client:
    if not settings.enabled:
        return Client(settings, otel.NoOpTracer(), None)
    provider = given or _provider(settings)
    if provider not in _bridged:
        provider.add_span_processor(Bridge())
        _bridged.add(provider)
    exporter = Exporter(settings)
    exporter.resume()
    kept = _ratio(provider)
    if settings.sample_rate not in (None, kept or 1.0):
        log.warning(
            "sample_rate is not used: the application's own TracerProvider has a sampler, which decides"
        )
    return Client(settings, provider.get_tracer("watchkeeper"), exporter, kept)


def _ratio(provider: TracerProvider) -> float | None:
    """The share of new traces that the provider's sampler keeps; None when that is all or it does not say."""
    found = _RATIO.match(provider.sampler.get_description())
    share = float(found.group(1)) if found else 1.0
    return share if 0 < share < 1 else None


def _sampler(settings: Settings) -> Sampler | None:
    """The sampler of a provider of our own; None leaves it to OpenTelemetry's environment variables."""
    return None if settings.sample_rate is None else ParentBased(TraceIdRatioBased(settings.sample_rate))


def _provider(settings: Settings) -> TracerProvider:
    global _own_provider
    present = otel.get_tracer_provider()
    if isinstance(present, TracerProvider) and present is not _own_provider:
        return present
    sampler = _sampler(settings)
    if (
        _own_provider is None
        or _own_provider.resource.attributes.get(keys.SERVICE_NAME) != settings.service
        or (sampler is not None and _ratio(_own_provider) != settings.sample_rate)
    ):
        attributes = {keys.SERVICE_NAME: settings.service} if settings.service else {}
        _own_provider = TracerProvider(
            sampler=sampler, resource=Resource.create(attributes), shutdown_on_exit=False
        )
        if isinstance(present, otel.ProxyTracerProvider):
            otel.set_tracer_provider(_own_provider)
    return _own_provider


class Bridge(SpanProcessor):
    """Puts session and variant on every span that starts and queues every span that ends.

    It stays on its provider for good and always feeds the client in force.
    """

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Add what holds in this block; what the span was started with stays. A trace's first span says how likely it was
        to be recorded, so that what is counted stands for what was not."""
        current = _client
        if span.parent is None and current is not None and current.kept is not None:
            put_attributes(span, {keys.SAMPLING_PROBABILITY: current.kept})
        values = ambient(parent_context)
        if values:
            present = attributes_of(span)
            put_attributes(span, {key: value for key, value in values.items() if key not in present})

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span; costs a size estimate and an append."""
        current = _client
        if current is None or current.exporter is None:
            return
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        try:
            size, longest = weigh(span)
            settings = current.settings
            if longest > settings.max_text or size > settings.max_span_bytes:
                span = shrink(span, settings.max_text, settings.max_span_bytes)
                size, _ = weigh(span)
            current.exporter.put_span(span, size)
        except Exception as error:  # noqa: BLE001  runs inside the application's span.end(); counted and logged
            note("an ended span cannot be queued", f"{type(error).__name__}: {error}")

    def shutdown(self) -> None:
        """The application ends its provider, usually at exit; both share one time limit there."""
        if len(_bridged) > 1:
            flush(0.5)
        else:
            shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the OpenTelemetry SDK defines it."""
        return flush(timeout_millis / 1000)


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    health.forget_after_fork()
    leaving.forget_after_fork()
    leaving.let_go_after_fork()
    current = _client
    if current is not None and current.exporter is not None:
        current.exporter.after_fork()


def _at_exit() -> None:
    # Ctrl-C while we wait at exit means "now".
    with contextlib.suppress(KeyboardInterrupt):
        shutdown()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=leaving.hold_for_fork, after_in_parent=leaving.let_go_after_fork, after_in_child=_after_fork
    )
