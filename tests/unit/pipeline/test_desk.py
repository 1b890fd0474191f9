"""Several blind reviewers, decisions, hand-overs, undo, the week's list and names, over real records."""

from typing import Any

import pytest

from watchkeeper.config.models import Config, Review
from watchkeeper.model.review import ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.pipeline.desk import Desk, Given, Who
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.pipeline.review import ReviewRouting
from watchkeeper.store.columns import Table
from watchkeeper.store.records import audit, reviews, taxonomy
from watchkeeper.store.records.engine import Records

MINUTE = 60 * 10**9
FRIDAY = 1_763_712_000 * 10**9  # Fri 21 Nov 2025, 08:00 UTC
ANA, BEN, EVE = Who("ana", "here"), Who("ben", "here"), Who("eve", "here", editor=True)
BAD, GOOD = Given("bad", "invented", "high", comment="made up"), Given("good")


class World:
    def __init__(self, records: Records, **settings: Any) -> None:
        self.records, self.now = records, FRIDAY
        self.settings = Config.model_validate({"review": settings}).review if settings else Config().review
        self.desk = Desk(records, self.settings, self.clock, lambda: self.now)

    def clock(self) -> int:
        # Every look is a little later, as in the world.
        self.now += 1
        return self.now

    def add(self, *names: str, source: str = "low_score") -> None:
        for i, name in enumerate(names):
            made = ReviewItem(f"rev_{name}", "p", f"t{name}", "low", source, 9.0 - i, FRIDAY)
            self.records.write_now(lambda c, m=made: reviews.add(c, m))

    def item(self, name: str) -> ReviewItem:
        found = self.records.read_now(lambda c: reviews.get(c, "p", f"rev_{name}", self.now))
        assert found is not None
        return found

    def counting(self) -> list[tuple[str, str]]:
        return [(x.author, x.verdict) for x in self.records.read_now(lambda c: reviews.labels_of(c, "p"))]


async def test_one_reviewer_takes_labels_and_takes_back(records: Records) -> None:
    world = World(records)
    world.add("a", "b")
    first = await world.desk.take_next("p", ANA)
    assert first is not None and first.id == "rev_a" and first.held_by == ["ana"]
    assert (await world.desk.take_next("p", ANA)) == first, "a reload shows the same trace"
    second = await world.desk.take_next("p", BEN)
    assert second is not None and second.id == "rev_b"
    made, status = await world.desk.label("p", "rev_a", BAD, ANA)
    assert (status, made.role, world.item("a").held_by) == ("done", "vote", [])
    back = await world.desk.undo("p", ANA)
    assert back is not None and (back.status, back.held_by) == ("open", ["ana"]) and world.counting() == []
    assert await world.desk.undo("p", ANA) is None
    world.now += 16 * MINUTE
    late = await world.desk.take_next("p", EVE)
    assert late is not None and late.id == "rev_a", "a seat that ran out is free"
    said = [x["action"] for x in records.read_now(lambda c: audit.of_target(c, "p", "ta"))]
    assert said == ["review.undo", "review.label"]


async def test_blind_reviewers_who_agree_are_done_and_who_do_not_are_decided(records: Records) -> None:
    world = World(records, reviewers_per_item=2)
    world.add("a", "b")
    for who in (ANA, BEN):
        taken = await world.desk.take_next("p", who)
        assert taken is not None and taken.id == "rev_a" and taken.reviewers == 2
    third = await world.desk.take_next("p", EVE)
    assert third is not None and third.id == "rev_b", "two seats are two seats"
    assert (await world.desk.label("p", "rev_a", BAD, ANA))[1] == "open"
    assert world.counting() == [], "one of two votes is no decision"
    assert await world.desk.votes(world.item("a"), BEN) == ([], True)
    seen, blind = await world.desk.votes(world.item("a"), ANA)
    assert len(seen) == 1 and not blind
    assert (await world.desk.label("p", "rev_a", GOOD, BEN))[1] == "disputed" and world.counting() == []
    with pytest.raises(Refused, match="somebody else decides"):
        await world.desk.label("p", "rev_a", BAD, ANA)
    made, status = await world.desk.label("p", "rev_a", BAD, EVE)
    assert (made.role, status) == ("final", "done") and world.counting() == [("eve", "bad")]
    everything = records.read_now(lambda c: reviews.votes_of(c, "p", ["ta"]))
    assert [(v.author, v.role) for v in everything] == [("ana", "vote"), ("ben", "vote"), ("eve", "final")]
    await world.desk.undo("p", EVE)
    assert world.item("a").status == "disputed" and world.counting() == []

    for who in (ANA, BEN):
        await world.desk.label("p", "rev_b", BAD, who)
    assert world.item("b").status == "done" and world.counting() == [("ana", "bad"), ("ben", "bad")]
    assert (await world.desk.agreement("p")).items == 2


async def test_two_names_for_one_bad_answer_are_a_disagreement(records: Records) -> None:
    world = World(records, sources={"calibration": 2})
    world.add("a", source="calibration:helpful")
    world.add("b")
    assert (await world.desk.take_next("p", ANA, "calibration:helpful")) is not None
    assert (world.item("a").reviewers, world.item("b").reviewers) == (2, 1)
    await world.desk.label("p", "rev_a", BAD, ANA)
    assert (await world.desk.label("p", "rev_a", Given("bad", "too long"), BEN))[1] == "disputed"
    assert (await world.desk.label("p", "rev_b", BAD, ANA))[1] == "done"


