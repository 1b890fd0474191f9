"""Every route of the running application, against every role: generated from the registry, so a new route is in it."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.unit.server.doubles import Rig, rig
from watchkeeper.server.app import create_app, surface_modules, surface_routes
from watchkeeper.server.grpcserver import METHODS, checked_methods
from watchkeeper.server.routing import (
    GRANTS,
    PERMISSIONS,
    MissingPermission,
    Route,
    checked,
    route,
    routes_of,
)

ROUTES = surface_routes()
ROLES = tuple(GRANTS)
# Everything that answers without credentials, spelled out: growing this list is a decision.
PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("GET", "/static/{name:path}"),
    ("GET", "/pictures/{token}"),
}


def path_of(one: Route) -> str:
    filled = one.path.replace("{prefix:path}", "api/public/otel").replace("{name:path}", "nothing.css")
    while "{" in filled:
        before, _, rest = filled.partition("{")
        filled = before + ("a" * 32) + rest.partition("}")[2]
    return filled


@pytest.fixture
def served(tmp_path: Path) -> Rig:
    return rig(tmp_path)


def test_it_serves_only_what_is_on_the_public_list_without_credentials() -> None:
    assert {(r.method, r.path) for r in ROUTES if r.permission == "public"} <= PUBLIC
    assert len(PUBLIC) <= 6


async def test_it_refuses_everything_else_without_credentials(served: Rig) -> None:
    async with served.client() as client:
        for one in ROUTES:
            if one.permission == "public":
                continue
            answer = await client.request(one.method, path_of(one))
            expected = (401, 303) if one.kind == "page" and one.method == "GET" else (401,)
            assert answer.status_code in expected, f"{one.method} {one.path}: {answer.status_code}"
            if answer.status_code == 303:
                assert answer.headers["location"].startswith("/login?next=/")


@pytest.mark.parametrize("role", ROLES)
async def test_it_lets_each_role_do_what_the_matrix_says(served: Rig, role: str) -> None:
    key = served.key(role)
    async with served.client(key) as client:
        for one in ROUTES:
            answer = await client.request(one.method, path_of(one))
            if one.permission in GRANTS[role]:
                assert answer.status_code not in (401, 403) or _own_refusal(one, answer), (
                    f"{one.method} {one.path}"
                )
            else:
                assert answer.status_code == 403, f"{role} {one.method} {one.path}: {answer.status_code}"


def _own_refusal(one: Route, answer: Any) -> bool:
    """A handler may ask for more than its permission; it then says `every project`."""
    return "every project" in answer.text


@pytest.mark.parametrize("role", ROLES)
async def test_it_gives_a_key_of_another_project_nothing_here(served: Rig, role: str) -> None:
    key = served.key(role, "other")
    async with served.client(key, **{"x-watchkeeper-project": "default"}) as client:
        for one in ROUTES:
            if one.permission == "public":
                continue
            answer = await client.request(one.method, path_of(one))
            assert answer.status_code == 403, f"{one.method} {one.path}: {answer.status_code}"


async def test_it_refuses_a_session_without_the_csrf_token_on_everything_that_changes_something(
    served: Rig,
) -> None:
    secret = served.session("admin", "*")
    async with served.client() as client:
        client.cookies.set("wk_session", secret)
        for one in ROUTES:
            if one.method == "GET" or one.permission == "public" or one.kind == "otlp":
                continue
            answer = await client.request(one.method, path_of(one))
            assert answer.status_code == 403 and "out of date" in answer.text, f"{one.method} {one.path}"


async def test_it_never_answers_a_route_with_a_fault_whatever_the_body(served: Rig) -> None:
    key = served.key("admin", "*")
    bodies = [b"", b"{", b"[]", b"null", b'{"a":1}', b"\xff\xfe", b'{"query":"\\ud800"}', b"[" * 5000]
    async with served.client(key, **{"content-type": "application/json"}) as client:
        for one in ROUTES:
            # Pages read the real store; their own tests drive them over it.
            for body in bodies if one.kind != "page" or one.path == "/login" else ():
                answer = await client.request(one.method, path_of(one), content=body)
                assert answer.status_code < 500 or answer.status_code == 503, (
                    f"{one.method} {one.path} {body[:20]!r}"
                )
    assert served.services.counters.get("watchkeeper_errors_total") == 0


HOSTILE = [
    "",
    "-1",
    "9" * 30,
    "NaN",
    "1e400",
    "%00",
    "%ED%A0%80",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "x" * 5000,
]


async def test_it_never_answers_a_route_with_a_fault_whatever_the_query(served: Rig) -> None:
    async with served.client(served.key("admin", "*")) as client:
        for one in ROUTES:
            names = (
                [f.alias or name for name, f in one.query.model_fields.items()]
                if one.query is not None
                else []
            )
            for name, value in product(names, HOSTILE):
                answer = await client.request(one.method, f"{path_of(one)}?{name}={value}", content=b"{}")
                assert answer.status_code < 500 or answer.status_code == 503, (
                    f"{one.path} {name}={value[:40]}"
                )
    assert served.services.counters.get("watchkeeper_errors_total") == 0


@pytest.mark.parametrize(
    "path",
    ["//api/traces", "/api//traces", "/api/traces/", "/API/traces", "/api/traces;x=1", "/./api/traces"],
)
async def test_it_matches_paths_exactly(served: Rig, path: str) -> None:
    async with served.client() as client:
        request = client.build_request("GET", "http://127.0.0.1:4318/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await client.send(request)
        assert answer.status_code in (401, 404)


async def test_it_ignores_method_overrides_and_forwarded_headers(served: Rig) -> None:
    key = served.key("viewer")
    sneaky = {
        "x-http-method-override": "DELETE",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "localhost",
    }
    async with served.client(key, **sneaky) as client:
        assert (await client.get("/api/alerts")).status_code == 200
        assert (await client.delete("/api/keys/abc")).status_code == 403
        assert (await client.options("/api/alerts")).status_code == 405
        assert (await client.head("/api/alerts")).status_code == 200
    async with served.client() as client:
        assert (await client.head("/api/alerts")).status_code == 401
        assert (await client.get("/api/alerts", params={"api_key": key, "token": key})).status_code == 401


def test_it_does_not_start_with_a_route_without_a_permission() -> None:
    async def handler(call: Any) -> None: ...

    with pytest.raises(MissingPermission, match="declares the permission 'everyone'"):
        Route("GET", "/x", "everyone", handler)
    with pytest.raises(TypeError):
        route("GET", "/x")  # type: ignore[call-arg]
    with pytest.raises(MissingPermission):
        checked([("GET", "/x", handler)])  # type: ignore[list-item]
    with pytest.raises(MissingPermission, match="TraceService"):
        checked_methods({"/x.TraceService/Export": ("traces", "")})


def test_it_does_not_start_when_two_handlers_claim_one_route() -> None:
    async def handler(call: Any) -> None: ...

    with pytest.raises(ValueError, match="declared twice"):
        checked([Route("GET", "/x", "viewer", handler), Route("GET", "/x", "admin", handler)])


def test_it_declares_a_permission_for_every_grpc_method() -> None:
    assert set(METHODS) == {
        f"/opentelemetry.proto.collector.{p}.v1.{s}Service/Export"
        for p, s in (("trace", "Trace"), ("logs", "Logs"), ("metrics", "Metrics"))
    }
    assert {p for _, p in METHODS.values()} == {"ingest"}


def test_it_takes_its_routes_from_declarations_only(tmp_path: Path) -> None:
    made = rig(tmp_path)
    declared = {(r.method, r.path) for r in routes_of(*surface_modules())}
    assert declared <= {(r.method, r.path) for r in made.app.routes}
    assert {r.permission for r in made.app.routes} <= set(PERMISSIONS)
    assert len(create_app(made.services).routes) == len(made.app.routes)
