"""What holds for everything inside a block: session, variant, user, scenario, prompt.

It travels in the OpenTelemetry context, so it reaches children, tasks and whatever else carries that
context. A thread pool does not carry it: wrap the function with :func:`propagate`.
"""

import contextvars
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, ParamSpec, Self, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from watchkeeper.sdk import keys
from watchkeeper.sdk.values import plain, text_of

P = ParamSpec("P")
R = TypeVar("R")

_KEY: Final = otel_context.create_key("watchkeeper-ambient")
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def ambient(context: Context | None = None) -> Mapping[str, str]:
    """The attributes every span started in ``context`` (default: here) receives."""
    return cast("Mapping[str, str]", otel_context.get_value(_KEY, context)) or _NOTHING


def with_ambient(values: Mapping[str, str], context: Context | None = None) -> Context:
    """A context in which ``values`` hold besides those already there."""
    return otel_context.set_value(_KEY, {**ambient(context), **values}, context)


class Block:
    """A ``with`` or ``async with`` block in which some attributes hold for every span."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._before: list[Context] = []

    def __enter__(self) -> Self:
        # Contexts are restored by value, not by token: a token cannot be used from another task, and a
        # generator may be resumed there.
        self._before.append(otel_context.get_current())
        otel_context.attach(with_ambient(self._values))
        return self

    def __exit__(self, *exc: object) -> None:
        if self._before:
            otel_context.attach(self._before.pop())

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        self.__exit__(*exc)


def session(id: object, *, user_id: object = None) -> Block:
    """Everything inside belongs to conversation ``id`` (and to ``user_id``). None is unknown and changes nothing.

    >>> with session("chat-42", user_id="u-7"):
    ...     answer("Where is my order?")  # doctest: +SKIP
    """
    given = {keys.CONVERSATION_ID: id, keys.USER_ID: user_id}
    return Block({key: text_of(value, 500) for key, value in given.items() if value is not None})


def variant(name: object = None, *, feature_flags: Mapping[str, object] | None = None) -> Block:
    """Everything inside ran as A/B variant ``name``, with these feature flags.

    >>> with variant("concise-prompt", feature_flags={"rerank": True}):
    ...     answer("Where is my order?")  # doctest: +SKIP
    """
    values: dict[str, str] = {}
    if name is not None:
        values[keys.VARIANT] = text_of(name, 500)
    flags = plain(feature_flags)
    if isinstance(flags, dict):
        values |= {keys.FLAG_PREFIX + name: text_of(value, 500) for name, value in flags.items()}
    return Block(values)


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` bound to the current span, session and variant, for another thread.

    >>> pool.submit(propagate(search), "red shoes")  # doctest: +SKIP
    """
    captured = contextvars.copy_context()

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        # A context may be entered once at a time, and an executor calls us from many threads at once.
        return captured.copy().run(function, *args, **kwargs)

    return run
