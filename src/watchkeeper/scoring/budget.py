"""Money for judges: planned over strata in advance, never exceeded on the day (requirement S3)."""

import math
from collections.abc import Sequence

import msgspec

from watchkeeper.model.times import DAY, HOUR

PACE_MIN = 0.001


class Stratum(msgspec.Struct, frozen=True):
    """Forecast of one stratum and day: `volume` traces, price `cost` (USD) per judged trace, `sd` of the score.
    `take_all` strata (errors, guard hits) are judged whole before anything else is planned; `floor` is the smallest
    number of judgements worth making (20 per decision window)."""

    name: str
    volume: float
    cost: float
    sd: float
    take_all: bool = False
    floor: float = 20.0


class Allocation(msgspec.Struct, frozen=True):
    """The plan for one stratum: judge `calls` traces, that is each with `probability`, for `cost` USD a day."""

    name: str
    calls: float
    probability: float
    cost: float


def plan(strata: Sequence[Stratum], money: float, minimum: float = 0.01) -> list[Allocation]:
    """n_h ∝ N_h·S_h/√c_h with Σ n_h·c_h = money (Neyman allocation with costs, Cochran 1977 §5.5), take-all strata
    first, floors next, whatever a full stratum cannot use redistributed. S_h is at least 0.1. The plan never costs
    more than `money`: when even floors do not fit, they shrink in proportion. `minimum` is the least probability
    (π_min) given where money allows. Raises ValueError for negative or non-finite numbers."""
    for s in strata:
        if not all(math.isfinite(x) and x >= 0 for x in (s.volume, s.cost, s.sd, s.floor)) or s.cost <= 0:
            raise ValueError(f"stratum {s.name!r}: volume, sd and floor must be at least 0 and cost above 0")
    if not math.isfinite(money) or money < 0:
        raise ValueError(f"budget {money} must be a number of at least 0")
    whole = [s for s in strata if s.take_all]
    rest = [s for s in strata if not s.take_all and s.volume > 0]
    wanted = sum(s.volume * s.cost for s in whole)
    share = min(1.0, money / wanted) if wanted else 1.0
    calls = {s.name: s.volume * share for s in whole}
    left = max(0.0, money - wanted)
    floors = {s.name: min(s.volume, max(s.floor, minimum * s.volume)) for s in rest}
    floor_cost = sum(floors[s.name] * s.cost for s in rest)
    scale = min(1.0, left / floor_cost) if floor_cost else 1.0
    calls |= {name: n * scale for name, n in floors.items()}
    left -= floor_cost * scale
    calls |= _neyman(rest, calls, left)
    return [
        Allocation(
            s.name,
            calls.get(s.name, 0.0),
            min(1.0, calls.get(s.name, 0.0) / s.volume) if s.volume else 0.0,
            calls.get(s.name, 0.0) * s.cost,
        )
        for s in strata
    ]


def _neyman(strata: Sequence[Stratum], floors: dict[str, float], left: float) -> dict[str, float]:
    """Top up floors towards the optimal allocation of all their money, clipping full strata and sharing out again."""
    money = left + sum(floors[s.name] * s.cost for s in strata)
    open_, out = list(strata), {}
    while open_:
        weight = {s.name: s.volume * max(s.sd, 0.1) / math.sqrt(s.cost) for s in open_}
        total = sum(weight[s.name] * s.cost for s in open_)
        if total <= 0:
            # Strata with next to no traffic weigh nothing; their floors are all they need.
            out.update({s.name: floors[s.name] for s in open_})
            break
        ideal = {s.name: money * weight[s.name] / total for s in open_}
        over = [(s, s.volume) for s in open_ if ideal[s.name] > s.volume]
        under = [(s, floors[s.name]) for s in open_ if ideal[s.name] < floors[s.name]]
        if not over and not under:
            return out | ideal
        # Fix one kind at a time, the one that moves more money: what the others may have depends on it, and both at once, or
        # the lesser first, can overspend.
        moved = sum((n - ideal[s.name]) * s.cost for s, n in over + under)
        for s, n in under if moved > 0 else over if moved < 0 else over + under:
            out[s.name] = n
            money -= n * s.cost
            open_ = [o for o in open_ if o.name != s.name]
        money = max(0.0, money)
    return out


