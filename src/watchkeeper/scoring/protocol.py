"""The scorer contract.

A scorer has a `name`, a `version` (content hash of what determines its answer), a `level` (span, trace or session) and
a `kind` (one of `model.score.SOURCES`). A deterministic scorer is a batch function from subjects to outcomes; a judge
is a generator that yields prompts and receives replies. Neither reads a clock, a network or a store, so the same
object runs inline, online and in the gate. Only `scoring.drive` calls them.
"""

from collections.abc import Callable, Generator, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import msgspec

from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.score import Outcome, Subject
from watchkeeper.model.sensitive import Found


@runtime_checkable
class Scorer(Protocol):
    """What every scorer tells about itself. `trusted` is False for code that users bring: it runs isolated."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def level(self) -> str: ...

    kind: ClassVar[str]
    trusted: ClassVar[bool]


@runtime_checkable
class BatchScorer(Scorer, Protocol):
    """A deterministic scorer: as many outcomes as subjects, in the same order."""

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]: ...


@runtime_checkable
class Judge(Scorer, Protocol):
    """A scorer that asks a model. `model` is the pinned `provider:model`; `unit_cost` the expected USD per subject."""

    @property
    def model(self) -> str: ...
    @property
    def unit_cost(self) -> float | None: ...
    def refuses(self, subject: Subject) -> str | None:
        """Why this judge must not grade this subject (same model family), or None."""
        ...

    def steps(self, subject: Subject) -> Generator[Prompt, Reply, Outcome]: ...


class Finders(msgspec.Struct, frozen=True):
    """What scorers find with that is another rule's, handed in so that rules stay independent of each other.

    `find_sensitive(text)` returns personal data and secrets; None where nothing was given, and the checks that need it
    then look for redaction placeholders only.
    """

    find_sensitive: Callable[[str], Sequence[Found]] | None = None
