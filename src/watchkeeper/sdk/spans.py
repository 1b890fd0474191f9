"""Spans that know what an LLM application does: messages, documents, tools, tokens, streams."""

import asyncio
import contextlib
import itertools
import linecache
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, cast, overload

from opentelemetry import context as otel_context
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from watchkeeper.sdk import keys
from watchkeeper.sdk.ambient import with_ambient
from watchkeeper.sdk.client import client
from watchkeeper.sdk.direct import entered, put_attributes
from watchkeeper.sdk.health import note, quiet
from watchkeeper.sdk.messages import Answer, looks_like_messages, read_answer, to_messages
from watchkeeper.sdk.streamed import Streamed
from watchkeeper.sdk.values import MAX_NODES, MAX_TEXT, clip, json_of, message_of, plain, text_of

T = TypeVar("T")
Kind = Literal[
    "llm", "embedding", "retrieval", "tool", "agent", "workflow", "guardrail", "evaluator", "rerank", "memory",
    "http", "other",
]  # fmt: skip

_CURRENT: Final = otel_context.create_key("watchkeeper-span")
_COUNTS: Final = (
    keys.INPUT_TOKENS, keys.OUTPUT_TOKENS, keys.CACHED_TOKENS, keys.REASONING_TOKENS, keys.CACHE_WRITE_TOKENS
)  # fmt: skip
_MOST: Final = 2**63
_REMOTE: Final = frozenset({"llm", "embedding", "retrieval", "rerank", "http"})
_MAX_NAME: Final = 300
_FRAMES: Final = 30


