"""Assembly over a store in memory and a clock that is told: when a trace is complete, and what happens when things come late."""

import asyncio
import random
from typing import Any

import pytest

from tests.contract.columns_world import DAY, NOW, joined, log, log_rows, new_trace_id, normal, raw, rows
from watchkeeper.model.span import LogRecord, RawSpan, Trace
from watchkeeper.pipeline.assembly import Assembly
from watchkeeper.store.columns import LogRow, SpanRow, StoreUnavailable, Table

S = 10**9
Key = tuple[str, str]


class Store:
    """What the assembly needs of the store."""

    def __init__(self) -> None:
        self.spans: dict[Key, dict[str, SpanRow]] = {}
        self.logs: dict[Key, list[LogRow]] = {}
        self.made: dict[Key, tuple[int, Trace]] = {}
        self.rewritten: list[SpanRow] = []
        self.down = False
        self.reads = 0

    def commit(self, spans: list[SpanRow], logs: list[LogRow]) -> None:
        for row in spans:
            known = self.spans.setdefault((row.project, row.span.trace_id), {})
            if row.span.span_id not in known or known[row.span.span_id].span.end_ns <= row.span.end_ns:
                known[row.span.span_id] = row
        for item in logs:
            self.logs.setdefault((item.project, item.log.trace_id), []).append(item)

    async def read_traces(
        self, project: str, trace_ids: list[str]
    ) -> dict[str, tuple[list[RawSpan], list[LogRecord]]]:
        self.reads += len(trace_ids)
        found: dict[str, tuple[list[RawSpan], list[LogRecord]]] = {}
        for t in trace_ids:
            spans = [r.span.raw for r in self.spans.get((project, t), {}).values() if r.span.raw]
            logs = [r.log for r in self.logs.get((project, t), [])]
            if spans or logs:
                found[t] = (spans, logs)
        return found

    async def rewrite_spans(self, changed: list[SpanRow]) -> None:
        self.rewritten += changed

    async def named(self, name: str, project: str, **params: Any) -> Table:
        if name == "assembly_before":
            older = any(
                r.received_ns < params["before"]
                for (p, _), spans in self.spans.items() if p == project for r in spans.values()
            )  # fmt: skip
            return Table(["1"], [[1]] if older else [])
        if name == "assembly_known":
            had = {t: self.made.get((project, t)) for t in params["ids"]}
            return Table(["trace_id", "n"], [
                [t, len(m[1].spans)] for t, m in had.items() if m is not None and m[1].start_ns < params["before"]
            ])  # fmt: skip
        assert name == "assembly_earlier"
        early = [
            [t] for t in params["ids"]
            if any(r.received_ns < params["before"] for r in self.spans.get((project, t), {}).values())
        ]  # fmt: skip
        return Table(["trace_id"], early)

    async def unassembled(self, since_ns: int, limit: int) -> list[Key]:
        left = [
            k for k, spans in self.spans.items()
            if max(r.received_ns for r in spans.values()) >= since_ns
            and (k not in self.made or len(self.made[k][1].spans) < len(spans)
                 or self.made[k][0] < max(r.received_ns for r in [*spans.values(), *self.logs.get(k, [])]))
        ]  # fmt: skip
        return left[:limit]

    async def on_traces(self, items: Any, read_ns: int) -> None:
        if self.down:
            raise StoreUnavailable("down")
        for project, trace in items:
            assert self.made.get((project, trace.trace_id), (0,))[0] < read_ns
            self.made[(project, trace.trace_id)] = (read_ns, trace)


class World:
    def __init__(self, **more: Any) -> None:
        self.store, self.now = more.pop("store", None) or Store(), more.pop("now", NOW)
        self.assembly = Assembly(
            self.store, lambda: self.now, normal, more.pop("assemble", joined), self.store.on_traces, **more
        )  # type: ignore[arg-type]

    def arrive(self, *raws: RawSpan, logs: list[LogRecord] | None = None) -> None:
        spans, heard = rows("p", list(raws), self.now), log_rows("p", logs or [], self.now)
        self.store.commit(spans, heard)
        self.assembly.add(spans, heard)

    async def pass_(self, seconds: float) -> int:
        self.now += int(seconds * S)
        return await self.assembly.flush()

    def made(self, trace_id: str) -> list[str] | None:
        found = self.store.made.get(("p", trace_id))
        return [s.span_id for s in found[1].spans] if found else None


def ids(*numbers: int) -> list[str]:
    return [f"{n + 1:016x}" for n in numbers]


async def test_a_trace_is_complete_when_its_root_ended_and_nothing_came_for_a_while() -> None:
    world, t = World(), new_trace_id()
    world.arrive(raw(t, 1, parent=0))
    assert await world.pass_(5) == 0, "no root yet"
    world.arrive(raw(t))
    assert await world.pass_(0.6) == 0, "not quiet yet"
    assert await world.pass_(0.6) == 1
    assert world.made(t) == ids(0, 1)
    assert world.assembly.open_traces == 0
    assert world.store.reads == 0


