"""Versions compared, the golden set's age, and who is let in."""

import pytest

from watchkeeper.gating.dataset import QUARTER_NS, changes, refresh, splits
from watchkeeper.model.review import Case, DatasetVersion
from watchkeeper.pipeline.curate import admitted, leaks, refreshed
from watchkeeper.store.records import datasets, migrate
from watchkeeper.store.records.engine import Records


def version(number: int, cases: list[Case], created_ns: int = 0) -> DatasetVersion:
    return DatasetVersion("p", "d", number, created_ns, "me", "", str(number), cases)


def golden(*names: str) -> list[Case]:
    return [Case(id=n, input=f"question about {n}", split="golden") for n in names]


def test_a_diff_names_every_field_that_changed() -> None:
    old = version(1, [Case(id="a", input="x", owner="me"), Case(id="b", input="y")])
    new = version(2, [Case(id="a", input="x", owner="you", expected="z"), Case(id="c", input="w")])
    found = changes(old, new)
    assert [(c.kind, c.id) for c in found] == [("added", "c"), ("changed", "a"), ("removed", "b")]
    assert found[1].fields == {"owner": ("me", "you"), "expected": (None, "z")}
    assert [c.kind for c in changes(None, new)] == ["added", "added"] and changes(new, new) == []


@pytest.mark.parametrize(
    ("added", "removed", "state", "add"),
    [(0, 0, "stale", 2), (1, 0, "stale", 2), (3, 2, "fresh", 0), (9, 4, "churning", 0)],
)
def test_ten_to_twenty_per_cent_of_a_golden_set_should_be_new_each_quarter(
    added: int, removed: int, state: str, add: int
) -> None:
    names = [f"n{i}" for i in range(20)]
    new = golden(*names[removed:], *(f"new{i}" for i in range(added)))
    found = refresh(version(3, golden(*names)), version(9, new))
    assert (found.state, found.new, found.retired, found.since_version) == (state, added, removed, 3)
    assert found.share == added / len(new) and found.add == (
        add if added == 0 else max(0, -(-len(new) // 10) - added)
    )


def test_a_young_or_empty_golden_set_is_neither_stale_nor_fresh() -> None:
    assert refresh(None, version(1, golden("a"))).state == "young"
    assert refresh(None, version(1, [Case(id="a", input="x")])).state == "none"
    was, now = version(1, golden("a")), version(2, [Case(id="a", input="another question", split="golden")])
    assert refresh(was, now).new == 1, "a case that asks something else is new"


def test_the_refresh_looks_at_the_version_that_was_in_force_a_quarter_ago(records_url: str) -> None:
    records = Records(records_url)
    migrate.upgrade(records)
    with records.engine.begin() as conn:
        for number, names in enumerate((("a",), ("a", "b"), ("a", "b", "c")), start=1):
            last = datasets.commit(
                conn, "p", "d", add=golden(*names), remove=[], author="me", note="", now_ns=number * QUARTER_NS
            )  # fmt: skip
        found = refreshed(conn, last, int(3.5 * QUARTER_NS))
        assert found.since_version == 2 and found.new == 1
        assert refreshed(conn, last, int(1.5 * QUARTER_NS)).state == "young"
    records.close()


LONG = (
    "The customer says that order {} arrived broken and asks how to return it and when the money comes back."
)


def test_cases_that_ask_the_same_are_not_let_in_and_name_their_twin() -> None:
    known = [Case(id="k", input={"text": LONG.format(4711)}, split="golden")]
    new = [
        Case(id="twin", input={"text": LONG.format(815)}),
        Case(
            id="other",
            input={"text": "Which documents do I need for a passport, and where do I apply for one?"},
        ),
        Case(
            id="echo",
            input={"text": "which documents do I need for a passport,  and where do I apply for one"},
        ),
    ]
    kept, twins = admitted(known, new)
    assert [c.id for c in kept] == ["other"]
    assert [(t.case_id, t.other_id, t.other_split) for t in twins] == [
        ("twin", "k", "golden"),
        ("echo", "other", "regression"),
    ]
    assert all(0.8 <= t.similarity <= 1 for t in twins)
    assert admitted(known, [Case(id="k", input={"text": LONG.format(1)})])[1] == [], (
        "the same id is replaced, not doubled"
    )


def test_a_leak_is_two_splits_asking_the_same() -> None:
    cases = [
        Case(id="a", input=LONG.format(1), split="calibration"),
        Case(id="b", input=LONG.format(2), split="golden"),
        Case(id="c", input="something else altogether, about the weather in Rome", split="golden"),
    ]
    assert leaks(cases) == [("a", "b"), ("b", "a")]
    assert splits(cases) == {"golden": 2, "calibration": 1}