class Span:
    """One step. Made by :func:`span` or ``@trace``; every method returns the span and never raises."""

    __slots__ = (
        "_ambient", "_attributes", "_before", "_ended", "_handed", "_limit", "_muted", "_name", "_started", "_streamed", "kind",
        "otel",
    )  # fmt: skip

    def __init__(self, name: str, kind: str, attributes: dict[str, Any], ambient: Mapping[str, str]) -> None:
        self.kind = kind if type(kind) is str else "other"
        self.otel: otel.Span = otel.INVALID_SPAN
        self._name = name
        self._attributes = attributes
        self._ambient = ambient
        self._before: Context | None = None
        self._started = 0
        self._streamed: Streamed | None = None
        #: A stream that nobody has begun to read: whoever gets it may do so after the block that made it.
        self._handed: object = None
        self._limit = MAX_TEXT
        self._ended = self._muted = False

    # --- life ---------------------------------------------------------------------------------------

    @quiet(None)
    def start(self) -> None:
        """Begin, as a child of the current span, and become the current span."""
        if self._started:
            return
        current = otel_context.get_current()
        parent = with_ambient(self._ambient, current) if self._ambient else current
        state = client()
        self._limit = state.settings.max_text
        if self.kind != "other":
            self._attributes[keys.SPAN_KIND] = self.kind
            operation = keys.OPERATIONS.get(self.kind)
            if operation is not None:
                self._attributes[keys.OPERATION] = operation
        span_kind = SpanKind.CLIENT if self.kind in _REMOTE else SpanKind.INTERNAL
        self.otel = state.tracer.start_span(self._name, parent, span_kind)
        self._muted = not self.otel.is_recording()
        self._started = time.perf_counter_ns()
        self._before = current
        otel_context.attach(entered(parent, self.otel, _CURRENT, self))

    @quiet(None)
    def end(self, error: BaseException | None = None) -> None:
        """Finish once, with the exception that ended the step if one did, and restore the span around."""
        self.leave()
        if self._ended:
            return
        self._ended = True
        if not self._muted:
            if error is not None:
                self._record(error)
            if self._streamed is not None:
                self._record_stream(self._streamed)
            put_attributes(self.otel, self._attributes)
        self.otel.end()

    def leave(self) -> None:
        """Stop being the current span without ending."""
        before, self._before = self._before, None
        if before is None:
            return
        current = otel_context.get_value(_CURRENT)
        if current is self:
            otel_context.attach(before)
            return
        # Ended by another thread or task, whose context is none of ours; or before the steps inside it, which then
        # must not bring it back when they end.
        while isinstance(current, Span) and current._before is not None:
            outer = otel_context.get_value(_CURRENT, current._before)
            if outer is self:
                current._before = before
                return
            current = outer

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None and self._handed is not None:
            self.leave()
        else:
            self.end(error)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

    @property
    def trace_id(self) -> str:
        """32 hex digits, or "" before the start and when the SDK is off."""
        context = self.otel.get_span_context()
        return format(context.trace_id, "032x") if context.is_valid else ""

    @property
    def span_id(self) -> str:
        """16 hex digits, or ""."""
        context = self.otel.get_span_context()
        return format(context.span_id, "016x") if context.is_valid else ""

    @property
    def recording(self) -> bool:
        """Whether anything set now will be kept; False when sampled out, ended or switched off."""
        return not (self._ended or self._muted)

    def has(self, key: str) -> bool:
        """Whether this attribute was set already."""
        return key in self._attributes

    # --- content ------------------------------------------------------------------------------------

    def input(self, value: object) -> Self:
        """What went in: text, chat messages in any provider's shape, or any object."""
        return self._put(self._input, value)

    def _input(self, value: object) -> None:
        if self.kind == "retrieval" and isinstance(value, str):
            self._attributes[keys.RETRIEVAL_QUERY] = text_of(value, self._limit)
        elif self.kind == "tool":
            self._attributes[keys.TOOL_ARGUMENTS] = text_of(value, self._limit)
        elif self.kind in ("llm", "agent") or looks_like_messages(value):
            self._attributes[keys.INPUT_MESSAGES] = to_messages(value, "user", self._limit)
        else:
            self._attributes[keys.INPUT] = text_of(value, self._limit)

    def output(self, value: object) -> Self:
        """What came out: text, chat messages, documents of a retrieval, a tool's result, or any object."""
        return self._put(self._output, value)

    def _output(self, value: object) -> None:
        if self.kind == "retrieval" and isinstance(value, (list, tuple)):
            self._documents(cast("Iterable[object]", value))
        elif self.kind == "tool":
            self._attributes[keys.TOOL_RESULT] = text_of(value, self._limit)
        elif self.kind in ("llm", "agent") or looks_like_messages(value):
            self._attributes[keys.OUTPUT_MESSAGES] = to_messages(value, "assistant", self._limit)
        else:
            self._attributes[keys.OUTPUT] = text_of(value, self._limit)

    def system(self, text: object) -> Self:
        """The system prompt, when it is not the first message of :meth:`input`."""
        return self._put(
            lambda v: self._attributes.__setitem__(
                keys.SYSTEM_INSTRUCTIONS, json_of([{"type": "text", "content": v}], self._limit)
            ),
            text,
        )

    def documents(self, documents: Iterable[object], query: str | None = None) -> Self:
        """What a retrieval found: ``{"id", "score", "content"}`` each; plain texts are numbered."""
        if query is not None:
            self.set(keys.RETRIEVAL_QUERY, query)
        return self._put(lambda v: self._documents(cast("Iterable[object]", v)), documents)

    def _documents(self, documents: Iterable[object]) -> None:
        listed: list[object] = []
        for number, document in enumerate(itertools.islice(documents, MAX_NODES)):
            shown = plain(document, self._limit)
            listed.append(shown if isinstance(shown, dict) else {"id": str(number), "content": shown})
        self._attributes[keys.RETRIEVAL_DOCUMENTS] = json_of(listed, self._limit)

    def tool(
        self,
        name: str | None = None,
        arguments: object = None,
        result: object = None,
        error: object = None,
        call_id: str | None = None,
    ) -> Self:
        """A tool call: its name, arguments, result, and the error that made it fail."""
        self.set(keys.TOOL_NAME, name).set(keys.TOOL_CALL_ID, call_id)
        if arguments is not None:
            self._put(
                lambda v: self._attributes.__setitem__(keys.TOOL_ARGUMENTS, text_of(v, self._limit)),
                arguments,
            )
        if result is not None:
            self._put(
                lambda v: self._attributes.__setitem__(keys.TOOL_RESULT, text_of(v, self._limit)), result
            )
        return self if error is None else self.error(error)

    def tools(self, definitions: object) -> Self:
        """The tools offered to the model, as the provider's JSON."""
        return self._put(
            lambda v: self._attributes.__setitem__(keys.TOOL_DEFINITIONS, text_of(v, self._limit)),
            definitions,
        )

    # --- numbers and names --------------------------------------------------------------------------

    def llm(
        self,
        model: str | None = None,
        provider: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        response_model: str | None = None,
        response_id: str | None = None,
        **parameters: object,
    ) -> Self:
        """What was asked of the model: ``model``, ``provider`` and request parameters such as ``top_p``."""
        self.set(keys.REQUEST_MODEL, model).set(keys.PROVIDER, provider)
        self.set(keys.RESPONSE_MODEL, response_model).set(keys.RESPONSE_ID, response_id)
        self.set(keys.TEMPERATURE, temperature).set(keys.MAX_TOKENS, max_tokens)
        for name, value in parameters.items():
            self.set(keys.REQUEST_PREFIX + name, value)
        return self

    def usage(
        self,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        reasoning_output_tokens: int | None = None,
        cache_write_input_tokens: int | None = None,
    ) -> Self:
        """Token counts. Tokens read from or written to a cache are part of the input, reasoning tokens part of the output."""
        counts = (
            input_tokens,
            output_tokens,
            cached_input_tokens,
            reasoning_output_tokens,
            cache_write_input_tokens,
        )
        return self._put(self._usage, counts)

    def _usage(self, counts: tuple[object, ...]) -> None:
        for key, count in zip(_COUNTS, counts, strict=True):
            # A count that is not finite is as unknown as a negative one.
            if count is not None and isinstance(count, (int, float)) and 0 <= count < _MOST:
                self._attributes[key] = int(count)

    def finish(self, reason: str | None) -> Self:
        """Why the model stopped: ``stop``, ``length``, ``tool_calls``, ``content_filter`` …"""
        return self if reason is None else self._put(self._finish, reason)

    def _finish(self, reason: object) -> None:
        self._attributes[keys.FINISH_REASONS] = (text_of(reason, _MAX_NAME),)

    def prompt(self, name: str, version: object = None) -> Self:
        """The prompt template this step used."""
        return self.set(keys.PROMPT_NAME, name).set(
            keys.PROMPT_VERSION, None if version is None else text_of(version, _MAX_NAME)
        )

    def user(self, id: object) -> Self:
        """Who asked (see ``hash_users`` of ``init``)."""
        return self.set(keys.USER_ID, text_of(id, _MAX_NAME))

    def queued(self, milliseconds: float) -> Self:
        """How long the request waited before this step began."""
        return self._put(lambda v: self._attributes.__setitem__(keys.QUEUE_MS, float(v)), milliseconds)

    def set(self, key: str, value: object) -> Self:
        """Any attribute; None is ignored, and what OpenTelemetry cannot hold becomes JSON text."""
        if value is None:
            return self
        # Most values are short texts and numbers; what can be anything costs ten times as much to look at.
        if type(value) is str:
            simple = len(value) <= _MAX_NAME
        else:
            simple = type(value) is float or type(value) is bool
        if simple and type(key) is str and key and not (self._ended or self._muted):
            self._attributes[key] = value
            return self
        return self._put(lambda v: self._set(str(key), v), value)

    def _set(self, key: str, value: object) -> None:
        if key:
            self._attributes[clip(key, _MAX_NAME)] = _attribute(value, self._limit)

    def error(self, error: object) -> Self:
        """Mark the step failed with an exception or a message, without raising."""
        return self._put(self._record, error)

    def response(self, answer: object) -> Self:
        """Everything an OpenAI or Anthropic answer says: output, model, tokens, finish reason."""
        return self._put(self._response, answer)

    def _response(self, answer: object) -> None:
        read = read_answer(answer)
        if read.message is not None or read.text is not None:
            self._output([read.message] if read.message is not None else read.text)
        self._facts(read)

    # --- streams ------------------------------------------------------------------------------------

    def first_token(self) -> Self:
        """The first piece of the answer is here: sets the time to first chunk."""
        self._stream_of().token()
        return self

    @overload
    def stream(
        self, chunks: AsyncIterable[T], text: Callable[[T], object] | None = None
    ) -> AsyncIterator[T]: ...
    @overload
    def stream(self, chunks: Iterable[T], text: Callable[[T], object] | None = None) -> Iterator[T]: ...
    def stream(self, chunks: Any, text: Callable[[Any], object] | None = None) -> Any:
        """``chunks`` unchanged, while their text, TTFT and TPOT are recorded. A stream that is first read after the ``with`` block
        of the span, because the function returned it, ends the span when it ends.

        Chunks may be texts or OpenAI or Anthropic events; ``text`` reads any other kind.
        """
        if self.kind == "llm":
            self.set(keys.REQUEST_STREAM, True)
        made = (
            self._stream_async(chunks, text) if hasattr(chunks, "__aiter__") else self._stream(chunks, text)
        )
        if self._started and not self._ended:
            self._handed = handed = object()
            # Whoever got it may never look into it.
            weakref.finalize(made, self._put_down, handed)
        return made

    def _put_down(self, handed: object) -> None:
        if self._handed is handed:
            self._handed = None
            if self._before is None:
                self.end()

    def _taken_up(self) -> bool:
        """A stream is read now. Whether the block of the span is over, so that the span ends with the stream."""
        late = self._handed is not None and self._before is None
        self._handed = None
        return late

    def _stream(self, chunks: Iterable[T], text: Callable[[T], object] | None) -> Iterator[T]:
        with self._last(self._taken_up()):
            for chunk in chunks:
                self.saw(chunk, text)
                self._reading(True)
                yield chunk
            self._reading(False)

    async def _stream_async(
        self, chunks: AsyncIterable[T], text: Callable[[T], object] | None
    ) -> AsyncIterator[T]:
        with self._last(self._taken_up()):
            async for chunk in chunks:
                self.saw(chunk, text)
                self._reading(True)
                yield chunk
            self._reading(False)

    @contextlib.contextmanager
    def _last(self, late: bool) -> Generator[None]:
        try:
            yield
        except BaseException as error:
            if late:
                self.end(error)
            raise
        if late:
            self.end()

    def _reading(self, more: bool) -> None:
        if self._streamed is not None:
            self._streamed.unread = more

    @quiet(None)
    def saw(self, chunk: object, text: Callable[[Any], object] | None = None) -> None:
        """Note one chunk of a stream: its time, its text, and the usage or finish reason it carries."""
        read = None if isinstance(chunk, str) else read_answer(chunk)
        piece = text(chunk) if text is not None else chunk if read is None else read.text
        self._stream_of().saw(piece, read)
        if read is not None:
            self._facts(read)

    def _stream_of(self) -> Streamed:
        if self._streamed is None:
            self._streamed = Streamed(self._limit)
        return self._streamed

    @property
    def streamed_chunks(self) -> int:
        """How many chunks with text passed so far."""
        return 0 if self._streamed is None else self._streamed.chunks

    def _facts(self, read: Answer) -> None:
        if read.model is not None:
            self._attributes[keys.RESPONSE_MODEL] = read.model
        if read.id is not None:
            self._attributes.setdefault(keys.RESPONSE_ID, read.id)
        if read.finish is not None:
            self._attributes[keys.FINISH_REASONS] = (read.finish,)
        self.usage(
            read.input_tokens,
            read.output_tokens,
            read.cached_tokens,
            read.reasoning_tokens,
            read.cache_write_tokens,
        )

    def _record_stream(self, streamed: Streamed) -> None:
        output = streamed.output
        if output is not None and not (self.has(keys.OUTPUT_MESSAGES) or self.has(keys.OUTPUT)):
            self._output(output)
        if not streamed.first:
            return
        if streamed.unread and not (self.has(keys.FINISH_REASONS) or self.has(keys.ERROR_TYPE)):
            self._attributes[keys.PARTIAL] = True
        self._attributes.setdefault(keys.TIME_TO_FIRST_CHUNK, (streamed.first - self._started) / 1e9)
        pace = streamed.pace(self._attributes.get(keys.OUTPUT_TOKENS))
        if pace is not None:
            self._attributes.setdefault(keys.TIME_PER_OUTPUT_TOKEN, pace)

    # --- inner --------------------------------------------------------------------------------------

    def _put(self, write: Callable[[Any], None], value: object) -> Self:
        """Run ``write`` with ``value`` when it will be kept; a value that cannot be read is noted, not raised."""
        if not (self._ended or self._muted):
            try:
                write(value)
            except Exception as error:  # noqa: BLE001  the value is the application's; counted and logged
                note("a value cannot be recorded", type(error).__name__)
        return self

    def _record(self, error: object) -> None:
        begun = self._streamed is not None and self._streamed.first
        if isinstance(error, GeneratorExit) or (begun and isinstance(error, asyncio.CancelledError)):
            # Whoever read the answer went away; nothing failed.
            self._attributes[keys.PARTIAL] = True
            return
        if isinstance(error, SystemExit) and not error.code:
            return
        if not isinstance(error, BaseException):
            message = text_of(error, 10_000)
            self._attributes.setdefault(keys.ERROR_TYPE, "tool_error" if self.kind == "tool" else "_OTHER")
            self.otel.set_status(Status(StatusCode.ERROR, message))
            return
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        message = clip(message_of(error), 10_000)
        self._attributes[keys.ERROR_TYPE] = name
        event = {"exception.type": name, "exception.message": message, "exception.stacktrace": _stack(error)}
        self.otel.add_event("exception", event)
        self.otel.set_status(Status(StatusCode.ERROR, message))