async def test_a_trace_without_a_root_is_shown_after_a_timeout() -> None:
    world, t = World(), new_trace_id()
    world.arrive(raw(t, 1, parent=0))
    assert await world.pass_(59) == 0
    assert await world.pass_(2) == 1
    assert world.made(t) == ids(1)


async def test_what_comes_when_the_content_is_gone_does_not_put_the_trace_together_from_what_is_left() -> (
    None
):
    world, t = World(), new_trace_id()
    world.arrive(raw(t), raw(t, 1, parent=0))
    assert await world.pass_(2) == 1
    world.now += 2 * DAY
    world.store.spans[("p", t)].clear()
    world.arrive(raw(t, 2, parent=0))
    await world.pass_(120)
    assert world.made(t) == ids(0, 1) and world.assembly.counts.outlived == 1
    assert world.assembly.open_traces == 0
    # Of one that grew, nothing is missing.
    world.arrive(raw(t), raw(t, 1, parent=0))
    await world.pass_(2)
    assert world.made(t) == ids(0, 1, 2)


async def test_history_without_a_root_is_shown_when_its_sender_is_done_and_live_traces_go_on_waiting() -> (
    None
):
    world, old, live = World(), new_trace_id(), new_trace_id()
    world.arrive(
        raw(old, 1, parent=0, start=NOW - 90 * S, end=NOW - 80 * S),
        raw(live, 1, parent=0, start=NOW - S, end=NOW),
    )
    assert world.assembly.settle("other") == 0
    assert world.assembly.settle("p") == 1
    assert await world.pass_(2) == 1
    assert world.made(old) == ids(1) and world.made(live) is None


async def test_a_root_that_still_runs_waits_for_the_timeout_too() -> None:
    world, t = World(), new_trace_id()
    world.arrive(raw(t, end=0))
    assert await world.pass_(10) == 0
    assert await world.pass_(51) == 1
    world.arrive(raw(t, end=NOW + S))
    assert await world.pass_(2) == 1
    assert world.store.made[("p", t)][1].complete


async def test_a_trace_that_never_falls_quiet_is_shown_in_the_end() -> None:
    world, t = World(), new_trace_id()
    world.arrive(raw(t))
    shown = 0
    for n in range(1, 700):
        world.arrive(raw(t, n, parent=0))
        shown += await world.pass_(1)
    assert shown >= 1


async def test_what_comes_late_opens_the_trace_again_with_all_that_is_stored() -> None:
    world, t = World(), new_trace_id()
    world.arrive(raw(t))
    await world.pass_(2)
    world.arrive(raw(t, 1, parent=0))
    await world.pass_(2)
    assert world.made(t) == ids(0, 1)
    world.arrive(logs=[log(t, body="late words")])
    await world.pass_(2)
    assert world.store.made[("p", t)][1].spans[0].output_text == "late words"
    assert world.assembly.counts.again == 2


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_and_repetition_ends_in_one_trace(seed: int) -> None:
    dice, world, t = random.Random(seed), World(), new_trace_id()
    parts: list[tuple[list[RawSpan], list[LogRecord]]] = [
        ([raw(t, n, parent=0 if n else None)], []) for n in range(5)
    ]
    parts += [([], [log(t, 2, body="joined")])]
    parts = dice.choices(parts, k=10) + parts
    dice.shuffle(parts)
    for spans, logs in parts:
        world.arrive(*spans, logs=logs)
        await world.pass_(dice.choice([0, 0.1, 3, 100]))
    await world.pass_(100)
    assert world.made(t) == ids(0, 1, 2, 3, 4)
    assert world.store.made[("p", t)][1].spans[2].output_text == "joined"
    assert await world.store.unassembled(0, 10) == []


async def test_a_repeated_root_does_not_lose_what_an_earlier_process_stored() -> None:
    first, t = World(), new_trace_id()
    first.arrive(raw(t), raw(t, 1, parent=0))
    await first.pass_(2)
    second = World(store=first.store, now=first.now + S)
    second.arrive(raw(t))
    await second.pass_(2)
    assert second.made(t) == ids(0, 1)


async def test_a_kill_between_commit_and_assembly_loses_nothing() -> None:
    first = World()
    ids_ = [new_trace_id() for _ in range(450)]
    for t in ids_:
        first.arrive(raw(t), raw(t, 1, parent=0))
    second = World(store=first.store, now=first.now + S)
    assert await second.assembly.recover() == 450
    assert all(second.made(t) == ids(0, 1) for t in ids_)
    assert await second.assembly.recover() == 0


async def test_a_store_that_is_down_is_asked_again() -> None:
    world, t = World(), new_trace_id()
    world.arrive(raw(t))
    world.store.down = True
    with pytest.raises(StoreUnavailable):
        await world.pass_(2)
    assert world.assembly.open_traces == 1
    world.arrive(raw(t, 1, parent=0))
    world.store.down = False
    await world.pass_(2)
    assert world.made(t) == ids(0, 1)