class Spending(msgspec.Struct):
    """The day's account: `spent` USD charged, `reserved` USD for calls in flight. `day` counts days since 1970 UTC."""

    day: int = 0
    spent: float = 0.0
    reserved: float = 0.0


class Flow(msgspec.Struct, frozen=True):
    """USD that come over time: `lately`, a sum that fades with a mean age of an hour, and the whole of each of the last two days'
    `hours`, the latest last."""

    at_ns: int = 0
    lately: float = 0.0
    hours: tuple[float, ...] = ()

    def plus(self, now_ns: int, usd: float) -> "Flow":
        """With what has come since. A clock that steps back fades nothing."""
        at = max(now_ns, self.at_ns)
        passed = min(at // HOUR - self.at_ns // HOUR, 48) if self.hours else 1
        *before, last = (*self.hours, *[0.0] * passed)
        faded = self.lately * math.exp((self.at_ns - at) / HOUR)
        return Flow(at, faded + usd, (*before, last + usd)[-48:])

    def rest_of_day(self, now_ns: int) -> float:
        """What is to be expected until midnight: what came at these hours yesterday, by how much more or less than at this hour
        yesterday has come lately; before there is a yesterday, as much as lately in every hour."""
        left = (DAY - now_ns % DAY) / HOUR
        same = len(self.hours) - 25
        if same < 6:
            return self.lately * left
        part = now_ns % HOUR / HOUR
        rest = (1 - part) * self.hours[same] + sum(self.hours[same + 1 : same + math.ceil(left)])
        past = [part * self.hours[same], *reversed(self.hours[:same])]
        then = sum(usd * math.exp(-max(0.0, part + k - 0.5)) for k, usd in enumerate(past))
        # A quarter of a usual hour on both sides: a quiet hour yesterday says little about what is to come.
        usual = max(sum(self.hours[-25:-1]) / 96, 1e-9)
        return rest * (self.lately + usual) / (then + usual)


class Demand(msgspec.Struct, frozen=True):
    """What judging would cost at the configured rates: `routine` of the policies that chance decides, `always` of those that wait
    for an event."""

    routine: Flow = Flow()
    always: Flow = Flow()

    def plus(self, now_ns: int, routine: float, always: float) -> "Demand":
        """With what has come since, USD."""
        return Demand(self.routine.plus(now_ns, routine), self.always.plus(now_ns, always))


class Budget(msgspec.Struct, frozen=True):
    """A daily limit in USD. Routine work stops at (1 − `kept_for_risk`) of it, high-risk work at the limit itself."""

    limit: float
    kept_for_risk: float = 0.2

    def pace(self, demand: Demand, now_ns: int, committed: float) -> float:
        """The factor in [`PACE_MIN`, 1] for the probabilities of routine work that makes the rest of the day's money last, if
        traffic goes on as lately. `committed` is what the day has cost and what is queued will cost, USD.

        It must be asked with the traffic it is for included in `demand`, and depends on nobody's sampling hash, so a trace is
        chosen with exactly the probability that is recorded. A stop at the limit instead would score errors whole and routine
        in part under the same recorded probability: a bias (Horvitz & Thompson 1952: weights need the true π)."""
        wanted = demand.routine.rest_of_day(now_ns)
        money = self.limit * (1.0 - self.kept_for_risk) - committed - demand.always.rest_of_day(now_ns)
        return 1.0 if wanted <= money else max(PACE_MIN, money / wanted if wanted else 0.0)

    def reserve(self, account: Spending, now_ns: int, expected: float, high_risk: bool) -> bool:
        """Set `expected` USD aside before a call; False (and nothing changed) when it would pass the limit. A clock
        that steps back keeps the later day, so no window is granted twice."""
        day = now_ns // DAY
        if day > account.day:
            account.day, account.spent = day, 0.0
        ceiling = self.limit if high_risk else self.limit * (1.0 - self.kept_for_risk)
        # Sums of floats: a millionth of a cent is not an overrun.
        if account.spent + account.reserved + expected > ceiling + 1e-10:
            return False
        account.reserved += expected
        return True

    @staticmethod
    def settle(account: Spending, expected: float, actual: float) -> None:
        """Replace a reservation by what the call cost (0 for a call that was not charged)."""
        account.reserved = max(0.0, account.reserved - expected)
        account.spent += actual
