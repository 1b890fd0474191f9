"""One receiver and one SDK state per test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import watchkeeper
from tests.unit.sdk.receiver import Receiver, black_hole
from watchkeeper.sdk import client, exporter, health


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def start(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TracerProvider]]:
    """Start the SDK against the receiver (or another ``endpoint``) with its own tracer provider."""

    def begin(endpoint: str | None = None, **settings: Any) -> TracerProvider:
        settings.setdefault("flush_interval", 0.05)
        settings.setdefault("exit_timeout", 0.3)
        provider = settings.pop("tracer_provider", None) or TracerProvider(shutdown_on_exit=False)
        watchkeeper.init(endpoint or receiver.url, tracer_provider=provider, **settings)
        return provider

    monkeypatch.setattr(exporter, "_LAST_DELAY", 0.3)
    health.forget_after_fork()
    yield begin
    watchkeeper.shutdown(0.3)
    client._client = None


@pytest.fixture
def sdk(start: Callable[..., TracerProvider]) -> Any:
    """The SDK with default settings, sending to the receiver."""
    start()
    return watchkeeper


@pytest.fixture
def dead_port() -> Iterator[int]:
    yield from black_hole()
