"""What runs for a project: its scorers, and the scorecards that sample traces for judges. Built from configuration."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from watchkeeper.config.models import Scorecard
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.score import NotScored, Outcome, Subject
from watchkeeper.pipeline.apart import Scheduled, everything
from watchkeeper.pipeline.where import Condition, compile_condition
from watchkeeper.redaction.find import find
from watchkeeper.scoring.budget import Budget
from watchkeeper.scoring.checks.table import default_checks
from watchkeeper.scoring.classifiers.table import default_classifiers
from watchkeeper.scoring.evidence import SignalRoute
from watchkeeper.scoring.protocol import BatchScorer, Finders, Judge, Scorer
from watchkeeper.scoring.registry import build
from watchkeeper.scoring.sampling import Policy, Sampler, policies_of


def finders() -> Finders:
    """What scorers get from other rules."""
    return Finders(find_sensitive=find)


class ScopedCheck:
    """A deterministic scorer that does not apply outside its condition."""

    kind: ClassVar[str] = "check"
    trusted: ClassVar[bool] = True

    def __init__(self, inner: BatchScorer, applies: Condition, where: str) -> None:
        self.inner, self.applies, self.where_not = inner, applies, NotScored(f"only where {where}")
        self.name, self.version, self.level = inner.name, inner.version, inner.level

    def score(self, subjects: Sequence[Subject]) -> Sequence[Outcome]:
        mine = [s for s in subjects if self.applies(s.trace)]
        found = iter(self.inner.score(mine) if mine else ())
        return [next(found) if self.applies(s.trace) else self.where_not for s in subjects]


class ScopedJudge:
    """A judge that does not apply outside its condition."""

    kind: ClassVar[str] = "judge"
    trusted: ClassVar[bool] = True

    def __init__(self, inner: Judge, applies: Condition, where: str) -> None:
        self.inner, self.applies, self.where_not = inner, applies, NotScored(f"only where {where}")
        self.name, self.version, self.level = inner.name, inner.version, inner.level
        self.model, self.unit_cost = inner.model, inner.unit_cost

    def refuses(self, subject: Subject) -> str | None:
        return self.inner.refuses(subject)

    def steps(self, subject: Subject) -> Generator[Prompt, Reply, Outcome]:
        if not self.applies(subject.trace):
            return self.where_not
        return (yield from self.inner.steps(subject))


def scoped(scorer: Scorer, where: str) -> Scorer:
    """The scorer, not applying to traces outside `where`. Raises ValueError."""
    applies = compile_condition(where)
    if isinstance(scorer, Judge):
        return ScopedJudge(scorer, applies, where)
    return ScopedCheck(scorer, applies, where) if isinstance(scorer, BatchScorer) else scorer


@dataclass(frozen=True)
class Card:
    """Judges that share a sample and a budget (USD a day)."""

    name: str
    judges: tuple[Judge, ...]
    sampler: Sampler
    applies: Condition = everything
    budget: Budget | None = None


@dataclass(frozen=True)
class Plan:
    """One project's scorers. `judges` finds a queued job's judge by name."""

    scheduled: tuple[Scheduled, ...]
    cards: tuple[Card, ...] = ()
    judges: Mapping[str, Judge] = field(default_factory=dict[str, Judge])
    signals: tuple[SignalRoute, ...] = ()

    def card_of(self, judge: str) -> Card | None:
        """The scorecard a judge belongs to."""
        return next((c for c in self.cards if any(j.name == judge for j in c.judges)), None)


def default_scorers(given: Finders | None = None) -> list[BatchScorer]:
    """All default checks and classifiers."""
    return [*default_checks(given or finders()), *default_classifiers()]


def make_plan(
    cards: Iterable[Scorecard],
    *,
    salt: str,
    own: Sequence[BatchScorer] = (),
    signals: Sequence[SignalRoute] = (),
) -> Plan:
    """The plan of one project: the defaults, `own` scorers, then the scorecards' (a scorer of the same name replaces a
    default). `salt` is the installation's sampling salt; `signals` that go to judges are policies of every card. Raises ValueError (SpecError) naming scorecard, metric and key."""
    given = finders()
    scheduled = {s.name: Scheduled(s) for s in [*default_scorers(given), *own]}
    made: list[Card] = []
    asked = [Policy(r.flag, r.share, flag=r.flag) for r in signals if "judge" in r.actions]
    for card in cards:
        try:
            applies = compile_condition(card.where) if card.where else everything
            built = [(m.name, _build(m.spec(), m.name, given)) for m in card.metrics]
            sample = card.sample
            sampler = Sampler([*policies_of(sample.rate, sample.strata, sample.always), *asked], salt)
        except ValueError as error:
            raise ValueError(f"scorecard {card.name}: {error}") from error
        for name, scorer in built:
            if isinstance(scorer, BatchScorer):
                scheduled[name] = Scheduled(scorer, applies)
        judges = tuple(s for _, s in built if isinstance(s, Judge))
        budget = Budget(sample.budget.per_day) if sample.budget is not None else None
        if judges:
            made.append(Card(card.name, judges, sampler, applies, budget))
    by_name = {j.name: j for c in made for j in c.judges}
    return Plan(tuple(scheduled.values()), tuple(made), by_name, tuple(signals))


def _build(spec: dict[str, object], name: str, given: Finders) -> Scorer:
    try:
        return build(spec, given)
    except ValueError as error:
        raise ValueError(f"metric {name}: {error}") from error
