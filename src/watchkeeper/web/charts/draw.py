"""Vega-Lite to SVG or PNG by vl-convert: in a process of its own, cached by content, one at a time.

The first drawing takes about a second (it starts a process and in it a JavaScript engine), the next ones 45 ms. The engine
grows to 140 MB, which is why it goes when nothing has been drawn for a minute.
"""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import threading
from collections import OrderedDict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec

Format = Literal["svg", "png"]
IDLE_S = 60.0


class Drawer:
    """Draws charts and remembers the latest `keep` pictures; one at a time in each event loop."""

    def __init__(self, keep: int = 256) -> None:
        self.keep = keep
        self.drawn = 0
        self.remembered = 0
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def draw(self, spec: dict[str, Any], form: Format = "svg", scale: float = 2.0) -> tuple[bytes, str]:
        """The picture and its content key (an ETag). `scale` is PNG pixels per unit. Raises ValueError when vl-convert refuses
        the specification."""
        key = hashlib.sha256(msgspec.json.encode([spec, form, scale])).hexdigest()[:32]
        found = self._pictures.get(key)
        if found is None:
            async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(1)):
                found = self._pictures.get(key)
                if found is None:
                    found = await ENGINE.run(spec, form, scale)
                    self.drawn += 1
                    self._pictures[key] = found
        else:
            self.remembered += 1
        self._pictures.move_to_end(key)
        while len(self._pictures) > self.keep:
            self._pictures.popitem(last=False)
        return found, key


class Engine:
    """The process that draws: started when something is to be drawn, ended after `idle_s` without, replaced when it dies."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self.idle_s = idle_s
        self._pool: ProcessPoolExecutor | None = None
        self._ending: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self._pool is not None

    async def run(self, spec: dict[str, Any], form: Format, scale: float) -> bytes:
        """One drawing. Raises ValueError when vl-convert refuses the specification."""
        if self._ending is not None:
            self._ending.cancel()
        loop = asyncio.get_running_loop()
        try:
            try:
                return await loop.run_in_executor(self._started(), render, spec, form, scale)
            except BrokenProcessPool:
                # Somebody needed its memory; the picture is drawn by a new one.
                self.stop()
                return await loop.run_in_executor(self._started(), render, spec, form, scale)
        finally:
            self._ending = loop.call_later(self.idle_s, self.stop)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # spawn: a forked child would inherit threads' locks and open stores.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_as_child)
        return self._pool

    def stop(self) -> None:
        """End the process, if there is one."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


ENGINE = Engine()


def _as_child() -> None:
    """In the child: Ctrl-C is the parent's business, and nobody is left behind when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(0)

        threading.Thread(target=follow, daemon=True).start()


def render(spec: dict[str, Any], form: Format = "svg", scale: float = 2.0) -> bytes:
    """Draw one specification (blocking). Raises ValueError when vl-convert refuses it."""
    import vl_convert

    if form == "png":
        return vl_convert.vegalite_to_png(spec, scale=scale)
    return vl_convert.vegalite_to_svg(spec).encode()
