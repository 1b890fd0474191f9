"""Labels become a classifier that is compared on labels it has not seen, and decides only when it is as good as its judge."""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.columns import empty_columns
from tests.unit.pipeline.test_roll import HOUR, T0, a_trace
from tests.unit.scoring.build import subject
from watchkeeper.model.review import Label
from watchkeeper.model.score import NotScored, Score, Verdict
from watchkeeper.model.trained import Trained
from watchkeeper.pipeline.examples import examples
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.pipeline.train import NotAsGood, Row, TrainFlow, compare, scorers_of, split
from watchkeeper.reviewing.queue import item
from watchkeeper.scoring.classifiers import embed
from watchkeeper.scoring.classifiers.trained import TooFew, TrainedClassifier, fit, probabilities
from watchkeeper.scoring.protocol import BatchScorer
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.records import reviews, trained
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import calibration_samples

pytestmark = pytest.mark.skipif(not embed.available(), reason="wordllama is not installed")
NOW = T0 + 32 * HOUR
HELPS = ("Tap Orders and choose Return.", "Open Settings, then Billing, and press Change plan.", "Send it back within 30 days.",
         "Choose the invoice and press Download.", "Press Reset and follow the mail.")  # fmt: skip
EVADES = ("That is an interesting question.", "Many people wonder about this topic.", "It depends on many things.",
          "I am sure you will find a way.", "There are several aspects to consider.")  # fmt: skip


def rows(n: int, judge_right: float = 1.0, human: bool = True) -> list[Row]:
    rng = random.Random(7)
    made: list[Row] = []
    for i in range(n):
        good = i % 3 != 0
        answer = f"{rng.choice(HELPS if good else EVADES)} {rng.choice(('Thanks', 'Regards', 'Best'))} {i}"
        judged = good if rng.random() < judge_right else not good
        made.append(
            Row(f"{i:032x}", f"s{i // 2}", f"How do I do thing {i}?", answer, good if human else None, judged)
        )
    return made


def trained_on(given: list[Row]) -> Any:
    return fit([(r.input, r.output) for r in given], [r.good for r in given], [r.group for r in given])


def test_it_learns_what_is_called_good_and_is_as_good_as_a_fair_judge() -> None:
    train, held = split(rows(400, judge_right=0.9))
    assert {r.group for r in train}.isdisjoint({r.group for r in held}) and 70 < len(held) < 180
    found = compare(trained_on(train), held)
    assert found.truth == "people" and found.n == len(held)
    assert found.auroc is not None and found.auroc.value > 0.97 and found.agreement.value > 0.93
    assert found.recall_bad is not None and found.recall_bad.value > 0.85
    assert found.difference is not None and found.verdict == "as_good"


def test_a_judge_that_is_never_wrong_is_not_replaced_by_one_that_knows_nothing() -> None:
    train, held = split(rows(400))
    shuffled = [r.good for r in train]
    random.Random(1).shuffle(shuffled)
    blind = fit([(r.input, r.output) for r in train], shuffled, [r.group for r in train])
    found = compare(blind, held)
    assert found.verdict == "worse" and found.difference is not None and found.difference.high < 0
    alone = compare(
        trained_on(train), [r for r in rows(400, human=False) if r.trace_id in {h.trace_id for h in held}]
    )
    assert (alone.truth, alone.verdict, alone.difference) == ("judge", "no_judge", None)


def test_thirty_answers_on_which_nothing_differs_do_not_show_that_it_is_as_good() -> None:
    train, held = split(rows(600))
    made = trained_on(train)
    said = probabilities(made, [(r.input, r.output) for r in held]) >= made.threshold
    alike = [dataclasses.replace(r, judge=bool(x)) for r, x in zip(held, said, strict=True)]
    for n, verdict in ((32, "unclear"), (len(held), "as_good")):
        found = compare(made, alike[:n])
        assert found.verdict == verdict and found.difference is not None and found.difference.value == 0
        assert found.difference.low < 0 < found.difference.high
        # Two answers of a session are not two independent ones.
        assert found.difference.n_eff < found.difference.n == found.agreement.n == n


def test_too_few_labels_are_refused_with_their_number() -> None:
    with pytest.raises(TooFew, match=r"60 labels \(40 good, 20 bad\).*40 more in all and 5 more bad"):
        trained_on(rows(60))


def test_a_calibration_set_is_never_learned_from() -> None:
    apart = frozenset(f"{i:032x}" for i in range(0, 100, 5))
    train, held = split(rows(200), apart)
    assert apart <= {r.trace_id for r in held} and not apart & {r.trace_id for r in train}


