"""The whole HTTP surface as one ASGI application."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from watchkeeper.pipeline import plan
from watchkeeper.redaction.apply import redact_text
from watchkeeper.scoring.protocol import Scorer
from watchkeeper.scoring.registry import build
from watchkeeper.server import login, ops, otlp
from watchkeeper.server.api import MODULES
from watchkeeper.server.auth import Authenticator
from watchkeeper.server.guarding import Guards
from watchkeeper.server.router import Router
from watchkeeper.server.routing import HttpError, Request, Route, routes_of
from watchkeeper.server.security import HEADERS, HSTS, host_allowed, known_hosts
from watchkeeper.server.services import Services

PAGES = "watchkeeper.web.routes"


def surface_modules() -> list[ModuleType]:
    """Every module whose routes are served; the pages when they are installed."""
    modules: list[ModuleType] = [otlp, login, ops, *MODULES]
    if find_spec(PAGES) is not None:
        modules.append(import_module(PAGES))
    return modules


def surface_routes(extra: Sequence[ModuleType] = ()) -> list[Route]:
    """Every declared route. A module may name further modules of its routes in `MODULES`."""
    found: list[ModuleType] = []
    for module in [*surface_modules(), *extra]:
        found.extend([module, *getattr(module, "MODULES", ())])
    return routes_of(*dict.fromkeys(found))


class App:
    """Host check and headers around the router. `routes` is everything that can be reached."""

    def __init__(self, services: Services, routes: Sequence[Route]) -> None:
        self.services = services
        self.auth = Authenticator(services)
        self.router = Router(routes, services, self.auth)
        services.auth = self.auth
        services.routes = self.router.routes

    @property
    def routes(self) -> list[Route]:
        """Every route with its permission."""
        return self.router.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = self._with_headers(send)
        server = self.services.config.current.server
        names = known_hosts(server.public_url, server.hosts, self.services.bind)
        local = scope["server"][0] if scope.get("server") else None
        given = [value for name, value in scope["headers"] if name == b"host"]
        host = given[0].decode("latin-1") if len(given) == 1 else None
        if not host_allowed(host, names, local):
            self.services.counters.add("watchkeeper_refused_total", reason="host")
            said = f"this server is not called {(host or '')[:100]!r}"
            hint = "add the name to server.hosts in the configuration, or use one of: " + ", ".join(
                sorted(names)
            )
            refused = self.router.unrouted(Request(scope), HttpError(421, said, hint))
            await refused(scope, receive, guarded)
            return
        await self.router(scope, receive, guarded)

    def _with_headers(self, send: Send) -> Send:
        tls = (self.services.config.current.server.public_url or "").startswith("https://")

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                have = {name.lower() for name, _ in headers}
                headers.extend(pair for pair in HEADERS if pair[0] not in have)
                if b"cache-control" not in have:
                    headers.append((b"cache-control", b"no-store"))
                if tls:
                    headers.append(HSTS)
                message = {**message, "headers": headers}
            await send(message)

        return wrapped


async def _lifespan(receive: Receive, send: Send) -> None:
    # Starting and stopping is compose's business; a server that insists on the protocol gets its answers.
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def create_app(services: Services, extra: Sequence[ModuleType] = ()) -> App:
    """The application over these services; `extra` are further modules of routes.

    Raises `MissingPermission` when anything would be reachable without a declared permission, and `ValueError`
    when two handlers claim one route.
    """
    pages = import_module(PAGES) if find_spec(PAGES) is not None else None
    if services.error_page is None and pages is not None:
        services.error_page = getattr(pages, "error_page", None)
    if services.guard is None:
        services.guard = Guards(services.config, _scorer, services.counters, _without_sensitive)
    return App(services, surface_routes(extra))


def _scorer(spec: dict[str, Any]) -> Scorer:
    return build(spec, plan.finders())


def _without_sensitive(text: str) -> str:
    return redact_text(text)[0]
