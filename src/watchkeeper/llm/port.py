"""The provider port and its one error type."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from watchkeeper.model.prompt import Prompt, Reply

# kind: rate_limit, server, timeout, connection, bad_reply (broken body), refused (the request itself is wrong), unknown_model
OUTAGE = frozenset(("rate_limit", "server", "timeout", "connection"))


class ProviderError(Exception):
    """A call that gave no usable reply.

    `outage` says that the provider and not the request is at fault: try later, as often as it takes, and do not blame the
    item. `retry_after_s` is the provider's own wish.
    """

    def __init__(self, kind: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{kind}: {message}"[:600])
        self.kind = kind
        self.retry_after_s = retry_after_s

    @property
    def outage(self) -> bool:
        return self.kind in OUTAGE

    @property
    def retry(self) -> bool:
        """Whether the same request may succeed later."""
        return self.outage or self.kind == "bad_reply"


class Provider(Protocol):
    """Answers prompts. Raises only ProviderError (and CancelledError)."""

    async def ask(self, prompt: Prompt) -> Reply: ...


# What the caller's egress hands in: a session whose connections are checked. Opened per provider, closed by it.
SessionFactory = Callable[[], AbstractAsyncContextManager[Any]]
# (provider, model, input tokens, output tokens) -> USD, None when the price is unknown.
Price = Callable[[str, str, int | None, int | None], float | None]


def no_price(_provider: str, _model: str, _input: int | None, _output: int | None) -> float | None:
    """Every price is unknown."""
    return None


def split(model: str) -> tuple[str, str]:
    """`provider:model` in two. Raises ValueError without a provider."""
    provider, colon, name = model.partition(":")
    if not colon or not provider or not name:
        raise ValueError(f"{model!r} is not of the form provider:model")
    return provider, name
