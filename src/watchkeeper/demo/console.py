"""The demo's voice: what happens, when in the story, how long after the start."""

import sys
import time
from datetime import UTC, datetime


class Console:
    """Prints one line an event, with colours only on a terminal."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.colour = sys.stdout.isatty()

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def title(self, text: str) -> None:
        print(self._paint("1", text), flush=True)

    def say(self, text: str, at_ns: int | None = None, mark: str = "·") -> None:
        """One event; `at_ns` is its time in the story."""
        elapsed = time.monotonic() - self.started
        when = "" if at_ns is None else datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%a %d %b %H:%M")
        shown = {"!": self._paint("31;1", "!"), "✓": self._paint("32", "✓")}.get(mark, mark)
        print(f"{self._paint('2', f'{elapsed:5.1f}s')}  {when:<17}{shown} {text}", flush=True)

    def detail(self, text: str) -> None:
        """A line that belongs to the one before."""
        for line in text.splitlines():
            print(f"{'':26}{self._paint('2', line)}", flush=True)

    def bar(self, label: str, done: int, total: int) -> None:
        """Progress on one line; silent when the output is not a terminal."""
        if not self.colour:
            return
        filled = 28 * done // max(1, total)
        end = "\n" if done >= total else ""
        sys.stdout.write(f"\r       {label} {'█' * filled}{'·' * (28 - filled)} {done}/{total}{end}")
        sys.stdout.flush()
