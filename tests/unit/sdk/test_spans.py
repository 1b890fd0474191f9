"""The attributes a span carries, in the names the server reads."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span

import watchkeeper
from tests.unit.sdk.receiver import Receiver
from watchkeeper.sdk import direct


def test_it_writes_an_llm_call_in_the_genai_conventions(sdk: Any, receiver: Receiver) -> None:
    with sdk.span("chat", kind="llm", model="gpt-4o-mini", provider="openai") as s:
        s.input(
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "snow"},
            ]
        )
        s.llm(temperature=0.2, max_tokens=100, top_p=0.9, response_model="gpt-4o-mini-2024")
        s.output("Snow.").usage(30, 4, cached_input_tokens=10, reasoning_output_tokens=1).finish(
            "stop"
        ).queued(12)
    sdk.flush()
    got = receiver.span("chat").attributes
    assert got["gen_ai.operation.name"] == "chat"
    assert got["watchkeeper.span.kind"] == "llm"
    assert got["gen_ai.provider.name"] == "openai"
    assert got["gen_ai.request.model"] == "gpt-4o-mini"
    assert got["gen_ai.response.model"] == "gpt-4o-mini-2024"
    assert (got["gen_ai.request.temperature"], got["gen_ai.request.max_tokens"]) == (0.2, 100)
    assert got["gen_ai.request.top_p"] == 0.9
    assert (got["gen_ai.usage.input_tokens"], got["gen_ai.usage.output_tokens"]) == (30, 4)
    assert got["gen_ai.usage.cache_read.input_tokens"] == 10
    assert got["gen_ai.usage.reasoning.output_tokens"] == 1
    assert got["gen_ai.response.finish_reasons"] == ["stop"]
    assert got["watchkeeper.queue_ms"] == 12.0
    assert json.loads(got["gen_ai.input.messages"]) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Weather?"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "snow"}]},
    ]
    assert json.loads(got["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Snow."}]}
    ]
    assert receiver.span("chat").kind == 3


def test_it_reads_anthropic_blocks(sdk: Any, receiver: Receiver) -> None:
    with sdk.span("chat", kind="llm") as s:
        s.input(
            [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]},
            ]
        )
    sdk.flush()
    first, second = json.loads(receiver.span("chat").attributes["gen_ai.input.messages"])
    assert first["parts"] == [{"type": "tool_call", "id": "t", "name": "f", "arguments": {"a": 1}}]
    assert second["parts"] == [{"type": "tool_call_response", "id": "t", "response": "ok"}]


def test_it_keeps_broken_tool_arguments_and_quotes_as_they_are(sdk: Any, receiver: Receiver) -> None:
    with sdk.span("chat", kind="llm") as s:
        s.input('say "hi"\n\x01 \\ é')
        s.output([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": '}}]}])
    sdk.flush()
    got = receiver.span("chat").attributes
    assert json.loads(got["gen_ai.input.messages"])[0]["parts"][0]["content"] == 'say "hi"\n\x01 \\ é'
    assert json.loads(got["gen_ai.output.messages"])[0]["parts"][0]["arguments"] == '{"a": '


def test_it_reads_a_whole_openai_answer(sdk: Any, receiver: Receiver) -> None:
    message = SimpleNamespace(role="assistant", content="Hi", tool_calls=None)
    message.model_dump = lambda: {"role": "assistant", "content": "Hi"}
    details = SimpleNamespace(cached_tokens=5)
    answer = SimpleNamespace(
        id="chatcmpl-1",
        model="gpt-4o-2024",
        choices=[SimpleNamespace(message=message, finish_reason="stop")],
        usage=SimpleNamespace(prompt_tokens=9, completion_tokens=2, prompt_tokens_details=details),
    )
    with sdk.span("chat", kind="llm") as s:
        s.response(answer)
    sdk.flush()
    got = receiver.span("chat").attributes
    assert json.loads(got["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Hi"
    assert got["gen_ai.usage.cache_read.input_tokens"] == 5
    assert got["gen_ai.response.id"] == "chatcmpl-1"
    assert got["gen_ai.response.finish_reasons"] == ["stop"]


def test_it_reads_a_whole_anthropic_answer(sdk: Any, receiver: Receiver) -> None:
    answer = {
        "id": "msg_1",
        "model": "claude",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 4},
    }
    with sdk.span("chat", kind="llm") as s:
        s.response(answer)
    sdk.flush()
    got = receiver.span("chat").attributes
    assert json.loads(got["gen_ai.output.messages"])[0]["parts"] == [{"type": "text", "content": "Hi"}]
    assert got["gen_ai.usage.output_tokens"] == 2
    assert got["gen_ai.response.finish_reasons"] == ["end_turn"]


def test_it_writes_tools_and_retrievals(sdk: Any, receiver: Receiver) -> None:
    with sdk.span("weather", kind="tool") as s:
        s.tool(arguments={"city": "Oslo"}, result="", error="no such city", call_id="c1")
    with sdk.span("search", kind="retrieval", input="red shoes") as s:
        s.documents([{"id": 7, "score": 0.8, "content": "Red shoes"}, "plain text"])

    @sdk.trace(kind="tool", name="add")
    def add(a: int, b: int) -> int:
        return a + b

    @sdk.trace(kind="retrieval", name="find")
    def find(query: str) -> list[dict[str, Any]]:
        return [{"id": "1", "score": 0.5, "content": "x"}]

    @sdk.trace(kind="agent", name="planner")
    def plan(task: str) -> str:
        return "done"

    add(1, b=2), find("q"), plan("go")
    sdk.flush()
    tool = receiver.span("weather")
    assert tool.attributes["gen_ai.operation.name"] == "execute_tool"
    assert tool.attributes["gen_ai.tool.name"] == "weather"
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"city": "Oslo"}
    assert tool.attributes["gen_ai.tool.call.result"] == ""
    assert tool.attributes["gen_ai.tool.call.id"] == "c1"
    assert (tool.status, tool.message, tool.attributes["error.type"]) == (2, "no such city", "tool_error")
    search = receiver.span("search").attributes
    assert search["gen_ai.retrieval.query.text"] == "red shoes"
    documents = json.loads(search["gen_ai.retrieval.documents"])
    assert documents == [
        {"id": 7, "score": 0.8, "content": "Red shoes"},
        {"id": "1", "content": "plain text"},
    ]
    added = receiver.span("add").attributes
    assert json.loads(added["gen_ai.tool.call.arguments"]) == {"a": 1, "b": 2}
    assert added["gen_ai.tool.call.result"] == "3"
    assert json.loads(receiver.span("find").attributes["gen_ai.retrieval.documents"])[0]["score"] == 0.5
    planner = receiver.span("planner").attributes
    assert planner["gen_ai.agent.name"] == "planner"
    assert planner["gen_ai.operation.name"] == "invoke_agent"


def test_a_stream_records_text_ttft_tpot_and_usage(sdk: Any, receiver: Receiver) -> None:
    def chunk(text: str | None, **more: Any) -> Any:
        return SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=text), **more)])

    usage = SimpleNamespace(choices=[], usage=SimpleNamespace(prompt_tokens=5, completion_tokens=11))
    chunks = [chunk(None), chunk("Hel"), chunk("lo"), chunk(None, finish_reason="length"), usage]
    with sdk.span("chat", kind="llm") as s:
        assert list(s.stream(iter(chunks))) == chunks
    with sdk.span("texts"):
        assert "".join(sdk.stream(["a", "b", "c"])) == "abc"
    sdk.flush()
    got = receiver.span("chat").attributes
    assert json.loads(got["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Hello"
    assert got["gen_ai.usage.output_tokens"] == 11
    assert got["gen_ai.response.finish_reasons"] == ["length"]
    assert 0 < got["gen_ai.response.time_to_first_chunk"] < 5
    assert 0 < got["watchkeeper.time_per_output_token"] < 5
    assert receiver.span("texts").attributes["watchkeeper.output"] == "abc"


def test_an_anthropic_stream_and_a_custom_reader(sdk: Any, receiver: Receiver) -> None:
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 7}}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi "}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "you"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    ]
    with sdk.span("chat", kind="llm") as s:
        list(s.stream(events))
    with sdk.span("own") as s:
        list(s.stream([(1, "x"), (2, "y")], text=lambda pair: pair[1]))
    sdk.flush()
    got = receiver.span("chat").attributes
    assert json.loads(got["gen_ai.output.messages"])[0]["parts"][0]["content"] == "Hi you"
    assert (got["gen_ai.usage.input_tokens"], got["gen_ai.usage.output_tokens"]) == (7, 3)
    assert got["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert receiver.span("own").attributes["watchkeeper.output"] == "xy"


def told(*pieces: Any) -> list[Any]:
    """Chat completion chunks of these deltas."""
    return [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in pieces]


def called(id: str | None, name: str | None, arguments: str, index: int = 0) -> dict[str, Any]:
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [call]}


CHAT = [
    *told({"role": "assistant", "content": ""}, {"content": "Let me "}, {"content": "look."}),
    *told(called("c1", "weather", ""), called(None, None, '{"city":'), called("c2", "time", "{}", index=1)),
    *told(called(None, None, '"Oslo"}')),
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "model": "m-2", "id": "r1", "usage": {"prompt_tokens": 9, "completion_tokens": 7}},
]
ANTHROPIC = [
    {"type": "message_start", "message": {"id": "r1", "model": "m-2", "content": [],
                                          "usage": {"input_tokens": 2, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Let me look."}},
    {"type": "text", "text": "Let me look.", "snapshot": "Let me look."},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "c1", "name": "weather", "input": {}}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"city":"Oslo"}'}},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "c2", "name": "time", "input": {}}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_calls"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]  # fmt: skip
RESPONSES = [
    {"type": "response.created", "response": {"id": "r1", "model": "m-2", "status": "in_progress", "output": [], "usage": None}},
    {"type": "response.reasoning_summary_text.delta", "delta": "the user wants the weather"},
    {"type": "response.output_text.delta", "item_id": "i0", "delta": "Let me "},
    {"type": "response.output_text.delta", "item_id": "i0", "delta": "look."},
    {"type": "response.output_text.done", "item_id": "i0", "text": "Let me look."},
    {"type": "response.output_item.added", "item": {"type": "function_call", "id": "i1", "call_id": "c1", "name": "weather"}},
    {"type": "response.function_call_arguments.delta", "item_id": "i1", "delta": '{"city":"Oslo"}'},
    {"type": "response.function_call_arguments.done", "item_id": "i1", "arguments": '{"city":"Oslo"}'},
    {"type": "response.output_item.added", "item": {"type": "function_call", "id": "i2", "call_id": "c2", "name": "time"}},
    {"type": "response.function_call_arguments.delta", "item_id": "i2", "delta": "{}"},
    {"type": "response.completed", "response": {"id": "r1", "model": "m-2", "status": "completed", "usage": {
        "input_tokens": 9, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}}, "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "Let me look."}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
            {"type": "function_call", "call_id": "c2", "name": "time", "arguments": "{}"}]}},
]  # fmt: skip
PARTS = [
    {"type": "text", "content": "Let me look."},
    {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}},
    {"type": "tool_call", "id": "c2", "name": "time", "arguments": {}},
]


@pytest.mark.parametrize("events", [CHAT, ANTHROPIC, RESPONSES], ids=["chat", "anthropic", "responses"])
def test_a_streamed_answer_has_its_tool_calls_and_everything_once(
    sdk: Any, receiver: Receiver, events: list[Any]
) -> None:
    with sdk.span("chat", kind="llm") as s:
        assert list(s.stream(events)) == events

    @sdk.trace(kind="llm", name="generator")
    def answer() -> Any:
        yield from events

    list(answer())
    sdk.flush()
    for name in ("chat", "generator"):
        got = receiver.span(name).attributes
        assert json.loads(got["gen_ai.output.messages"]) == [{"role": "assistant", "parts": PARTS}]
        assert (got["gen_ai.usage.input_tokens"], got["gen_ai.usage.output_tokens"]) == (9, 7)
        assert (got["gen_ai.response.model"], got["gen_ai.response.id"]) == ("m-2", "r1")
        assert got["gen_ai.response.finish_reasons"] == ["tool_calls"]
        assert got["gen_ai.response.time_to_first_chunk"] > 0 and got["watchkeeper.time_per_output_token"] > 0
    assert receiver.span("chat").attributes["gen_ai.request.stream"] is True


def test_a_whole_answer_of_the_responses_api_is_the_same(sdk: Any, receiver: Receiver) -> None:
    with sdk.span("chat", kind="llm") as s:
        s.response(RESPONSES[-1]["response"])
    sdk.flush()
    got = receiver.span("chat").attributes
    assert json.loads(got["gen_ai.output.messages"]) == [{"role": "assistant", "parts": PARTS}]
    assert got["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert got["gen_ai.usage.reasoning.output_tokens"] == 3


async def test_a_reader_who_goes_away_is_no_failure(sdk: Any, receiver: Receiver) -> None:
    async def pieces() -> AsyncIterator[str]:
        yield "half"
        await asyncio.sleep(60)

    @sdk.trace(kind="llm")
    async def tell() -> AsyncIterator[str]:
        async for piece in pieces():
            yield piece

    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    async def within() -> None:
        with sdk.span("block", kind="llm") as s:
            await read(s.stream(pieces()))

    async def silent() -> None:
        with sdk.span("silent", kind="llm"):
            await asyncio.sleep(60)

    tasks = [asyncio.create_task(work) for work in (read(tell()), within(), silent())]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    sdk.flush()
    for name in ("test_a_reader_who_goes_away_is_no_failure.tell", "block"):
        got = receiver.span(name)
        assert got.attributes["watchkeeper.partial"] is True and "error.type" not in got.attributes
        assert json.loads(got.attributes["gen_ai.output.messages"])[0]["parts"][0]["content"] == "half"
    assert receiver.span("silent").attributes["error.type"].endswith("CancelledError")


async def test_a_reader_who_stops_early_leaves_a_part(sdk: Any, receiver: Receiver) -> None:
    async def later() -> AsyncIterator[str]:
        for piece in ("half", "whole"):
            yield piece

    with sdk.span("sync", kind="llm") as s:
        for _ in s.stream(iter(["half", "whole"])):
            break
    with sdk.span("async", kind="llm") as s:
        async for _ in s.stream(later()):
            break
    with sdk.span("read", kind="llm") as s:
        assert list(s.stream(iter(["half", "whole"]))) == ["half", "whole"]
    with sdk.span("finished", kind="llm") as s:
        ended = {"choices": [{"index": 0, "delta": {"content": "all"}, "finish_reason": "stop"}]}
        next(s.stream(iter([ended, {"choices": [], "usage": {"completion_tokens": 1}}])))
    sdk.flush()
    for name, part in (("sync", True), ("async", True), ("read", None), ("finished", None)):
        assert receiver.span(name).attributes.get("watchkeeper.partial") is part, name


async def test_an_async_stream_passes_errors_and_keeps_the_partial_text(sdk: Any, receiver: Receiver) -> None:
    async def chunks() -> AsyncIterator[str]:
        yield "half"
        await asyncio.sleep(0)
        raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        async with sdk.span("chat") as s:
            async for _ in s.stream(chunks()):
                pass
    sdk.flush()
    span = receiver.span("chat")
    assert span.attributes["watchkeeper.output"] == "half"
    assert span.attributes["error.type"] == "ConnectionError"


def test_numbers_and_results_that_raise_when_looked_at_reach_nobody(sdk: Any, receiver: Receiver) -> None:
    class Odd(int):
        def __gt__(self, other: object) -> bool:
            raise RuntimeError

        __ge__ = __lt__ = __le__ = __gt__

    class Nobody:
        @property
        def __class__(self) -> Any:
            raise RuntimeError

    with sdk.span("x", kind="llm") as step:
        step.usage(Odd(3), 2)
    nobody = Nobody()
    assert sdk.trace(lambda: nobody)() is nobody


@pytest.mark.parametrize("kind", [None, 5, object(), ["llm"]])
def test_a_kind_that_is_no_word_is_other(sdk: Any, receiver: Receiver, kind: Any) -> None:
    with sdk.span("x", kind=kind) as step:
        step.input("q").output("a")
    assert sdk.flush()
    assert receiver.span("x").attributes == {"watchkeeper.input": "q", "watchkeeper.output": "a"}


def test_outside_of_any_span_everything_is_ignored(sdk: Any, receiver: Receiver) -> None:
    nobody = sdk.current_span()
    nobody.input("x").output("y").usage(1, 2).set("a", 1)
    assert list(sdk.stream(["a"])) == ["a"]
    assert sdk.current_trace_id() is None
    assert nobody.trace_id == ""


def test_switched_off_it_does_nothing_and_still_runs_the_application(start: Any, receiver: Receiver) -> None:
    import watchkeeper

    start(enabled=False)

    @watchkeeper.trace
    def f(x: str) -> str:
        with watchkeeper.span("s", kind="llm") as s:
            s.input("a").output("b")
        return x

    assert f("ok") == "ok"
    assert watchkeeper.flush()
    assert not watchkeeper.feedback("0" * 31 + "1", rating="up")
    assert watchkeeper.guard.check("g", input="x").verdict == "pass"
    assert receiver.requests == 0


def test_an_endpoint_that_is_no_url_is_logged_and_harmless(
    start: Any, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    import watchkeeper

    start("localhost:4318")
    with watchkeeper.span("s"):
        pass
    assert "not a URL like http://127.0.0.1:4318" in caplog.text
    assert receiver.requests == 0


class Others(SpanProcessor):
    """Another processor of the application's provider, which reads spans as OpenTelemetry's own do."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, object]] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.seen.append(dict(span.attributes or {}))


