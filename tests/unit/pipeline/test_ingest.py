"""Ingest over a store that tells what it was asked: nothing is answered before it is stored, nothing is lost or counted twice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.contract.columns_world import NOW, log, new_trace_id, normal, raw
from watchkeeper.model.span import LogRecord, RawSpan, Span
from watchkeeper.pipeline.ingest import Ingest, default_reserve, weight
from watchkeeper.store.columns import LogRow, MetricRow, SpanRow, StoreUnavailable
from watchkeeper.wire.decoded import MetricPoint


class Store:
    """Remembers what was written; `gate` holds commits up, `broken` makes them fail."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[SpanRow], list[LogRow]]] = []
        self.metrics: list[MetricRow] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken: Callable[[list[SpanRow]], Exception | None] = lambda _: None

    async def write_spans(self, spans: list[SpanRow], logs: list[LogRow]) -> None:
        await self.gate.wait()
        if (error := self.broken(spans)) is not None:
            raise error
        self.commits.append((spans, logs))

    async def write_metrics(self, rows: list[MetricRow]) -> None:
        self.metrics += rows


class Sink:
    def __init__(self) -> None:
        self.spans: list[SpanRow] = []
        self.full = False

    def add(self, spans: Any, logs: Any) -> None:
        self.spans += spans

    def behind(self) -> bool:
        return self.full


class Rig:
    def __init__(self, **more: Any) -> None:
        self.store, self.sink, self.now = Store(), Sink(), NOW
        self.redacted: list[str] = []
        self.ingest = Ingest(
            self.store, lambda: self.now, more.pop("normalise", normal), more.pop("redact", self.redact),
            self.sink, **more,
        )  # type: ignore[arg-type]  # fmt: skip

    def redact(self, project: str, item: RawSpan | LogRecord) -> None:
        self.redacted.append(project)
        if "secret" in item.attributes:
            item.attributes["secret"] = "[redacted]"

    def stored(self) -> list[Span]:
        return [r.span for spans, _ in self.store.commits for r in spans]

    def balanced(self) -> bool:
        return not any(self.ingest.ledger.in_flight().values())


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    made.ingest.start()
    yield made
    made.store.gate.set()
    await made.ingest.close()


async def test_it_waits_while_the_traces_cannot_be_put_together_as_fast(rig: Rig) -> None:
    rig.sink.full = True
    task = asyncio.create_task(rig.ingest.accept("p", [raw(new_trace_id())], []))
    await asyncio.sleep(0.05)
    assert not task.done() and not rig.store.commits
    rig.sink.full = False
    await task
    assert rig.store.commits


async def test_it_answers_after_the_commit_and_not_before(rig: Rig) -> None:
    rig.store.gate.clear()
    task = asyncio.create_task(rig.ingest.accept("p", [raw(new_trace_id())], []))
    await asyncio.sleep(0.05)
    assert not task.done()
    assert rig.ingest.ledger.in_flight() == {("p", "traces"): 1}
    rig.store.gate.set()
    await task
    assert len(rig.stored()) == 1
    assert rig.balanced()


async def test_those_who_wait_share_one_commit(rig: Rig) -> None:
    rig.store.gate.clear()
    tasks = [asyncio.create_task(rig.ingest.accept("p", [raw(new_trace_id())], [])) for _ in range(20)]
    await asyncio.sleep(0.1)
    rig.store.gate.set()
    await asyncio.gather(*tasks)
    assert len(rig.store.commits) <= 3
    assert len(rig.stored()) == 20


async def test_where_others_send_too_a_small_commit_waits_for_more(rig: Rig) -> None:
    rig.store.gate.clear()
    first = asyncio.create_task(rig.ingest.accept("p", [raw(new_trace_id())], []))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(rig.ingest.accept("p", [raw(new_trace_id())], []))
    await asyncio.sleep(0.05)
    rig.store.gate.set()
    await first
    await rig.ingest.accept("p", [raw(new_trace_id())], [])
    assert second.done()
    assert [len(spans) for spans, _ in rig.store.commits] == [1, 2]


async def test_a_fault_after_a_commit_does_not_end_all_that_follow(rig: Rig) -> None:
    def broken(_spans: Any, _logs: Any) -> None:
        raise RuntimeError("no")

    rig.sink.add = broken  # type: ignore[method-assign]
    await rig.ingest.accept("p", [raw(new_trace_id())], [])
    await asyncio.wait_for(rig.ingest.accept("p", [raw(new_trace_id())], []), 30)
    assert len(rig.stored()) == 2 and rig.ingest.faults["commit"] == 2


async def test_it_redacts_before_it_normalises_and_stores(rig: Rig) -> None:
    await rig.ingest.accept("p", [raw(new_trace_id(), secret="s3cr3t")], [log(new_trace_id())])
    [span] = rig.stored()
    assert span.raw is not None
    assert span.raw.attributes["secret"] == "[redacted]"
    assert rig.redacted == ["p", "p"]


