"""The review queue: one item a trace and source, urgent first, two reviewers never the same item."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from watchkeeper.model.review import Case, Label, ReviewItem
from watchkeeper.reviewing.queue import item
from watchkeeper.store.records import datasets, experiments, reviews
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    found = Records(records_url)
    metadata.create_all(found.engine)
    yield found
    found.close()


def an_item(trace: str, priority: float = 5.0, source: str = "low_score") -> ReviewItem:
    return item("default", trace, source, "relevance is 2", priority, 1000)


def a_label(item_id: str, at: int = 2000, author: str = "ana") -> Label:
    return Label(f"lab_{at}", "default", item_id, "t1", author, at, "bad", taxonomy="missing steps")


def test_it_holds_a_trace_once_per_source_and_the_more_urgent_reason_wins(records: Records) -> None:
    records.write_now(lambda c: [reviews.add(c, an_item("t1", 3)), reviews.add(c, an_item("t1", 6))])
    records.write_now(lambda c: reviews.add(c, an_item("t1", 4)))
    (only,) = records.read_now(lambda c: reviews.queue(c, "default"))
    assert only.priority == 6


def test_a_full_source_keeps_the_most_urgent(records: Records) -> None:
    for n in range(5):
        records.write_now(lambda c, n=n: reviews.add(c, an_item(f"t{n}", n), cap=3))
    assert not records.write_now(lambda c: reviews.add(c, an_item("mild", 0.5), cap=3))
    assert [i.trace_id for i in records.read_now(lambda c: reviews.queue(c, "default"))] == ["t4", "t3", "t2"]
    assert records.read_now(lambda c: reviews.counts(c, "default")) == {"open": 3, "displaced": 2}


def test_many_at_once_become_what_they_become_one_after_another(records: Records) -> None:
    dice = random.Random(5)
    for round_ in range(40):
        given = [
            (
                msgspec.structs.replace(
                    an_item(f"t{dice.randrange(12)}", dice.randrange(1, 9)),
                    id=f"{round_}-{n}",
                    created_ns=n,
                    source=f"{dice.choice('ab')}{{}}-{round_}",
                ),
                dice.choice([2, 4, None]),
            )
            for n in range(dice.randrange(1, 40))
        ]

        def of(label: str, given: list[Any] = given) -> list[tuple[ReviewItem, int | None]]:
            return [
                (msgspec.structs.replace(i, id=f"{label}{i.id}", source=i.source.format(label)), cap)
                for i, cap in given
            ]

        single, cut = of("s"), dice.randrange(len(given) + 1)
        at_once = of("m")
        one = [records.write_now(lambda c, p=pair: reviews.add(c, *p)) for pair in single]
        many = records.write_now(lambda c, g=at_once[:cut]: reviews.add_all(c, g))
        many += records.write_now(lambda c, g=at_once[cut:]: reviews.add_all(c, g))
        assert many == one

        def stored(label: str, round_: int = round_) -> list[tuple[Any, ...]]:
            kept = records.read_now(lambda c: reviews.queue(c, "default", None, limit=100_000))
            mine = [i for i in kept if i.source in (f"a{label}-{round_}", f"b{label}-{round_}")]
            return sorted((i.source[0], i.trace_id, i.id[1:], i.priority, i.status, i.reason) for i in mine)

        assert stored("m") == stored("s") and stored("s")


def test_two_reviewers_get_different_items_and_a_reload_the_same(records: Records) -> None:
    records.write_now(lambda c: [reviews.add(c, an_item("t1", 2)), reviews.add(c, an_item("t2", 1))])
    first = records.write_now(lambda c: reviews.reserve_next(c, "default", "ana", 10))
    second = records.write_now(lambda c: reviews.reserve_next(c, "default", "ben", 10))
    again = records.write_now(lambda c: reviews.reserve_next(c, "default", "ana", 11))
    assert first is not None and second is not None and again is not None
    assert (first.trace_id, second.trace_id, again.trace_id) == ("t1", "t2", "t1")
    assert records.write_now(lambda c: reviews.reserve_next(c, "default", "cem", 12)) is None


def test_a_reservation_runs_out(records: Records) -> None:
    records.write_now(lambda c: reviews.add(c, an_item("t1")))
    records.write_now(lambda c: reviews.reserve_next(c, "default", "ana", 10))
    later = 11 + reviews.RESERVATION_NS
    taken = records.write_now(lambda c: reviews.reserve_next(c, "default", "ben", later))
    assert taken is not None and taken.held_by == ["ben"]


def test_undo_reopens_the_item_and_withdraws_the_label(records: Records) -> None:
    wanted = an_item("t1")
    records.write_now(lambda c: reviews.add(c, wanted))
    records.write_now(lambda c: reviews.label(c, a_label(wanted.id)))
    assert records.read_now(lambda c: reviews.queue(c, "default")) == []
    assert records.read_now(lambda c: reviews.taxonomy(c, "default")) == [("missing steps", 1)]
    reopened = records.write_now(lambda c: reviews.undo(c, "default", "ana", 3000))
    assert reopened is not None and reopened.status == "open"
    assert records.read_now(lambda c: reviews.labels_of(c, "default")) == []
    assert records.write_now(lambda c: reviews.undo(c, "default", "ana", 3001)) is None


def test_a_label_for_another_projects_item_is_refused(records: Records) -> None:
    with pytest.raises(LookupError, match="no review item"):
        records.write_now(lambda c: reviews.label(c, a_label("rev_unknown")))
    assert records.read_now(lambda c: reviews.labels_of(c, "default")) == []


def commit(records: Records, add: list[Case], remove: list[str] | None = None) -> int:
    return records.write_now(
        lambda c: datasets.commit(
            c, "default", "golden", add=add, remove=remove or [], author="ana", note="", now_ns=5
        )
    ).version


def test_dataset_versions_never_change_and_an_empty_change_makes_none(records: Records) -> None:
    one, two = Case("c1", {"text": "a"}), Case("c2", {"text": "b"})
    assert commit(records, [one]) == 1
    assert commit(records, [one]) == 1
    assert commit(records, [two], remove=["c1"]) == 2
    first = records.read_now(lambda c: datasets.get(c, "default", "golden", 1))
    latest = records.read_now(lambda c: datasets.get(c, "default", "golden"))
    assert first is not None and latest is not None
    assert ([c.id for c in first.cases], [c.id for c in latest.cases]) == (["c1"], ["c2"])
    assert datasets.diff(first, latest) == {"added": ["c2"], "removed": ["c1"], "changed": []}
    assert records.read_now(lambda c: datasets.get(c, "other", "golden")) is None


def test_an_experiment_is_found_by_id_and_by_its_name(records: Records) -> None:
    run = {
        "id": "exp_1",
        "project": "default",
        "name": "nightly",
        "dataset": "golden",
        "dataset_version": 1,
        "target": "app:answer",
        "verdict": None,
        "created_ns": 1,
        "finished_ns": None,
        "results": [{"case": "c1"}],
    }
    records.write_now(lambda c: experiments.save(c, run))
    records.write_now(lambda c: experiments.save(c, {**run, "verdict": "pass", "finished_ns": 2}))
    by_name = records.read_now(lambda c: experiments.get(c, "default", "nightly"))
    assert by_name is not None and by_name["verdict"] == "pass" and by_name["results"] == [{"case": "c1"}]
    (listed,) = records.read_now(lambda c: experiments.listing(c, "default"))
    assert "results" not in listed and listed["id"] == "exp_1"
