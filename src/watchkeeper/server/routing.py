"""Routes as data: every handler declares its method, path and permission, and nothing else reaches the network.

```python
@route("GET", "/alerts", permission="viewer")
async def alerts(call: Call) -> Response:
    rows = await call.services.columns.named("alerts", call.project)
    ...
```

`routes_of(module)` collects a module's routes; the app refuses to start when a route has no permission, when two
handlers claim one route, or when anything is mounted that is not a `Route`.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from pydantic import BaseModel
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response

from watchkeeper.config.adapters import known_providers, not_provided
from watchkeeper.pipeline.refusal import Refused

if TYPE_CHECKING:
    from watchkeeper.server.services import Services

Permission = Literal["public", "ingest", "viewer", "reviewer", "editor", "admin"]
PERMISSIONS: tuple[str, ...] = get_args(Permission)
Kind = Literal["json", "page", "otlp", "static"]
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
P = TypeVar("P")
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

# What each role may do. `ingest` writes telemetry and cannot read; `viewer` and `reviewer` read and cannot send
# telemetry, so that a leaked dashboard key cannot poison what the monitors see.
GRANTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "ingest": frozenset({"public", "ingest"}),
        "viewer": frozenset({"public", "viewer"}),
        "reviewer": frozenset({"public", "viewer", "reviewer"}),
        "editor": frozenset({"public", "ingest", "viewer", "reviewer", "editor"}),
        "admin": frozenset(PERMISSIONS),
    }
)
ROLES: tuple[str, ...] = tuple(GRANTS)
EVERY_PROJECT = "*"
DEFAULT_PROJECT = "default"


def allows(role: str | None, permission: str) -> bool:
    """Whether a role (None: nobody) may use a route with this permission."""
    if permission == "public":
        return True
    return role is not None and permission in GRANTS.get(role, frozenset())


class MissingPermission(Exception):
    """A route was declared without a known permission; the app does not start."""


class HttpError(Exception):
    """An answer other than success, told to the caller as `{"error", "hint"}` (or a page of the same words)."""

    def __init__(
        self, status: int, error: str, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.hint = hint
        self.headers: dict[str, str] = dict(headers or {})


def needed(part: P | None, what: str) -> P:
    """A part of the server, `what` in words. Raises `HttpError` 503 where this process runs without it."""
    if part is None:
        asked = "ask the server that runs the pipeline"
        raise HttpError(503, f"this server runs without {what}", asked, {"retry-after": "5"})
    return part


def provided(call: "Call", model: str, status: int = 400) -> None:
    """Nothing where a known provider has the model. Raises `HttpError` else, before anybody is asked."""
    wrong = not_provided(model, known_providers(call.services.config.current))
    if wrong is not None:
        raise HttpError(status, *wrong)


def refused(error: Refused, status: int = 409) -> HttpError:
    """The answer to what a flow refused: 404 where it is about nothing there is, else `status`."""
    return HttpError(404 if error.missing else status, str(error), error.hint)


@dataclass(frozen=True)
class Principal:
    """Who is calling. `roles` maps a project (or `*` for every project) to a role."""

    actor: str
    kind: Literal["key", "session", "local"]
    roles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    csrf: str | None = None
    user_id: str | None = None
    key_id: str | None = None

    def role_in(self, project: str) -> str | None:
        """The caller's role in a project, None when it has no business there."""
        return self.roles.get(project) or self.roles.get(EVERY_PROJECT)


async def sent_form(request: Request, fields: int = 2_000) -> FormData:
    """What a page's form sent: at most so many fields of at most 1 MiB. Raises `HttpError` 413, and 415 for any other form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        raise HttpError(
            415, "no page here sends files", "send Content-Type: application/x-www-form-urlencoded"
        )
    try:
        return await request.form(max_fields=fields)
    except MultiPartException as error:
        raise HttpError(413, "that is too much for this form", error.message) from None


ANONYMOUS = Principal(actor="anonymous", kind="local")


@dataclass
class Call:
    """One request being answered: who asks, for which project, with the query and body already validated.

    `query` and `body` are instances of the models the route declared, else None. `banner` is True in `--no-auth`
    mode: pages show that anyone on this machine can see everything.
    """

    request: Request
    services: "Services"
    principal: Principal
    project: str
    permission: str
    query: Any = None
    body: Any = None

    @property
    def role(self) -> str | None:
        """The caller's role in this project."""
        return self.principal.role_in(self.project)

    @property
    def csrf(self) -> str:
        """The token a page puts in its forms (`<input type="hidden" name="csrf">`) and `x-csrf-token` headers."""
        return self.principal.csrf or ""

    @property
    def banner(self) -> bool:
        """Whether the server runs without login."""
        return self.services.no_auth

    @property
    def sees_content(self) -> bool:
        """Whether prompts, outputs and tool data may be shown to this caller (`privacy.content_role`)."""
        role = self.role
        if role is None:
            return False
        return allows(role, self.services.config.current.privacy.content_role)

    def need_content(self, why: str, hint: str = "") -> None:
        """Stop a caller who may not see content. Raises `HttpError` 403 with the reason and the role that may."""
        if not self.sees_content:
            needed = self.services.config.current.privacy.content_role
            raise HttpError(403, why, f"it needs the role {needed} (privacy.content_role){hint}")

    def may(self, permission: str) -> bool:
        """Whether the caller may also use a route with this permission; pages use it to show or hide buttons."""
        return allows(self.role, permission)

    @property
    def source(self) -> str:
        """The network address of the caller, for the audit log."""
        return self.request.client.host if self.request.client else "local"


