"""Calibration end to end on a real store: draw, label, compare, correct, canary, expire."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.columns import empty_columns
from tests.unit.scoring.build import trace
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.review import Case, Label
from watchkeeper.model.score import Score, Subject
from watchkeeper.model.span import Context, Trace
from watchkeeper.pipeline.calibrate import CalibrationError, Calibrator
from watchkeeper.scoring.checks.empty_output import EmptyOutput
from watchkeeper.scoring.judges.rubric import Dimension, Example, Rubric, RubricJudge
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import TraceRow
from watchkeeper.store.records import calibration as store
from watchkeeper.store.records import datasets, jobs, reviews
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata, review_items

DAY = 86_400 * 10**9
NOW = 20_500 * DAY
RUBRIC = Rubric("quality", "", (Dimension("quality", "How good?"),), needs=("output",))


class World:
    """600 traces judged by a judge that is mostly right, of which a fifth are bad. `mood` shifts what it says."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.records = Records(f"sqlite:///{folder}/r.db")
        metadata.create_all(self.records.engine)
        self.columns: ClickHouseColumns = open_columns(empty_columns(folder / "c"), clock=lambda: self.now)
        self.judge = RubricJudge(rubric=RUBRIC, model="fake:judge-1", floor=5.0)
        self.mood = 0.0
        self.asked: list[str] = []
        self.truth: dict[str, bool] = {}
        self.flow = self.made()

    def made(self) -> Calibrator:
        return Calibrator(
            self.records, self.columns, self.scorers, self.load, lambda: self.now, ask=self.ask, salt="s"
        )

    def scorers(self, _project: str) -> list[Scorer]:
        return [self.judge, EmptyOutput()]

    async def load(self, project: str, trace_id: str, _span: str) -> Subject | None:
        return Subject(trace("q", f"answer {trace_id} " + ("fine" if self.truth[trace_id] else "wrong")))

    async def ask(self, prompt: Prompt) -> Reply:
        text = prompt.turns[0].text
        self.asked.append(text)
        grade = (2.0 if "wrong" in text else 8.0) + self.mood
        return Reply(json.dumps({"reasoning": "so", "scores": {"quality": grade}}), "judge-1", cost=0.01)

    async def traffic(self, n: int = 600, rate: float = 0.5, accuracy: float = 0.99) -> None:
        dice = random.Random(7)
        rows: list[TraceRow] = []
        scores: list[Score] = []
        for i in range(n):
            trace_id = f"{i:032x}"
            good = dice.random() < 0.8
            self.truth[trace_id] = good
            made: Trace = trace("q", "x" * dice.randint(50, 900), trace_id=trace_id, context=Context())
            made.start_ns = made.end_ns = NOW - dice.randint(1, 6 * DAY)
            made.context.scenario = "support" if i % 2 else "sales"
            rows.append(TraceRow("p", made, [], rate, "random", NOW))
            right = dice.random() < accuracy
            value = 8.0 if good == right else 2.0
            if dice.random() < rate:
                scores.append(
                    Score(
                        "p", trace_id, "", "quality", self.judge.version, "judge", made.start_ns, NOW,
                        judge_model=self.judge.model, value=value, passed=value >= 5, inclusion_probability=rate,
                    )
                )  # fmt: skip
        await self.columns.write_traces(rows)
        await self.columns.write_scores(scores)

    def label(self, how: str = "ana") -> int:
        def work(c):  # type: ignore[no-untyped-def]
            waiting = reviews.queue(c, "p", limit=1000)
            for i in waiting:
                said = "good" if self.truth[i.trace_id] else "bad"
                reviews.label(c, Label(f"l{i.id}{how}", "p", i.id, i.trace_id, how, self.now, said))
            return len(waiting)

        return self.records.write_now(work)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.columns.close_now()
    made.records.close()


async def test_a_judge_may_decide_once_people_agree_with_it_and_not_before(world: World) -> None:
    await world.traffic()
    before = (await world.flow.standings("p"))["quality"]
    assert before.provisional and before.reason == "never compared with people" and before.kind == "judge"
    assert "empty_output" not in await world.flow.standings("p")
    drawn = await world.flow.draw("p", "quality", wanted=100)
    assert drawn["drawn"] == 100 and drawn["fail"] == drawn["pass"] == 50 and drawn["of"] > 250
    (waiting,) = {i.source for i in world.records.read_now(lambda c: reviews.queue(c, "p"))}
    assert waiting == "calibration:quality"
    assert world.records.read_now(lambda c: store.waiting(c, "p")) == {"quality": 100}
    assert world.label() == 100
    made = await world.flow.calibrate("p", "quality", author="ana")
    assert made.n == 100 and made.status == "calibrated", made.failed
    assert {"verbosity", "self_preference"} == {p.name for p in made.probes}
    after = (await world.flow.standings("p"))["quality"]
    assert not after.provisional and after.expires_ns == NOW + 90 * DAY
    world.now = NOW + 90 * DAY
    assert (await world.flow.standings("p"))["quality"].reason == "its calibration has expired"


