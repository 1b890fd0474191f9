"""Scorers that users bring: a Python function `module:function` on equal footing with ours."""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from watchkeeper.model.score import LEVELS, Failed, NotScored, Outcome, Subject, Verdict
from watchkeeper.scoring.version import content_version


def resolve(path: str) -> Callable[..., Any]:
    """The function `module:function` names. Raises ValueError saying which part is wrong."""
    module_name, _, function_name = path.partition(":")
    if not module_name or not function_name:
        raise ValueError(f"function: {path!r} is not of the form module:function")
    try:
        module = importlib.import_module(module_name)
    # A user's module may raise anything while it is imported; the reason goes to the user.
    except Exception as error:
        stray = isinstance(error, ModuleNotFoundError) and error.name == module_name.split(".")[0]
        todo = "; put its folder into PYTHONPATH, or install it" if stray else ""
        raise ValueError(
            f"function: module {module_name!r} cannot be imported: {type(error).__name__}: {error}{todo}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        near = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise ValueError(
            f"function: {module_name!r} has no function {function_name!r} (it has {', '.join(near[:10]) or 'none'})"
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ValueError(
            f"function: {path!r} is async; write a plain function, which runs in a process of its own"
        )
    return function


def outcome(answer: Any) -> Outcome:
    """What a user's function returned as an outcome: a verdict as is, true/false as pass/fail, a number as a measurement,
    `(value, reason)` with its reason, None as not scored."""
    if isinstance(answer, Verdict | NotScored | Failed):
        return answer
    if answer is None:
        return NotScored("the function returned nothing")
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str):
        inner = outcome(answer[0])
        return msgspec.structs.replace(inner, reason=answer[1][:1000])
    if isinstance(answer, bool):
        return Verdict(value=1.0 if answer else 0.0, passed=answer)
    if isinstance(answer, int | float):
        return Verdict(value=float(answer))
    item = getattr(answer, "item", None)
    if callable(item) and not isinstance(answer, tuple):
        # numpy's numbers and booleans
        return outcome(item())
    return Failed(f"returned {type(answer).__name__}; a bool, a number, a Verdict or None is expected")


@dataclass(frozen=True, kw_only=True)
class CustomScorer:
    """A user's function: takes a `Subject` and `params`, returns what `outcome` accepts. It runs in its own process with a
    deadline and a memory limit (`pipeline.isolate`), because it may hang, leak or crash.

    function: `module:function`. level: span, trace or session. timeout_s: seconds for one trace or span. floor: makes a measurement
    a rule.
    """

    kind: ClassVar[str] = "check"
    trusted: ClassVar[bool] = False

    name: str
    function: str
    level: str = "trace"
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    timeout_s: float = 5.0
    floor: float | None = None
    error_class: str | None = None

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level: {self.level!r} is not allowed; one of {', '.join(LEVELS)}")
        if not 0 < self.timeout_s <= 600:
            raise ValueError(f"timeout_s: {self.timeout_s} must be above 0 and at most 600")
        self._call()

    def _call(self) -> Callable[..., Any]:
        return resolve(self.function)

    @property
    def version(self) -> str:
        return self._version

    @cached_property
    def _version(self) -> str:
        function = inspect.unwrap(self._call())
        return content_version(function, self.function, self.params, self.floor)

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        function = self._call()
        return [self._one(function, s) for s in subjects]

    def _one(self, function: Callable[..., Any], subject: Subject) -> Outcome:
        answer = outcome(function(subject, **self.params))
        if isinstance(answer, Verdict) and self.floor is not None and answer.value is not None:
            return msgspec.structs.replace(answer, passed=answer.value >= self.floor)
        if isinstance(answer, Verdict) and answer.passed is False and answer.error_class is None:
            return msgspec.structs.replace(answer, error_class=self.error_class)
        return answer
