"""How a process may end before ``atexit`` runs: a child of multiprocessing, a ``SIGTERM`` nobody handles.

``with Pool()`` and ``docker stop`` both end with that signal, and uvicorn sends it to itself once it has stopped.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol

#: Celery's pool is billiard, which has multiprocessing's modules under its own name.
_POOLS: Final = ("multiprocessing", "billiard")


class Leaver(Protocol):
    """What is told that the process will end."""

    def hurry(self) -> None:
        """The end is near: nothing recorded from now on should wait for company."""
        ...

    def leave(self) -> None:
        """This is the end: send or spool what there is, within the time allowed for leaving."""
        ...


class Bell:
    """A ``threading.Event`` that may be set from a signal handler which interrupted another ``set``."""

    def __init__(self) -> None:
        # Its put is the one reentrant way to wake a thread; an Event's lock would wait for itself.
        self._rung: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """Whether it was set since it was last cleared."""
        return not self._rung.empty()

    def set(self) -> None:
        """Wake whoever waits, and whoever will."""
        self._rung.put(None)

    def wait(self, timeout: float | None = None) -> None:
        """Until it is set, at most ``timeout`` seconds."""
        with contextlib.suppress(queue.Empty):
            self._rung.put(self._rung.get(timeout=timeout))

    def clear(self) -> None:
        """Not set any more."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._rung.get_nowait()


class _State:
    leaver: Leaver | None = None


class _OnSigterm:
    """Our handler of the signal, and what the application had in its place: one each time, because either may call the other."""

    def __init__(self, before: "Callable[[int, FrameType | None], Any] | int") -> None:
        self._before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before):
            if _State.leaver is not None:
                _State.leaver.hurry()
            self._before(number, frame)
            return
        _leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def attend(leaver: Leaver) -> None:
    """Tell ``leaver`` when this process ends. Called again with another one, that one is told; the one before no longer."""
    _State.leaver = leaver
    for pool in _POOLS:
        _with_finalisers(pool)
    heed_sigterm()


def heed_sigterm() -> None:
    """A handler of the application is called as before. Where there is none, the process still dies of the signal.

    Only the main thread may say so, and the first span may be made in another one: call it early.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    present = signal.getsignal(signal.SIGTERM)
    if present is None or present == signal.SIG_IGN or isinstance(present, _OnSigterm):
        return
    with contextlib.suppress(ValueError, OSError):  # an interpreter within the interpreter may not
        signal.signal(signal.SIGTERM, _OnSigterm(present))


def _leave() -> None:
    if _State.leaver is not None:
        _State.leaver.leave()


def _with_finalisers(pool: str) -> None:
    """A child of such a pool leaves without running ``atexit``; its own finalisers do run."""
    process: Any = sys.modules.get(f"{pool}.process")
    util: Any = sys.modules.get(f"{pool}.util")
    if process is not None and util is not None and process.current_process().name != "MainProcess":
        util.Finalize(None, _leave, exitpriority=10)