async def test_a_record_that_cannot_be_redacted_is_dropped_and_counted() -> None:
    def redact(_: str, item: RawSpan | LogRecord) -> None:
        if "bad" in item.attributes:
            raise RuntimeError("no")

    rig = Rig(redact=redact)
    rig.ingest.start()
    await rig.ingest.accept("p", [raw(new_trace_id(), bad=1), raw(new_trace_id())], [])
    assert len(rig.stored()) == 1
    assert rig.ingest.ledger.total("dropped") == 1
    assert rig.balanced()
    await rig.ingest.close()


async def test_a_span_nobody_understands_is_stored_whole() -> None:
    def normalise(_: RawSpan) -> Span:
        raise KeyError("no dialect")

    rig = Rig(normalise=normalise)
    rig.ingest.start()
    sent = raw(new_trace_id())
    await rig.ingest.accept("p", [sent], [])
    assert [(s.dialect, s.raw) for s in rig.stored()] == [("unknown", sent)]
    await rig.ingest.close()


async def test_duplicates_are_counted_once_as_stored(rig: Rig) -> None:
    trace_id = new_trace_id()
    for _ in range(3):
        await rig.ingest.accept("p", [raw(trace_id), raw(trace_id), raw(trace_id, 1)], [log(trace_id)])
    await rig.ingest.accept("other", [raw(trace_id)], [])
    ledger = rig.ingest.ledger
    assert (ledger.total("stored", "p", "traces"), ledger.total("deduplicated", "p", "traces")) == (2, 7)
    assert (ledger.total("stored", "p", "logs"), ledger.total("deduplicated", "p", "logs")) == (1, 2)
    assert ledger.total("stored", "other") == 1
    assert rig.balanced()


async def test_versions_of_one_span_are_counted_as_such(rig: Rig) -> None:
    trace_id = new_trace_id()

    def version(text: object, **more: Any) -> RawSpan:
        return msgspec.structs.replace(raw(trace_id, a=1, text=text), **more)

    first = version("x")
    turned = msgspec.structs.replace(
        first, attributes=dict(reversed(first.attributes.items())), time_suspect=True
    )
    await rig.ingest.accept("p", [first, version("x")], [])
    await rig.ingest.accept("p", [turned, version("y"), version("x", end_ns=first.end_ns + 1)], [])
    await rig.ingest.accept(
        "p", [version({"z": [1, {"k": 2}]}), version({"z": [1.0, {"k": 2}]}), version("y")], []
    )
    await rig.ingest.accept("other", [version("other")], [])
    [counted] = [
        v for n, labels, v in rig.ingest.ledger.samples()
        if n == "watchkeeper_ingest_settled_total" and labels["reason"] == "conflict"
    ]  # fmt: skip
    assert counted == 3
    ledger = rig.ingest.ledger
    assert (ledger.total("stored", "p", "traces"), ledger.total("deduplicated", "p", "traces")) == (1, 7)
    assert rig.balanced()


async def test_a_store_that_fails_promises_nothing_and_recovers(rig: Rig) -> None:
    rig.store.broken = lambda _: StoreUnavailable("disk")
    with pytest.raises(StoreUnavailable):
        await rig.ingest.accept("p", [raw(new_trace_id())], [])
    assert rig.ingest.ledger.total("refused") == 1
    rig.store.broken = lambda _: None
    await rig.ingest.accept("p", [raw(new_trace_id())], [])
    assert len(rig.stored()) == 1
    assert len(rig.sink.spans) == 1
    assert rig.balanced()


async def test_one_request_the_store_cannot_take_does_not_sink_its_neighbours(rig: Rig) -> None:
    rig.store.broken = lambda spans: (
        ValueError("odd") if any("odd" in s.span.raw.attributes for s in spans if s.span.raw) else None
    )
    rig.store.gate.clear()
    tasks = [
        asyncio.create_task(
            rig.ingest.accept("p", [raw(new_trace_id(), **({"odd": 1} if n == 2 else {}))], [])
        )
        for n in range(5)
    ]
    await asyncio.sleep(0.1)
    rig.store.gate.set()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(d, StoreUnavailable) for d in done] == [False, False, True, False, False]
    assert len(rig.stored()) == 4
    assert rig.balanced()


async def test_a_caller_that_hangs_up_does_not_unbalance_the_ledger(rig: Rig) -> None:
    rig.store.gate.clear()
    task = asyncio.create_task(rig.ingest.accept("p", [raw(new_trace_id())], []))
    await asyncio.sleep(0.02)
    task.cancel()
    rig.store.gate.set()
    await rig.ingest.accept("p", [raw(new_trace_id())], [])
    assert len(rig.stored()) == 2
    assert rig.balanced()