def test_other_processors_of_the_provider_see_what_set_attributes_would_have_stored(start: Any) -> None:
    others, provider = Others(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(others)
    start(tracer_provider=provider)
    given = {"text": "x", "whole": 3, "share": 0.5, "yes": True, "list": ["a", "b"], "": "nameless"}
    with watchkeeper.session("s-1"), watchkeeper.span("chat", kind="llm") as s:
        for key, value in given.items():
            s.set(key, value)
        s.finish("stop")
    plainly = provider.get_tracer("x").start_span("x", attributes={**given, "list": ("a", "b")})
    plainly.end()
    ours, theirs = others.seen
    assert {key: ours[key] for key in theirs} == theirs
    assert ours["gen_ai.response.finish_reasons"] == ("stop",)
    assert ours["gen_ai.conversation.id"] == "s-1"
    assert "" not in ours


def test_the_limits_of_the_provider_hold_for_our_spans(start: Any, receiver: Receiver) -> None:
    limits = SpanLimits(max_span_attributes=4, max_span_attribute_length=10)
    start(tracer_provider=TracerProvider(span_limits=limits, shutdown_on_exit=False))
    with watchkeeper.span("many") as s:
        for number in range(8):
            s.set(f"key-{number}", "a long value")
    watchkeeper.flush()
    assert receiver.span("many").attributes == {f"key-{n}": "a long val" for n in range(4, 8)}


@pytest.mark.parametrize("count", [float("inf"), float("nan"), -1, 2**70, "many", None])
def test_a_count_that_is_none_is_left_out_and_never_raises(sdk: Any, receiver: Receiver, count: Any) -> None:
    with sdk.span("chat", kind="llm") as s:
        s.usage(count, 4).queued("soon")
    sdk.flush()
    got = receiver.span("chat").attributes
    assert "gen_ai.usage.input_tokens" not in got
    assert got["gen_ai.usage.output_tokens"] == 4
    assert "watchkeeper.queue_ms" not in got


@pytest.mark.parametrize("known", [True, False])
def test_a_span_is_current_whatever_opentelemetry_calls_its_key(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_KNOWN", known)
    span = NonRecordingSpan(SpanContext(1, 2, is_remote=False))
    parent = otel_context.set_value("theirs", 1, Context())
    made = direct.entered(parent, span, "ours", 2)
    assert get_current_span(made) is span
    assert (otel_context.get_value("theirs", made), otel_context.get_value("ours", made)) == (1, 2)
    assert isinstance(made, Context) and "ours" not in parent


async def test_a_stream_that_is_read_after_the_block_that_made_it_is_recorded(
    sdk: Any, receiver: Receiver
) -> None:
    def asked(name: str) -> Any:
        with sdk.span(name, kind="llm") as step:
            return step.stream(iter(["It ", "arrives."]))

    async def asked_async(name: str) -> Any:
        async def pieces() -> Any:
            yield "late "
            raise TimeoutError

        async with sdk.span(name, kind="llm"):
            return sdk.stream(pieces())

    assert list(asked("whole")) == ["It ", "arrives."]
    next(asked("some"))
    asked("unread")
    with pytest.raises(TimeoutError):
        async for _ in await asked_async("broken"):
            pass
    with pytest.raises(KeyError), sdk.span("failed", kind="llm") as step:
        unread = step.stream(iter(["never"]))
        raise KeyError("x")
    assert list(unread) == ["never"]
    with sdk.span("after", kind="llm") as after:
        assert sdk.current_trace_id() == after.trace_id
    assert sdk.flush()
    found = {s.name: s.attributes for s in receiver.spans}
    assert len(receiver.spans) == len(found) == 6
    assert "It arrives." in found["whole"]["gen_ai.output.messages"]
    assert "watchkeeper.partial" not in found["whole"]
    assert found["some"]["watchkeeper.partial"] is True and "It " in found["some"]["gen_ai.output.messages"]
    assert "gen_ai.output.messages" not in found["unread"]
    assert found["broken"]["error.type"] == "TimeoutError"
    assert "late" in found["broken"]["gen_ai.output.messages"]
    assert found["failed"]["error.type"] == "KeyError"
    assert not any(s.parent_id for s in receiver.spans)
