"""Labels to a classifier: gathered, split, trained, compared with the judge, and run on all traffic when somebody says so."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from watchkeeper.model.series import Estimate
from watchkeeper.model.times import Clock
from watchkeeper.model.trained import Comparison, Trained, Weights
from watchkeeper.scoring.calibration import majority
from watchkeeper.scoring.classifiers.trained import (
    LEAST,
    TooFew,
    TrainedClassifier,
    auroc,
    enough,
    fit,
    hash_of,
    probabilities,
)
from watchkeeper.stats.experiments import paired_rates
from watchkeeper.stats.intervals import wilson
from watchkeeper.stats.judges import independent
from watchkeeper.store.columns import Columns
from watchkeeper.store.records import reviews, trained
from watchkeeper.store.records.engine import Records

MOST_JUDGED = 20_000
HELD_OUT_PERCENT = 30
LEAST_HELD_OUT = 30
# A classifier stands in for its judge when it is surely less than five points worse.
MARGIN = 0.05
CHUNK = 500


class NotAsGood(ValueError):
    """A version may not decide: the text says what the comparison showed."""


@dataclass(frozen=True)
class Row:
    """One labelled answer. `human`, `judge`: good or not, None without that label. `group` stays together in a split."""

    trace_id: str
    group: str
    input: str
    output: str
    human: bool | None
    judge: bool | None

    @property
    def good(self) -> bool:
        return bool(self.judge if self.human is None else self.human)


def split(rows: Sequence[Row], kept_apart: frozenset[str] = frozenset()) -> tuple[list[Row], list[Row]]:
    """Rows to train on, and rows held out: 30 % of the groups by hash, and every trace of `kept_apart` (a calibration set must
    stay unseen)."""
    train: list[Row] = []
    held: list[Row] = []
    for row in rows:
        out = row.trace_id in kept_apart or hash_of("held out " + row.group) % 100 < HELD_OUT_PERCENT
        (held if out else train).append(row)
    return train, held


def _share(right: NDArray[np.bool_], groups: NDArray[np.str_]) -> Estimate | None:
    """A share with Wilson's interval, sessions counting as the fewer independent answers that they are worth."""
    if not right.size:
        return None
    n_eff = independent(right, groups)
    value = float(right.mean())
    return Estimate(value, *wilson(value * n_eff, n_eff), right.size, n_eff)


def compare(made: Weights, held: Sequence[Row]) -> Comparison:
    """How the classifier does on held-out labels, and beside the judge on those both have. People's labels are the truth where
    there are thirty of them; else the judge's, and then nothing is said about replacing it."""
    human = [r for r in held if r.human is not None]
    by_people = len(human) >= LEAST_HELD_OUT
    used = human if by_people else list(held)
    truth = np.array([bool(r.human if by_people else r.good) for r in used], dtype=bool)
    probability = probabilities(made, [(r.input, r.output) for r in used])
    said = probability >= made.threshold
    right = said == truth
    groups = np.array([r.group for r in used])
    agreement = _share(right, groups)
    if agreement is None:
        raise TooFew("no label is held out to test with; more traces need labels")
    found = Comparison(
        truth="people" if by_people else "judge", n=len(used), good=int(truth.sum()), agreement=agreement,
        recall_good=_share(said[truth], groups[truth]), recall_bad=_share(~said[~truth], groups[~truth]), auroc=auroc(probability, truth.astype(float)),
    )  # fmt: skip
    both = [i for i, r in enumerate(used) if r.judge is not None] if by_people else []
    if len(both) < LEAST_HELD_OUT:
        return found
    judged = np.array([used[i].judge for i in both], dtype=bool) == truth[both]
    difference = paired_rates(judged, right[both], groups[both])
    found.judge_agreement = _share(judged, groups[both])
    if isinstance(difference, Estimate):
        found.difference = difference
        found.verdict = (
            "as_good" if difference.low > -MARGIN else "worse" if difference.high < 0 else "unclear"
        )
    return found


