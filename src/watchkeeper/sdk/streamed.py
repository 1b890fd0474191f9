"""What a streamed answer adds up to: its text, its tool calls, and when its pieces came."""

import time
from typing import Final

from watchkeeper.sdk.messages import Answer, CallPiece
from watchkeeper.sdk.values import Plain, clip

_MOST_CALLS: Final = 1_000


class Streamed:
    """Pieces of one answer, of which at most about ``limit`` characters are kept. Times in ns of the performance counter.
    ``unread`` while the reader may stop before the end."""

    __slots__ = ("_calls", "_length", "_limit", "_parts", "chunks", "first", "last", "unread")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._length = 0
        self._parts: list[str] = []
        self._calls: dict[str, tuple[CallPiece, list[str]]] = {}
        self.chunks = 0
        self.first = self.last = 0
        self.unread = False

    def token(self) -> None:
        """A piece of the answer is here."""
        self.last = time.perf_counter_ns()
        self.first = self.first or self.last

    def saw(self, piece: object, read: Answer | None) -> None:
        """One chunk: its text (any other true value counts as a piece too), and what else it was read as."""
        calls = () if read is None else read.calls
        if piece or calls or (read is not None and read.thought):
            self.token()
            self.chunks += 1
        if isinstance(piece, str) and piece:
            self._keep(self._parts, piece)
        for call in calls:
            known = self._calls.get(call.key)
            if known is None:
                if len(self._calls) == _MOST_CALLS:
                    continue
                known = self._calls[call.key] = (call, [])
            self._keep(known[1], call.arguments)

    def _keep(self, parts: list[str], piece: str) -> None:
        if self._length < self._limit:
            parts.append(clip(piece, self._limit - self._length))
            self._length += len(piece)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)

    @property
    def output(self) -> object:
        """The answer as far as it came: its text, or a message when tools were called; None when there is neither."""
        if not self._calls:
            return self.text if self._parts else None
        calls: list[Plain] = [
            {"id": call.id, "function": {"name": call.name, "arguments": "".join(parts)}}
            for call, parts in self._calls.values()
        ]
        return [{"role": "assistant", "content": self.text or None, "tool_calls": calls}]

    def pace(self, tokens: int | None) -> float | None:
        """Seconds per piece after the first, of so many tokens or else of the chunks; None of fewer than two."""
        pieces = tokens or self.chunks
        return (
            (self.last - self.first) / 1e9 / (pieces - 1) if pieces > 1 and self.last > self.first else None
        )
