"""Delivery: nothing lost that need not be, everything lost counted, the application never held up."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from google.rpc.status_pb2 import Status as Refusal
from opentelemetry.trace import Link, Status, StatusCode

import watchkeeper
from tests.serving import free_port
from tests.unit.sdk.receiver import Receiver
from watchkeeper.sdk import stats
from watchkeeper.sdk.client import client
from watchkeeper.sdk.encode import refusal
from watchkeeper.sdk.exporter import Exporter
from watchkeeper.sdk.parcel import Parcel
from watchkeeper.sdk.spool import Spool


def make(count: int, prefix: str = "s", text: str = "") -> None:
    for number in range(count):
        with watchkeeper.span(f"{prefix}{number}") as step:
            if text:
                step.set("text", text)


def exporter() -> Exporter:
    made = client().exporter
    assert made is not None
    return made


def names(receiver: Receiver) -> set[str]:
    return {span.name for span in receiver.spans}


def test_it_sends_by_itself_with_key_project_and_resource(start: Any, receiver: Receiver) -> None:
    start(api_key="wk_test", project="shop", environment="prod", release="1.2", headers={"x-more": "1"})
    make(3)
    assert receiver.wait(lambda: len(receiver.spans) == 3)
    assert receiver.headers[0]["authorization"] == "Bearer wk_test"
    assert receiver.headers[0]["x-watchkeeper-project"] == "shop"
    assert receiver.headers[0]["x-more"] == "1"
    resource = receiver.resources[0]
    assert resource["watchkeeper.project"] == "shop"
    assert resource["deployment.environment.name"] == "prod"
    assert resource["service.version"] == "1.2"
    assert len(resource["watchkeeper.sdk.instance"]) == 32
    assert "watchkeeper.dropped_spans" not in resource


def test_it_sends_large_batches_compressed_and_complete(start: Any, receiver: Receiver) -> None:
    start(max_batch_spans=100)
    make(1000, text="x" * 300)
    assert watchkeeper.flush(20)
    assert len(receiver.spans) == 1000
    assert len(names(receiver)) == 1000
    assert any(head.get("content-encoding") == "gzip" for head in receiver.headers)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_it_tries_again_until_the_server_recovers(start: Any, receiver: Receiver, status: int) -> None:
    start()
    receiver.script.statuses = [status, status]
    make(5)
    assert receiver.wait(lambda: len(receiver.spans) == 5)
    assert receiver.requests >= 3
    assert stats()["dropped_spans"] == {}


def test_it_waits_as_long_as_the_server_asks(start: Any, receiver: Receiver) -> None:
    start()
    receiver.script.statuses, receiver.script.headers = [503], {"Retry-After": "0"}
    make(1)
    assert receiver.wait(lambda: len(receiver.spans) == 1)
    exporter()._back_off(None)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_is_refused_for_good_is_counted_and_reported(
    start: Any, receiver: Receiver, status: int
) -> None:
    start()
    receiver.script.statuses = [status]
    make(4, "lost")
    watchkeeper.flush()
    assert stats()["dropped_spans"] == {f"refused_{status}": 4}
    make(1, "kept")
    assert watchkeeper.flush()
    assert names(receiver) == {"kept0"}
    assert receiver.dropped == 4


def test_a_batch_that_is_too_large_is_split_until_it_fits(start: Any, receiver: Receiver) -> None:
    start()
    receiver.script.limit = 5000
    make(40, text="y" * 500)
    assert watchkeeper.flush(20)
    assert len(names(receiver)) == 40
    make(1, "giant", "z" * 9000)
    watchkeeper.flush()
    assert stats()["dropped_spans"] == {"refused_413": 1}


def test_a_poisonous_batch_does_not_hold_up_the_others(start: Any, receiver: Receiver) -> None:
    start()
    receiver.script.poison = "poison"
    with watchkeeper.span("poison"):
        pass
    watchkeeper.flush()
    for number in range(6):
        make(1, f"fine{number}-")
        watchkeeper.flush()
    assert len(names(receiver)) == 6
    assert stats()["dropped_spans"] == {"refused_500": 1}


def test_spans_the_server_rejects_are_counted(start: Any, receiver: Receiver) -> None:
    start()
    receiver.script.rejected = 2
    make(5)
    assert watchkeeper.flush()
    assert stats()["rejected_spans"] == 2


def test_drops_are_counted_exactly_and_told_with_the_next_success(start: Any, receiver: Receiver) -> None:
    start(max_queue_spans=50)
    receiver.script.hang = threading.Event()
    make(1, "first")
    assert receiver.wait(lambda: receiver.requests == 1)
    make(250, "more")
    outcome = stats()
    assert outcome["dropped_spans"] == {"queue_full": 200}
    receiver.script.hang.set()
    assert receiver.wait(lambda: len(receiver.spans) == 51)
    assert receiver.wait(lambda: receiver.dropped == 200)
    assert outcome["accepted_spans"] == len(receiver.spans) + receiver.dropped


def test_the_drop_count_arrives_even_when_no_span_follows(start: Any, receiver: Receiver) -> None:
    start(flush_interval=30)
    make(1)
    assert watchkeeper.flush()
    receiver.script.statuses = [400]
    make(7)
    watchkeeper.flush()
    make(0)
    watchkeeper.flush()
    assert receiver.wait(lambda: receiver.dropped == 7)
    assert len(receiver.spans) == 1


def test_memory_is_bounded_by_bytes_while_the_server_is_away(start: Any) -> None:
    import tracemalloc

    start(f"http://127.0.0.1:{free_port()}")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(3000):
        with watchkeeper.span("s", kind="llm") as step:
            step.input(f"{number} " + "ä" * 20_000).output("b" * 20_000)
    now, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert now - before < 32 * 1024 * 1024
    assert stats()["dropped_spans"]["queue_full"] > 1000
    assert stats()["accepted_spans"] == 3000


def test_the_weight_of_a_span_is_not_underestimated(start: Any) -> None:
    import tracemalloc

    start(f"http://127.0.0.1:{free_port()}", flush_interval=60, max_queue_spans=20_000)
    make(10)
    own = exporter()
    tracemalloc.start()
    before, queued = tracemalloc.get_traced_memory()[0], own._bytes
    for number in range(100):
        with watchkeeper.span(f"chat{number}", kind="llm", model="m", provider="p") as step:
            step.input(f"q{number}" * 50).output(f"a{number}" * 50).usage(1, 2).finish("stop")
    measured, estimated = tracemalloc.get_traced_memory()[0] - before, own._bytes - queued
    tracemalloc.stop()
    assert measured < estimated * 1.5
    assert estimated < measured * 3


def test_a_huge_text_is_cut_with_a_mark_wherever_it_comes_from(start: Any, receiver: Receiver) -> None:
    provider = start()
    huge = "x" * 50_000_000
    with watchkeeper.span("ours", kind="llm") as step:
        step.input(huge).set("more", huge)
    tracer = provider.get_tracer("foreign")
    with tracer.start_as_current_span("theirs") as foreign:
        foreign.set_attribute("big", huge)
        foreign.set_attribute("wide", "ü" * 3_000_000)
    linked = Link(foreign.get_span_context(), {"why": huge})
    with tracer.start_as_current_span("SELECT " + huge, links=[linked]) as foreign:
        foreign.add_event(huge)
        foreign.set_status(Status(StatusCode.ERROR, huge))
    # A megabyte of each text, and of what is named by a long statement as much as it is long.
    assert 8_000_000 < exporter()._bytes < 20_000_000
    del huge
    assert watchkeeper.flush(30)
    for span in receiver.spans:
        for value in (span.name, span.message, span.events, *span.attributes.values()):
            assert len(str(value)) < 1_100_000
    assert "truncated 49000000 characters" in receiver.span("theirs").attributes["big"]


def test_attributes_nobody_can_encode_cost_nothing_but_themselves(start: Any, receiver: Receiver) -> None:
    provider = start()

    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    cycle: dict[str, Any] = {}
    cycle["me"] = cycle
    with watchkeeper.span("odd") as step:
        step.set("bad", Bad()).set("cycle", cycle).set("lone", "a\ud800b").set("bytes", b"\xff").set(
            "nan", float("nan")
        )
        step.set("big", 10**30).set("\ud800key", 1).set("", 1).set(None, 1).input(Bad()).output(cycle)  # type: ignore[arg-type]
        step.usage("many", -1).finish(Bad()).llm(model=Bad()).documents(5).error(Bad())  # type: ignore[arg-type]
    with provider.get_tracer("x").start_as_current_span("foreign \ud800") as foreign:
        foreign.set_attribute("lone", "\udfff")
    make(1, "fine")
    assert watchkeeper.flush()
    assert len(receiver.spans) == 3
    assert receiver.span("odd").attributes["lone"] == "a�b"


@pytest.mark.parametrize("where", ["refused", "black hole", "name", "tls"])
def test_an_unreachable_server_costs_the_application_nothing(
    start: Any, receiver: Receiver, where: str, dead_port: int
) -> None:
    endpoint = {
        "refused": f"http://127.0.0.1:{free_port()}",
        "black hole": f"http://127.0.0.1:{dead_port}",
        "name": "http://does-not-exist.invalid:4318",
        "tls": receiver.url.replace("http:", "https:"),
    }[where]
    start(endpoint)

    @watchkeeper.trace
    def answer(question: str) -> str:
        return question

    for number in range(300):
        assert answer(f"q{number}") == f"q{number}"
    assert watchkeeper.feedback("a" * 32, rating="up")
    assert not watchkeeper.flush(0.2)
    assert stats()["accepted_spans"] == 300


def test_flush_and_shutdown_keep_to_their_time(start: Any, dead_port: int) -> None:
    start(f"http://127.0.0.1:{dead_port}", timeout=300)
    make(10)
    done = threading.Event()

    def leave() -> None:
        watchkeeper.flush(0.1)
        watchkeeper.shutdown(0.3)
        done.set()

    threading.Thread(target=leave, daemon=True).start()
    assert done.wait(60)


def test_spans_after_shutdown_are_counted_not_kept(start: Any, receiver: Receiver) -> None:
    start()
    make(2)
    watchkeeper.shutdown()
    assert len(receiver.spans) == 2
    make(3)
    assert stats()["dropped_spans"] == {"closed": 3}


def test_init_again_moves_to_the_new_server(start: Any, receiver: Receiver) -> None:
    other = Receiver()
    try:
        start()
        make(1, "old")
        start(other.url)
        make(1, "new")
        assert watchkeeper.flush()
        assert names(receiver) == {"old0"}
        assert names(other) == {"new0"}
    finally:
        other.close()


def test_many_threads_lose_and_double_nothing(start: Any, receiver: Receiver) -> None:
    start()
    threads = [threading.Thread(target=make, args=(100, f"t{n}-")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watchkeeper.flush(20)
    assert len(receiver.spans) == len(names(receiver)) == 800


def test_a_forked_child_sends_its_own_spans_and_the_parent_its_own(start: Any, receiver: Receiver) -> None:
    start(flush_interval=60)
    make(2, "parent-before")
    child = os.fork()
    if child == 0:
        try:
            make(3, "child")
            os._exit(0 if watchkeeper.flush(10) else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    make(1, "parent-after")
    assert watchkeeper.flush()
    assert sorted(span.name for span in receiver.spans) == [
        "child0", "child1", "child2", "parent-after0", "parent-before0", "parent-before1",
    ]  # fmt: skip
    assert len({resource["watchkeeper.sdk.instance"] for resource in receiver.resources}) == 2


# --- spool --------------------------------------------------------------------------------------------


def test_an_outage_with_spool_loses_nothing(start: Any, receiver: Receiver, tmp_path: Path) -> None:
    port = free_port()
    start(f"http://127.0.0.1:{port}", spool_dir=tmp_path, max_queue_spans=100, max_batch_spans=20)
    for batch in range(10):
        make(60, f"b{batch}-")
        watchkeeper.flush(5)
    watchkeeper.feedback("a" * 32, rating=1)
    watchkeeper.flush(5)
    assert list(tmp_path.glob("*.wkspool"))
    assert stats()["dropped_spans"] == {}
    back = Receiver(port)
    try:
        assert back.wait(lambda: len(back.spans) >= 600 and len(back.posts) == 1)
        assert len(names(back)) == 600
        assert back.wait(lambda: not list(tmp_path.iterdir()))
    finally:
        back.close()


def test_spans_left_at_exit_wait_in_the_spool_for_the_next_process(
    start: Any, receiver: Receiver, tmp_path: Path, dead_port: int
) -> None:
    start(f"http://127.0.0.1:{dead_port}", spool_dir=tmp_path)
    make(5, "early")
    time.sleep(0.15)
    make(5, "late")
    watchkeeper.shutdown(0.3)
    assert stats()["spooled_spans"] == 10
    start(spool_dir=tmp_path)
    assert receiver.wait(lambda: len(receiver.spans) == 10)
    assert len(names(receiver)) == 10


def test_a_request_that_hangs_does_not_stop_the_spool(start: Any, tmp_path: Path, dead_port: int) -> None:
    start(
        f"http://127.0.0.1:{dead_port}",
        spool_dir=tmp_path,
        timeout=300,
        max_queue_spans=200,
        max_batch_spans=20,
    )
    until = time.monotonic() + 120  # a guard against a hang
    made = 0
    while made < 2000 and time.monotonic() < until:
        if len(exporter()._queue) < 180:
            make(10, f"n{made}-")
            made += 10
        else:
            time.sleep(0.01)
    assert made == 2000
    assert stats()["dropped_spans"] == {}
    assert stats()["spooled_spans"] >= 1500


def test_beyond_the_spools_cap_the_count_is_exact(start: Any, tmp_path: Path) -> None:
    port = free_port()
    start(
        f"http://127.0.0.1:{port}", spool_dir=tmp_path, spool_max_bytes=20_000, max_queue_spans=50, max_batch_spans=10,
        redact=False,
    )  # fmt: skip
    for batch in range(30):
        make(40, f"b{batch}-", text=os.urandom(200).hex())
        watchkeeper.flush(5)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert stats()["dropped_spans"]["queue_full"] > 0
    back = Receiver(port)
    try:
        assert back.wait(lambda: len(names(back)) + back.dropped == 1200), (
            len(names(back)),
            back.dropped,
        )
        assert len(back.spans) == len(names(back))
    finally:
        back.close()


def test_several_processes_keep_one_spool_below_its_cap(tmp_path: Path) -> None:
    spools = [Spool(tmp_path, 100_000) for _ in range(8)]
    parcels = [Parcel("/v1/traces", bytes(700), "x", spans=1, dropped=n) for n in range(40)]
    kept = sum(spool.put(parcel) for parcel in parcels for spool in spools)
    assert 85_000 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000
    assert kept == len(list(tmp_path.iterdir()))
    # How many were lost is told all the same.
    assert spools[0].put(Parcel("/v1/traces", bytes(200), "x", dropped=7))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000


def test_what_was_lost_is_told_by_the_next_process_where_the_spool_is_full(
    start: Any, receiver: Receiver, tmp_path: Path
) -> None:
    start(
        f"http://127.0.0.1:{free_port()}", spool_dir=tmp_path, spool_max_bytes=20_000, max_queue_spans=50,
        max_batch_spans=10, redact=False,
    )  # fmt: skip
    for batch in range(20):
        make(40, f"b{batch}-", text=os.urandom(200).hex())
        watchkeeper.flush(5)
    watchkeeper.shutdown()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    start(spool_dir=tmp_path)
    assert receiver.wait(lambda: len(names(receiver)) + receiver.dropped == 800), (
        len(names(receiver)), receiver.dropped,
    )  # fmt: skip


def test_a_damaged_spool_file_is_set_aside(start: Any, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001-x.wkspool").write_bytes(b"WKSPOOL1\n{broken")
    (tmp_path / "00000000000000000002-y.wkspool").write_bytes(b"")
    start(spool_dir=tmp_path)
    make(1)
    assert watchkeeper.flush()
    assert receiver.wait(lambda: len(list(tmp_path.glob("*.bad"))) == 2)
    assert len(receiver.spans) == 1


def test_files_set_aside_count_and_give_way(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number:020d}-x.bad").write_bytes(bytes(10_000))
    spool = Spool(tmp_path, 50_000)
    parcel = Parcel("/v1/traces", bytes(8_000), "x", spans=1)
    kept = [spool.put(parcel) for _ in range(8)]
    assert kept == [True] * 5 + [False] * 3
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 50_000
    assert not list(tmp_path.glob("*.bad")), "the oldest go first, and all of them before anything is lost"


def test_what_a_process_that_died_half_wrote_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 50_000)
    for name, age in (("1-old.part", 10 * Spool.CLAIM_SECONDS), ("2-new.part", 0.0)):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    assert spool.take() is None
    assert [p.name for p in tmp_path.iterdir()] == ["2-new.part"]


def test_a_spool_folder_that_cannot_be_used_is_logged(
    start: Any, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    start(spool_dir=tmp_path / "file")
    make(1)
    assert watchkeeper.flush()
    assert "spool folder cannot be used" in caplog.text


def test_spool_files_are_private(tmp_path: Path) -> None:
    from watchkeeper.sdk.parcel import Parcel

    spool = Spool(tmp_path / "spool", 10_000)
    assert spool.put(Parcel("/v1/traces", b"body", "application/x-protobuf", spans=1))
    assert (tmp_path / "spool").stat().st_mode & 0o77 == 0
    assert next((tmp_path / "spool").iterdir()).stat().st_mode & 0o77 == 0
    assert not spool.put(Parcel("/v1/traces", b"b" * 20_000, "x"))
    claimed = spool.take()
    assert claimed is not None
    assert claimed[1].body == b"body"
    assert spool.take() is None
    spool.release(claimed[0])
    assert spool.take() is not None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Refusal(code=16, message="this needs an API key\n" + "x" * 100).SerializeToString(), "this needs an API key " + "x" * 100),
        (b"<html>\n  Bad gateway</html>", "<html> Bad gateway</html>"),
        (b"", ""),
    ],
)  # fmt: skip
def test_what_a_refusal_says_is_one_line_of_words(answer: bytes, said: str) -> None:
    assert refusal(answer) == said


def test_all_that_is_lost_at_exit_is_said(
    start: Any, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.script.status = 503
    start(max_queue_spans=20, max_batch_spans=5, flush_interval=30)
    watchkeeper.feedback("ab" * 16, rating="up")
    made = exporter()
    with made._lock:  # pyright: ignore[reportPrivateUsage]  nothing is taken from the queue meanwhile
        make(30)
    watchkeeper.shutdown(0.3)
    dropped = stats()["dropped_spans"]["queue_full"]  # type: ignore[index]
    lost = f"{30 - dropped} spans and 1 report (feedback, scores) were not delivered before exit, and {dropped} spans had"
    assert dropped > 0 and lost in caplog.text
    assert "the queue is full; what is new is dropped and counted" in caplog.text


def test_a_key_of_ours_takes_the_place_of_another_backends(
    start: Any, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20other,x-more=1")
    start(api_key="wk_test")
    assert exporter().headers == {
        "User-Agent": "watchkeeper-sdk-python", "x-more": "1", "Authorization": "Bearer wk_test"
    }  # fmt: skip


def test_where_a_server_has_moved_to_is_said(
    start: Any, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.script.status = 308
    receiver.script.headers = {"Location": "https://elsewhere.example/v1/traces"}
    start()
    make(1)
    watchkeeper.flush(20)
    assert receiver.wait(lambda: "elsewhere.example" in caplog.text)


def test_an_http_request_to_the_port_of_grpc_is_explained(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # Nobody can be there: a port of another machine's loopback, whose host does not exist.
    start("http://nosuch.invalid:4317")
    make(1)
    watchkeeper.flush(20)
    assert "usually speaks gRPC" in caplog.text


def test_what_a_full_spool_does_not_take_at_exit_is_said(
    start: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start("http://127.0.0.1:9", spool_dir=tmp_path / "s", spool_max_bytes=10)
    make(3)
    watchkeeper.shutdown(0.3)
    assert "the spool takes no more, what waited at exit is lost: 3 spans or reports" in caplog.text


def test_an_environment_that_opentelemetry_refuses_stays_out_of_the_application(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("watchkeeper.sdk.client._own_provider", None)
    monkeypatch.setattr("watchkeeper.sdk.client.otel.get_tracer_provider", lambda: None)
    monkeypatch.setattr("watchkeeper.sdk.client._client", None)
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1")
    watchkeeper.init("http://127.0.0.1:9")
    with watchkeeper.span("goes on"):
        pass
    assert "OTEL_SPAN_EVENT_COUNT_LIMIT" in caplog.text and not stats()["enabled"]
