import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from tests.unit.egress.test_policy import BAD_URLS
from watchkeeper.egress import Egress, Policy


class Sink:
    """A local server that counts what reaches it."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if request.path == "/redirect":
            raise web.HTTPFound(f"http://127.0.0.1:{self.port}/secret")
        if request.path == "/big":
            return web.Response(body=b"x" * 3_000_000)
        if request.path == "/slow":
            await asyncio.sleep(30)
        return web.Response(text="hello", headers={"X-Seen": request.headers.get("Host", "")})


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    made = Sink()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


def resolving_to(*answers: str):
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return [answers[min(len(asked), len(answers)) - 1]]

    return resolve


async def test_it_reaches_what_the_operator_listed(sink: Sink) -> None:
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"))
    answer = await egress.request("POST", f"http://127.0.0.1:{sink.port}/x", body=b"{}")
    await egress.close()
    assert (answer.status, answer.body, answer.refused) == (200, b"hello", False)


async def test_no_socket_is_opened_for_any_refused_url(sink: Sink) -> None:
    egress = Egress()
    for url in [*BAD_URLS, f"http://127.0.0.1:{sink.port}/", f"https://127.0.0.1:{sink.port}/"]:
        answer = await egress.request("POST", url, body=b"{}")
        assert answer.refused and answer.status is None and answer.reason, url
    await egress.close()
    assert egress.connections == 0
    assert sink.requests == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "64:ff9b::7f00:1"],
)
async def test_a_public_name_that_resolves_inward_is_refused(address: str) -> None:
    egress = Egress(resolve=resolving_to(address))
    answer = await egress.request("GET", "https://rebind.example/")
    await egress.close()
    assert answer.refused
    assert egress.connections == 0


async def test_a_second_dns_answer_has_nowhere_to_go(sink: Sink) -> None:
    # The first answer is listed, every later one is the metadata service: one lookup per connection, used as is.
    resolve = resolving_to("127.0.0.1", "169.254.169.254")
    egress = Egress(Policy.of(f"hooks.internal:{sink.port}"), resolve=resolve)
    first = await egress.request("GET", f"http://hooks.internal:{sink.port}/")
    assert first.status == 200
    await egress.close()
    again = Egress(Policy.of(f"hooks.internal:{sink.port}"), resolve=resolve)
    second = await again.request("GET", f"http://hooks.internal:{sink.port}/")
    await again.close()
    assert second.refused and again.connections == 0


async def test_a_listed_name_does_not_open_its_address_to_others(sink: Sink) -> None:
    egress = Egress(Policy.of(f"hooks.internal:{sink.port}"), resolve=resolving_to("127.0.0.1"))
    assert (await egress.request("GET", f"http://hooks.internal:{sink.port}/")).status == 200
    assert (await egress.request("GET", f"http://127.0.0.1:{sink.port}/")).refused
    assert (await egress.request("GET", f"http://evil.example:{sink.port}/")).refused
    await egress.close()
    assert len(sink.requests) == 1


async def test_redirects_are_not_followed(sink: Sink) -> None:
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"))
    answer = await egress.request("GET", f"http://127.0.0.1:{sink.port}/redirect")
    await egress.close()
    assert answer.status == 302
    assert [r.path for r in sink.requests] == ["/redirect"]


async def test_a_session_that_follows_redirects_is_checked_on_every_hop(sink: Sink) -> None:
    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.2:9/")

    app = web.Application()
    app.router.add_get("/", away)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    egress = Egress(Policy.of(f"127.0.0.1:{port}"))
    async with egress.session() as session:
        with pytest.raises(aiohttp.ClientOSError, match="is not a public"):
            await session.get(f"http://127.0.0.1:{port}/", allow_redirects=True)
    await runner.cleanup()


async def test_a_session_refuses_a_literal_and_a_proxy() -> None:
    egress = Egress()
    async with egress.session() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("http://127.0.0.1:9/")
        with pytest.raises(aiohttp.ClientError):
            await session.get("https://example.com/", proxy="http://127.0.0.1:3128")
    assert egress.connections == 0


async def test_proxy_variables_are_ignored(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"))
    assert (await egress.request("GET", f"http://127.0.0.1:{sink.port}/")).status == 200
    await egress.close()


async def test_a_huge_answer_is_cut_and_not_kept(sink: Sink) -> None:
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"))
    answer = await egress.request("GET", f"http://127.0.0.1:{sink.port}/big")
    await egress.close()
    assert (answer.status, answer.body) == (200, b"")
    assert "longer than" in answer.reason


async def test_a_slow_answer_ends_with_a_reason(sink: Sink) -> None:
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}"))
    answer = await egress.request("GET", f"http://127.0.0.1:{sink.port}/slow", timeout_s=0.05)
    await egress.close()
    assert (answer.status, answer.reason, answer.refused) == (None, "no answer in time", False)


async def test_a_closed_port_is_worth_another_try() -> None:
    egress = Egress(Policy.of("127.0.0.1:9"))
    answer = await egress.request("GET", "http://127.0.0.1:9/")
    await egress.close()
    assert answer.status is None and not answer.refused
    assert answer.reason == "nobody listens there (connection refused)"


async def test_what_went_wrong_on_the_way_is_said_in_words(sink: Sink) -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    deaf = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = deaf.sockets[0].getsockname()[1]
    egress = Egress(Policy.of(f"127.0.0.1:{sink.port}", f"127.0.0.1:{port}"), resolve=unknown)
    said = [
        (await egress.request("GET", url)).reason
        for url in (
            "https://nowhere.example/",
            f"https://127.0.0.1:{sink.port}/",
            f"http://127.0.0.1:{port}/",
        )
    ]
    await egress.close()
    deaf.close()
    assert said == [
        "its name does not lead to an address",
        "no secure connection could be made: its certificate is not accepted, or it does not speak TLS",
        "it closed the connection without an answer",
    ]
