"""A span as a conversation: messages in order, tool calls with their results, citations that lead to documents."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import msgspec

from watchkeeper.model.span import Document, Message, Part, Span, Trace
from watchkeeper.web import media

CITATION: Final = re.compile(r"\[\^?([A-Za-z0-9][A-Za-z0-9_.:\-]{0,60})\]")
MAX_TEXT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text; with `href`, a citation of a document on the page."""

    text: str
    href: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a message: `type` as in `model.span.Part`; `body` is text to show, `title` what it is called.

    `picture` is a media part that can be shown; `place` says which of the span's media parts it is.
    """

    type: str
    title: str
    body: str
    segments: tuple[Segment, ...] = ()
    call_id: str = ""
    place: int = -1


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `fold` says that it is background (the system prompt) and opens on demand."""

    role: str
    name: str
    pieces: tuple[Piece, ...]
    fold: bool = False
    output: bool = False


def readable(value: Any) -> str:
    """Any value as text: strings as they are, the rest as indented JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    try:
        plain = msgspec.to_builtins(value)
        short = json.dumps(plain, ensure_ascii=False, default=str)
        return (
            short
            if len(short) <= 72
            else json.dumps(plain, indent=2, ensure_ascii=False, default=str)[:MAX_TEXT]
        )
    except RecursionError:
        return "nested too deeply to show"
    except (TypeError, ValueError):
        return str(value)[:MAX_TEXT]


def anchors(documents: Sequence[Document]) -> dict[str, str]:
    """What a citation may say (the document's id, or its number from 1) to the anchor of that document."""
    found: dict[str, str] = {}
    for i, document in enumerate(documents, start=1):
        found.setdefault(str(i), f"#document-{i}")
        if document.id:
            found[document.id] = f"#document-{i}"
    return found


def cited(text: str, known: Mapping[str, str]) -> tuple[Segment, ...]:
    """The text with its citations as links; a citation of nothing on the page stays text."""
    if not known or "[" not in text:
        return (Segment(text),) if text else ()
    made: list[Segment] = []
    at = 0
    for match in CITATION.finditer(text):
        href = known.get(match.group(1))
        if href is None:
            continue
        if match.start() > at:
            made.append(Segment(text[at : match.start()]))
        made.append(Segment(match.group(0), href))
        at = match.end()
    if at < len(text):
        made.append(Segment(text[at:]))
    return tuple(made)


def _piece(part: Part, known: Mapping[str, str]) -> Piece:
    if part.type == "text":
        text = (part.text or "")[:MAX_TEXT]
        return Piece("text", "", text, cited(text, known))
    if part.type == "tool_call":
        return Piece("tool_call", part.name or "tool call", readable(part.arguments), call_id=part.id or "")
    if part.type == "tool_result":
        return Piece("tool_result", part.name or "result", readable(part.result), call_id=part.id or "")
    if part.type == "media":
        # An address in a trace is somebody else's; it is shown, never fetched.
        return _media(part)
    if part.type in ("reasoning", "refusal"):
        return Piece(part.type, part.type, (part.text or "")[:MAX_TEXT])
    return Piece("unknown", part.type, readable(part.raw if part.raw is not None else part.text))


def _media(part: Part) -> Piece:
    held = media.size(part)
    if not held:
        return Piece("media", part.mime_type or "media", (part.uri or "embedded")[:2000])
    shown = media.kind(part)
    title = shown or part.mime_type or "media"
    return Piece("picture" if shown else "media", title, f"embedded, {held:,} bytes")


def _turn(message: Message, known: Mapping[str, str], output: bool) -> Turn:
    pieces = tuple(_piece(p, known if message.role == "assistant" else {}) for p in message.parts)
    return Turn(message.role, message.name or "", pieces, message.role == "system", output)


def _answer(name: str, text: str, known: Mapping[str, str]) -> Turn:
    return Turn("assistant", name, (Piece("text", "", text, cited(text, known)),), output=True)


def _placed(made: list[Turn]) -> list[Turn]:
    """The turns with their media parts numbered as `media.parts` numbers them."""
    number = count()
    return [
        replace(
            t,
            pieces=tuple(
                replace(p, place=next(number)) if p.type in ("media", "picture") else p for p in t.pieces
            ),
        )
        if any(p.type in ("media", "picture") for p in t.pieces)
        else t
        for t in made
    ]


def turns(span: Span, trace: Trace) -> list[Turn]:
    """The conversation of a span; for a step that is no model call, what went in and what came out."""
    known = anchors(trace.documents)
    llm = span.llm
    if llm is not None and (llm.input_messages or llm.output_messages or llm.system):
        made: list[Turn] = []
        has_system = any(m.role == "system" for m in llm.input_messages)
        if llm.system and not has_system:
            made.append(Turn("system", "", (Piece("text", "", llm.system),), True))
        made += _placed(
            [_turn(m, known, False) for m in llm.input_messages]
            + [_turn(m, known, True) for m in llm.output_messages]
        )
        if not llm.output_messages and llm.output_text:
            made.append(_answer("", llm.output_text, known))
        return made
    if span.tool is not None:
        return []
    made = []
    if span.input_text:
        made.append(Turn("user", "input", (Piece("text", "", span.input_text, (Segment(span.input_text),)),)))
    if span.output_text:
        made.append(_answer("output", span.output_text, known))
    return made


def attributes(span: Span) -> list[tuple[str, str]]:
    """Everything the client sent about a span, by key, as text."""
    raw = span.raw
    if raw is None:
        return []
    own = [(k, readable(v)) for k, v in sorted(raw.attributes.items())]
    return own + [(f"resource.{k}", readable(v)) for k, v in sorted(raw.resource.items())]


@dataclass(frozen=True, slots=True)
class Event:
    """Something the client noted during a span, `after_ms` from its start."""

    name: str
    after_ms: float
    attributes: tuple[tuple[str, str], ...]


def events(span: Span) -> list[Event]:
    """The events of a span by time, their attributes as text."""
    raw = span.raw
    if raw is None:
        return []
    return [
        Event(
            e.name,
            (e.time_ns - span.start_ns) / 1e6,
            tuple((k, readable(v)) for k, v in sorted(e.attributes.items())),
        )
        for e in sorted(raw.events, key=lambda e: e.time_ns)
    ]


def stack(span: Span) -> str:
    """The stack trace of the last exception the client noted, "" when there is none."""
    for event in reversed(span.raw.events if span.raw is not None else []):
        text = event.attributes.get("exception.stacktrace")
        if isinstance(text, str) and text:
            return text[:MAX_TEXT]
    return ""
