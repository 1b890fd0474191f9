"""How a process may end before ``atexit`` runs: a child of multiprocessing, a ``SIGTERM`` nobody handles.

``with Pool()`` and ``docker stop`` both end with that signal, and uvicorn sends it to itself once it has stopped.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, Protocol

#: Celery's pool is billiard, which has multiprocessing's modules under its own name.
_POOLS: Final = ("multiprocessing", "billiard")
#: Seconds between two attempts to reach a main thread that has not heard the signal.
_NUDGE: Final = 0.02


class Leaver(Protocol):
    """What is told that the process will end."""

    def ready(self) -> bool:
        """Whether the calling thread may wait in :meth:`leave`; False while it holds what other threads need for that."""
        ...

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
    #: The process whose signal has reached the handler that ends it.
    heard = 0
    #: The process that listens for signals which its main thread sleeps through.
    listening = 0


class _OnSigterm:
    """Our handler of the signal, and what the application had in its place: one each time, because either may call the other."""

    def __init__(self, before: "Callable[[int, FrameType | None], Any] | int") -> None:
        self.before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        leaver = _State.leaver
        if callable(self.before):
            if leaver is not None:
                leaver.hurry()
            self.before(number, frame)
            return
        if leaver is not None:
            if not leaver.ready() and _insist():
                return
            _State.heard = os.getpid()
            leaver.leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def attend(leaver: Leaver) -> None:
    """Tell ``leaver`` when this process ends. Called again with another one, that one is told; the one before no longer."""
    _State.leaver = leaver
    child = False
    for pool in _POOLS:
        child |= _with_finalisers(pool)
    _heed_sigterm(child)


def heed_sigterm() -> None:
    """A handler of the application is called as before. Where there is none, the process still dies of the signal.

    Only the main thread may say so, and the first span may be made in another one: call it early.
    """
    if not any(_child_of(pool) for pool in _POOLS):
        _heed_sigterm(False)


_before_fork = threading.local()


def hold_for_fork() -> None:
    """Python forgets the signals that a child got before it was ready, and one with a handler of ours would outlive its own
    end: the pool that was terminated right after it started would wait for it for ever. Held back, the signal is still there."""
    if _is_ours() and hasattr(signal, "pthread_sigmask"):
        _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def let_go_after_fork() -> None:
    """Signals come again, in the parent and in the child."""
    mask = _before_fork.__dict__.pop("mask", None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def forget_after_fork() -> None:
    """A child has nothing to send yet, so the signal ends it at once, as if we were not there; :func:`attend` changes that."""
    if _is_ours():
        with contextlib.suppress(ValueError, OSError):  # not in the main thread of the main interpreter
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _State.listening:
        _State.listening = 0
        with contextlib.suppress(ValueError, OSError):
            signal.set_wakeup_fd(-1)


def _heed_sigterm(child: bool) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    present = signal.getsignal(signal.SIGTERM)
    if present is None or present == signal.SIG_IGN or isinstance(present, _OnSigterm):
        return
    with contextlib.suppress(ValueError, OSError):  # an interpreter within the interpreter may not
        signal.signal(signal.SIGTERM, _OnSigterm(present))
        if child and not callable(present):
            _listen()


def _listen() -> None:
    """Python calls a handler between two instructions of the main thread, and a worker of a pool always waits in one: a signal
    that comes just before it falls asleep would be slept through, and the pool would wait for its worker for ever."""
    if not hasattr(signal, "pthread_kill") or _State.listening == os.getpid():
        return
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    taken = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    if taken != -1:
        signal.set_wakeup_fd(taken)
        os.close(ear)
        os.close(mouth)
        return
    _State.listening = os.getpid()

    def hear() -> None:
        while True:
            if signal.SIGTERM in os.read(ear, 64):
                _nudge(_is_ours)

    threading.Thread(target=hear, name="watchkeeper-sigterm", daemon=True).start()


def _insist() -> bool:
    """Send the signal again when what it interrupted has gone on a little; False where that cannot be done."""
    if not hasattr(signal, "pthread_kill"):
        return False
    try:
        threading.Thread(target=_nudge, name="watchkeeper-sigterm", daemon=True).start()
    except RuntimeError:  # the interpreter is shutting down, or out of threads
        return False
    return True


def _is_ours() -> bool:
    present = signal.getsignal(signal.SIGTERM)
    return isinstance(present, _OnSigterm) and not callable(present.before)


def _nudge(wanted: Callable[[], bool] = lambda: True) -> None:
    time.sleep(_NUDGE)
    while _State.heard != os.getpid() and wanted() and (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(_NUDGE)


def _leave() -> None:
    if _State.leaver is not None:
        _State.leaver.leave()


def _child_of(pool: str) -> bool:
    process: Any = sys.modules.get(f"{pool}.process")
    return process is not None and process.current_process().name != "MainProcess"


def _with_finalisers(pool: str) -> bool:
    """Whether this is a child of such a pool: it leaves without running ``atexit``; its own finalisers do run."""
    util: Any = sys.modules.get(f"{pool}.util")
    if util is None or not _child_of(pool):
        return False
    util.Finalize(None, _leave, exitpriority=10)
    return True
