"""``@trace`` for every kind of function."""

import asyncio
import concurrent.futures
import functools
import inspect
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Final, ParamSpec, Self, TypeVar, cast, overload

from opentelemetry import context as otel_context

from watchkeeper.sdk import keys
from watchkeeper.sdk.health import note
from watchkeeper.sdk.leaving import heed_sigterm
from watchkeeper.sdk.spans import Kind, Span, context_values
from watchkeeper.sdk.values import json_of, message_of, text_of

P = ParamSpec("P")
R = TypeVar("R")
Property = TypeVar("Property", bound="property | functools.cached_property[Any]")

#: Where responses of Starlette (FastAPI), Werkzeug (Flask) and Django keep what they have yet to stream.
_STREAMED_BODIES: Final = ("body_iterator", "response", "_iterator")

#: A value, or a function of the call's arguments that gives it.
Given = str | Callable[..., object] | None


@dataclass(frozen=True)
class _Plan:
    """What ``@trace`` was told, and what is known of the function beforehand."""

    name: str
    kind: str
    parameters: tuple[str, ...]
    skip_first: bool
    scenario: Given
    user_id: Given
    session_id: Given
    variant: Given
    prompt: tuple[str, object] | str | None
    attributes: Mapping[str, object]
    capture_input: bool
    capture_output: bool

    def open(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Span:
        """The span of one call, not started. A failure here costs attributes, never the call."""
        step = Span(self.name, self.kind, {}, {})
        try:
            scenario, user_id = (self._value(given, args, kwargs) for given in (self.scenario, self.user_id))
            ambient = context_values(scenario, user_id, self.prompt)
            for key, given in ((keys.CONVERSATION_ID, self.session_id), (keys.VARIANT, self.variant)):
                value = self._value(given, args, kwargs)
                if value is not None:
                    ambient[key] = text_of(value, 500)
            step = Span(self.name, self.kind, {}, ambient)
            for key, value in self.attributes.items():
                step.set(key, value)
            if self.kind == "tool":
                step.set(keys.TOOL_NAME, self.name)
            elif self.kind == "agent":
                step.set(keys.AGENT_NAME, self.name)
            if self.capture_input:
                step.input(self._input(args, kwargs))
        except Exception as error:  # noqa: BLE001  the arguments are the application's objects; counted and logged
            note("a call's arguments cannot be recorded", f"{self.name}: {type(error).__name__}")
        return step

    def _value(self, given: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        try:
            return given(*args, **kwargs) if callable(given) else given
        except Exception as error:  # noqa: BLE001  the function is the application's; counted and logged
            note(
                "a function given to @trace failed",
                f"{self.name}: {type(error).__name__}: {message_of(error)}",
            )
            return None

    def _input(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        own = args[1:] if self.skip_first else args
        names = self.parameters[1:] if self.skip_first else self.parameters
        if self.kind != "tool":
            if len(own) == 1 and not kwargs and isinstance(own[0], (str, list)):
                return cast("object", own[0])
            if not own and len(kwargs) == 1:
                only = next(iter(kwargs.values()))
                if isinstance(only, (str, list)):
                    return cast("object", only)
        shown = dict(zip(names, own, strict=False))
        if len(own) > len(names):
            shown["args"] = list(own[len(names) :])
        shown.update(kwargs)
        return json_of(shown)

    def close(self, step: Span, result: object) -> None:
        """End a call that returned."""
        recorded = step.has(keys.OUTPUT) or step.has(keys.OUTPUT_MESSAGES) or step.has(keys.TOOL_RESULT)
        if self.capture_output and result is not None and not recorded:
            step.output(result)
        step.end()


@overload
def trace(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def trace(function: Property, /) -> Property: ...
@overload
def trace(
    name_first: str | None = None,
    /,
    *,
    scenario: Given = None,
    name: str | None = None,
    kind: Kind = "other",
    user_id: Given = None,
    session_id: Given = None,
    variant: Given = None,
    prompt: tuple[str, object] | str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, object] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def trace(
    function: Any = None,
    /,
    *,
    scenario: Given = None,
    name: str | None = None,
    kind: Kind = "other",
    user_id: Given = None,
    session_id: Given = None,
    variant: Given = None,
    prompt: tuple[str, object] | str | None = None,
    capture_input: bool = True,
    capture_output: bool = True,
    attributes: Mapping[str, object] | None = None,
) -> Any:
    """Each call becomes a span with its input, output, duration and error; the outermost one is the trace.

    ``@trace``, ``@trace("name")`` and ``@trace(name="name", …)`` are all right. Works on plain, ``async``, generator and async generator functions, methods and properties included; the span of a
    coroutine, future or task that a function returns stays open until it is done, that of a
    generator (also of one that a function returns) stays open until it is exhausted, closed or fails, and holds
    the output that was produced.
    ``user_id``, ``session_id``, ``scenario`` and ``variant`` may be functions of the call's arguments.

    >>> @trace(scenario="customer-support", prompt=("answer", "v3"))
    ... def answer(question: str) -> str:
    ...     return "It arrives on Tuesday."
    """

    heed_sigterm()
    if isinstance(function, str):
        name, function = function, None

    def wrap(target: Any) -> Any:
        inside = _within(target, wrap)
        if inside is not None:
            return inside
        plan = _Plan(
            name=name or _name_of(target),
            kind=kind,
            scenario=scenario,
            user_id=user_id,
            session_id=session_id,
            variant=variant,
            prompt=prompt,
            attributes=dict(attributes or {}),
            capture_input=capture_input,
            capture_output=capture_output,
            **_signature(target),
        )
        return _wrapper(plan, target)

    return wrap if function is None else wrap(function)


def _within(target: Any, wrap: Callable[[Any], Any]) -> Any:
    """What only holds a function, holding the traced one instead; None for a function itself."""
    if isinstance(target, (staticmethod, classmethod)):
        return type(target)(wrap(target.__func__))
    if isinstance(target, property):
        getter = None if target.fget is None else wrap(target.fget)
        return property(getter, target.fset, target.fdel, target.__doc__)
    if isinstance(target, functools.cached_property):
        return functools.cached_property(wrap(target.func))
    if not callable(target):
        raise TypeError(f"@trace is put on a function, method or property, not on {target!r}")
    return None


def _name_of(target: Any) -> str:
    while isinstance(target, functools.partial):
        target = target.func
    return getattr(target, "__qualname__", type(target).__name__).replace("<locals>.", "")


def _signature(target: Any) -> dict[str, Any]:
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):  # some C functions have none
        parameters = []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = tuple(p.name for p in parameters if p.kind in positional)
    return {"parameters": names, "skip_first": bool(names) and names[0] in ("self", "cls")}


def _wrapper(plan: _Plan, function: Any) -> Any:
    if inspect.isasyncgenfunction(function):
        return _async_generator(plan, function)
    if inspect.isgeneratorfunction(function):
        return _generator(plan, function)
    if inspect.iscoroutinefunction(function):
        return _coroutine(plan, function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _Call(plan, args, kwargs) as call:
            call.result = function(*args, **kwargs)
        return call.result

    return run


def _coroutine(plan: _Plan, function: Any) -> Any:
    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        with _Call(plan, args, kwargs) as call:
            call.result = await function(*args, **kwargs)
        return call.result

    return run


class _Call:
    """One call's span, ended by how the call ends."""

    __slots__ = ("plan", "result", "step")

    def __init__(self, plan: _Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.plan = plan
        self.step = plan.open(args, kwargs)
        self.result: Any = None

    def __enter__(self) -> Self:
        self.step.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.step.end(error)
        elif type(self.result) in (GeneratorType, AsyncGeneratorType):
            self.result = self._handed_on(self.result)
        elif type(self.result) is CoroutineType:
            self.result = self._awaited(cast("Any", self.result))
        elif issubclass(type(self.result), (asyncio.Future, concurrent.futures.Future)):
            self._settled(self.result)
        elif not self._responded():
            self.plan.close(self.step, self.result)

    def _handed_on(self, generator: Any) -> Any:
        """A generator that the call returned, as if the function itself were one: the answer is what comes out of it."""
        turns = _Turns(self.plan, self.step)
        drive = _generator if isinstance(generator, GeneratorType) else _async_generator
        handed = drive(self.plan, lambda: generator, turns)()
        # Whoever got it may never look into it.
        weakref.finalize(handed, turns.done)
        return handed

    def _responded(self) -> bool:
        """Whether the call returned a web framework's response that has yet to be streamed: the answer is what comes out of it."""
        try:
            held: Any = vars(self.result)
        except Exception:  # noqa: BLE001  most values have none, and an object's own __dict__ may raise anything
            return False
        for place in _STREAMED_BODIES if type(held) is dict else ():
            body = held.get(place)
            if type(body) in (GeneratorType, AsyncGeneratorType):
                held[place] = self._handed_on(body)
                return True
        return False

    def _settled(self, future: Any) -> None:
        """A future or task that the call returned: its result is the answer. It stays the object it is."""
        plan, step = self.plan, self.step
        step.leave()

        def done(_: object) -> None:
            if future.cancelled():
                step.end(asyncio.CancelledError())
            # Asking for the exception would take back asyncio's warning that nobody has.
            elif (error := getattr(future, "_exception", None)) is not None:
                step.end(error)
            else:
                plan.close(step, future.result())

        future.add_done_callback(done)

    def _awaited(self, coroutine: Any) -> Any:
        """A coroutine that the call returned, as if the function itself were one."""
        turns = _Turns(self.plan, self.step)

        async def rest() -> Any:
            with self, turns:
                self.result = await coroutine
            return self.result

        return rest()


class _Turns:
    """A generator's span, a ``with`` block around each turn: current while the generator runs, not while its consumer does.

    What the generator itself made current (an open inner span) is put back at its next turn.
    """

    def __init__(self, plan: _Plan, step: Span) -> None:
        self.plan = plan
        self.step = step
        step.start()
        self._inside = otel_context.get_current()
        step.leave()
        self._outside = otel_context.get_current()
        self._items: list[object] = []

    def __enter__(self) -> None:
        self._outside = otel_context.get_current()
        otel_context.attach(self._inside)

    def __exit__(self, *exc: object) -> None:
        self._inside = otel_context.get_current()
        otel_context.attach(self._outside)

    def saw(self, item: object) -> None:
        if not self.plan.capture_output:
            self.step.first_token()
            return
        before = self.step.streamed_chunks
        self.step.saw(item)
        if self.step.streamed_chunks == before and len(self._items) < 100:
            # Not a text: keep the values themselves, as far as a list of them stays readable.
            self._items.append(item)

    def done(self, error: BaseException | None = None) -> None:
        outside = otel_context.get_current()
        if self._items and not self.step.streamed_chunks and self.plan.capture_output:
            self.plan.close(self.step, self._items) if error is None else self.step.output(self._items)
        self.step.end(error)
        otel_context.attach(outside)


def _generator(plan: _Plan, function: Any, begun: _Turns | None = None) -> Any:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        generator = function(*args, **kwargs)
        turns = begun or _Turns(plan, plan.open(args, kwargs))
        resume: Callable[[], Any] = functools.partial(next, generator)
        try:
            while True:
                try:
                    with turns:
                        item = resume()
                except StopIteration as stop:
                    return stop.value
                turns.saw(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with turns:
                        generator.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001  handed on to the generator, whose answer decides
                    resume = functools.partial(generator.throw, thrown)
                else:
                    resume = functools.partial(generator.send, sent)
        except BaseException as error:
            turns.done(error)
            raise
        finally:
            turns.done()

    return run


def _async_generator(plan: _Plan, function: Any, begun: _Turns | None = None) -> Any:
    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        turns = begun or _Turns(plan, plan.open(args, kwargs))
        resume: Callable[[], Any] = generator.__anext__
        try:
            while True:
                try:
                    with turns:
                        item = await resume()
                except StopAsyncIteration:
                    return
                turns.saw(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    with turns:
                        await generator.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001  handed on to the generator, whose answer decides
                    resume = functools.partial(generator.athrow, thrown)
                else:
                    resume = functools.partial(generator.asend, sent)
        except BaseException as error:
            turns.done(error)
            raise
        finally:
            turns.done()

    return run