def test_it_scores_like_any_classifier() -> None:
    weights = trained_on(rows(300))
    measuring, deciding = (
        TrainedClassifier(name="helpful", weights=weights),
        TrainedClassifier(name="helpful", weights=weights, decides=True),
    )
    assert (
        isinstance(measuring, BatchScorer)
        and measuring.kind == "classifier"
        and measuring.version != deciding.version
    )
    good, bad, empty = subject("How?", HELPS[0]), subject("How?", EVADES[0]), subject("How?", None)
    outcomes = deciding.score([good, bad, empty])
    assert [o.passed for o in outcomes if isinstance(o, Verdict)] == [True, False]
    assert isinstance(outcomes[2], NotScored)
    assert all(o.passed is None for o in measuring.score([good, bad]) if isinstance(o, Verdict))
    assert deciding.score([bad, good])[1] == outcomes[0]


@pytest.fixture
def columns(tmp_path: Path) -> Iterator[ClickHouseColumns]:
    store = open_columns(empty_columns(tmp_path / "c"), clock=lambda: NOW)
    yield store
    store.close_now()


async def test_it_trains_from_the_stores_and_runs_only_what_may_run(
    columns: ClickHouseColumns, records: Records
) -> None:
    given = rows(360, judge_right=0.85)
    traces, scores = [], []
    for i, r in enumerate(given):
        row = a_trace(i, i / 60, "v1", 8.0, "live")
        row.trace.input_text, row.trace.output_text, row.trace.context.session_id = r.input, r.output, r.group
        traces.append(row)
        scores.append(
            Score(
                "live",
                row.trace.trace_id,
                "",
                "helpful",
                "1",
                "judge",
                row.trace.start_ns,
                NOW,
                value=9.0 if r.judge else 2.0,
            )
        )
    await columns.write_traces(traces)
    await columns.write_scores(scores)
    changes: list[int] = []

    async def changed() -> None:
        changes.append(1)

    flow = TrainFlow(columns, records, lambda: NOW, trained.calibration_traces, changed)
    with pytest.raises(TooFew, match="there are no labels"):
        await flow.train("live", "helpful_fast", judge=None, floor=None, since_ns=0, author="ann")
    only_judge = await flow.train(
        "live", "helpful_fast", judge="helpful", floor=5.0, since_ns=0, author="ann"
    )
    assert only_judge.version == 1 and only_judge.from_people == 0 and only_judge.comparison.truth == "judge"
    with pytest.raises(NotAsGood, match="may measure, not decide"):
        await flow.put("live", "helpful_fast", 1, "active")
    labels = [
        Label(f"l{i}", "live", f"rev{i}", t.trace.trace_id, "ann", NOW, "good" if r.human else "bad")
        for i, (t, r) in enumerate(zip(traces, given, strict=True))
    ]
    for label, t in zip(labels, traces, strict=True):
        queued = item("live", t.trace.trace_id, "manual:ann", "asked", 5.0, NOW)
        await records.write(lambda c, q=queued: reviews.add(c, q))
        label.item_id = queued.id
        await records.write(lambda c, x=label: reviews.label(c, x))
    shown = await examples(columns, records, "live", 4)
    assert [e["score"] for e in shown] == [10.0, 0.0, 10.0, 0.0] and shown == await examples(
        columns, records, "live", 4
    )
    first = next(t.trace.trace_id for t in traces if t.trace.output_text == shown[0]["output"])
    row = {"project": "live", "scorer": "s", "trace_id": first, "version": "1", "judge_model": "m", "passed": True,
           "probability": 1.0, "drawn_ns": NOW, "document": {}}  # fmt: skip
    await records.write(lambda c: c.execute(sa.insert(calibration_samples).values(row)))
    assert shown[0] not in await examples(columns, records, "live", 20)
    both = await flow.train("live", "helpful_fast", judge="helpful", floor=5.0, since_ns=0, author="ann")
    assert both.version == 2 and both.from_judge == 0 and both.comparison.verdict == "as_good"
    assert await flow.put("live", "helpful_fast", 9, "active") is None
    measuring = await flow.put("live", "helpful_fast", 1, "measuring")
    active = await flow.put("live", "helpful_fast", 2, "active")
    assert isinstance(measuring, Trained) and isinstance(active, Trained) and len(changes) == 2
    stored = await records.read(lambda c: trained.versions(c, "live"))
    assert [(t.version, t.state) for t in stored] == [(2, "active"), (1, "retired")]
    running = scorers_of(await records.read(trained.running))
    plan = make_plan([], salt="s", own=running["live"])
    (mine,) = [s.scorer for s in plan.scheduled if s.scorer.name == "helpful_fast"]
    assert isinstance(mine, TrainedClassifier) and mine.decides
