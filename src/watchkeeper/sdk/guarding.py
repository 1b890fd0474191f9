"""Guards: ask the server before or after a model call, within a time limit kept from outside."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, ParamSpec, Self, TypeVar, cast, get_args

from watchkeeper.sdk import guard_calls, keys
from watchkeeper.sdk.health import note
from watchkeeper.sdk.spans import Span
from watchkeeper.sdk.values import MAX_TEXT, plain, text_of

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_BUDGET_MS: Final = 50.0
Moment = Literal["input", "output", "both"]
OnBlock = Literal["raise", "return", "note"]


@dataclass(frozen=True)
class Verdict:
    """What a guard says. ``skipped`` names what was not checked and why; then ``verdict`` is ``pass``
    (fail open) unless the guard is fail-closed. ``output`` is the text to use when ``verdict`` is ``redact``.
    """

    verdict: Literal["pass", "redact", "block"] = "pass"
    reasons: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    output: str | None = None

    @property
    def allowed(self) -> bool:
        """Not blocked."""
        return self.verdict != "block"

    @property
    def blocked(self) -> bool:
        """Blocked."""
        return self.verdict == "block"


class GuardBlocked(Exception):
    """Raised only where ``on_block="raise"`` asked for it; ``verdict`` says why."""

    def __init__(self, name: str, verdict: Verdict) -> None:
        super().__init__(f"guard {name!r} blocked: {', '.join(verdict.reasons) or 'no reason given'}")
        self.name = name
        self.verdict = verdict


class Guard:
    """One named guard of the server: a decorator, a ``with`` block, or :meth:`check`."""

    def __init__(
        self,
        name: str,
        *,
        on: Moment = "both",
        on_block: OnBlock = "return",
        replacement: object = None,
        budget_ms: float = DEFAULT_BUDGET_MS,
        fail_closed: bool = False,
        context: object = None,
    ) -> None:
        self.name = name
        self._on: Moment = _known("on", on, Moment, "both")
        self._on_block: OnBlock = _known("on_block", on_block, OnBlock, "return")
        self._replacement = replacement
        self._budget_ms = budget_ms
        self._fail_closed = fail_closed
        self._context = context
        self._input: object = None
        #: The last verdict of a ``with`` block.
        self.verdict = Verdict()

    def check(self, input: object = None, output: object = None, context: object = None) -> Verdict:
        """Ask once. Takes at most the budget; raises only :class:`GuardBlocked`, and only if asked to."""
        call = self._call(input, output, context)
        step = self._open(call)
        answer = guard_calls.ask(call, self._budget_ms / 1000)
        return self._conclude(step, answer)

    async def acheck(self, input: object = None, output: object = None, context: object = None) -> Verdict:
        """:meth:`check` without blocking the event loop."""
        call = self._call(input, output, context)
        step = self._open(call)
        answer = await guard_calls.ask_async(call, self._budget_ms / 1000)
        return self._conclude(step, answer)

    # --- with guard("name", input=…) ------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._input is not None:
            self.verdict = self.check(input=self._input)
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    async def __aenter__(self) -> Self:
        if self._input is not None:
            self.verdict = await self.acheck(input=self._input)
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    def about(self, input: object) -> Self:
        """Check ``input`` when the ``with`` block begins."""
        self._input = input
        return self

    # --- @guard("name") -------------------------------------------------------------------------------

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Check the first text argument before, and a text result after, each call.

        Of a generator only the input is checked, before its first item; a blocked one gives the replacement.
        """
        target = cast("Any", function)
        if inspect.isasyncgenfunction(target):
            made = self._async_generator(target)
        elif inspect.isgeneratorfunction(target):
            made = self._generator(target)
        elif inspect.iscoroutinefunction(target):
            made = self._coroutine(target)
        else:
            made = self._plain(target)
        return cast("Callable[P, R]", functools.wraps(target)(made))

    def _plain(self, target: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            text = self._asked(args, kwargs)
            if text is not None:
                before = self.check(input=text)
                if self._stops(before):
                    return self._instead(before)
                args, kwargs = _redacted(before, text, args, kwargs)
            result = target(*args, **kwargs)
            if self._on != "input" and isinstance(result, str):
                return self._after(self.check(output=result, input=_first_text(args, kwargs)), result)
            return result

        return run

    def _coroutine(self, target: Any) -> Any:
        async def run(*args: Any, **kwargs: Any) -> Any:
            text = self._asked(args, kwargs)
            if text is not None:
                before = await self.acheck(input=text)
                if self._stops(before):
                    return self._instead(before)
                args, kwargs = _redacted(before, text, args, kwargs)
            result = await target(*args, **kwargs)
            if self._on != "input" and isinstance(result, str):
                return self._after(await self.acheck(output=result, input=_first_text(args, kwargs)), result)
            return result

        return run

    def _generator(self, target: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            text = self._asked(args, kwargs)
            if text is not None:
                before = self.check(input=text)
                if self._stops(before):
                    yield self._instead(before)
                    return None
                args, kwargs = _redacted(before, text, args, kwargs)
            return (yield from target(*args, **kwargs))

        return run

    def _async_generator(self, target: Any) -> Any:
        async def run(*args: Any, **kwargs: Any) -> Any:
            text = self._asked(args, kwargs)
            if text is not None:
                before = await self.acheck(input=text)
                if self._stops(before):
                    yield self._instead(before)
                    return
                args, kwargs = _redacted(before, text, args, kwargs)
            async for item in target(*args, **kwargs):
                yield item

        return run

    def _asked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        return _first_text(args, kwargs) if self._on != "output" else None

    def _stops(self, verdict: Verdict) -> bool:
        return verdict.blocked and self._on_block != "note"

    # --- inner ----------------------------------------------------------------------------------------

    def _call(self, input: object, output: object, context: object) -> dict[str, object]:
        call: dict[str, object] = {"guard": self.name}
        call |= {
            key: text_of(value, MAX_TEXT)
            for key, value in (("input", input), ("output", output))
            if value is not None
        }
        given = self._context if context is None else context
        if given is not None:
            shown = plain(given)
            call["context"] = shown if isinstance(shown, (str, list, dict)) else str(shown)
        return call

    def _open(self, call: dict[str, object]) -> Span:
        step = Span(f"guard {self.name}", "guardrail", {keys.GUARD_NAME: self.name}, {})
        for key, record in (("input", step.input), ("output", step.output)):
            if key in call:
                record(call[key])
        step.start()
        return step

    def _conclude(self, step: Span, answer: guard_calls.GuardAnswer) -> Verdict:
        verdict = self._judge(answer)
        step.set(keys.GUARD_VERDICT, verdict.verdict)
        if verdict.reasons:
            step.set(keys.GUARD_REASONS, list(verdict.reasons))
        if verdict.skipped:
            step.set(keys.GUARD_SKIPPED, list(verdict.skipped))
        step.end()
        if verdict.blocked and self._on_block == "raise":
            raise GuardBlocked(self.name, verdict)
        return verdict

    def _judge(self, answer: guard_calls.GuardAnswer) -> Verdict:
        if answer.failure:
            if self._fail_closed:
                return Verdict("block", (f"not checked: {answer.failure}",), (answer.failure,))
            return Verdict("pass", (), (answer.failure,))
        word = answer.verdict
        if word == "redact" and answer.output is None:
            # There is nothing to put in its place, so the text must not pass.
            return Verdict("block", (*answer.reasons, "redaction without a text"), answer.skipped)
        return Verdict(cast("Any", word), answer.reasons, answer.skipped, answer.output)

    def _instead(self, verdict: Verdict) -> Any:
        if callable(self._replacement):
            return self._replacement(verdict)
        return f"[blocked by guard {self.name}]" if self._replacement is None else self._replacement

    def _after(self, verdict: Verdict, result: str) -> Any:
        if self._on_block == "note":
            return result
        if verdict.blocked:
            return self._instead(verdict)
        return verdict.output if verdict.verdict == "redact" else result


class _Guards:
    """The public ``guard``: ``guard("name")`` makes a :class:`Guard`, ``guard.check("name", …)`` asks once."""

    def __call__(
        self,
        name: str,
        *,
        input: object = None,
        on: Moment = "both",
        on_block: OnBlock = "return",
        replacement: object = None,
        budget_ms: float = DEFAULT_BUDGET_MS,
        fail_closed: bool = False,
        context: object = None,
    ) -> Guard:
        """A guard of the server by name.

        ``on``: what a decorated function has checked. ``on_block``: ``"return"`` gives ``replacement`` (a
        value, or a function of the verdict) instead of the answer, ``"raise"`` raises
        :class:`GuardBlocked`, ``"note"`` only records what would have happened. ``budget_ms``: the longest
        a check may take. ``fail_closed``: block when the check could not be made.

        >>> @guard("no-pii", on="output", replacement="Sorry, I cannot share that.")
        ... def answer(question: str) -> str:
        ...     return "Her number is 555 0100."
        """
        made = Guard(
            name,
            on=on,
            on_block=on_block,
            replacement=replacement,
            budget_ms=budget_ms,
            fail_closed=fail_closed,
            context=context,
        )
        return made if input is None else made.about(input)

    def check(
        self,
        name: str,
        *,
        input: object = None,
        output: object = None,
        context: object = None,
        budget_ms: float = DEFAULT_BUDGET_MS,
        fail_closed: bool = False,
        on_block: OnBlock = "return",
    ) -> Verdict:
        """Ask guard ``name`` once and look at the verdict yourself."""
        return Guard(name, budget_ms=budget_ms, fail_closed=fail_closed, on_block=on_block).check(
            input, output, context
        )

    async def acheck(
        self,
        name: str,
        *,
        input: object = None,
        output: object = None,
        context: object = None,
        budget_ms: float = DEFAULT_BUDGET_MS,
        fail_closed: bool = False,
        on_block: OnBlock = "return",
    ) -> Verdict:
        """:meth:`check` without blocking the event loop."""
        made = Guard(name, budget_ms=budget_ms, fail_closed=fail_closed, on_block=on_block)
        return await made.acheck(input, output, context)


guard: Final = _Guards()


def _known(option: str, given: T, allowed: object, default: T) -> T:
    """The option, or its default, with a note, where it is none there is: a misspelt one must not pass for what was meant."""
    words = get_args(allowed)
    if given in words:
        return given
    note(f"a guard's {option} must be one of {', '.join(words)}; {default!r} is taken", given)
    return default


def _first_text(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    return next((value for value in (*args, *kwargs.values()) if isinstance(value, str)), None)


def _redacted(
    verdict: Verdict, text: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with the checked text replaced by the guard's redacted one."""
    if verdict.verdict != "redact":
        return args, kwargs
    swap = {text: verdict.output}
    return (
        tuple(swap.get(value, value) if isinstance(value, str) else value for value in args),
        {key: swap.get(value, value) if isinstance(value, str) else value for key, value in kwargs.items()},
    )
