"""What @trace and span record for every kind of function."""

import asyncio
import contextlib
import functools
import gc
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

import watchkeeper
from tests.unit.sdk.receiver import Receiver
from watchkeeper import session, span, trace
from watchkeeper.sdk import client, keys


def test_it_records_a_plain_function_with_and_without_parentheses(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace
    def bare(question: str) -> str:
        return f"re: {question}"

    @sdk.trace(scenario="support", name="answer", user_id="u1", prompt=("greet", "v7"), variant="b")
    def full(question: str, k: int = 3) -> dict[str, int]:
        return {"k": k}

    assert bare("hello") == "re: hello"
    assert full("hi", k=4) == {"k": 4}
    assert sdk.flush()
    one = receiver.span("test_it_records_a_plain_function_with_and_without_parentheses.bare")
    assert one.attributes == {"watchkeeper.input": "hello", "watchkeeper.output": "re: hello"}
    two = receiver.span("answer").attributes
    assert json.loads(two["watchkeeper.input"]) == {"question": "hi", "k": 4}
    assert json.loads(two["watchkeeper.output"]) == {"k": 4}
    assert two["watchkeeper.scenario"] == "support"
    assert two["user.id"] == "u1"
    assert two["gen_ai.prompt.name"] == "greet"
    assert two["watchkeeper.prompt.version"] == "v7"
    assert two["watchkeeper.variant"] == "b"


def test_it_keeps_name_signature_and_docstring_of_the_function(sdk: Any) -> None:
    @sdk.trace(scenario="s")
    def f(a: int, b: str = "x") -> None:
        """Does f."""

    assert f.__doc__ == "Does f."
    assert f.__name__ == "f"
    assert asyncio.iscoroutinefunction(f) is False


def test_it_takes_user_and_session_from_the_arguments(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(
        name="t", user_id=lambda question, user: user["id"], session_id=lambda question, user: user["chat"]
    )
    def f(question: str, user: dict[str, str]) -> None: ...

    f("q", {"id": "u9", "chat": "c9"})
    sdk.flush()
    got = receiver.span("t").attributes
    assert got["user.id"] == "u9"
    assert got["gen_ai.conversation.id"] == "c9"


def test_it_runs_the_function_even_when_its_own_settings_raise(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="t", user_id=lambda: 1 / 0)
    def f(x: str) -> str:
        return x

    assert f("ok") == "ok"
    sdk.flush()
    assert receiver.span("t").status == 0


def test_it_works_on_methods_static_and_class_methods(sdk: Any, receiver: Receiver) -> None:
    class Bot:
        @sdk.trace(name="method")
        def a(self, q: str) -> str:
            return q

        @sdk.trace(name="class")
        @classmethod
        def b(cls, q: str) -> str:
            return q

        @sdk.trace(name="static")
        @staticmethod
        def c(q: str) -> str:
            return q

    assert (Bot().a("1"), Bot.b("2"), Bot.c("3"), Bot().c("3")) == ("1", "2", "3", "3")
    sdk.flush()
    assert receiver.span("method").attributes["watchkeeper.input"] == "1"
    assert receiver.span("class").attributes["watchkeeper.input"] == "2"


def test_it_marks_the_span_failed_and_raises_the_same_exception(sdk: Any, receiver: Receiver) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text for you")

    error = Broken()

    @sdk.trace(name="t")
    def f() -> None:
        raise error

    with pytest.raises(Broken) as caught:
        f()
    assert caught.value is error
    sdk.flush()
    span = receiver.span("t")
    assert span.status == 2
    assert span.attributes["error.type"].endswith("Broken")
    assert span.events[0][0] == "exception"
    assert "test_trace.py" in span.events[0][1]["exception.stacktrace"]


async def test_it_records_async_functions_and_cancellation(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="fine")
    async def fine(q: str) -> str:
        await asyncio.sleep(0)
        return q.upper()

    @sdk.trace(name="slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    assert asyncio.iscoroutinefunction(fine)
    assert await fine("a") == "A"
    task = asyncio.create_task(slow())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sdk.flush()
    assert receiver.span("fine").attributes["watchkeeper.output"] == "A"
    assert receiver.span("slow").attributes["error.type"].endswith("CancelledError")


def test_it_keeps_a_generators_span_open_until_it_ends(sdk: Any, receiver: Receiver) -> None:
    inside: list[str] = []

    @sdk.trace(name="gen")
    def words() -> Iterator[str]:
        inside.append(sdk.current_trace_id())
        yield "Hello"
        with sdk.span("step"):
            yield " "
            with sdk.span("deep"):
                pass
        yield "you"

    with sdk.span("consumer") as consumer:
        got = []
        for word in words():
            got.append(word)
            # The consumer's own spans are not children of the generator.
            assert sdk.current_span() is consumer
            with sdk.span("use"):
                pass
    assert "".join(got) == "Hello you"
    sdk.flush()
    span = receiver.span("gen")
    assert span.attributes["watchkeeper.output"] == "Hello you"
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert span.parent_id == consumer.span_id
    assert receiver.span("step").parent_id == span.span_id
    assert receiver.span("deep").parent_id == receiver.span("step").span_id
    assert {s.parent_id for s in receiver.spans if s.name == "use"} == {consumer.span_id}
    assert inside == [consumer.trace_id]


def test_it_passes_send_throw_return_and_close_through(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="echo")
    def echo() -> Any:
        got = yield "ready"
        try:
            yield f"got {got}"
        except KeyError:
            yield "caught"
        return 42

    generator = echo()
    assert next(generator) == "ready"
    assert generator.send("x") == "got x"
    assert generator.throw(KeyError("k")) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == 42
    closed = echo()
    next(closed)
    closed.close()
    sdk.flush()
    whole, partial = [s for s in receiver.spans if s.name == "echo"]
    assert "watchkeeper.partial" not in whole.attributes
    assert partial.attributes["watchkeeper.partial"] is True
    assert partial.attributes["watchkeeper.output"] == "ready"
    assert partial.status == 0


def test_it_records_what_a_failing_generator_gave_before(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="gen")
    def broken() -> Iterator[str]:
        yield "half an "
        raise ValueError("cut")

    with pytest.raises(ValueError, match="cut"):
        list(broken())
    sdk.flush()
    span = receiver.span("gen")
    assert span.attributes["watchkeeper.output"] == "half an "
    assert span.attributes["error.type"] == "ValueError"


def test_it_ends_the_span_of_an_abandoned_generator(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="gen")
    def endless() -> Iterator[str]:
        while True:
            yield "x"

    next(endless())
    gc.collect()
    sdk.flush()
    assert receiver.span("gen").attributes["watchkeeper.partial"] is True


async def test_it_records_async_generators(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="agen", kind="llm")
    async def words() -> AsyncIterator[str]:
        yield "Hello"
        await asyncio.sleep(0.01)
        with sdk.span("inner"):
            yield " you"

    with sdk.span("outer") as outer:
        got = [word async for word in words()]
        stopped = words()
        await anext(stopped)
        await stopped.aclose()
        assert sdk.current_span() is outer
    assert got == ["Hello", " you"]
    sdk.flush()
    whole, partial = [s for s in receiver.spans if s.name == "agen"]
    assert json.loads(whole.attributes["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Hello you"
    assert whole.attributes["watchkeeper.time_per_output_token"] >= 0.01
    assert partial.attributes["watchkeeper.partial"] is True
    assert receiver.span("inner").parent_id == whole.span_id


async def test_it_keeps_concurrent_tasks_apart(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="turn")
    async def turn(number: int) -> None:
        with sdk.session(f"chat-{number}"), sdk.span(f"step-{number}"):
            await asyncio.sleep(0.001 * (number % 3))
            async with sdk.span(f"leaf-{number}"):
                await asyncio.sleep(0)

    await asyncio.gather(*(turn(n) for n in range(20)))
    sdk.flush()
    for n in range(20):
        step, leaf = receiver.span(f"step-{n}"), receiver.span(f"leaf-{n}")
        assert leaf.parent_id == step.span_id
        assert leaf.attributes["gen_ai.conversation.id"] == f"chat-{n}"


def test_it_collects_items_that_are_not_text(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(name="rows")
    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        yield {"a": 2}

    assert list(rows()) == [{"a": 1}, {"a": 2}]
    sdk.flush()
    assert json.loads(receiver.span("rows").attributes["watchkeeper.output"]) == [{"a": 1}, {"a": 2}]


def test_session_and_variant_reach_every_span_inside_and_none_outside(sdk: Any, receiver: Receiver) -> None:
    with sdk.session("s1", user_id="u1"), sdk.variant("b", feature_flags={"rerank": True}):
        with sdk.span("a"), sdk.span("b"):
            pass
        with sdk.session("s2"), sdk.span("c"):
            pass
    with sdk.span("d"):
        pass
    sdk.flush()
    for name in "ab":
        got = receiver.span(name).attributes
        assert got["gen_ai.conversation.id"] == "s1"
        assert got["user.id"] == "u1"
        assert got["watchkeeper.variant"] == "b"
        assert got["watchkeeper.flag.rerank"] == "true"
    assert receiver.span("c").attributes["gen_ai.conversation.id"] == "s2"
    assert receiver.span("c").attributes["watchkeeper.variant"] == "b"
    assert receiver.span("d").attributes == {}


def test_propagate_carries_span_and_session_into_threads(sdk: Any, receiver: Receiver) -> None:
    def work(n: int) -> int:
        with sdk.span(f"w{n}"):
            return n

    with ThreadPoolExecutor(4) as pool, sdk.session("s"), sdk.span("parent") as parent:
        assert list(pool.map(sdk.propagate(work), range(20))) == list(range(20))
        pool.submit(work, 99).result()
    sdk.flush()
    for n in range(20):
        span = receiver.span(f"w{n}")
        assert span.parent_id == parent.span_id
        assert span.attributes["gen_ai.conversation.id"] == "s"
    assert receiver.span("w99").parent_id == ""


def test_it_joins_an_existing_provider_and_sees_other_peoples_spans(
    start: Callable[..., Any], receiver: Receiver
) -> None:
    import watchkeeper

    provider = start()
    foreign = provider.get_tracer("some.library")
    with watchkeeper.session("s"), watchkeeper.span("ours") as ours, foreign.start_as_current_span("theirs"):
        assert watchkeeper.current_trace_id() == ours.trace_id
    start(tracer_provider=provider)
    with foreign.start_as_current_span("again"):
        pass
    watchkeeper.flush()
    assert receiver.wait(lambda: len(receiver.spans) >= 3)
    theirs = receiver.span("theirs")
    assert theirs.parent_id == ours.span_id
    assert theirs.scope == "some.library"
    assert theirs.attributes["gen_ai.conversation.id"] == "s"
    assert receiver.span("again").parent_id == ""


def test_a_share_of_traces_is_recorded_whole_and_says_how_likely_that_was(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_own_provider", None)
    monkeypatch.setattr(otel, "get_tracer_provider", otel.ProxyTracerProvider)
    monkeypatch.setattr(otel, "set_tracer_provider", lambda _: None)
    watchkeeper.init(receiver.url, sample_rate=0.5, exit_timeout=0.3)
    told = 0
    for _ in range(40):
        with watchkeeper.span("root"), watchkeeper.span("inner"):
            told += watchkeeper.score("checked", 1)
    assert watchkeeper.flush()
    roots = [s for s in receiver.spans if s.name == "root"]
    inner = [s for s in receiver.spans if s.name == "inner"]
    assert 0 < len(roots) < 40 and len(inner) == len(roots) == told
    assert {s.attributes["sampling.probability"] for s in roots} == {0.5}
    assert not any("sampling.probability" in s.attributes for s in inner)
    watchkeeper.init(receiver.url, sample_rate=1, exit_timeout=0.3)
    with watchkeeper.span("again"):
        pass
    assert watchkeeper.flush()
    assert "sampling.probability" not in receiver.span("again").attributes
    watchkeeper.shutdown(0.3)
    monkeypatch.setattr(client, "_client", None)


def test_the_sampler_of_the_application_decides_and_is_told_of(
    start: Callable[..., Any], receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    start(
        tracer_provider=TracerProvider(sampler=TraceIdRatioBased(0.999999), shutdown_on_exit=False),
        sample_rate=0.1,
    )
    assert "has a sampler, which decides" in caplog.text
    with watchkeeper.span("root"):
        pass
    assert watchkeeper.flush()
    assert receiver.span("root").attributes["sampling.probability"] == 0.999999


async def test_a_generator_that_a_function_returns_is_its_answer(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(kind="llm", name="plain")
    def plain() -> Iterator[str]:
        with sdk.span("prepare"):
            pass

        def pieces() -> Iterator[str]:
            for piece in ("a", "b"):
                with sdk.span("piece"):
                    yield piece

        return pieces()

    @sdk.trace(kind="llm", name="async")
    async def later() -> AsyncIterator[str]:
        async def pieces() -> AsyncIterator[str]:
            yield "c"
            yield "d"

        return pieces()

    assert list(plain()) == ["a", "b"]
    assert [piece async for piece in await later()] == ["c", "d"]
    assert sdk.current_trace_id() is None
    plain()
    gc.collect()
    assert sdk.flush()
    called = [s for s in receiver.spans if s.name == "plain"]
    texts = [s.attributes.get("gen_ai.output.messages", "") for s in called]
    assert len(called) == 2 and '"ab"' in texts[0] and texts[1] == "", (
        "what nobody reads has no output, and an end"
    )
    assert '"cd"' in receiver.span("async").attributes["gen_ai.output.messages"]
    inner = [s.name for s in receiver.spans if s.parent_id == called[0].span_id]
    assert sorted(inner) == ["piece", "piece", "prepare"]


def test_it_works_on_properties_partials_and_with_the_name_first(sdk: Any, receiver: Receiver) -> None:
    class Cart:
        @trace
        @property
        def total(self) -> int:
            """What it costs."""
            return 5

        @trace
        @functools.cached_property
        def weight(self) -> int:
            return 6

    def add(x: int, y: int) -> int:
        return x + y

    assert (Cart().total, Cart().weight, Cart.total.__doc__) == (5, 6, "What it costs.")
    assert trace(functools.partial(add, y=2))(1) == 3
    assert trace("sum")(add)(1, 1) == 2
    assert sdk.flush()
    short = [span.name.rpartition(".")[2] for span in receiver.spans]
    assert short == ["total", "weight", "add", "sum"]


def test_what_is_no_function_is_refused_where_it_is_decorated() -> None:
    with pytest.raises(TypeError, match="@trace is put on a function, method or property, not on 5"):
        trace(cast("Any", 5))


async def test_a_coroutine_that_a_function_returns_is_awaited_inside_its_span(
    sdk: Any, receiver: Receiver
) -> None:
    async def answer(question: str) -> str:
        with span("inner"):
            await asyncio.sleep(0)
        if not question:
            raise ValueError("nothing asked")
        return question.upper()

    @trace
    def ask(question: str) -> Any:
        return answer(question)

    assert await ask("where?") == "WHERE?"
    with span("beside"):
        pass
    with pytest.raises(ValueError, match="nothing asked"):
        await ask("")
    assert sdk.flush()
    good, bad = [found for found in receiver.spans if found.name.endswith("ask")]
    assert good.attributes[keys.OUTPUT] == "WHERE?"
    assert bad.status == 2
    assert receiver.span("beside").parent_id == ""
    assert {found.parent_id for found in receiver.spans if found.name == "inner"} == {
        good.span_id,
        bad.span_id,
    }


def test_spans_that_end_in_the_wrong_order_or_thread_leave_nothing_current(
    sdk: Any, receiver: Receiver
) -> None:
    outer, inner = span("outer"), span("inner")
    outer.start()
    inner.start()
    outer.end()
    inner.end()
    with span("after"):
        pass
    elsewhere = span("elsewhere")
    thread = threading.Thread(target=elsewhere.start)
    thread.start()
    thread.join()
    elsewhere.end()
    with span("last"):
        pass
    assert sdk.flush()
    assert receiver.span("inner").parent_id == receiver.span("outer").span_id
    assert [receiver.span(name).parent_id for name in ("after", "last")] == ["", ""]


def test_a_session_that_is_not_known_is_none(sdk: Any, receiver: Receiver) -> None:
    with session(None, user_id="u-1"), span("asked"):
        pass
    assert sdk.flush()
    found = receiver.span("asked").attributes
    assert keys.CONVERSATION_ID not in found
    assert found[keys.USER_ID] == "u-1"


def test_leaving_the_program_on_purpose_is_no_failure(sdk: Any, receiver: Receiver) -> None:
    for code in (0, 3):
        with pytest.raises(SystemExit), span(f"exit {code}"):
            sys.exit(code)
    assert sdk.flush()
    assert [receiver.span(f"exit {code}").status for code in (0, 3)] == [0, 2]


def test_a_failure_far_down_costs_no_more_than_its_last_frames(sdk: Any, receiver: Receiver) -> None:
    def down(depth: int) -> None:
        if depth:
            down(depth - 1)
        raise ValueError("far down")

    with contextlib.suppress(ValueError), watchkeeper.span("deep"):
        down(200)
    assert watchkeeper.flush(20)
    stack = receiver.spans[0].events[0][1]["exception.stacktrace"]
    lines = stack.splitlines()
    assert len(lines) == 60 and lines[-1].strip() == 'raise ValueError("far down")'
    assert lines[-2].endswith("in down") and "test_trace.py" in lines[-2]


def test_a_function_given_that_fails_costs_its_own_value(sdk: Any, receiver: Receiver) -> None:
    @sdk.trace(
        name="answer", scenario="support", user_id=lambda q: q["nobody"], session_id=lambda q: f"s-{q}"
    )
    def answer(question: str) -> str:
        return "yes"

    assert answer("hello") == "yes"
    assert sdk.flush()
    kept = receiver.span("answer").attributes
    assert kept["watchkeeper.input"] == "hello" and kept["watchkeeper.scenario"] == "support"
    assert kept["gen_ai.conversation.id"] == "s-hello" and "user.id" not in kept
    assert sdk.sdk.stats()["problems"]["a function given to @trace failed"] == 1


def test_a_future_or_task_that_is_returned_is_the_answer_when_it_is_done(
    sdk: Any, receiver: Receiver
) -> None:
    @sdk.trace
    def started(what: str) -> Any:
        async def work() -> str:
            await asyncio.sleep(0.05)
            if what == "bad":
                raise KeyError(what)
            return f"done {what}"

        return asyncio.ensure_future(work())

    async def both() -> None:
        task = started("well")
        assert otel.get_current_span() is otel.INVALID_SPAN
        assert await task == "done well"
        with pytest.raises(KeyError):
            await started("bad")
        gone = started("gone")
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(both())
    with ThreadPoolExecutor() as pool:
        handed = sdk.trace(lambda: pool.submit(lambda: "from a thread"))()
        assert handed.result() == "from a thread"
    assert sdk.flush()
    well, bad, gone, threaded = receiver.spans
    assert well.attributes["watchkeeper.output"] == "done well"
    assert well.duration_ns > 40_000_000
    assert bad.attributes["error.type"] == "KeyError"
    assert "CancelledError" in gone.attributes["error.type"]
    assert threaded.attributes["watchkeeper.output"] == "from a thread"


def test_a_response_that_is_still_to_be_streamed_is_answered_by_what_comes_out_of_it(
    sdk: Any, receiver: Receiver
) -> None:
    class Starlette:
        def __init__(self, body: Any) -> None:
            self.body_iterator = body

    class Flask:
        def __init__(self, body: Any) -> None:
            self.response = body

    async def later() -> AsyncIterator[str]:
        for piece in ("one ", "two"):
            with span("inner"):
                await asyncio.sleep(0)
            yield piece

    async def served() -> None:
        given = sdk.trace(name="starlette")(lambda: Starlette(later()))()
        assert otel.get_current_span() is otel.INVALID_SPAN
        assert [p async for p in given.body_iterator] == ["one ", "two"]

    asyncio.run(served())
    given = sdk.trace(name="flask")(lambda: Flask(piece for piece in ("a", "b")))()
    assert list(given.response) == ["a", "b"]
    assert sdk.flush()
    one = receiver.span("starlette")
    assert one.attributes["watchkeeper.output"] == "one two"
    assert {s.parent_id for s in receiver.spans if s.name == "inner"} == {one.span_id}
    assert receiver.span("flask").attributes["watchkeeper.output"] == "ab"
