"""Labels as scores: what the records say is what the rows say, after corrections, undoing, renaming and kills."""

from typing import Any

import pytest

from tests.contract.columns_world import raw, trace_row
from tests.unit.pipeline.doubles import MemoryColumns
from tests.unit.pipeline.test_desk import ANA, BAD, BEN, EVE, FRIDAY, GOOD
from tests.unit.pipeline.test_desk import World as DeskWorld
from watchkeeper.model.review import ReviewItem
from watchkeeper.pipeline.desk import Given
from watchkeeper.pipeline.labels import LabelScores
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records import reviews, taxonomy
from watchkeeper.store.records.engine import Records


class World(DeskWorld):
    def __init__(self, records: Records, **settings: Any) -> None:
        super().__init__(records, **settings)
        self.columns = MemoryColumns()
        self.flow = self.started()
        for name in "abc":
            self.columns.traces["p", f"t{name}"] = trace_row("p", [raw(f"t{name}", session="s1")])
        self.add("a", "b")

    def started(self) -> LabelScores:
        """The flow of a process that has just begun."""
        return LabelScores(self.columns, self.records, lambda text: text.replace("ana@x.org", "[email]"))  # type: ignore[arg-type]

    async def rows(self) -> list[tuple[str, str, float | None, str | None]]:
        """What is stored once all is settled, and that settling it once more finds nothing to change."""
        await self.flow.run_once(["p"])
        changed = self.flow.counts["changed"]
        assert await self.flow.run_once(["p"]) == 0 and self.flow.counts["changed"] == changed
        return sorted((s.trace_id, s.author, s.value, s.label) for s in self.columns.scores.values())


async def test_a_label_is_a_score_of_its_author_and_follows_corrections_renaming_and_undoing(
    records: Records,
) -> None:
    world = World(records)
    await world.desk.label("p", "rev_a", Given("bad", "invented", comment="asked by ana@x.org"), ANA)
    assert await world.rows() == [("ta", "ana", 0.0, "invented")]
    (first,) = world.columns.scores.values()
    trace = world.columns.traces["p", "ta"].trace
    assert (first.scorer, first.source, first.passed, first.reason) == (
        "human",
        "human",
        False,
        "asked by [email]",
    )
    assert (first.time_ns, first.session_id, first.policy) == (trace.start_ns, "s1", "low_score")
    assert (first.scored_ns, first.inclusion_probability) == (FRIDAY + 1, 0.0)
    records.write_now(lambda c: taxonomy.relabel(c, "p", "made up", "eve", world.clock(), was=["invented"]))
    assert await world.rows() == [("ta", "ana", 0.0, "made up")]
    await world.desk.label("p", "rev_a", GOOD, ANA)
    assert await world.rows() == [("ta", "ana", 1.0, "good")]
    await world.desk.undo("p", ANA)
    assert await world.rows() == [("ta", "ana", 0.0, "made up")], (
        "the label before the correction counts again"
    )
    await world.desk.undo("p", ANA)
    assert await world.rows() == []


async def test_blind_votes_have_no_score_before_they_are_settled(records: Records) -> None:
    world = World(records, reviewers_per_item=2)
    await world.desk.take_next("p", ANA)
    await world.desk.label("p", "rev_a", BAD, ANA)
    assert await world.rows() == []
    await world.desk.label("p", "rev_a", GOOD, BEN)
    assert world.item("a").status == "disputed" and await world.rows() == []
    await world.desk.label("p", "rev_a", GOOD, EVE)
    assert await world.rows() == [("ta", "eve", 1.0, "good")], "the decision alone"


async def test_a_label_of_a_random_sample_says_with_which_probability_it_was_drawn(records: Records) -> None:
    world = World(records)
    drawn = ReviewItem("rev_c", "p", "tc", "sample", "sample", 3.0, FRIDAY, probability=0.02)
    records.write_now(lambda c: reviews.add(c, drawn))
    await world.desk.label("p", "rev_c", GOOD, ANA)
    await world.rows()
    (stored,) = world.columns.scores.values()
    assert (stored.inclusion_probability, stored.policy) == (0.02, "sample")


@pytest.mark.parametrize("restarted", [True, False])
async def test_a_label_between_whose_record_and_row_the_process_ended_has_its_row_later(
    records: Records, restarted: bool
) -> None:
    world = World(records)
    await world.flow.run_once(["p"])
    await world.desk.label("p", "rev_a", GOOD, ANA)
    world.columns.fail["settle_scores"] = 1
    with pytest.raises(StoreUnavailable):
        await world.flow.run_once(["p"])
    if restarted:
        world.flow = world.started()
    assert await world.rows() == [("ta", "ana", 1.0, "good")]


async def test_a_process_compares_labels_and_rows_once_whatever_was_noted(records: Records) -> None:
    world = World(records)
    await world.desk.label("p", "rev_a", GOOD, ANA)
    await world.desk.label("p", "rev_b", BAD, BEN)
    await world.rows()
    # As after a backup in which the records are of a later moment than the rows.
    kept = {k: s for k, s in world.columns.scores.items() if s.trace_id == "ta"}
    world.columns.scores = kept
    await world.desk.undo("p", ANA)
    records.write_now(lambda c: reviews.settle_relabelled(c, "p", reviews.relabelled(c, "p")))
    assert await world.flow.run_once(["p"]) == 0
    world.flow = world.started()
    assert await world.rows() == [("tb", "ben", 0.0, "invented")]


async def test_a_change_while_the_rows_are_written_is_not_forgotten(records: Records) -> None:
    world = World(records)
    await world.flow.run_once(["p"])
    await world.desk.label("p", "rev_a", GOOD, ANA)
    settle = world.columns.settle_scores

    async def interrupted(*args: Any) -> int:
        world.columns.settle_scores = settle  # type: ignore[method-assign]
        done = await settle(*args)
        await world.desk.label("p", "rev_a", BAD, ANA)
        return done

    world.columns.settle_scores = interrupted  # type: ignore[method-assign]
    await world.flow.run_once(["p"])
    assert await world.rows() == [("ta", "ana", 0.0, "invented")]


async def test_labels_of_traces_that_are_gone_have_no_score(records: Records) -> None:
    world = World(records)
    await world.desk.label("p", "rev_a", GOOD, ANA)
    del world.columns.traces["p", "ta"]
    assert await world.rows() == []
