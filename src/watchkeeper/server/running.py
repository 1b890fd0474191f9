"""From services to a server that answers, for `serve` and the demo alike."""

import contextlib
import logging
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from watchkeeper.server import local
from watchkeeper.server.app import App, create_app
from watchkeeper.server.auth import LOCAL
from watchkeeper.server.listen import Listening, listening
from watchkeeper.server.services import Services
from watchkeeper.store.records import access

log = logging.getLogger("watchkeeper.server")


@dataclass(frozen=True)
class Running:
    """A server that answers. `login` is the one-time link of a first start, else None."""

    app: App
    where: Listening
    login: str | None


@contextlib.asynccontextmanager
async def running(services: Services, host: str, port: int, grpc_port: int | None) -> AsyncGenerator[Running]:
    """Serve these services while the context lasts, then drain. Raises `BindRefused`, `PortBusy`,
    `MissingPermission`."""
    app = create_app(services)
    async with listening(app, host, port, grpc_port) as where:
        known = local.publish(services.data_dir, where.url)
        app.auth.trust(known.key, LOCAL)
        if services.answering is not None:
            services.answering(where.url)
        try:
            yield Running(app, where, await _first_login(services, where.url))
        finally:
            local.withdraw(services.data_dir)


async def _first_login(services: Services, url: str) -> str | None:
    if services.no_auth:
        return None
    now = services.wall_clock()
    token = await services.records.write(lambda c: access.first_login(c, now))
    base = services.config.current.server.public_url or url
    return None if token is None else f"{base}/login?token={token}"


def announce(made: Running, services: Services, say: Callable[[str], None] = print) -> None:
    """Print what a person needs to know, and last the one line `ready http://…`."""
    for warning in services.config.warnings:
        print(warning, file=sys.stderr)
    if services.no_auth:
        say("no login: anyone on this machine can see and change everything (--no-auth)")
    if made.login is not None:
        say(f"first start: sign in with this one-time link, valid for a day: {made.login}")
    if made.where.grpc_port is not None:
        say(f"OTLP over gRPC on port {made.where.grpc_port}")
    say(f"ready {made.where.url}")
    sys.stdout.flush()
