"""Wrappers every provider gets: at most so many calls at once and a second, and a few quick retries."""

import asyncio
from collections.abc import Awaitable, Callable

from watchkeeper.llm.port import Provider, ProviderError
from watchkeeper.model.prompt import Prompt, Reply

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved up. `clock` is monotonic seconds."""

    def __init__(self, rate: float, burst: float, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("rate must be above 0 and burst at least 1")
        self._rate, self._burst = rate, burst
        self._clock, self._sleep = clock, sleep
        self._tokens = burst
        self._at = clock()

    async def take(self) -> None:
        """Wait for a token. Callers are served in order, because each takes its token before it waits for it."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._rate)


class Limited:
    """A provider with a concurrency limit, a rate limit and quick retries.

    Retries are for hiccups: `retries` more attempts, waiting 0.5, 1, 2 … s or what Retry-After says if that is at most
    `patience_s`. A longer outage is raised, and the job queue comes back to it.
    """

    def __init__(
        self,
        inner: Provider,
        *,
        concurrency: int = 16,
        rate: float | None = None,
        burst: float | None = None,
        retries: int = 2,
        patience_s: float = 10.0,
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._inner = inner
        self._gate = asyncio.Semaphore(concurrency)
        self._retries, self._patience = retries, patience_s
        self._sleep = sleep
        self._rate, self._burst = rate, burst
        self._clock = clock
        self._bucket: TokenBucket | None = None

    async def ask(self, prompt: Prompt) -> Reply:
        """As the provider's, after waiting for a turn. Raises ProviderError when the attempts are used up."""
        async with self._gate:
            for attempt in range(self._retries + 1):
                if self._rate is not None:
                    await self._turn()
                try:
                    return await self._inner.ask(prompt)
                except ProviderError as error:
                    wait = error.retry_after_s if error.retry_after_s is not None else 0.5 * 2**attempt
                    if not error.retry or attempt == self._retries or wait > self._patience:
                        raise
                    await self._sleep(wait)
        raise AssertionError("unreachable: the loop returns or raises")

    async def _turn(self) -> None:
        assert self._rate is not None
        if self._bucket is None:
            clock = self._clock or asyncio.get_running_loop().time
            self._bucket = TokenBucket(self._rate, self._burst or max(1.0, self._rate), clock, self._sleep)
        await self._bucket.take()
