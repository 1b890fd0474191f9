"""Two traces beside each other, what differs first."""

import asyncio
import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.responses import Response

from watchkeeper.model.score import Score
from watchkeeper.model.span import Span, Trace
from watchkeeper.server.reading import load_trace, no_trace, note_opened
from watchkeeper.server.routing import Call, route
from watchkeeper.web.pages.common import answer
from watchkeeper.web.pages.traces import TRACE_ID, tidy, wanted
from watchkeeper.web.view import View, view_of

# Above this many words the texts are compared line by line: comparing words takes time in their product.
MOST_WORDS: Final = 3_000
MOST_SPANS: Final = 300
CHOICES: Final = 20
# Texts with less in common than this share of their words are shown whole: between them marks say nothing.
ALIKE: Final = 0.35


@dataclass(frozen=True, slots=True)
class Fact:
    """One property of both traces; `how` names how it is written."""

    name: str
    a: Any
    b: Any
    how: str = "text"

    @property
    def same(self) -> bool:
        return self.a == self.b


@dataclass(frozen=True, slots=True)
class Pair:
    """A span of each trace with the same name and place among those of that name; None where one has no such span."""

    name: str
    a: Span | None
    b: Span | None

    @property
    def same(self) -> bool:
        """Whether both have it and say the same; how long each took is never quite the same."""
        if self.a is None or self.b is None:
            return False
        return _said(self.a) == _said(self.b)


def _said(span: Span) -> tuple[Any, ...]:
    model = (span.llm.response_model or span.llm.request_model) if span.llm else None
    return (span.kind, span.status, span.error is None, model, span.input_text, span.output_text)


def differences(a: str, b: str) -> list[tuple[str, str]]:
    """(same | del | ins, text) pieces that lead from `a` to `b`; empty for texts too unlike to be read that way."""
    pattern = r"\s+|\S+\s*" if len(a.split()) + len(b.split()) <= MOST_WORDS else r"[^\n]*\n|[^\n]+"
    left, right = re.findall(pattern, a), re.findall(pattern, b)
    found = difflib.SequenceMatcher(None, left, right, autojunk=False)
    if found.ratio() < ALIKE:
        return []
    made: list[tuple[str, str]] = []
    for way, i, j, k, n in found.get_opcodes():
        if way == "equal":
            made.append(("same", "".join(left[i:j])))
            continue
        pieces = (("del", "".join(left[i:j])), ("ins", "".join(right[k:n])))
        made += [(kind, text) for kind, text in pieces if text]
    return made


def aligned(a: Sequence[Span], b: Sequence[Span]) -> list[Pair]:
    """Spans by name and occurrence, in the order of `a`; what only `b` has follows."""
    others: dict[str, list[Span]] = defaultdict(list)
    for span in b:
        others[span.name].append(span)
    made = [Pair(s.name, s, others[s.name].pop(0) if others[s.name] else None) for s in a]
    left = {id(s) for rest in others.values() for s in rest}
    return made + [Pair(s.name, None, s) for s in b if id(s) in left]


def facts(a: Trace, b: Trace) -> list[Fact]:
    """What can be said of both, the differing ones first."""

    def fact(name: str, of: Callable[[Trace], Any], how: str = "text") -> Fact:
        return Fact(name, of(a), of(b), how)

    made = [
        fact("error class", lambda t: t.error_class),
        fact("prompt", lambda t: t.context.prompt_name),
        fact("prompt version", lambda t: t.context.prompt_version),
        fact("model", _models),
        fact("release", lambda t: t.context.release),
        fact("variant", lambda t: t.context.variant),
        fact("scenario", lambda t: t.context.scenario),
        fact("environment", lambda t: t.context.environment),
        fact("latency", lambda t: t.duration_ms, "duration"),
        fact("input tokens", lambda t: t.totals.input_tokens, "compact"),
        fact("output tokens", lambda t: t.totals.output_tokens, "compact"),
        fact("cost", lambda t: t.totals.cost, "money"),
        fact("spans", lambda t: len(t.spans), "number"),
        fact("model calls", lambda t: len(t.llm_calls), "number"),
        fact("documents", lambda t: ", ".join(d.id or "without id" for d in t.documents) or None),
        fact("session", lambda t: t.context.session_id),
        fact("user", lambda t: t.context.user_id),
    ]
    return sorted((f for f in made if not (f.a is None and f.b is None)), key=lambda f: f.same)