async def test_votes_that_disagree_show_in_the_agreement_of_people_although_they_decide_nothing(
    world: World,
) -> None:
    await world.traffic()
    await world.flow.draw("p", "quality", wanted=100)
    waiting = world.records.read_now(lambda c: reviews.queue(c, "p", limit=1000))
    doubtful = [i for n, i in enumerate(waiting) if n % 5 == 0]

    def vote(conn: Any, said: list[Any], author: str, turned: list[Any], role: str = "vote") -> None:
        for i in said:
            good = world.truth[i.trace_id] != (i in turned)
            verdict = "good" if good else "bad"
            reviews.label(
                conn, Label(f"l{i.id}{author}", "p", i.id, i.trace_id, author, world.now, verdict, role=role)
            )

    def both(conn: Any) -> None:
        conn.execute(sa.update(review_items).values(reviewers=2))
        vote(conn, waiting, "ana", [])
        vote(conn, waiting, "bob", doubtful)

    world.records.write_now(both)
    made = await world.flow.calibrate("p", "quality")
    assert (made.n, made.disputed, made.annotators) == (80, 20, 2)
    assert made.alpha is not None and 0.3 < made.alpha < 0.7
    # What a third one decides counts from then on; the two still do not agree.
    world.records.write_now(lambda c: vote(c, doubtful[:15], "eve", [], "final"))
    world.now += 1
    decided = await world.flow.calibrate("p", "quality")
    assert (decided.n, decided.disputed, decided.annotators, decided.alpha) == (95, 5, 2, made.alpha)


async def test_another_rubric_is_provisional_again(world: World) -> None:
    await world.traffic()
    await world.flow.draw("p", "quality")
    world.label()
    await world.flow.calibrate("p", "quality")
    changed = Rubric("quality", "", (Dimension("quality", "How very good?"),), needs=("output",))
    world.judge = RubricJudge(rubric=changed, model="fake:judge-1", floor=5.0)
    found = (await world.flow.standings("p"))["quality"]
    assert found.provisional and "changed" in found.reason
    with pytest.raises(CalibrationError, match="passed or failed no trace"):
        await world.flow.draw("p", "quality")
    assert (await world.flow.calibrate("p", "quality")).n == 0


async def test_the_corrected_rate_covers_the_truth_and_says_its_method(world: World) -> None:
    await world.traffic(1500, accuracy=0.93)
    nothing = await world.flow.corrected("p", "quality", NOW - 7 * DAY, NOW)
    assert nothing is not None and nothing.estimate is None and "no human labels" in nothing.reason
    assert await world.flow.corrected_by("p", "quality", NOW - DAY, NOW, DAY, labelled=True) is None
    await world.flow.draw("p", "quality")
    world.label()
    found = await world.flow.corrected("p", "quality", NOW - 7 * DAY, NOW)
    truth = sum(world.truth.values()) / len(world.truth)
    assert found is not None and found.method == "post_stratified" and found.estimate is not None
    assert found.estimate.low <= truth <= found.estimate.high
    assert found.raw is not None and found.raw.n > 600 and abs(found.raw.value - truth) > 0.01
    of_sales = await world.flow.corrected("p", "quality", NOW - 7 * DAY, NOW, {"scenario": "sales"})
    assert of_sales is not None and of_sales.raw is not None and of_sales.raw.n < found.raw.n
    assert 0 < of_sales.labels < found.labels
    assert await world.flow.corrected("p", "empty_output", NOW - 7 * DAY, NOW) is None


async def test_every_stretch_of_a_window_is_corrected_by_itself(world: World) -> None:
    await world.traffic(n=2000)
    await world.flow.draw("p", "quality", wanted=100)
    world.label()
    found = await world.flow.corrected_by("p", "quality", NOW - 8 * DAY, NOW, DAY)
    assert found is not None
    both, days = found
    whole = await world.flow.corrected("p", "quality", NOW - 8 * DAY, NOW)
    assert [start for start, _ in days] == [NOW - (8 - i) * DAY for i in range(8)]
    assert days[0][1].raw is None and "no verdict" in days[0][1].reason
    told = [one for _, one in days if one.raw is not None]
    assert whole is not None and whole.raw is not None and sum(o.raw.n for o in told if o.raw) == whole.raw.n
    held = [o.estimate for o in told if o.estimate is not None and o.estimate.low is not None]
    assert len(held) >= 5
    # Four in five are good: nearly every interval holds that.
    assert sum(e.low <= 0.8 <= e.high for e in held) >= len(held) - 1
    # The whole is the sum of its stretches.
    assert both.labels == whole.labels and both.method == whole.method and both.raw is not None
    assert both.raw.n == whole.raw.n and both.raw.value == pytest.approx(whole.raw.value)
    assert await world.flow.corrected_by("p", "empty_output", NOW - DAY, NOW, DAY) is None