async def test_what_is_assigned_goes_to_that_person_first_and_to_nobody_else(records: Records) -> None:
    world = World(records)
    world.add("a", "b")
    await world.desk.assign("p", "rev_b", "ben", ANA)
    assert [x.id for x in records.read_now(lambda c: reviews.queue(c, "p", assigned_to="ben"))] == ["rev_b"]
    mine = await world.desk.take_next("p", BEN)
    assert mine is not None and mine.id == "rev_b"
    await world.desk.label("p", "rev_a", GOOD, ANA)
    assert await world.desk.take_next("p", ANA) is None
    await world.desk.assign("p", "rev_b", None, ANA)
    with pytest.raises(Refused, match="no open review item"):
        await world.desk.assign("p", "rev_a", "ben", ANA)
    with pytest.raises(Refused, match="good or bad"):
        await world.desk.label("p", "rev_b", Given("maybe"), ANA)
    with pytest.raises(Refused, match="severity"):
        await world.desk.label("p", "rev_b", Given("bad", severity="awful"), ANA)
    with pytest.raises(Refused, match="no review item"):
        await world.desk.label("p", "rev_x", GOOD, ANA)


class Failing:
    """A column store with a bad week, and the scores of one trace."""

    def __init__(self, scores: list[Score] | None = None) -> None:
        self.scores = scores or []

    async def named(self, name: str, project: str, **params: Any) -> Table:
        assert (name, project) == ("triage_bad", "p") and params["until"] - params[
            "since"
        ] > 6 * 86_400 * 10**9
        columns = ["trace_id", "scorer", "cohort", "badness", "at", "input", "reason"]
        rows = [
            [
                f"w{i}",
                ("grounded", "json")[i % 2],
                "support",
                i / 100,
                FRIDAY - i,
                f"{chr(97 + i % 26) * 8} {chr(97 + i // 26) * 8}",
                "why",
            ]
            for i in range(100)
        ]
        return Table(columns, rows)

    async def read_scores(self, project: str, trace_ids: list[str]) -> list[Score]:
        return [s for s in self.scores if s.trace_id in trace_ids]


async def test_on_friday_the_thirty_worst_are_one_list_that_is_made_once(records: Records) -> None:
    world = World(records)
    columns: Any = Failing()
    assert await world.desk.triage_due("p", columns) and not await world.desk.triage_due("p", columns)
    source = "triage:2025-W47"
    listed = records.read_now(lambda c: reviews.queue(c, "p", source=source))
    assert (
        len(listed) == 30 and listed[0].reason.startswith("No. 1 of 50 by ") and "support" in listed[0].reason
    )
    assert {sum(i.scorer == s for i in listed) for s in ("grounded", "json")} == {15}
    assert (await world.desk.triage("p", columns, ANA)) == (source, 0)
    for _ in range(30):
        taken = await world.desk.take_next("p", ANA, source)
        assert taken is not None and taken.source == source
        await world.desk.label("p", taken.id, GOOD, ANA)
    assert await world.desk.take_next("p", ANA, source) is None
    world.now = FRIDAY - 2 * 86_400 * 10**9
    assert not await world.desk.triage_due("other", columns)


async def test_disagreeing_scorers_and_the_random_sample_feed_the_queue(records: Records) -> None:
    def score(name: str, source: str, passed: bool | None) -> Score:
        return Score("p", "t1", "", name, "1", source, 0, 0, passed=passed, reason="not helpful")

    columns: Any = Failing([score("helpful", "judge", True)])
    settings = Review.model_validate({"sample": 1.0})
    routing = ReviewRouting(records, lambda: FRIDAY, columns=columns, settings=lambda: settings)
    await routing.on_scored([("p", "t1", [score("thumbs", "user", False)])])
    await routing.on_scored([("p", "t2", [score("json_valid", "check", True)])])
    found = {i.source: i for i in records.read_now(lambda c: reviews.queue(c, "p"))}
    assert set(found) == {"thumbs_down", "disagreement", "sample"}
    assert found["disagreement"].reason.startswith("helpful passes it and thumbs does not")
    assert found["sample"].probability == 1.0 and found["disagreement"].probability is None


async def test_a_renamed_label_keeps_author_and_time_and_its_old_name_on_record(records: Records) -> None:
    world = World(records)
    world.add("a", "b")
    first, _ = await world.desk.label("p", "rev_a", BAD, ANA)
    await world.desk.label("p", "rev_b", Given("bad", "made up"), BEN)
    records.write_now(lambda c: taxonomy.put(c, "p", "fiction", "What is not so.", "eve", FRIDAY))
    done = records.write_now(
        lambda c: taxonomy.relabel(c, "p", "fiction", "eve", FRIDAY + MINUTE, was=["invented", "made up"])
    )
    records.write_now(lambda c: taxonomy.retire(c, "p", "invented", "fiction", "eve", FRIDAY + MINUTE))
    assert done == 2 and records.read_now(lambda c: reviews.taxonomy(c, "p")) == [("fiction", 2)]
    (now,) = records.read_now(lambda c: reviews.labels_of(c, "p", ["ta"]))
    assert (now.author, now.time_ns, now.taxonomy) == ("ana", first.time_ns, "fiction")
    assert (now.replaces, now.relabelled_by) == (first.id, "eve")
    history = records.read_now(lambda c: reviews.history_of(c, "p", "ta"))
    assert {(h["taxonomy"], h["replaced_ns"] is None) for h in history} == {
        ("invented", False),
        ("fiction", True),
    }
    old = records.read_now(lambda c: taxonomy.names(c, "p", retired=True))
    assert {(n.name, n.became) for n in old} == {("fiction", None), ("invented", "fiction")}
    assert world.item("a").status == "done"
    back = await world.desk.undo("p", ANA)
    assert back is not None and back.id == "rev_a"
