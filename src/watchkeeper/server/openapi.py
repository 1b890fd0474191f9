"""The OpenAPI document, made from the declared routes."""

import functools
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from watchkeeper.server.routing import Route

REF = "#/components/schemas/{model}"
ABOUT = (
    "Capture by OTLP, read traces and scores, query by SQL, review, build datasets, gate releases. Send "
    "'Authorization: Bearer wk_…'; choose a project with 'x-watchkeeper-project'. Errors are {error, hint}."
)
ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
    "required": ["error", "hint"],
}
FAULTS = {
    "400": "Bad input", "401": "No valid key or login", "403": "Not allowed", "404": "Not found",
    "503": "Not now: retry-after says when to come again",
}  # fmt: skip
# Besides, of what changes something.
CHANGING = {"409": "Against what there is: the error says what", "413": "The body is too large"}


def installed_version() -> str:
    """The version of this distribution, `0` where it runs from an uninstalled tree."""
    try:
        return version("watchkeeper")
    except PackageNotFoundError:
        return "0"


def _template(path: str) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", r"{\1}", path)


def _parameters(route: Route, schemas: dict[Any, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)(?::\w+)?\}", route.path)
    ]
    if route.query is not None:
        schema = components[schemas[(route.query, "validation")]["$ref"].rsplit("/", 1)[-1]]
        for name, field in schema.get("properties", {}).items():
            made = {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", []),
                "schema": field,
            }
            found.append({**made, "description": field["description"]} if "description" in field else made)
    return found


def _operation(route: Route, schemas: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rsplit('.', 1)[-1]}_{getattr(route.handler, '__name__', 'route')}",
        "summary": route.summary.split(". ")[0].split("\n")[0].rstrip("."),
        "description": route.summary,
        "x-permission": route.permission,
        "security": [] if route.permission == "public" else [{"key": []}],
        "responses": {str(route.status): {"description": "Done"}},
    }
    for status, said in (FAULTS if route.method == "GET" else FAULTS | CHANGING).items():
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        made["responses"][status] = {"description": said, "content": content}
    if parameters := _parameters(route, schemas, components):
        made["parameters"] = parameters
    if route.body is not None:
        reference = schemas[(route.body, "validation")]
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return made


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """OpenAPI 3.1 of every JSON route, in order of their paths. It is made once and not to be changed: everybody waits for
    the fifth of a second that it takes."""
    return _made(tuple(routes))


@functools.lru_cache(maxsize=1)
def _made(routes: tuple[Route, ...]) -> dict[str, Any]:
    shown = [r for r in routes if r.kind == "json"]
    models: list[type[BaseModel]] = [m for r in shown for m in (r.query, r.body) if m is not None]
    unique = [(m, "validation") for m in dict.fromkeys(models)]
    schemas, top = models_json_schema(unique, ref_template=REF)  # pyright: ignore[reportArgumentType]
    components: dict[str, Any] = {**top.get("$defs", {}), "Error": ERROR}
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(shown, key=lambda r: (r.path, r.method)):
        paths.setdefault(_template(route.path), {})[route.method.lower()] = _operation(
            route, schemas, components
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Watchkeeper", "version": installed_version(), "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "wk_…"}},
        },
    }
