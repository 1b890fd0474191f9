"""From a request to its declared route, and everything that must hold before its handler runs."""

import codecs
import logging
import re
import time
from collections.abc import Sequence
from typing import Any, cast
from urllib.parse import quote, unquote_to_bytes

from pydantic import BaseModel, ValidationError
from starlette.convertors import Convertor
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from watchkeeper.config.base import fault_in_words, of_kind
from watchkeeper.server import answers
from watchkeeper.server.auth import Authenticator, authorise, check_csrf, project_of
from watchkeeper.server.otlp_answers import otlp_error
from watchkeeper.server.routing import ANONYMOUS, UNSAFE, Call, HttpError, Request, Response, Route, checked
from watchkeeper.server.services import Services
from watchkeeper.store.columns import QueryRefused, StoreUnavailable
from watchkeeper.store.records.access import AccessRefused

log = logging.getLogger("watchkeeper.server")

# What pydantic adds to a field's place for each of the kinds its value may be of.
_BRANCH = re.compile(r"(?:bool|int|float|str|literal\[.*\]|constrained-\w+)\Z")
Methods = dict[str, Route]
Pattern = tuple[re.Pattern[str], dict[str, Convertor[Any]], Methods]


def matcher(routes: Sequence[Route]) -> tuple[dict[str, Methods], list[Pattern]]:
    """Literal paths as a table and the rest as patterns in order; only declared routes get in."""
    literal: dict[str, Methods] = {}
    patterns: dict[str, Pattern] = {}
    for route in checked(routes):
        if "{" not in route.path:
            literal.setdefault(route.path, {})[route.method] = route
            continue
        if route.path not in patterns:
            regex, _, convertors = compile_path(route.path)
            patterns[route.path] = (regex, convertors, {})
        patterns[route.path][2][route.method] = route
    return literal, list(patterns.values())


# A slash that a name holds, while paths are compared: it must not look like one that ends the name.
_SLASH = "\ufdd0"


def path_of(scope: Scope) -> str:
    """The path of a request, with `_SLASH` for every slash that its address writes as `%2F`. A name may hold one: an experiment is
    often called like a branch, `feature/x`."""
    raw = scope.get("raw_path") or b""
    if b"%2f" not in raw.lower():
        return str(scope["path"])
    parts = (unquote_to_bytes(part).decode("utf-8", "replace") for part in raw.partition(b"?")[0].split(b"/"))
    return "/".join(part.replace("/", _SLASH) for part in parts)


_SAID = {"extra_forbidden": "is not known here", "missing": "is required"}


def _of_the_body(words: str) -> str:
    return f"the body {words}" if words.startswith(("must be ", "is not JSON")) else words


def described(error: ValidationError, model: type[BaseModel] | None = None) -> tuple[str, str]:
    """The first fault of a request as one sentence, and the other fields at fault as a hint; where only unknown fields are, those
    `model` knows. What may be one of several things and is none of them is one fault, not one for each."""
    faults = error.errors(include_url=False, include_input=False)
    said: dict[str, list[str]] = {}
    sized: set[str] = set()
    for fault in faults:
        steps = fault["loc"]
        branch = bool(steps) and _BRANCH.match(str(steps[-1])) is not None
        where = ".".join(str(step) for step in (steps[:-1] if branch else steps))
        if branch and of_kind(fault) is None and where not in sized:
            # It is of this kind, so what the other kinds would be is no help.
            said.pop(where, None)
            sized.add(where)
        elif branch and where in sized:
            continue
        words = _SAID.get(fault["type"]) or fault_in_words(fault)
        before = said.setdefault(where, [])
        before.append(words.removeprefix("must be ") if before else words)
    parts = [
        f"{where}: {', or '.join(words)}" if where else _of_the_body(words[0])
        for where, words in said.items()
    ]
    if model is not None and all(fault["type"] == "extra_forbidden" for fault in faults):
        known = [field.alias or name for name, field in model.model_fields.items()]
        return parts[0], "; ".join([*parts[1:5], f"allowed: {', '.join(known) or 'none'}"])
    return parts[0], "; ".join(parts[1:5]) or "/api/docs describes every field"