async def test_held_out_cases_calibrate_and_examples_of_the_prompt_do_not(world: World) -> None:
    cases = [
        Case(
            f"c{i}", {"text": f"question {i}"}, actual=f"{i} " + ("fine" if i % 2 else "wrong"),
            labels=["good" if i % 2 else "bad"], split="calibration",
        )
        for i in range(60)
    ]  # fmt: skip
    cases += [Case("other", {"text": "x"}, actual="fine", labels=["good"])]
    world.records.write_now(
        lambda c: datasets.commit(c, "p", "held-out", add=cases, remove=[], author="a", note="", now_ns=NOW)
    )
    shown = Example("question 3", "3 fine", 9.0, "right")
    world.judge = RubricJudge(rubric=RUBRIC, model="fake:judge-1", floor=5.0, examples=(shown,))
    made = await world.flow.calibrate("p", "quality", dataset="held-out")
    assert (made.n, made.left_out, made.source, made.status) == (59, 1, "held-out@1", "calibrated"), (
        made.failed
    )
    assert len(world.asked) == 59
    with pytest.raises(CalibrationError, match="no dataset nope"):
        await world.flow.calibrate("p", "quality", dataset="nope")


async def test_a_judge_that_drifts_loses_its_standing_the_next_day(world: World) -> None:
    await world.traffic()
    await world.flow.draw("p", "quality")
    world.label()
    await world.flow.calibrate("p", "quality")
    world.now = NOW + DAY
    await world.flow.nightly(["p"])
    steady = world.records.read_now(lambda c: store.canaries(c, "p"))["quality"]
    assert steady.n == 50 and not steady.drifted
    calls, _ = world.records.read_now(lambda c: jobs.spent(c, "p", world.now // DAY))
    assert calls == 50
    await world.flow.nightly(["p"])
    assert len(world.asked) == 50, "once a day is enough"
    world.now, world.mood = NOW + 2 * DAY, -4.0
    await world.flow.nightly(["p"])
    found = (await world.flow.standings("p"))["quality"]
    assert found.provisional and "the judge drifted" in found.reason
    again = await world.flow.calibrate("p", "quality")
    assert again.n == 0, "what the judge said before it drifted is not evidence for it now"


async def test_new_labels_are_taken_in_at_night_and_nobodys_queue_fills_by_itself(world: World) -> None:
    await world.traffic()
    await world.flow.nightly(["p"])
    assert world.records.read_now(lambda c: reviews.queue(c, "p")) == []
    await world.flow.draw("p", "quality", wanted=60)
    world.label()
    world.now = NOW + DAY
    await world.flow.nightly(["p"])
    (made,) = world.records.read_now(lambda c: store.history(c, "p", "quality"))
    assert (made.author, made.n) == ("nightly", 60)


async def test_a_judge_of_spans_counts_with_its_worst_span(world: World) -> None:
    spans = Rubric("quality", "", (Dimension("quality", "How good?"),), needs=("output",), level="span")
    world.judge = RubricJudge(rubric=spans, model="fake:judge-1", floor=5.0)
    await world.traffic(accuracy=1.0)
    # Every span of every trace is fine but the traffic's own, whose verdict is the truth.
    extra = [
        Score(
            "p", i, "b" * 16, "quality", world.judge.version, "judge", NOW - DAY, NOW, judge_model=world.judge.model,
            value=9.0, passed=True, inclusion_probability=0.5,
        )
        for i in world.truth
    ]  # fmt: skip
    await world.columns.write_scores(extra)
    drawn = await world.flow.draw("p", "quality", wanted=60)
    assert drawn["fail"] == 30
    world.label()
    made = await world.flow.calibrate("p", "quality")
    table = made.table
    assert table["fail_bad"] == 30 and table["fail_good"] == 0
    twin = await world.flow.corrected("p", "quality", NOW - 7 * DAY, NOW)
    assert twin is not None and twin.raw is not None and twin.method is not None


async def test_held_out_cases_grade_a_judge_of_spans_too(world: World) -> None:
    spans = Rubric("quality", "", (Dimension("quality", "How good?"),), needs=("output",), level="span")
    world.judge = RubricJudge(rubric=spans, model="fake:judge-1", floor=5.0)
    cases = [
        Case(f"c{i}", f"q{i}", actual="wrong" if i % 2 else "fine", labels=["bad" if i % 2 else "good"], split="calibration")
        for i in range(60)
    ]  # fmt: skip
    world.records.write_now(
        lambda c: datasets.commit(c, "p", "held-out", add=cases, remove=[], author="a", note="", now_ns=NOW)
    )
    made = await world.flow.calibrate("p", "quality", dataset="held-out")
    assert (made.n, made.status) == (60, "calibrated"), made.failed


async def test_it_refuses_what_cannot_be_calibrated(world: World) -> None:
    world.judge = RubricJudge(rubric=RUBRIC, model="fake:judge-1")
    with pytest.raises(CalibrationError, match="measures and passes nothing"):
        await world.flow.calibrate("p", "quality")
    with pytest.raises(CalibrationError, match="decides by a rule"):
        await world.flow.calibrate("p", "empty_output")
    with pytest.raises(CalibrationError, match="there is no scorer nope"):
        await world.flow.draw("p", "nope")
    assert await world.flow.corrected("p", "quality", 0, NOW) is None
