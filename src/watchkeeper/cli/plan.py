"""`watchkeeper plan`: what a configuration would cost a day, what its samples would cover, and what they could see."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from watchkeeper.alerting.monitor import DIMENSIONS
from watchkeeper.cli.check import loaded, with_managed
from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.output import table
from watchkeeper.config.adapters import prices_of
from watchkeeper.config.models import Scorecard
from watchkeeper.dialects import pricing
from watchkeeper.gating.subject import Answer, trace_of
from watchkeeper.model.numerals import dollars
from watchkeeper.model.review import Case
from watchkeeper.model.score import Subject
from watchkeeper.pipeline.plan import finders
from watchkeeper.pipeline.quote import quote
from watchkeeper.pipeline.where import WhereError, in_sql
from watchkeeper.scoring.budget import Allocation, Stratum, plan
from watchkeeper.scoring.protocol import Judge
from watchkeeper.scoring.registry import build
from watchkeeper.scoring.sampling import Sampled, Sampler, policies_of
from watchkeeper.stats.power import detectable

FEW = 100
# Dimensions that `traces` has under another name.
EXPRESSIONS = {"model": "models[1]"}
# Without scores of its own, a scorer's spread is taken as a quarter of its scale, which is wide for a rating.
GUESSED_SD = 0.25
COLUMNS = (
    "scorecard",
    "judge",
    "traces/day",
    "scored/day",
    "cost/day",
    "cost/year",
    "drop in 1 h",
    "drop in 24 h",
)


@dataclass(frozen=True)
class Line:
    """One judge's forecast. `drop` is the smallest fall of its mean that a window would show with 80 % power, in parts
    of its scale; None where nothing is scored."""

    card: str
    judge: str
    traces: float
    scored: float
    usd: float | None
    drop_hour: float | None
    drop_day: float | None


@dataclass(frozen=True)
class Group:
    """Traffic that sampling treats alike: the values of the dimensions a sample names, whether it is errors, traces a day."""

    values: dict[str, str]
    errors: bool
    traces: float

    @property
    def name(self) -> str:
        """For people."""
        return (
            "errors"
            if self.errors
            else ", ".join(f"{k} {v}" for k, v in self.values.items()) or "everything else"
        )


@dataclass(frozen=True)
class Judged:
    """A scorecard with judges: they, what each asks for a judgement (USD, None where nobody knows), what it samples by, and
    the traffic it is for."""

    card: Scorecard
    judges: tuple[Judge, ...]
    prices: tuple[float | None, ...]
    sampler: Sampler
    groups: tuple[Group, ...]

    @property
    def chosen(self) -> float:
        """Traces a day that the card's own sampler chooses; an event that no column tells is left out."""
        facts = [(g, Sampled("", g.values, frozenset({"error"} if g.errors else ()))) for g in self.groups]
        return sum(g.traces * self.sampler.decide(known).probability for g, known in facts)


@dataclass(frozen=True)
class Traffic:
    """The traces of the last `days` that a scorecard is for; `where` is the rest of a condition in SQL."""

    client: Client
    days: int
    where: str

    @classmethod
    def of(cls, client: Client, card: Scorecard, days: int) -> "Traffic":
        """What names no project is planned for the caller's. A condition that SQL cannot tell is said and left out."""
        if card.project != "default":
            client = replace(client, headers={**client.headers, "x-watchkeeper-project": card.project})
        try:
            where = "" if card.where is None else f" and ({in_sql(card.where)})"
        except WhereError as error:
            print(f"{card.name}: {error}, so all traffic is counted", file=sys.stderr)
            where = ""
        return cls(client, days, where)

    def ask(self, what: str, table: str, where: str, grouped: str = "") -> list[list[Any]]:
        """Rows about these days. Raises `CliError`."""
        query = f"select {what} from {table} where time >= now() - interval {self.days} day{where}{grouped}"
        rows: list[list[Any]] = self.client.call("POST", "/api/sql", {"query": query})["rows"]
        return rows


def groups_of(traffic: Traffic, sampler: Sampler) -> list[Group]:
    """The traffic of a scorecard by what its sample tells apart, as far as columns do. Raises `CliError`."""
    named = {p.has for p in sampler.policies} | {k for p in sampler.policies for k in p.where}
    dimensions = sorted(d for d in named if d in DIMENSIONS)
    grouped = ", ".join([*(EXPRESSIONS.get(d, d) for d in dimensions), "error_class is not null"])
    found = traffic.ask(f"{grouped}, count()", "traces", traffic.where, f" group by {grouped}")
    return [
        Group(
            {d: str(v) for d, v in zip(dimensions, values, strict=True) if v},
            bool(errors),
            float(n) / traffic.days,
        )
        for *values, errors, n in found
    ]


def prices_for(traffic: Traffic, judges: Sequence[Judge]) -> list[float | None]:
    """USD that a judgement of each judge is expected to cost: its `unit_cost`, else what its own of these days did on average,
    else what the price table in force says of one about texts of the usual length. None where nobody knows. Raises `CliError`."""
    priced = [j.unit_cost for j in judges]
    if None in priced:
        paid = " and source = 'judge' and cost is not null"
        grouped = " group by scorer, judge_model"
        found = traffic.ask("scorer, judge_model, avg(cost)", "scores", paid, grouped)
        known = {(name, model): float(usd) for name, model, usd in found}
        priced = [
            known.get((j.name, j.model)) if p is None else p for j, p in zip(judges, priced, strict=True)
        ]
    if None in priced:
        usual = _usual(traffic)
        priced = [_quoted(j, usual) if p is None else p for j, p in zip(judges, priced, strict=True)]
    return priced


