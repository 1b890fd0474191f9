"""From a change in the data to a message in a receiver's hands: crashes, outages, refusals."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.sinks import HttpSink
from tests.unit.pipeline.world import EPOCH, HOUR, Columns, Traffic, canary
from tests.waiting import until_async
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.egress import Egress, Policy
from watchkeeper.model.alert import Notification
from watchkeeper.notify import Permanent, RecordingChannel, Retry, WebhookChannel
from watchkeeper.notify.webhook import verify
from watchkeeper.pipeline.alert import Delivery
from watchkeeper.pipeline.backoff import backoff_ns
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.store.records import alerts, outbox
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

SECOND = 10**9


class Clock:
    """A clock that tests move."""

    def __init__(self, now: int = EPOCH) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    found = Records(f"sqlite:///{tmp_path}/r.db")
    metadata.create_all(found.engine)
    yield found
    found.close()


def message(name: str, at: int, group: str = "g", event: str = "firing", route: str = "hook") -> Notification:
    status = "resolved" if event == "resolved" else "firing"
    payload = {"status": status, "severity": "page", "summary": f"{group} {event}"}
    return Notification(
        name, "default", "a", group, route, event, f"{group} {event}", "text", payload, at, 0, at
    )


def queue(records: Records, *messages: Notification) -> None:
    for m in messages:
        records.write_now(lambda c, m=m: outbox.enqueue(c, m))


def statuses(records: Records) -> dict[str, str]:
    return {n.id: s for s, n in records.read_now(lambda c: outbox.find(c, "default"))}


def delivery(records: Records, clock: Clock, **channels: Any) -> Delivery:
    return Delivery(records, channels, clock, lambda: 0.5, fallback=("ops",))


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    made = HttpSink()
    await made.start()
    yield made
    await made.stop()


async def test_a_drop_in_quality_reaches_a_signed_webhook_once(records: Records, sink: HttpSink) -> None:
    columns = Columns()
    for h in range(204):
        columns.add(Traffic(canary(180, 192)).hour(h))
    monitor = Monitor(
        "relevance-down", "shift(relevance) = 'down'", "support-ml", "runbooks/r.md",
        by=("prompt_version",), routes=("hook",), severity="page",
    )  # fmt: skip
    clock = Clock()
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"))
    sender = delivery(records, clock, hook=WebhookChannel(egress, sink.url, "s3cret", clock))
    for hour in range(170, 205):
        clock.now = EPOCH + hour * HOUR + 600 * SECOND
        await Watcher(columns, records, [monitor]).tick(clock.now)  # type: ignore[arg-type]
        await sender.deliver_due()
    await egress.close()
    heard = [json.loads(body) for _, _, body in sink.seen]
    assert [h["event"] for h in heard] == ["firing", "resolved"]
    assert len({h["dedup_key"] for h in heard}) == 1
    first = heard[0]["alerts"][0]
    assert first["cohort"] == {"prompt_version": "v2"} and first["owner"] == "support-ml"
    assert first["moved"][0]["metric"] == "relevance" and first["moved"][0]["current_n"] > 0
    _, headers, body = sink.seen[0]
    stamp = int(headers["X-Watchkeeper-Timestamp"])
    assert verify("s3cret", stamp, body, headers["X-Watchkeeper-Signature"], now=stamp)


async def test_after_an_outage_each_group_hears_its_present_state_once(
    records: Records, sink: HttpSink
) -> None:
    clock = Clock()
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"))
    sender = delivery(records, clock, hook=WebhookChannel(egress, sink.url, None, clock))
    sink.script = [(503, {})]
    for minute in range(10):
        for group in ("g1", "g2", "g3"):
            event = "resolved" if group == "g1" and minute >= 8 else "firing" if minute == 0 else "updated"
            queue(records, message(f"{group}-{minute}", clock.now, group, event))
        for _ in range(6):
            await sender.deliver_due()
            clock.pass_s(10)
    assert sender.counts.delivered == 0 and sender.counts.retried > 5
    sink.script, sink.seen = [(200, {})], []
    for _ in range(40):
        await sender.deliver_due()
        clock.pass_s(10)
    await egress.close()
    heard = [json.loads(body) for _, _, body in sink.seen]
    assert sorted(h["dedup_key"] for h in heard) == ["g1", "g2", "g3"]
    assert {h["dedup_key"]: h["event"] for h in heard} == {"g1": "resolved", "g2": "updated", "g3": "updated"}
    assert set(statuses(records).values()) == {"delivered", "superseded"}


async def test_a_crash_after_sending_sends_again_under_the_same_key(records: Records) -> None:
    clock, channel = Clock(), RecordingChannel()
    sender = delivery(records, clock, hook=channel)
    queue(records, message("n1", clock.now))

    class Crash(BaseException):
        pass

    real = records.write

    async def dying(work: Any) -> Any:
        if channel.sent:
            raise Crash
        return await real(work)

    records.write = dying  # type: ignore[method-assign]
    with pytest.raises(Crash):
        await sender.deliver_due()
    records.write = real  # type: ignore[method-assign]
    assert await sender.deliver_due() == 0  # the lease still holds
    clock.pass_s(61)
    assert await sender.deliver_due() == 1
    assert [(n.id, n.dedup_key) for n in channel.sent] == [("n1", "g"), ("n1", "g")]
    clock.pass_s(3600)
    assert await sender.deliver_due() == 0


async def test_many_workers_send_a_message_once(records: Records) -> None:
    clock, channel = Clock(), RecordingChannel()
    queue(records, *(message(f"n{i}", clock.now, f"g{i}") for i in range(20)))
    await asyncio.gather(*(delivery(records, clock, hook=channel).deliver_due() for _ in range(5)))
    assert sorted(n.id for n in channel.sent) == sorted(f"n{i}" for i in range(20))


async def test_a_permanent_refusal_becomes_an_alert_about_ourselves(records: Records) -> None:
    clock, ops = Clock(), RecordingChannel()
    sender = delivery(
        records, clock, hook=RecordingChannel([Permanent("the receiver answered 410")]), ops=ops
    )
    queue(records, message("n1", clock.now))
    await sender.deliver_due()
    await sender.deliver_due()
    assert statuses(records)["n1"] == "dead"
    (complaint,) = ops.sent
    assert complaint.event == "delivery_failed" and "410" in complaint.text and "hook" in complaint.subject
    (own,) = records.read_now(lambda c: alerts.find(c, "default"))
    assert own.monitor == "watchkeeper.delivery" and own.owner and own.runbook


async def test_an_undeliverable_complaint_is_not_complained_about(records: Records) -> None:
    clock = Clock()
    sender = delivery(records, clock, ops=RecordingChannel([Permanent("gone")] * 9))
    queue(records, message("n1", clock.now, route="nowhere"))
    for _ in range(5):
        await sender.deliver_due()
        clock.pass_s(400)
    assert sorted(statuses(records).values()) == ["dead", "dead"]


async def test_a_route_nobody_configured_is_named(records: Records) -> None:
    clock, ops = Clock(), RecordingChannel()
    queue(records, message("n1", clock.now, route="slakc"))
    sender = delivery(records, clock, ops=ops)
    await sender.deliver_due()
    await sender.deliver_due()
    assert "no route named 'slakc' (configured: ops)" in ops.sent[0].text


async def test_it_gives_up_after_a_day_and_says_so(records: Records) -> None:
    clock, ops = Clock(), RecordingChannel()
    sender = delivery(records, clock, hook=RecordingChannel([Retry("down")] * 2000), ops=ops)
    queue(records, message("n1", clock.now))
    for _ in range(400):
        await sender.deliver_due()
        clock.pass_s(301)
    assert statuses(records)["n1"] == "dead"
    assert "given up after" in ops.sent[0].text


async def test_a_channel_that_raises_or_hangs_does_not_stop_the_others(records: Records) -> None:
    class Broken:
        async def send(self, notification: Notification) -> Any:
            raise RuntimeError("bug")

    class Hanging:
        async def send(self, notification: Notification) -> Any:
            await asyncio.sleep(60)

    clock, good = Clock(), RecordingChannel()
    sender = delivery(records, clock, broken=Broken(), hanging=Hanging(), good=good)
    sender.send_timeout_s = 0.05
    for route in ("broken", "hanging", "good"):
        queue(records, message(f"n-{route}", clock.now, route, route=route))
    await sender.deliver_due()
    assert [n.id for n in good.sent] == ["n-good"]
    assert (sender.counts.retried, sender.counts.errors) == (2, 1)
    c = sender.counts
    assert c.claimed == c.delivered + c.retried + c.dead


async def test_the_receivers_wish_to_wait_is_respected(records: Records) -> None:
    clock, channel = Clock(), RecordingChannel([Retry("busy", after_s=120.0)])
    sender = delivery(records, clock, hook=channel)
    queue(records, message("n1", clock.now))
    await sender.deliver_due()
    clock.pass_s(119)
    assert await sender.deliver_due() == 0
    clock.pass_s(2)
    assert await sender.deliver_due() == 1 and len(channel.sent) == 1


def test_waits_double_with_jitter_up_to_five_minutes() -> None:
    assert [backoff_ns(n, 0.0) / SECOND for n in (1, 2, 3, 20, 10_000)] == [0.5, 1.0, 2.0, 150.0, 150.0]
    assert [backoff_ns(n, 0.999999999) / SECOND for n in (1, 20)] == pytest.approx([1.0, 300.0])
    assert backoff_ns(1, 0.0, after_s=10_000) == 300 * SECOND


async def test_a_heartbeat_goes_out_once_an_interval(records: Records) -> None:
    clock, channel = Clock(), RecordingChannel()
    sender = delivery(records, clock, deadman=channel)
    for _ in range(30):
        await sender.heartbeat("default", ("deadman",), 300 * SECOND)
        await sender.deliver_due()
        clock.pass_s(20)
    assert [n.event for n in channel.sent] == ["heartbeat"] * len(channel.sent)
    assert 2 <= len(channel.sent) <= 3


async def test_the_loop_wakes_delivers_and_outlives_a_failing_database(records: Records) -> None:
    clock, channel = Clock(), RecordingChannel()
    sender = delivery(records, clock, hook=channel)
    real, failures = records.write, 2

    async def flaky(work: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("disk")
        return await real(work)

    records.write = flaky  # type: ignore[method-assign]
    task = asyncio.create_task(sender.run(poll_s=0.01))
    queue(records, message("n1", clock.now))
    sender.wake.set()
    await until_async(lambda: channel.sent)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(channel.sent) == 1 and sender.counts.errors == 2
