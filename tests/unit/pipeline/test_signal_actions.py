"""The configuration says what becomes of a signal, and doing it twice changes nothing."""

from typing import Any

import pytest

from tests.unit.pipeline.test_late import World, ids
from tests.unit.scoring.build import trace
from watchkeeper.config.adapters import signals_of
from watchkeeper.config.load import load_text
from watchkeeper.pipeline.late import LatePolicies
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.pipeline.promote import case_of
from watchkeeper.pipeline.review import ReviewRouting
from watchkeeper.pipeline.signal_actions import SignalActions
from watchkeeper.store.records import datasets, jobs, reviews
from watchkeeper.store.records.engine import Records

CONFIG = """
scorecards:
  - name: c
    sample: {rate: 0.0000001%, always: []}
    metrics: [{name: quality, type: llm_judge, model: "fake:j", prompt: "How good?"}]
signals:
  - {signal: thumbs_down, do: [review_now, judge]}
  - {signal: frustration, do: [review], name: impatience}
  - {signal: correction, above: 0.2, do: [golden]}
  - {signal: thumbs_up, do: [golden, judge], share: 50%, dataset: liked}
  - {signal: copy, do: [baseline]}
"""


@pytest.fixture
def world(records: Records) -> World:
    made = World(records)
    config = load_text(CONFIG).config
    made.plan = make_plan(config.scorecards, salt="s", signals=signals_of(config, "default"))
    return made


def flow(world: World) -> LatePolicies:
    act = SignalActions(world.records, world.load, lambda: world.now)
    return LatePolicies(
        world.columns, world.records, world.load, lambda _: world.plan, lambda: world.now, act=act
    )  # type: ignore[arg-type]


async def queue(world: World) -> dict[str, tuple[str, float]]:
    found = await world.records.read(lambda c: reviews.queue(c, "p"))
    return {i.trace_id: (i.source, i.priority) for i in found}


async def test_each_signal_goes_its_way_and_only_once(world: World, records: Records) -> None:
    down, tired, edited, slightly, copied = ids(5)
    await world.arrive(
        [trace(f"question {i} of {i * 7}", f"answer {i}", trace_id=t) for i, t in enumerate(ids(5))]
    )
    await world.said(down)
    await world.said(tired, "frustration", "signal", value=1.0, reason="“useless”")
    await world.said(edited, "correction", value=0.5, passed=None, reason="a better answer")
    await world.said(slightly, "correction", value=0.1, passed=None, reason="answer 3!")
    await world.said(copied, "copy", value=1.0, passed=None)
    for _ in range(2):
        await flow(world).run_once("p")
    items = await queue(world)
    assert items == {down: ("signal:thumbs_down", 9.5), tired: ("signal:impatience", 5.0)}
    due = await records.read(lambda c: jobs.listed(c, project="p", status="due"))
    assert [(j.payload["trace_id"], j.payload["probability"]) for j in due] == [(down, 1.0)]
    assert due[0].payload["policy"].startswith("signal:thumbs_down@")
    golden = await records.read(lambda c: datasets.get(c, "p", "golden"))
    assert golden is not None and golden.version == 1
    assert [(c.trace_id, c.expected, c.split) for c in golden.cases] == [
        (edited, "a better answer", "golden")
    ]


async def test_a_case_that_is_somebody_elses_or_in_another_split_stays_as_it_is(
    world: World, records: Records
) -> None:
    theirs, placed, own = ids(3)
    asked = ("When do you open?", "How do I send a phone back?", "Where is my parcel today?")
    await world.arrive(
        [trace(q, f"answer {q}", trace_id=t) for q, t in zip(asked, (theirs, placed, own), strict=True)]
    )
    held = [
        case_of(world.traces[theirs], None, "golden", "ana"),
        case_of(world.traces[placed], None, "calibration", "signals"),
        case_of(world.traces[own], None, "golden", "signals"),
    ]
    given: dict[str, Any] = {"author": "ana", "note": "", "now_ns": world.now}
    await records.write(lambda c: datasets.commit(c, "p", "golden", add=held, remove=[], **given))
    for t in (theirs, placed, own):
        await world.said(t, "correction", value=0.5, passed=None, reason="a better answer")
    await flow(world).run_once("p")
    golden = await records.read(lambda c: datasets.get(c, "p", "golden"))
    assert golden is not None
    found = {c.trace_id: (c.split, c.owner, c.expected) for c in golden.cases}
    assert found == {
        theirs: ("golden", "ana", None),
        placed: ("calibration", "signals", None),
        own: ("golden", "signals", "a better answer"),
    }


async def test_a_share_of_a_signal_is_judged_with_its_probability(world: World, records: Records) -> None:
    names = ids(40)
    await world.arrive([trace(f"question {i}", f"answer {i}", trace_id=t) for i, t in enumerate(names)])
    for t in names:
        await world.said(t, value=1.0, passed=True)
    await flow(world).run_once("p")
    due = await records.read(lambda c: jobs.listed(c, project="p", status="due"))
    assert {j.payload["probability"] for j in due} == {0.5} and 8 < len(due) < 32
    liked = await records.read(lambda c: datasets.get(c, "p", "liked"))
    assert liked is not None and liked.cases[0].expected == liked.cases[0].actual is not None


async def test_no_default_decides_about_a_routed_signal_and_nothing_is_said_of_an_erased_trace(
    world: World, records: Records
) -> None:
    routed = frozenset(r.scorer for r in world.plan.signals)
    gone = "e" * 32
    routing = ReviewRouting(
        records, lambda: world.now, routed=lambda _: routed, erased=lambda _, trace_id: trace_id == gone
    )
    given: dict[str, Any] = {"value": 1.0, "passed": False}
    await world.said(gone, "user_rating", **given)
    await world.said(ids(2)[0], "copy", **given)
    await world.said(ids(2)[1], "user_rating", **given)
    for score in world.columns.scores.values():
        await routing.on_scored([("p", score.trace_id, [score])])
    assert set(await queue(world)) == {ids(2)[1]}
