"""How much of what chance would choose a day's budget can pay: one factor a scorecard, decided before a trace is chosen and kept
in the probability that is stored with it.

What is known stands in the records, so every process that chooses reckons with the same day: what was charged, what is queued,
and what judging everything would have cost lately.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.model.times import DAY, SECOND, Clock
from watchkeeper.pipeline.plan import Card
from watchkeeper.pipeline.quote import expected_usd
from watchkeeper.scoring.budget import Budget, Demand
from watchkeeper.store.records import jobs, states
from watchkeeper.store.records.engine import Records

KIND = "judge_pace"
LOOK_NS = 30 * SECOND
FEW = 20
CardKey = tuple[str, str]


@dataclass
class Wish:
    """How many judgements of each judge of a card some traces would have: `routine` where chance decides, `always` where an event
    does. Expected numbers: nobody's sampling hash is in them. `usd` is what both would cost, once the factor was asked for."""

    card: Card
    routine: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    always: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    usd: tuple[float, float] = (0.0, 0.0)


class Pacing:
    """The factors of scorecards with a budget. `factors` asks for a batch, `note` remembers it then in the transaction that queues its
    work; a batch that is done again is counted twice, which only slows the next hour a little."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records, self._clock = records, clock
        self._queued: dict[CardKey, tuple[int, float]] = {}
        self._chosen: dict[CardKey, float] = {}

    async def factors(self, wishes: Mapping[CardKey, Wish]) -> dict[CardKey, float]:
        """By project and card, the factor for what chance decides: in (0, 1]. Cards without a budget are left out."""
        if not any(w.card.budget for w in wishes.values()):
            return {}
        now = self._clock()
        return await self._records.read(
            lambda c: {
                k: self._factor(c, k, w, w.card.budget, now) for k, w in wishes.items() if w.card.budget
            }
        )

    def note(self, connection: Connection, wishes: Mapping[CardKey, Wish]) -> None:
        """Remember what these traces asked for."""
        now = self._clock()
        for (project, name), wish in wishes.items():
            if wish.card.budget is not None:
                demand = _demand(connection, project, name).plus(now, *wish.usd)
                states.put(connection, project, KIND, name, msgspec.to_builtins(demand), now)

    def _factor(self, connection: Connection, key: CardKey, wish: Wish, budget: Budget, now: int) -> float:
        (project, name), card = key, wish.card
        today = now // DAY
        accounts = jobs.accounts(connection, project, (today, today - 1))
        prices = _prices(jobs.judged_in(accounts.values()), card)
        looked, queued = self._queued.get(key, (None, 0.0))
        if looked is None or not 0 <= now - looked < LOOK_NS:
            queued = _sum(jobs.waiting_by(connection, project), prices)
            self._queued[key], self._chosen[key] = (now, queued), 0.0
        charged = jobs.spent_in(accounts.get(today), prices)
        routine, always = wish.usd = _sum(wish.routine, prices), _sum(wish.always, prices)
        demand = _demand(connection, project, name).plus(now, routine, always)
        factor = budget.pace(demand, now, charged + queued + self._chosen[key])
        self._chosen[key] += routine * factor + always
        return factor


def _sum(judgements: Mapping[str, float], prices: Mapping[str, float]) -> float:
    return sum(n * prices.get(judge, 0.0) for judge, n in judgements.items())


def _demand(connection: Connection, project: str, card: str) -> Demand:
    stored: Any = states.get(connection, project, KIND, card)
    return msgspec.convert(stored, Demand) if stored is not None else Demand()


def _prices(paid: Mapping[str, tuple[int, float]], card: Card) -> dict[str, float]:
    """USD of a judgement by each judge of the card: as charged lately (`paid`), once that tells."""
    usual = {j.name: paid.get(j.name, (0, 0.0)) for j in card.judges}
    return {
        j.name: usual[j.name][1] / usual[j.name][0] if usual[j.name][0] >= FEW else expected_usd(j)
        for j in card.judges
    }
