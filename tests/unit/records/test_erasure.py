"""What an erasure does to documents, and that a kill does not end it half way."""

from collections.abc import Iterable
from typing import Any

import pytest

from watchkeeper.model.erasure import Erasure
from watchkeeper.pipeline.erase import SWEEP_NS, EraseFlow, Tombstones
from watchkeeper.store.columns import Erased, Table
from watchkeeper.store.records import erasure, states
from watchkeeper.store.records.engine import Records

GONE, KEPT = "a" * 32, "b" * 32
DAY = 86_400 * 10**9


def test_an_object_that_names_a_trace_loses_its_texts_and_keeps_its_numbers() -> None:
    document = {
        "worst": [
            {"trace_id": GONE, "value": 0.1, "input_text": "secret", "scorer": "relevance"},
            {"trace_id": KEPT, "value": 0.2, "input_text": "fine"},
        ],
        "examples": [GONE, KEPT],
        "representative": GONE,
    }
    assert erasure.blanked(document, {GONE}) == {
        "worst": [
            {"trace_id": GONE, "value": 0.1, "input_text": "[erased]", "scorer": "relevance"},
            {"trace_id": KEPT, "value": 0.2, "input_text": "fine"},
        ],
        "examples": [KEPT],
        "representative": None,
    }


def test_results_of_an_erased_case_keep_their_values_without_their_reasons() -> None:
    row = {
        "case_id": "c1", "output": "secret", "expected": None, "cost": 0.5,
        "scores": {"relevance": {"values": [0.2], "passed": [False], "reason": "it said secret"}},
    }  # fmt: skip
    made = erasure.blanked({"results": [row]}, {"c1"})["results"][0]
    assert "secret" not in str(made)
    assert made["scores"]["relevance"]["values"] == [0.2] and made["cost"] == 0.5


def test_a_document_that_names_no_erased_trace_is_left_as_it_is() -> None:
    document = {"trace_id": KEPT, "output": "fine", "n": [1, {"text": "also fine"}]}
    assert erasure.blanked(document, {GONE}) == document


def test_whether_a_trace_was_erased_cannot_be_tested_without_the_key() -> None:
    ours, other = Tombstones("k1"), Tombstones("k2")
    ours.add([ours.digest("p", GONE)])
    other.add([ours.digest("p", GONE)])
    assert ours.holds("p", GONE) and not ours.holds("q", GONE) and not ours.holds("p", KEPT)
    assert not other.holds("p", GONE)


class Columns:
    """Traces by id; erasing fails as often as told."""

    def __init__(self, failures: int = 0) -> None:
        self.there, self.failures = {GONE, KEPT}, failures

    async def named(self, name: str, project: str, **given: Any) -> Table:
        found = [[i] for i in given.get("ids", [GONE]) if i in self.there]
        return Table(["trace_id"], found)

    async def erase(self, project: str, user_id: str | None, trace_ids: list[str]) -> Erased:
        if self.failures:
            self.failures -= 1
            raise OSError("killed here")
        went = self.there & set(trace_ids)
        self.there -= went
        return Erased({"traces": len(went)}, sorted(went))


class Open:
    async def forget(self, project: str, trace_ids: Iterable[str]) -> None:
        return None


def flow(records: Records, columns: Columns, now: list[int], forwards: bool = False) -> EraseFlow:
    return EraseFlow(
        columns,  # type: ignore[arg-type]
        records, lambda: now[0], Tombstones("key"), Open(), lambda user: [user], lambda: 90 * DAY,
        lambda: forwards, lambda: "er_1",
    )  # fmt: skip


def receipt(records: Records) -> Erasure:
    return records.read_now(lambda c: erasure.find(c, "p"))[0]


async def test_an_erasure_that_was_killed_goes_on_and_ends_without_its_ids(records: Records) -> None:
    now, columns = [10 * DAY], Columns(failures=1)
    with pytest.raises(OSError, match="killed"):
        await flow(records, columns, now).erase("p", "me", user_id="ann")
    assert receipt(records).state == "running" and columns.there == {GONE, KEPT}
    again = flow(records, columns, now)
    await again.start()
    assert again.tombstones.holds("p", GONE), "from the first moment on nothing of it comes in"
    assert await again.sweep() == 1
    assert columns.there == {KEPT} and receipt(records).state == "sweeping"
    assert await again.sweep() == 0, "too early for the second pass"
    now[0] += SWEEP_NS
    records.write_now(lambda c: states.put(c, "p", "late", "x", {"trace_id": GONE, "reason": "secret"}, 1))
    assert await again.sweep() == 1
    assert records.read_now(lambda c: states.get(c, "p", "late", "x")) == {
        "trace_id": GONE,
        "reason": "[erased]",
    }
    done = receipt(records)
    assert (done.state, done.trace_ids, done.user_ids, done.traces) == ("done", [], [], 1)
    assert done.columns == {"traces": 1} and done.records == {"states": 1}
    assert await again.sweep() == 0


async def test_hashes_are_kept_as_long_as_traces_and_no_longer(records: Records) -> None:
    now, columns = [10 * DAY], Columns()
    erasing = flow(records, columns, now)
    await erasing.erase("p", "me", trace_ids=[GONE])
    now[0] += 89 * DAY
    await erasing.sweep()
    assert erasing.tombstones.holds("p", GONE)
    now[0] += 2 * DAY
    await erasing.sweep()
    assert not erasing.tombstones.holds("p", GONE)


async def test_the_receipt_names_forwarded_copies_only_where_something_is_forwarded(records: Records) -> None:
    for forwards in (False, True):
        made = await flow(records, Columns(), [DAY], forwards).erase("p", "me", trace_ids=[GONE])
        assert ("forwarded copies" in {r.what for r in made.remains}) is forwards