async def read_body(request: Request, most: int) -> bytes:
    """The body, up to `most` bytes. Raises `HttpError` 413, before reading when the length is declared."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and len(declared) < 20 and int(declared) > most:
        raise HttpError(413, f"the body is larger than {most} bytes", "send less at once")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HttpError(413, f"the body is larger than {most} bytes", "send less at once")
        parts.append(part)
    return b"".join(parts)


async def _body(request: Request, route: Route, model: type[BaseModel]) -> BaseModel:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpError(415, "the body must be JSON", "send Content-Type: application/json")
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise HttpError(415, "the body of this request cannot be compressed", "leave out Content-Encoding")
    data = (await read_body(request, route.max_body)).removeprefix(codecs.BOM_UTF8)
    try:
        return model.model_validate_json(data or b"{}")
    except ValidationError as error:
        raise HttpError(400, *described(error, model)) from None


def _query(request: Request, model: type[BaseModel]) -> BaseModel:
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name == "project":
            continue
        if name in given:
            raise HttpError(400, f"{name} is given twice", "give each parameter once")
        given[name] = value
    try:
        return model.model_validate_strings(given)
    except ValidationError as error:
        raise HttpError(400, *described(error, model)) from None


async def _asked(request: Request, route: Route, model: type[BaseModel]) -> BaseModel:
    """What a request asks by its address; what changes something may say it in a body instead: one that was passed over would
    have something else done."""
    query = _query(request, model)
    nothing = request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers
    # A page's form may come here with its token alone.
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if nothing or form or route.method not in UNSAFE or route.body is not None:
        return query
    body = await _body(request, route, model)
    return query.model_copy(update={name: getattr(body, name) for name in body.model_fields_set})


def _limited(query: BaseModel | None, result: Any) -> dict[str, str]:
    """A header for a list that is as long as its `limit`: there may be more, and the list alone does not say so."""
    most = getattr(query, "limit", None)
    full = isinstance(result, list) and isinstance(most, int) and len(cast("list[Any]", result)) >= most
    return {"x-watchkeeper-limited": str(most)} if full else {}


class Router:
    """An ASGI application made of declared routes and nothing else."""

    def __init__(self, routes: Sequence[Route], services: Services, auth: Authenticator) -> None:
        self.routes = checked(routes)
        self.services = services
        self.auth = auth
        self._literal, self._patterns = matcher(self.routes)

    def find(self, path: str) -> tuple[Methods, dict[str, Any]] | None:
        """The routes of a path by method, and the path's parameters."""
        methods = self._literal.get(path)
        if methods is not None:
            return methods, {}
        for regex, convertors, by_method in self._patterns:
            found = regex.match(path)
            if found is not None:
                named = {k: v.replace(_SLASH, "/") for k, v in found.groupdict().items()}
                return by_method, {k: convertors[k].convert(v) for k, v in named.items()}
        if not path.endswith(("/v1/traces/", "/v1/logs/", "/v1/metrics/")):
            return None
        # How some clients write the address of an export (Sentry's).
        return self.find(path[:-1])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        found = self.find(path_of(scope))
        route: Route | None = None
        if found is None:
            said = f"there is nothing at {scope['path'][:200]}"
            response = self.unrouted(Request(scope), HttpError(404, said, "/api/docs lists what there is"))
        else:
            methods, scope["path_params"] = found
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            route = methods.get(method)
            if route is None:
                allowed = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])}))
                error = HttpError(
                    405, f"{method} is not possible here", f"allowed: {allowed}", {"allow": allowed}
                )
                response = self.unrouted(Request(scope), error)
            else:
                response = await self.answer(route, Request(scope, receive))
        if response is not None:
            await response(scope, receive, send)
        name = f"{route.method} {route.path}" if route else "none"
        status = str(response.status_code) if response is not None else "gone"
        self.services.counters.add("watchkeeper_http_requests_total", route=name, status=status)
        self.services.counters.add(
            "watchkeeper_http_seconds_total", time.perf_counter() - started, route=name
        )

    async def answer(self, route: Route, request: Request) -> Response | None:
        """The response of a route, errors included; None when the caller has gone away."""
        try:
            call = await self.prepare(route, request)
            result = await route.handler(call)
            if isinstance(result, Response):
                return result
            return answers.json_response(result, route.status, _limited(call.query, result))
        except HttpError as error:
            # A handler that has what it raises in a variable makes a cycle of it, its traceback and its frame, and with them the
            # request and its body would stay until the collector comes by.
            return self.error(route, request, error.with_traceback(None))
        except QueryRefused as error:
            return self.error(route, request, HttpError(400, str(error), error.hint))
        except AccessRefused as error:
            return self.error(route, request, HttpError(400, str(error), error.hint))
        except StoreUnavailable as error:
            busy = HttpError(503, f"the store cannot do this now: {error}", "try again", {"retry-after": "5"})
            return self.error(route, request, busy)
        except ClientDisconnect:
            self.services.counters.add("watchkeeper_refused_total", reason="client_gone")
            return None
        except Exception:
            self.services.counters.add("watchkeeper_errors_total", route=f"{route.method} {route.path}")
            log.exception("fault while answering %s %s", route.method, route.path)
            return self.error(
                route, request, HttpError(500, "a fault of ours", "it is counted and in the log")
            )

    async def prepare(self, route: Route, request: Request) -> Call:
        """Everything before the handler: caller, project, permission, cross-site protection, query and body."""
        principal = await self.auth.identify(request, route)
        project = project_of(request, principal)
        authorise(route, principal, project)
        if route.permission != "public":
            await check_csrf(request, principal)
        call = Call(request, self.services, principal, project, route.permission)
        if route.query is not None:
            call.query = await _asked(request, route, route.query)
        if route.body is not None:
            call.body = await _body(request, route, route.body)
        return call

    def error(self, route: Route, request: Request, error: HttpError) -> Response:
        """An error in the shape its route promises; a page sends people without a login to the login page."""
        if route.kind == "otlp":
            return otlp_error(request, error)
        if route.kind != "page":
            return answers.error_json(error)
        if error.status == 401 and request.method == "GET":
            there = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""), safe="/")
            return Response(status_code=303, headers={"location": f"/login?next={there}"})
        return self.error_page(request, error)

    def error_page(self, request: Request, error: HttpError) -> Response:
        """An error for people, in the pages' own words where there are pages."""
        if self.services.error_page is None:
            return answers.error_page(error)
        text = self.services.error_page(error.status, error.error, error.hint, request)
        return Response(text, error.status, {**error.headers, "content-type": "text/html; charset=utf-8"})

    def unrouted(self, request: Request, error: HttpError) -> Response:
        """An error of a request that no route answers: a page for a browser that wanted one, JSON for everybody else."""
        wants_page = "text/html" in request.headers.get("accept", "")
        if wants_page and not request.scope["path"].startswith(("/api/", "/v1/")):
            return self.error_page(request, error)
        return answers.error_json(error)


__all__ = ["ANONYMOUS", "Router", "described", "matcher", "read_body"]