def _usual(traffic: Traffic) -> Subject:
    """A trace with texts as long as those of the traffic are on average, and a document as long as what is asked."""
    lengths = traffic.ask("avg(length(input_text)), avg(length(output_text))", "traces", traffic.where)
    asked, answered = ("x" * int(n or 0) for n in (lengths[0] if lengths else (0, 0)))
    case = Case("usual", asked, context={"documents": [{"content": asked}]})
    return Subject(trace=trace_of(case, Answer(case.id, answered)))


def _quoted(judge: Judge, subject: Subject) -> float | None:
    found = asyncio.run(quote(judge, [subject]))
    return found.cost if found.calls else None


def lines_of(found: Judged) -> list[Line]:
    """The forecast of every judge of a scorecard."""
    card, judges, scored = found.card, found.judges, found.chosen
    traces = sum(g.traces for g in found.groups)
    total = sum(usd or 0.0 for usd in found.prices) * scored
    budget = card.sample.budget.per_day if card.sample.budget else None
    n = scored * (min(1.0, budget / total) if budget is not None and total > 0 else 1.0)
    hour = detectable(GUESSED_SD, n / 24) if n >= 24 else None
    day = detectable(GUESSED_SD, n) if n > 0 else None
    return [
        Line(card.name, j.name, traces, n, None if usd is None else n * usd, hour, day)
        for j, usd in zip(judges, found.prices, strict=True)
    ]


def allocated(found: Judged) -> list[Allocation]:
    """How the day's budget is spent best where it does not reach for the whole sample: errors whole, a floor for every other
    group, the rest by traffic. Empty where it reaches, and where there is no budget or no price."""
    budget = found.card.sample.budget
    cost = sum(usd for usd in found.prices if usd is not None)
    if budget is None or None in found.prices or found.chosen * cost <= budget.per_day:
        return []
    merged: dict[str, Stratum] = {}
    for g in sorted(found.groups, key=lambda g: (not g.errors, -g.traces)):
        before = merged.get(g.name)
        volume = g.traces + (before.volume if before is not None else 0.0)
        merged[g.name] = Stratum(g.name, volume, cost, GUESSED_SD, take_all=g.errors)
    return plan(list(merged.values()), budget.per_day)


def _money(value: float | None, times: float = 1.0) -> str:
    return "unknown" if value is None else dollars(value * times)


def _drop(value: float | None) -> str:
    return "too few" if value is None else f"{min(1.0, value):.1%} of scale"


def main(args: argparse.Namespace) -> int:
    """Print the forecast from the traffic of the last days."""
    if not 1 <= args.days <= 90:
        raise CliError(f"--days {args.days}: from 1 to 90")
    args.allow_missing_env = True
    found = loaded(args)
    if found is None:
        return BAD_INPUT
    client = Client.of(args)
    found = with_managed(found, client)
    config = found.config
    pricing.use(prices_of(config))
    given, checks = finders(), 0
    cards: list[Judged] = []
    for card in config.scorecards:
        judges = tuple(s for m in card.metrics if isinstance(s := build(m.spec(), given), Judge))
        checks += len(card.metrics) - len(judges)
        if judges:
            sampler = Sampler(policies_of(card.sample.rate, card.sample.strata, card.sample.always), "")
            traffic = Traffic.of(client, card, args.days)
            groups = tuple(groups_of(traffic, sampler))
            cards.append(Judged(card, judges, tuple(prices_for(traffic, judges)), sampler, groups))
    print(f"{checks} checks and classifiers run on every trace they are for, at no cost per trace.")
    lines = [line for card in cards for line in lines_of(card)]
    if not lines:
        print("No judges: nothing is sampled and nothing is paid for.")
        return OK
    rows = [
        [
            x.card, x.judge, f"{x.traces:,.0f}", f"{x.scored:,.0f}", _money(x.usd), _money(x.usd, 365),
            _drop(x.drop_hour), _drop(x.drop_day),
        ]
        for x in lines
    ]  # fmt: skip
    table(COLUMNS, rows, sys.stdout)
    for card in cards:
        _advise(card.card, allocated(card))
    _warn(lines)
    return OK


def _advise(card: Scorecard, best: Sequence[Allocation]) -> None:
    """Print the division of a budget that does not reach for the sample that is asked for."""
    if not best:
        return
    print(f"\n{card.name}: its budget does not reach for its sample. It would be spent best on")
    rows = [[a.name, f"{a.probability:.1%}", f"{a.calls:,.0f}", _money(a.cost)] for a in best]
    table(("stratum", "share", "scored/day", "cost/day"), rows, sys.stdout)


def _warn(lines: list[Line]) -> None:
    for line in lines:
        if line.scored < FEW:
            said = f"{line.judge}: fewer than {FEW} scores a day; raise its sample, or watch it over days"
            print(said, file=sys.stderr)
    if any(x.usd is None for x in lines):
        said = "The price of a judge is unknown: set its unit_cost, or its model's price (price:), to plan with it."
        print(said, file=sys.stderr)