Handler = Callable[[Call], Awaitable[Any]]
H = TypeVar("H", bound=Handler)


@dataclass(frozen=True)
class Route:
    """One method and path with its permission. `answer` describes the JSON answer for the API document."""

    method: str
    path: str
    permission: str
    handler: Handler
    kind: Kind = "json"
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    summary: str = ""
    status: int = 200
    max_body: int = 1 << 20

    def __post_init__(self) -> None:
        """Refuse what must never be served."""
        where = f"{self.method} {self.path}"
        if self.permission not in PERMISSIONS:
            raise MissingPermission(
                f"{where} declares the permission {self.permission!r}; choose one of {', '.join(PERMISSIONS)}"
            )
        if self.method not in METHODS:
            raise ValueError(f"{where}: the method must be one of {', '.join(METHODS)}")
        if not self.path.startswith("/"):
            raise ValueError(f"{where}: the path must start with /")


def _kind_of(path: str) -> Kind:
    if path.startswith("/api/") or path in ("/healthz", "/readyz", "/metrics"):
        return "json"
    return "page"


def route(
    method: str,
    path: str,
    *,
    permission: str,
    kind: Kind | None = None,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    status: int = 200,
    max_body: int = 1 << 20,
) -> Callable[[H], H]:
    """Declare that the decorated `async def handler(call: Call)` answers `method path` for `permission`.

    The handler returns a Starlette `Response`, or plain data that is sent as JSON. `path` uses Starlette's
    parameters (`/traces/{trace_id}`), read from `call.request.path_params`. `query` and `body` are pydantic models
    the request must satisfy. `kind` decides how errors look (`page`: HTML, and 401 goes to the login page); by
    default `/api/…` is JSON and everything else a page. Several declarations may be stacked on one handler.
    """

    def declare(handler: H) -> H:
        made = Route(
            method=method.upper(),
            path=path,
            permission=permission,
            handler=handler,
            kind=kind or _kind_of(path),
            query=query,
            body=body,
            summary=inspect.getdoc(handler) or "",
            status=status,
            max_body=max_body,
        )
        known = cast("list[Route]", handler.__dict__.setdefault("__watchkeeper_routes__", []))
        known.append(made)
        return handler

    return declare


def routes_of(*modules: ModuleType) -> list[Route]:
    """Every route declared in these modules, in order of declaration."""
    found: list[Route] = []
    for module in modules:
        for value in list(vars(module).values()):
            if inspect.isfunction(value) and value.__module__ == module.__name__:
                found.extend(cast("list[Route]", getattr(value, "__watchkeeper_routes__", [])))
    return found


def checked(routes: Iterable[Route]) -> list[Route]:
    """The routes, literal paths before patterns, after refusing duplicates and anything that is not a `Route`."""
    seen: dict[tuple[str, str], Route] = {}
    for one in routes:
        if not isinstance(one, Route):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MissingPermission(f"{one!r} is not a declared route; use @route(…, permission=…)")
        key = (one.method, one.path)
        if key in seen:
            other = seen[key].handler
            raise ValueError(
                f"{one.method} {one.path} is declared twice: {other.__module__} and {one.handler.__module__}"
            )
        seen[key] = one
    return sorted(seen.values(), key=lambda r: ("{" in r.path, r.path.startswith("/{")))


__all__ = [
    "ANONYMOUS",
    "DEFAULT_PROJECT",
    "EVERY_PROJECT",
    "GRANTS",
    "METHODS",
    "PERMISSIONS",
    "ROLES",
    "UNSAFE",
    "Call",
    "Handler",
    "HttpError",
    "MissingPermission",
    "Permission",
    "Principal",
    "Request",
    "Response",
    "Route",
    "allows",
    "checked",
    "needed",
    "route",
    "routes_of",
    "sent_form",
]