def _stack(error: BaseException) -> str:
    # format_exception would print the exception's own text; only where it came from is wanted and safe. format_tb reads every
    # frame there is, and parses each line for its marks: half a millisecond a span that fails.
    frames: list[TracebackType] = []
    step = error.__traceback__
    while step is not None:
        frames.append(step)
        step = step.tb_next
    return clip("".join(_frame(one) for one in frames[-_FRAMES:]), 20_000)


def _frame(one: TracebackType) -> str:
    frame, number = one.tb_frame, one.tb_lineno or 0
    code = frame.f_code
    source = ""
    # Whoever loaded the module reads its source.
    with contextlib.suppress(Exception):
        source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
    where = f'  File "{code.co_filename}", line {number}, in {code.co_name}\n'
    return f"{where}    {source}\n" if source else where


def _attribute(value: object, limit: int) -> Any:
    if isinstance(value, str):
        return text_of(value, limit)
    if isinstance(value, (bool, int, float)) and type(value) in (bool, int, float):
        return value if not isinstance(value, int) or -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, (list, tuple)) and all(type(v) is str for v in cast("list[object]", value)):
        return tuple(text_of(v, limit) for v in cast("list[str]", value))
    return text_of(value, limit)


def span(
    name: str,
    kind: Kind = "other",
    *,
    input: object = None,
    scenario: str | None = None,
    user_id: object = None,
    prompt: tuple[str, object] | str | None = None,
    model: str | None = None,
    provider: str | None = None,
    agent: str | None = None,
    attributes: Mapping[str, object] | None = None,
) -> Span:
    """A step, as ``with`` or ``async with`` block.

    >>> with span("search", kind="retrieval", input="red shoes") as step:
    ...     step.documents([{"id": "7", "score": 0.83, "content": "Red shoes, size 42"}])  # doctest: +SKIP
    """
    try:
        step = Span(clip(text_of(name), _MAX_NAME), kind, {}, context_values(scenario, user_id, prompt))
        step.set(keys.REQUEST_MODEL, model).set(keys.PROVIDER, provider).set(keys.AGENT_NAME, agent)
        if kind == "tool":
            step.set(keys.TOOL_NAME, name)
        for key, value in (attributes or {}).items():
            step.set(key, value)
        if input is not None:
            step.input(input)
    except Exception as error:  # noqa: BLE001  a wrong argument costs its value, never the application's request; counted
        note("span arguments cannot be used", f"{type(error).__name__}: {error}")
        step = Span("span", "other", {}, {})
    return step