async def test_one_trace_that_breaks_assembly_does_not_stop_the_others() -> None:
    bad = new_trace_id()

    def assemble(spans: Any, logs: Any) -> Trace:
        if spans[0].trace_id == bad:
            raise RuntimeError("broken")
        return joined(spans, logs)

    world = World(assemble=assemble)
    good = [new_trace_id() for _ in range(5)]
    for t in [*good[:2], bad, *good[2:]]:
        world.arrive(raw(t))
    await world.pass_(2)
    for _ in range(5):
        await world.pass_(2)
    assert all(world.made(t) for t in good)
    assert world.made(bad) is None
    assert world.assembly.open_traces == 0, "given up after three attempts"


async def test_a_fault_of_everything_gives_up_nothing() -> None:
    broken = [True]

    def assemble(spans: Any, logs: Any) -> Trace:
        if broken[0]:
            raise RuntimeError("systemic")
        return joined(spans, logs)

    world = World(assemble=assemble)
    made = [new_trace_id() for _ in range(20)]
    for t in made:
        world.arrive(raw(t))
    with pytest.raises(StoreUnavailable):
        await world.pass_(2)
    broken[0] = False
    await world.pass_(2)
    assert all(world.made(t) for t in made)


async def test_it_is_behind_while_more_is_due_than_one_turn_takes_and_not_because_the_store_is_down() -> None:
    world = World(max_bytes=8 * 1024 * 1024)
    behind: list[bool] = []

    async def on_traces(items: Any, read_ns: int) -> None:
        behind.append(world.assembly.behind())
        await Store.on_traces(world.store, items, read_ns)

    world.assembly._on_traces = on_traces  # pyright: ignore[reportPrivateUsage]
    for _ in range(3500):
        world.arrive(raw(new_trace_id()))
    assert not world.assembly.behind(), "nothing of it is finished yet"
    assert await world.pass_(2) == 3500
    assert (behind[0], behind[-1]) == (True, False)
    for _ in range(3500):
        world.arrive(raw(new_trace_id()))
    world.store.down = True
    with pytest.raises(StoreUnavailable):
        await world.pass_(2)
    assert not world.assembly.behind()


async def test_what_becomes_due_during_a_small_batch_is_a_batch_of_the_next_look() -> None:
    class Slow(Store):
        async def on_traces(self, items: Any, read_ns: int) -> None:
            await super().on_traces(items, read_ns)
            world.now += 2 * S

    world = World(store=Slow())
    first, second = new_trace_id(), new_trace_id()
    world.arrive(raw(first))
    world.now += 2 * S
    world.arrive(raw(second))
    assert await world.assembly.flush() == 1 and world.made(second) is None
    assert await world.assembly.flush() == 1 and world.made(second) is not None


async def test_one_batch_is_scored_while_another_is_written_and_no_trace_is_in_both() -> None:
    world, at_once, beside = World(), [0, 0], asyncio.Event()
    late = new_trace_id()

    async def on_traces(items: Any, read_ns: int) -> None:
        at_once[0] += 1
        at_once[1] = max(at_once)
        if at_once[0] > 1:
            beside.set()
        if late in {t.trace_id for _, t in items} and not world.made(late):
            # More of a trace that is being put together: it is due again as soon as that is done, and not before.
            world.arrive(raw(late, 1, parent=0))
            await asyncio.wait_for(beside.wait(), 60)
            assert not world.made(late)
        await Store.on_traces(world.store, items, read_ns)
        at_once[0] -= 1

    world.assembly._on_traces = on_traces  # pyright: ignore[reportPrivateUsage]
    world.arrive(raw(late))
    for _ in range(2500):
        world.arrive(raw(new_trace_id()))
    assert await world.assembly.flush(everything=True) == 2502
    assert at_once == [0, 2]
    assert world.made(late) == ids(0, 1)


async def test_memory_is_bounded_and_what_was_let_go_is_read_back() -> None:
    world = World(max_bytes=200_000)
    made = [new_trace_id() for _ in range(100)]
    for t in made:
        world.arrive(raw(t, text="x" * 10_000), raw(t, 1, parent=0))
    assert world.assembly.counts.spilled > 50
    await world.pass_(2)
    assert all(world.made(t) == ids(0, 1) for t in made)
    assert 50 < world.store.reads <= 100


async def test_spans_that_logs_changed_are_written_again_and_others_are_not() -> None:
    world, t = World(), new_trace_id()
    world.arrive(raw(t), raw(t, 1, parent=0), logs=[log(t, 1, body="from the log")])
    await world.pass_(2)
    assert [(r.span.span_id, r.span.output_text) for r in world.store.rewritten] == [
        (ids(1)[0], "from the log")
    ]
    assert await world.store.unassembled(0, 10) == []


async def test_a_clock_that_stands_still_still_orders_versions() -> None:
    world, t = World(quiet_s=0), new_trace_id()
    for n in range(4):
        world.arrive(raw(t, n, parent=0 if n else None))
        await world.pass_(0)
    assert world.made(t) == ids(0, 1, 2, 3)