class TrainFlow:
    """Trains and keeps classifiers of a project. `apart(connection, project)` names the traces of calibration sets; `changed` is
    told when what runs has changed."""

    def __init__(
        self,
        columns: Columns,
        records: Records,
        clock: Clock,
        apart: Callable[[Connection, str], frozenset[str]],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._columns, self._records, self._clock = columns, records, clock
        self._apart, self._changed = apart, changed
        self._turn = asyncio.Lock()

    async def train(
        self, project: str, name: str, *, judge: str | None, floor: float | None, since_ns: int, author: str
    ) -> Trained:
        """Train the next version of `name` from people's labels, and the verdicts of `judge` where it is given (`floor`: the
        value from which on an answer is good, for a judge without a floor of its own). Raises `TooFew`."""
        async with self._turn:
            rows, kept = await self._rows(project, judge, floor, since_ns)
            train, held = split(rows, kept)
            enough(sum(r.good for r in train), sum(not r.good for r in train))
            weights = await asyncio.to_thread(
                fit, [(r.input, r.output) for r in train], [r.good for r in train], [r.group for r in train]
            )
            comparison = await asyncio.to_thread(compare, weights, held)
            now = self._clock()

            def keep(conn: Connection) -> Trained:
                known = trained.versions(conn, project, name)
                made = Trained(
                    project=project, name=name, version=max((t.version for t in known), default=0) + 1, judge=judge,
                    created_ns=now, author=author, trained_on=len(train),
                    from_people=sum(r.human is not None for r in train), from_judge=sum(r.human is None for r in train),
                    weights=weights, comparison=comparison,
                )  # fmt: skip
                trained.save(conn, made)
                return made

            return await self._records.write(keep)

    async def _rows(
        self, project: str, judge: str | None, floor: float | None, since_ns: int
    ) -> tuple[list[Row], frozenset[str]]:
        labels, kept = await self._records.read(
            lambda c: (reviews.labels_of(c, project), self._apart(c, project))
        )
        given = [(x.trace_id, x.author, x.verdict) for x in labels if x.verdict in ("good", "bad")]
        human, _ = majority(given)
        judged: dict[str, bool] = {}
        if judge is not None:
            asked = {"scorer": judge, "floor": floor or 0.0, "floored": floor is not None}
            table = await self._columns.named(
                "train_judged", project, since=since_ns, limit=MOST_JUDGED, **asked
            )
            judged = {str(i): bool(g) for i, g in table.rows}
            if not judged:
                raise TooFew(
                    f"no judge of the name {judge} has called a trace good or bad since then; one without a floor needs a floor given"
                )
            for ids in _chunks(sorted(human)):
                more = await self._columns.named("train_drawn", project, ids=ids, **asked)
                judged |= {str(i): bool(g) for i, g in more.rows}
        rows: list[Row] = []
        for ids in _chunks(sorted({*human, *judged})):
            for r in (await self._columns.named("train_texts", project, ids=ids)).dicts():
                i = str(r["trace_id"])
                group = str(r["session_id"]) or i
                rows.append(Row(i, group, str(r["input"]), str(r["output"]), human.get(i), judged.get(i)))
        if not rows:
            raise TooFew(
                f"there are no labels; {LEAST} are needed: label traces in Review, or name a judge whose verdicts to learn"
            )
        return rows, kept

    async def put(self, project: str, name: str, version: int, state: str) -> Trained | None:
        """Let a version decide (`active`), only measure (`measuring`), or stop (`retired`); None when there is none. Raises
        `NotAsGood` for `active` where held-out labels do not show that it is as good as the judge."""
        found = await self._records.read(lambda c: trained.versions(c, project, name))
        one = next((t for t in found if t.version == version), None)
        if one is None:
            return None
        if state == "active" and one.comparison.verdict != "as_good":
            raise NotAsGood(_why(one))
        made = await self._records.write(lambda c: trained.put(c, project, name, version, state))
        await self._changed()
        return made


def _why(one: Trained) -> str:
    c = one.comparison
    if c.difference is None:
        return (
            f"{one.name} version {one.version} has not been compared with a judge on {LEAST_HELD_OUT} held-out labels of people; "
            "it may measure, not decide"
        )
    d = c.difference
    return (
        f"{one.name} version {one.version} is right {100 * d.value:+.1f} points against {one.judge} "
        f"({100 * d.low:+.1f} to {100 * d.high:+.1f}, n {d.n}); to decide it must surely lose less than {100 * MARGIN:.0f} points"
    )


def _chunks(ids: Sequence[str]) -> list[list[str]]:
    return [list(ids[i : i + CHUNK]) for i in range(0, len(ids), CHUNK)]


def scorers_of(running: Sequence[Trained]) -> Mapping[str, list[TrainedClassifier]]:
    """The classifiers that run, by project."""
    made: dict[str, list[TrainedClassifier]] = {}
    for t in running:
        one = TrainedClassifier(name=t.name, weights=t.weights, decides=t.state == "active")
        made.setdefault(t.project, []).append(one)
    return made
