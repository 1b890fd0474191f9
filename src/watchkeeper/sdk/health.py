"""What went wrong inside the SDK, counted and logged without ever reaching the application."""

import functools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import ParamSpec, TypeVar

log = logging.getLogger("watchkeeper")

P = ParamSpec("P")
R = TypeVar("R")

_QUIET_SECONDS = 60.0
_counts: Counter[str] = Counter()
_last_said: dict[str, float] = {}
_lock = threading.RLock()


def note(reason: str, detail: object = "", amount: int = 1) -> None:
    """Count ``reason`` and log it, at most once a minute per reason so that an outage cannot fill a log."""
    with _lock:
        _counts[reason] += amount
        now = time.monotonic()
        if now - _last_said.get(reason, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return
        _last_said[reason] = now
    log.warning(
        "%s%s (further ones within a minute are counted, not logged)", reason, f": {detail}" if detail else ""
    )


def counts() -> dict[str, int]:
    """Every noted reason and how often it happened in this process."""
    with _lock:
        return dict(_counts)


def forget_after_fork() -> None:
    """A child starts with its own counters; the parent reports its own."""
    global _lock
    _lock = threading.RLock()
    _counts.clear()
    _last_said.clear()


def quiet(default: R) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Turn any failure of the wrapped SDK function into ``default``, counted and logged.

    The SDK runs inside somebody else's program: a bug of ours, or an object of theirs that cannot be
    read, must cost a value on a span and never an answer to a user.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                note(f"{function.__name__} failed", type(error).__name__)
                log.debug("%s failed", function.__name__, exc_info=True)
                return default

        return run

    return wrap
