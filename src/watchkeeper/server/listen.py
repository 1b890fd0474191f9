"""Listening: ports taken with a clear message when busy, a ready line, and a drain on SIGTERM that loses nothing."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import uvicorn

from watchkeeper.server import otlp
from watchkeeper.server.app import App
from watchkeeper.server.grpcserver import start_grpc
from watchkeeper.server.ports import bound
from watchkeeper.server.protocol import HEAD_SECONDS, protocol_for
from watchkeeper.server.security import bind_refusal

log = logging.getLogger("watchkeeper.server")
T = TypeVar("T")

DRAIN_SECONDS = 10
BACKLOG = 2048
HOUSEKEEPING_SECONDS = 30.0
# How long a thread may keep the interpreter from the event loop, which asks for it again after every read and write: with
# the default of 5 ms four threads that decode and check delay an answer by a multiple of that.
SWITCH_SECONDS = 0.0005


class BindRefused(Exception):
    """The address may not be listened on with these settings; the text says what to set."""


@dataclass(frozen=True)
class Listening:
    """Where the server answers. `url` is for people on this machine."""

    url: str
    port: int
    grpc_port: int | None


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        # Ours are installed in `serve`; uvicorn's would end the process by the signal instead of with status 0.
        yield


def shown_url(host: str, port: int) -> str:
    """The address as a person on this machine opens it."""
    name = (
        "127.0.0.1"
        if host in ("0.0.0.0", "")
        else "[::1]"
        if host == "::"
        else f"[{host}]"
        if ":" in host
        else host
    )
    return f"http://{name}:{port}"


@contextlib.asynccontextmanager
async def listening(app: App, host: str, port: int, grpc_port: int | None) -> AsyncGenerator[Listening]:
    """Serve while the context lasts (`grpc_port` None: no gRPC; port 0: any free one), then drain: what was begun is
    answered, within ten seconds. Raises `BindRefused` and `PortBusy`."""
    services = app.services
    server_config = services.config.current.server
    refusal = bind_refusal(host, services.no_auth, server_config.public_url, server_config.behind_tls_proxy)
    if refusal is not None:
        raise BindRefused(refusal)
    services.bind = host
    sock = bound(host, port)
    sock.listen(BACKLOG)
    sock.setblocking(False)
    sys.setswitchinterval(SWITCH_SECONDS)
    config = uvicorn.Config(
        app,
        http=protocol_for(
            server_config.limits.connections, HEAD_SECONDS, partial(otlp.overloaded, services, app.auth)
        ),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=BACKLOG,
    )
    server = _Server(config)
    grpc_server: Any = None
    try:
        taken: int | None = None
        if grpc_port is not None:
            grpc_server, taken = await start_grpc(services, app.auth, host, grpc_port)
        task = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started:
            if task.done():
                task.result()
                raise RuntimeError("the HTTP server ended before it started")
            await asyncio.sleep(0.005)
        chores = asyncio.create_task(_housekeeping(app))
        try:
            yield Listening(shown_url(host, sock.getsockname()[1]), sock.getsockname()[1], taken)
        finally:
            services.draining = True
            chores.cancel()
            server.should_exit = True
            await task
            await app.auth.flush()
    finally:
        if grpc_server is not None:
            await grpc_server.stop(grace=DRAIN_SECONDS)
        sock.close()


async def _housekeeping(app: App) -> None:
    while True:
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
        try:
            await app.auth.flush()
            await app.auth.drop_expired()
        except Exception:
            app.services.counters.add("watchkeeper_errors_total", route="housekeeping")
            log.exception("housekeeping failed; it is tried again in %s s", HOUSEKEEPING_SECONDS)


async def stoppable(work: Coroutine[Any, Any, T]) -> T:
    """Do `work`. Until it waits for them (`stopped`), SIGTERM and SIGINT cancel it, its contexts undo what they began, and
    KeyboardInterrupt is raised."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def stopped(on_reload: Callable[[], None] | None = None) -> None:
    """Wait for SIGTERM or SIGINT; SIGHUP calls `on_reload`. A second signal ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def asked() -> None:
        stop.set()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked)
    if on_reload is not None:
        loop.add_signal_handler(signal.SIGHUP, on_reload)
    await stop.wait()
