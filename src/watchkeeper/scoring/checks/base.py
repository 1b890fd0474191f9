"""What all checks share: a frozen description with parameters, and one method per subject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

from watchkeeper.model.score import LEVELS, Outcome, Subject, Verdict
from watchkeeper.scoring.version import content_version

PASS = Verdict(value=1.0, passed=True)


def fail(reason: str, error_class: str | None = None) -> Verdict:
    """A broken rule. Reasons are cut at 500 characters: they are shown in lists."""
    return Verdict(value=0.0, passed=False, reason=reason[:500], error_class=error_class)


def measured(value: float, floor: float | None, reason: str, error_class: str | None = None) -> Verdict:
    """A measurement; with a floor it is also a rule."""
    if floor is None:
        return Verdict(value=value, reason=reason[:500] or None)
    passed = value >= floor
    return Verdict(
        value=value, passed=passed, reason=reason[:500] or None, error_class=None if passed else error_class
    )


@dataclass(frozen=True, kw_only=True)
class Check:
    """A deterministic scorer. Subclasses set the class variables, add parameters as fields and write `one`.

    type: its name in configuration. row: the requirement it serves. summary: one line for documentation.
    error_class: what a failed verdict implies. default: runs on all traffic without configuration.
    of_input: reads only what came in, so that no better answer can pass it. example: a configuration. unit: what a measurement counts ("" for pass = 1, fail = 0).
    """

    type: ClassVar[str]
    row: ClassVar[str]
    summary: ClassVar[str]
    error_class: ClassVar[str | None] = None
    default: ClassVar[bool] = False
    example: ClassVar[Mapping[str, Any]] = {}
    unit: ClassVar[str] = ""
    of_input: ClassVar[bool] = False
    kind: ClassVar[str] = "check"
    trusted: ClassVar[bool] = True

    name: str = ""
    level: str = "trace"

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.type)
        if self.level not in LEVELS[:2]:
            raise ValueError(
                f"level: {self.level!r} is not allowed; a check is one of {', '.join(LEVELS[:2])}"
            )
        self.prepare()

    def prepare(self) -> None:
        """Validate parameters and compile patterns; raises ValueError that starts with the parameter's name."""

    def parameters(self) -> dict[str, Any]:
        """The parameters as plain data, the name left out: renaming does not change the answer."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "name" and f.repr}

    @property
    def version(self) -> str:
        return self._version

    @cached_property
    def _version(self) -> str:
        return content_version(type(self), self.type, self.parameters(), *self.data())

    def data(self) -> tuple[Any, ...]:
        """Whatever else determines the answer: word lists, model files."""
        return ()

    def one(self, subject: Subject) -> Outcome:
        raise NotImplementedError

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        return [self.one(s) for s in subjects]
