"""Providers against a local server that answers well, badly, late or never."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from watchkeeper.llm.anthropic import Anthropic
from watchkeeper.llm.fake import MODES, FakeProvider
from watchkeeper.llm.limits import Limited, TokenBucket
from watchkeeper.llm.openai import OpenAI
from watchkeeper.llm.port import ProviderError
from watchkeeper.llm.table import Providers, Settings
from watchkeeper.model.prompt import Prompt, Turn

PROMPT = Prompt(
    "openai:gpt-4o-mini", "be strict", (Turn("user", "grade"),), max_tokens=50, json_schema={"type": "object"}
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers with `handler`; keeps the last request."""

    def __init__(self) -> None:
        self.url = ""
        self.body: Any = None
        self.headers: Any = None
        self.handler: Handler | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.body = await request.json()
        self.headers = request.headers
        assert self.handler is not None
        return await self.handler(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_post("/{tail:.*}", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def answers(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return handler


CHAT = {
    "model": "gpt-4o-mini-2024",
    "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3},
}


def price(provider: str, model: str, tokens_in: int | None, tokens_out: int | None) -> float | None:
    return None if tokens_in is None or tokens_out is None else tokens_in * 1e-6 + tokens_out * 2e-6


async def test_openai_sends_the_prompt_and_reads_text_usage_and_cost(server: Server) -> None:
    server.handler = answers(CHAT)
    provider = OpenAI(aiohttp.ClientSession, "key-1", server.url + "/v1", price=price)
    reply = await provider.ask(PROMPT)
    await provider.close()
    assert (reply.text, reply.model, reply.input_tokens, reply.output_tokens) == (
        "hello",
        "gpt-4o-mini-2024",
        11,
        3,
    )
    assert reply.cost == pytest.approx(17e-6)
    assert server.headers["Authorization"] == "Bearer key-1"
    assert server.body["model"] == "gpt-4o-mini" and server.body["temperature"] == 0.0
    assert server.body["messages"] == [
        {"role": "system", "content": "be strict"},
        {"role": "user", "content": "grade"},
    ]
    assert server.body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("message", "ended", "text", "told"),
    [
        ({"content": None, "refusal": "I can't."}, "stop", "I can't.", "refusal"),
        ({"content": "hello", "refusal": None}, "stop", "hello", "stop"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hello"}]},
         "stop", "hello", "stop"),
        ({"content": [{"type": "thinking", "thinking": []}]}, "length", "", "length"),
    ],
)  # fmt: skip
async def test_openai_reads_refusals_and_answers_in_parts(
    server: Server, message: dict[str, Any], ended: str, text: str, told: str
) -> None:
    server.handler = answers({**CHAT, "choices": [{"message": message, "finish_reason": ended}]})
    provider = OpenAI(aiohttp.ClientSession, "key-1", server.url + "/v1", price=price)
    reply = await provider.ask(PROMPT)
    await provider.close()
    assert (reply.text, reply.finish_reason) == (text, told)


async def test_anthropic_sends_its_own_form(server: Server) -> None:
    server.handler = answers(
        {
            "model": "claude-x",
            "content": [{"type": "text", "text": "he"}, {"type": "text", "text": "llo"}],
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 6, "output_tokens": 3},
            "stop_reason": "end_turn",
        }
    )
    provider = Anthropic(aiohttp.ClientSession, "key-2", server.url, price=price)
    reply = await provider.ask(Prompt("anthropic:claude-x", "be strict", (Turn("user", "grade"),)))
    await provider.close()
    assert (reply.text, reply.input_tokens, reply.output_tokens) == ("hello", 11, 3)
    assert server.headers["x-api-key"] == "key-2" and server.body["system"] == "be strict"


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


async def broken(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b'{"choices": [')


FAULTS: list[tuple[str, Handler, str, bool]] = [
    ("429", answers({"error": {"message": "slow down"}}, 429, {"Retry-After": "7"}), "rate_limit", True),
    ("500", answers({"error": "boom"}, 500), "server", True),
    ("503", answers({}, 503), "server", True),
    ("401", answers({"error": {"message": "bad key"}}, 401), "server", True),
    ("400", answers({"error": {"message": "too long"}}, 400), "refused", False),
    ("404", answers({"error": {"message": "no model"}}, 404), "unknown_model", False),
    ("302", answers({}, 302, {"Location": "http://169.254.169.254/"}), "refused", False),
    ("hang", hang, "timeout", True),
    ("cut", cut, "connection", True),
    ("broken", broken, "bad_reply", False),
    ("no choices", answers({"choices": []}), "bad_reply", False),
    ("wrong shape", answers([1, 2]), "bad_reply", False),
    ("content is a list", answers({"choices": [{"message": {"content": [1]}}]}), "bad_reply", False),
]


@pytest.mark.parametrize(("handler", "kind", "outage"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
async def test_every_fault_is_sorted_into_its_kind(
    server: Server, handler: Handler, kind: str, outage: bool
) -> None:
    server.handler = handler
    provider = OpenAI(aiohttp.ClientSession, "secret-key", server.url, timeout_s=0.3)
    with pytest.raises(ProviderError) as caught:
        await provider.ask(PROMPT)
    await provider.close()
    assert (caught.value.kind, caught.value.outage) == (kind, outage)
    assert "secret-key" not in str(caught.value) and "grade" not in str(caught.value)
    assert caught.value.retry_after_s == (7.0 if kind == "rate_limit" else None)


async def test_nobody_listening_is_an_outage() -> None:
    provider = OpenAI(aiohttp.ClientSession, "k", "http://127.0.0.1:9")
    with pytest.raises(ProviderError) as caught:
        await provider.ask(PROMPT)
    await provider.close()
    assert caught.value.kind == "connection" and caught.value.outage


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def test_hiccups_are_retried_and_the_providers_wish_is_respected() -> None:
    time = Time()
    inner = FakeProvider(["500", "429_retry_after", "ok"])
    reply = await Limited(inner, sleep=time.sleep).ask(PROMPT)
    assert reply.text and time.slept == [0.5, 0.01]
    gone = FakeProvider(["refuse"])
    with pytest.raises(ProviderError):
        await Limited(gone, retries=2, sleep=time.sleep).ask(PROMPT)
    assert len(gone.prompts) == 3


async def test_a_request_that_is_wrong_is_not_retried() -> None:
    class Refusing:
        calls = 0

        async def ask(self, prompt: Prompt) -> Any:
            self.calls += 1
            raise ProviderError("refused", "too long")

    inner = Refusing()
    with pytest.raises(ProviderError):
        await Limited(inner).ask(PROMPT)
    assert inner.calls == 1


async def test_no_more_calls_at_once_than_allowed() -> None:
    inner = FakeProvider(latency_s=0.002)
    limited = Limited(inner, concurrency=3)
    await asyncio.gather(*(limited.ask(PROMPT) for _ in range(20)))
    assert inner.most_in_flight == 3 and inner.replies == 20


async def test_no_more_calls_a_second_than_allowed() -> None:
    time = Time()
    bucket = TokenBucket(2.0, 2.0, time.clock, time.sleep)
    for _ in range(6):
        await bucket.take()
    assert time.now == pytest.approx(2.0)


@pytest.mark.parametrize("mode", MODES)
async def test_the_fake_plays_every_mode(mode: str) -> None:
    fake = FakeProvider([mode], hang_s=0.001)
    try:
        reply = await fake.ask(PROMPT)
        assert reply.cost == 0.001
    except ProviderError as error:
        assert error.retry
    assert len(fake.prompts) == 1


async def test_the_models_prefix_chooses_the_provider(server: Server) -> None:
    server.handler = answers(CHAT)
    own = {"house": Settings(base_url=server.url, structured="none")}
    providers = Providers(aiohttp.ClientSession, own, price=lambda *_: 0.25, environment={})
    reply = await providers.ask(Prompt("house:m1", "", (Turn("user", "x"),), json_schema={}))
    assert (
        (reply.text, reply.cost) == ("hello", 0.25)
        and server.body["model"] == "m1"
        and "response_format" not in server.body
    )
    for model, said in (
        ("nowhere:m", "not configured"),
        ("plain", "provider:model"),
        ("openai:gpt", "OPENAI_API_KEY"),
    ):
        with pytest.raises(ProviderError, match=said):
            await providers.ask(Prompt(model, "", ()))
    await providers.close()