def context_values(scenario: object, user_id: object, prompt: object) -> dict[str, str]:
    """What the step passes on to everything inside it."""
    values: dict[str, str] = {}
    if scenario is not None:
        values[keys.SCENARIO] = text_of(scenario, _MAX_NAME)
    if user_id is not None:
        values[keys.USER_ID] = text_of(user_id, _MAX_NAME)
    if isinstance(prompt, str):
        values[keys.PROMPT_NAME] = clip(prompt, _MAX_NAME)
    elif isinstance(prompt, (tuple, list)) and prompt:
        pair = cast("list[object]", prompt)
        values[keys.PROMPT_NAME] = text_of(pair[0], _MAX_NAME)
        if len(pair) > 1 and pair[1] is not None:
            values[keys.PROMPT_VERSION] = text_of(pair[1], _MAX_NAME)
    return values


def current_span() -> Span:
    """The innermost span of ours around here; outside of any, one that ignores everything."""
    found = otel_context.get_value(_CURRENT)
    return found if isinstance(found, Span) else _ended_span()


def current_trace_id() -> str | None:
    """The trace id around here (any OpenTelemetry span counts), to give feedback on later; None outside."""
    context = otel.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def _ended_span() -> Span:
    nobody = Span("", "other", {}, {})
    nobody.end()
    return nobody


@overload
def stream(chunks: AsyncIterable[T], text: Callable[[T], object] | None = None) -> AsyncIterator[T]: ...
@overload
def stream(chunks: Iterable[T], text: Callable[[T], object] | None = None) -> Iterator[T]: ...
def stream(chunks: Any, text: Callable[[Any], object] | None = None) -> Any:
    """:meth:`Span.stream` of the current span."""
    return current_span().stream(chunks, text)