async def test_overload_is_refused_before_anything_is_read() -> None:
    rig = Rig(max_bytes=100_000)
    rig.ingest.start()
    rig.store.gate.clear()
    big = [raw(new_trace_id(), text="x" * 60_000), raw(new_trace_id(), text="x" * 60_000)]
    assert rig.ingest.admit(120_000) is None, "a lone request is taken whatever its size"
    rig.ingest.withdraw("", 120_000)
    task = asyncio.create_task(rig.ingest.accept("p", big, []))
    await asyncio.sleep(0.05)
    busy = rig.ingest.admit(1000)
    assert busy is not None
    assert busy.retry_after in range(1, 6)
    assert busy.reason
    rig.store.gate.set()
    await task
    assert rig.ingest.admit(1000) is None
    await rig.ingest.close()


async def test_requests_admitted_together_are_bounded_together() -> None:
    rig = Rig(max_bytes=100_000)
    rig.ingest.start()
    answers = [rig.ingest.admit(30_000) for _ in range(10)]
    assert [a is None for a in answers] == [True] * 3 + [False] * 7
    await rig.ingest.close()


async def test_a_disk_that_is_nearly_full_takes_nothing() -> None:
    free = [10]
    rig = Rig(free_bytes=lambda: free[0], reserve_bytes=100)
    rig.ingest.start()
    busy = rig.ingest.admit(10)
    assert busy is not None and "disk" in busy.reason and rig.ingest.shut() == busy
    with pytest.raises(StoreUnavailable, match="disk"):
        await rig.ingest.accept("p", [raw(new_trace_id())], [])
    assert rig.stored() == []
    assert rig.balanced()
    await rig.ingest.close()


@pytest.mark.parametrize(
    ("size_mb", "reserve_mb"), [(64, 16), (1_000, 250), (2_000, 256), (12_800, 256), (100_000, 2_000)]
)
def test_the_reserve_leaves_room_on_every_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size_mb: int, reserve_mb: int
) -> None:
    disk = SimpleNamespace(f_blocks=size_mb * 256, f_frsize=4096)
    monkeypatch.setattr("watchkeeper.pipeline.ingest.os.statvfs", lambda _path: disk)
    assert default_reserve(tmp_path) == reserve_mb * 1024 * 1024


async def test_it_commits_what_it_accepted_before_it_stops() -> None:
    rig = Rig()
    rig.ingest.start()
    tasks = [asyncio.create_task(rig.ingest.accept("p", [raw(new_trace_id())], [])) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await rig.ingest.close()
    await asyncio.gather(*tasks)
    assert len(rig.stored()) == 5
    assert rig.ingest.admit(1) is not None
    with pytest.raises(StoreUnavailable):
        await rig.ingest.accept("p", [raw(new_trace_id())], [])


async def test_a_log_is_of_the_trace_that_is_named_for_it() -> None:
    rig = Rig(trace_of=lambda record: record.trace_id or "f" * 32)
    rig.ingest.start()
    await rig.ingest.accept("p", [], [log(""), log("a" * 32)])
    assert [r.log.trace_id for r in rig.store.commits[0][1]] == ["f" * 32, "a" * 32]
    await rig.ingest.close()


async def test_arrival_is_the_time_of_the_commit(rig: Rig) -> None:
    rig.now = NOW + 77
    await rig.ingest.accept("p", [raw(new_trace_id())], [])
    assert rig.store.commits[0][0][0].received_ns == NOW + 77


def test_the_weight_of_a_record_follows_its_content() -> None:
    assert weight(raw("a" * 32, text="x" * 50_000)) > 50_000
    for body in ("x" * 50_000, ["x" * 25_000, {"a": {"b": ["x" * 25_000]}}]):
        assert weight(log("a" * 32, body=body)) > 50_000
    told = msgspec.structs.replace(raw("a" * 32), attributes={"messages": [{"text": "x" * 50_000}]})
    assert weight(told) > 50_000


async def test_a_clients_own_data_points_are_redacted_and_counted(rig: Rig) -> None:
    given = {"secret": "ann@example.com", "gen_ai.token.type": "input"}
    point = MetricPoint(
        "gen_ai.client.token.usage", "{token}", NOW, 5.0, 1, dict(given), {"service.name": "bot"}
    )
    await rig.ingest.accept("p", [], [], [point])
    (row,) = rig.store.metrics
    assert row.attributes == {"service.name": "bot", "secret": "[redacted]", "gen_ai.token.type": "input"}
    assert point.attributes == given and rig.balanced()


async def test_a_data_point_that_cannot_be_redacted_is_dropped_and_said_so() -> None:
    def broken(project: str, item: RawSpan | LogRecord) -> None:
        raise ValueError

    rig = Rig(redact=broken)
    rig.ingest.start()
    point = MetricPoint("cost", "USD", NOW, 5.0, 1, {"a": "b"}, {})
    await rig.ingest.accept("p", [], [], [point])
    assert rig.store.metrics == [] and rig.balanced()
    assert rig.ingest.faults["redaction"] == 1
    await rig.ingest.close()
