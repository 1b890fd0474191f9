"""`watchkeeper plan`: what a configuration would cost a day, what its samples would cover, and what they could see."""

import argparse
import sys
from dataclasses import dataclass
from typing import Any

from watchkeeper.cli.check import loaded, with_managed
from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import BAD_INPUT, OK, CliError
from watchkeeper.cli.output import table
from watchkeeper.config.models import Config, Scorecard
from watchkeeper.pipeline.plan import services
from watchkeeper.scoring.protocol import Judge
from watchkeeper.scoring.registry import build
from watchkeeper.stats.power import detectable

FEW = 100
# Without scores of its own, a scorer's spread is taken as a quarter of its scale, which is wide for a rating.
GUESSED_SD = 0.25
COLUMNS = (
    "scorecard",
    "judge",
    "traces/day",
    "scored/day",
    "USD/day",
    "USD/year",
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


def _volume(client: Client, card: Scorecard, days: int) -> float:
    where = f" and ({card.where})" if card.where else ""
    query = f"select count() as n from traces where time >= now() - interval {days} day{where}"
    rows: list[list[Any]] = client.call("POST", "/api/sql", {"query": query})["rows"]
    return float(rows[0][0]) / days


def _always(client: Client, card: Scorecard, days: int) -> float:
    """Traces a day that are scored whatever the sample, as far as columns tell: errors."""
    if not {"error", "timeout"} & set(card.sample.always):
        return 0.0
    where = f" and ({card.where})" if card.where else ""
    query = f"select countIf(error_class is not null) as n from traces where time >= now() - interval {days} day{where}"
    rows: list[list[Any]] = client.call("POST", "/api/sql", {"query": query})["rows"]
    return float(rows[0][0]) / days


def _rate(card: Scorecard) -> float:
    rates = [card.sample.rate]
    for offered in card.sample.strata.values():
        rates.extend(offered.values() if isinstance(offered, dict) else [offered])
    return max(rates)


def lines_of(config: Config, client: Client, days: int) -> list[Line]:
    """The forecast of every judge. Raises `CliError`."""
    made: list[Line] = []
    given = services()
    for card in config.scorecards:
        judges = [s for m in card.metrics if isinstance(s := build(m.spec(), given), Judge)]
        if not judges:
            continue
        traces, always = _volume(client, card, days), _always(client, card, days)
        scored = min(traces, always + (traces - always) * _rate(card))
        costs = [j.unit_cost for j in judges]
        budget = card.sample.budget.per_day if card.sample.budget else None
        total = sum(c for c in costs if c is not None) * scored
        share = min(1.0, budget / total) if budget is not None and total > 0 else 1.0
        for judge, cost in zip(judges, costs, strict=True):
            n = scored * share
            made.append(
                Line(
                    card.name,
                    judge.name,
                    traces,
                    n,
                    None if cost is None else n * cost,
                    detectable(GUESSED_SD, n / 24) if n >= 24 else None,
                    detectable(GUESSED_SD, n) if n > 0 else None,
                )
            )
    return made


def _money(value: float | None, times: float = 1.0) -> str:
    return "unknown" if value is None else f"{value * times:,.2f}"


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
    checks = sum(
        1 for c in config.scorecards for m in c.metrics if not isinstance(build(m.spec(), services()), Judge)
    )
    print(f"{checks} checks and classifiers run on every trace they are for, at no cost per trace.")
    lines = lines_of(config, client, args.days)
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
    _warn(lines)
    return OK


def _warn(lines: list[Line]) -> None:
    for line in lines:
        if line.scored < FEW:
            said = f"{line.judge}: fewer than {FEW} scores a day; raise its sample, or watch it over days"
            print(said, file=sys.stderr)
    if any(x.usd is None for x in lines):
        print("The price of a judge is unknown: set its unit_cost to plan with it.", file=sys.stderr)
