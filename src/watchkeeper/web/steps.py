"""The steps of a trace as rows: depth first, over the trace's time, a page of them at a time, narrowed when asked."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from watchkeeper.model.score import Score
from watchkeeper.model.span import Span, Trace

PAGE: Final = 400
# How many of the rows above one that is alone on the page are shown with it: a chain may be as long as the trace.
ABOVE: Final = 3
# Of a thousand: what can still be seen in a narrow column.
THINNEST: Final = 8.0


# A trace may have tens of thousands of steps, each made for every view of it, and a page shows a few hundred: a struct costs a tenth of
# what a data class does, and the bar is reckoned when it is drawn.
class Step(msgspec.Struct, frozen=True, gc=False):
    """One row of the tree: the span and how deep it lies; `above` is the position of its parent's row in the whole tree (-1 at the top),
    `below` how many children it has. The trace began at `start_ns` and took `total_ns`.
    """

    span: Span
    depth: int
    start_ns: int
    total_ns: int
    scores: Sequence[Score] = ()
    above: int = -1
    below: int = 0

    @property
    def x(self) -> float:
        """Where its bar begins, in thousandths of the trace's time."""
        at = 1000 * (self.span.start_ns - self.start_ns) / self.total_ns
        return round(min(max(at, 0), 1000 - THINNEST), 1)

    @property
    def width(self) -> float:
        """How long its bar is, in the same."""
        long = 1000 * max(0, self.span.end_ns - self.span.start_ns) / self.total_ns
        return round(min(max(THINNEST, long), 1000), 1)

    @property
    def first_x(self) -> float | None:
        """Where its first token came, if it says so."""
        waited = self.span.llm.ttft_ms if self.span.llm is not None else None
        return round(min(self.x + 1e9 * waited / self.total_ns, self.x + self.width), 1) if waited else None

    @property
    def failed(self) -> bool:
        return self.span.error is not None or self.span.status == "error"


SHOWS: Final[dict[str, Callable[[Step], bool]]] = {
    "failed": lambda s: s.failed or any(score.passed is False for score in s.scores),
    "llm": lambda s: s.span.kind == "llm",
    "tool": lambda s: s.span.kind == "tool",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows of one page. `orienting` are the span ids of rows that only show where the others belong; `first` and
    `last` count the rows of the page from 1 among the `found`; `earlier` and `later` are where the next pages start."""

    rows: list[Step]
    orienting: frozenset[str]
    first: int
    last: int
    found: int
    earlier: int | None = None
    later: int | None = None


def tree(trace: Trace, scores: Iterable[Score] = ()) -> list[Step]:
    """The spans depth first, children by start. Orphans and the members of a cycle are shown at the top level."""
    known = {s.span_id for s in trace.spans}
    children: dict[str | None, list[Span]] = {}
    for span in trace.spans:
        parent = span.parent_id if span.parent_id in known and span.parent_id != span.span_id else None
        children.setdefault(parent, []).append(span)
    by_span: dict[str, list[Score]] = {}
    for score in scores:
        by_span.setdefault(score.span_id, []).append(score)
    start_ns, total_ns = trace.start_ns, max(1, trace.end_ns - trace.start_ns)
    made: list[Step] = []
    seen: set[str] = set()

    def walk(first: Span) -> None:
        pending = [(first, 0, -1)]
        while pending:
            span, depth, above = pending.pop()
            key = span.span_id
            if key in seen:
                continue
            seen.add(key)
            inner = children.get(key, ())
            if inner:
                pending += [(child, depth + 1, len(made)) for child in reversed(inner)]
            made.append(Step(span, depth, start_ns, total_ns, by_span.get(key, ()), above, len(inner)))

    for top in children.get(None, ()):
        walk(top)
    for span in trace.spans if len(seen) < len(known) else ():
        walk(span)
    return made


def narrowed(steps: list[Step], show: str = "", find: str = "") -> list[int]:
    """The positions of the steps of a kind of `SHOWS` ("" for all) whose name, tool, model or id holds `find`."""
    wanted = SHOWS.get(show)
    words = find.casefold().strip()
    return [
        i
        for i, step in enumerate(steps)
        if (wanted is None or wanted(step)) and (not words or words in _words(step.span))
    ]


def _words(span: Span) -> str:
    parts = [span.name, span.span_id, span.kind]
    if span.llm is not None:
        parts += [span.llm.request_model or "", span.llm.response_model or ""]
    if span.tool is not None:
        parts.append(span.tool.name or "")
    if span.error is not None:
        parts += [span.error.class_, span.error.message or ""]
    return "\n".join(parts).casefold()


def listing(
    steps: list[Step], *, show: str = "", find: str = "", at: str | None = None, start: int | None = None
) -> Listing:
    """A page of the narrowed steps with the next rows above them: the one from `start`, else the one that holds span `at`."""
    found = narrowed(steps, show, find)
    if start is None:
        place = next((n for n, i in enumerate(found) if steps[i].span.span_id == at), 0) if at else 0
        start = place // PAGE * PAGE
    start = max(0, min(start, max(0, len(found) - 1)))
    page = found[start : start + PAGE]
    rows = set(page)
    for i in page:
        above = steps[i].above
        for _ in range(ABOVE):
            if above < 0 or above in rows:
                break
            rows.add(above)
            above = steps[above].above
    return Listing(
        [steps[i] for i in sorted(rows)],
        frozenset(steps[i].span.span_id for i in rows.difference(page)),
        start + 1 if page else 0,
        start + len(page),
        len(found),
        max(0, start - PAGE) if start > 0 else None,
        start + PAGE if start + PAGE < len(found) else None,
    )