def _models(trace: Trace) -> str | None:
    names = [s.llm.response_model or s.llm.request_model for s in trace.llm_calls if s.llm]
    return ", ".join(dict.fromkeys(n for n in names if n)) or None


def scored(a: Sequence[Score], b: Sequence[Score]) -> list[Fact]:
    """The latest score of the whole trace by each scorer, the differing ones first."""
    latest: list[dict[str, Score]] = []
    for scores in (a, b):
        held: dict[str, Score] = {}
        for one in sorted(scores, key=lambda s: (not s.span_id, s.scored_ns)):
            held[one.scorer] = one
        latest.append(held)
    made = [Fact(n, latest[0].get(n), latest[1].get(n), "score") for n in sorted({*latest[0], *latest[1]})]
    return sorted(made, key=_agree)


def _agree(fact: Fact) -> bool:
    def said(score: Score | None) -> tuple[Any, ...] | None:
        return None if score is None else (score.value, score.label, score.passed)

    return said(fact.a) == said(fact.b)


async def _choose(call: Call, view: View, asked: dict[str, str]) -> Response:
    """The two ids to fill in, and the newest traces to take them from; 400 where one that was given is none."""
    wrong = [name for name, value in asked.items() if value and not TRACE_ID.fullmatch(value)]
    held = {name: value for name, value in asked.items() if value and name not in wrong}
    newest = msgspec.structs.replace(wanted(view), limit=CHOICES)
    rows = await call.services.columns.list_traces(call.project, newest)
    missing = next(name for name in asked if name not in held)
    context = {
        "asked": asked,
        "wrong": wrong,
        "missing": missing,
        "choices": [
            (view.url(**{**held, missing: row["trace_id"]}), tidy(row, call.sees_content))
            for row in rows
            if row["trace_id"] not in held.values()
        ],
    }
    return await answer(view, "traces", "Two traces", "compare_choose.html", context, 400 if wrong else 200)


async def _one(call: Call, trace_id: str) -> tuple[Trace, list[Score]]:
    loaded = await load_trace(call.services, call.project, trace_id)
    if loaded is None:
        raise await no_trace(call.services, call.project, trace_id)
    if call.sees_content:
        await note_opened(call, trace_id)
    return loaded


@route("GET", "/traces/compare", permission="viewer")
async def compare(call: Call) -> Response:
    """The traces `a` and `b` side by side; without both, a page to choose them on."""
    view = view_of(call)
    asked = {name: call.request.query_params.get(name, "").strip().lower() for name in ("a", "b")}
    if not all(TRACE_ID.fullmatch(value) for value in asked.values()):
        return await _choose(call, view, asked)
    (a, a_scores), (b, b_scores) = await asyncio.gather(_one(call, asked["a"]), _one(call, asked["b"]))
    content = call.sees_content
    pairs = sorted(aligned(a.spans, b.spans), key=lambda p: p.same)
    known = facts(a, b)
    context = {
        "a": a,
        "b": b,
        "content": content,
        "facts": known,
        "differing": sum(1 for f in known if not f.same),
        "scores": [(f, _agree(f)) for f in scored(a_scores, b_scores)],
        "same_input": a.input_text == b.input_text,
        "input": differences(a.input_text or "", b.input_text or "") if content else [],
        "same_output": a.output_text == b.output_text,
        "output": differences(a.output_text or "", b.output_text or "") if content else [],
        "pairs": pairs[:MOST_SPANS],
        "hidden": max(0, len(pairs) - MOST_SPANS),
        "swapped": view.url(a=b.trace_id, b=a.trace_id),
    }
    return await answer(view, "traces", "Two traces", "compare.html", context)
