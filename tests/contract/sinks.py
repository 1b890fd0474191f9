"""Local receivers with a script: what they answer, and what they saw."""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class HttpSink:
    """Answers each POST with the next (status, headers) of `script`, the last for ever; "cut" closes the socket."""

    script: list[tuple[int, dict[str, str]] | str] = field(default_factory=lambda: [(200, {})])
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, dict(request.headers), await request.read()))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, str):
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        status, headers = step
        return web.Response(status=status, headers=headers, text="<b>a secret of the receiver</b>")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class SmtpSink:
    """A mail server of a few verbs. `answers` maps a verb to the line it answers instead of success."""

    answers: dict[str, str] = field(default_factory=dict)
    mails: list[str] = field(default_factory=list)
    port: int = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        await say(self.answers.get("CONNECT", "220 sink"))
        while line := (await reader.readline()).decode().strip():
            verb = line.split(maxsplit=1)[0].upper()
            if verb == "DATA" and verb not in self.answers:
                await say("354 go on")
                body = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(body.decode())
                await say(self.answers.get("BODY", "250 taken"))
            elif verb == "QUIT":
                await say("221 bye")
                break
            else:
                await say(self.answers.get(verb, "250 fine"))
        writer.close()
