"""Operations: health, readiness, our own metrics, and the description of the API."""

import asyncio
import html
import logging
import re
from typing import Any

from watchkeeper.server import answers
from watchkeeper.server.gauges import columns_answer, gauges, ingest_answer, records_answer
from watchkeeper.server.metrics import Sample, render
from watchkeeper.server.openapi import document
from watchkeeper.server.routing import Call, Response, route
from watchkeeper.store import damage

log = logging.getLogger("watchkeeper.server")

CHECK_SECONDS = 2.0


@route("GET", "/healthz", permission="public")
async def health(call: Call) -> dict[str, str]:
    """Whether the process answers at all."""
    return {"status": "ok"}


@route("GET", "/readyz", permission="public")
async def ready(call: Call) -> Response:
    """Whether requests would be served: 200, or 503 with the names of what is not well. A full disk is `ingest`: reading goes on."""
    services = call.services
    wrong: list[str] = ["draining"] if services.draining else []
    checks = {
        "records": lambda: records_answer(services),
        "columns": lambda: columns_answer(services),
        "ingest": lambda: ingest_answer(services),
        **services.checks,
    }
    for name, check in checks.items():
        try:
            said = await asyncio.wait_for(check(), CHECK_SECONDS)
        except TimeoutError:
            said = "did not answer"
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a part is its answer; logged
            log.warning("%s is not ready: %r", name, error)
            said = "failed"
        if said is not None:
            wrong.append(f"{name}: {said}" if call.banner else name)
    body: dict[str, Any] = {"status": "not ready" if wrong else "ready", "problems": wrong}
    # What was set aside keeps nobody from being served; who may see more is told where it is.
    if found := await asyncio.to_thread(damage.found, services.data_dir):
        body["damaged"] = [f"{d.what}: {d.kept}" for d in found] if call.banner else len(found)
    return answers.json_response(body, 503 if wrong else 200, {"retry-after": "5"} if wrong else None)


@route("GET", "/metrics", permission="viewer")
async def metrics(call: Call) -> Response:
    """Our own numbers as Prometheus text: what came in and what became of it, queues, lags, refusals."""
    samples: list[Sample] = list(call.services.counters.samples())
    samples.extend(await gauges(call.services))
    holder = call.services.config
    samples.append(
        Sample("watchkeeper_config_generation", {}, holder.generation, "Configurations used since start.")
    )
    rejected = float(holder.rejected is not None)
    samples.append(
        Sample("watchkeeper_config_rejected", {}, rejected, "1 while a newer configuration is rejected.")
    )
    return Response(render(samples), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})


@route("GET", "/api/openapi.json", permission="viewer")
async def openapi(call: Call) -> dict[str, Any]:
    """This API as an OpenAPI 3.1 document."""
    return document(call.services.routes)


@route("GET", "/api/docs", permission="viewer", kind="page")
async def docs(call: Call) -> Response:
    """This API for reading, made from the OpenAPI document."""
    return answers.page("API", docs_html(document(call.services.routes)))


def _fields(schema: dict[str, Any], components: dict[str, Any]) -> list[tuple[str, str, bool, str]]:
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[-1]]
    required = schema.get("required", [])
    return [
        (name, _type(field), name in required, field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(f) for f in field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[-1])
    if "enum" in field:
        return ", ".join(str(v) for v in field["enum"])
    return str(field.get("const", field.get("type", "any")))


def _prose(text: str) -> str:
    """A description as HTML: what stands in backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _table(rows: list[tuple[str, str, bool, str]]) -> str:
    body = "".join(
        f"<tr><td><code>{html.escape(name)}</code>{'' if required else ' <small>optional</small>'}</td>"
        f"<td>{html.escape(kind)}</td><td>{_prose(about)}</td></tr>"
        for name, kind, required, about in rows
    )
    return f"<table><thead><tr><th>Field</th><th>Type</th><th>Meaning</th></tr></thead><tbody>{body}</tbody></table>"


def docs_html(described: dict[str, Any]) -> str:
    """The document as HTML: one section for each operation."""
    components = described["components"]["schemas"]
    parts = [
        f"<h1>{html.escape(described['info']['title'])}</h1>",
        "<p>",
        _prose(described["info"]["description"]),
    ]
    parts.append("</p><p><a href='/api/openapi.json'>OpenAPI document</a></p>")
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            parts.append(f"<p>{_prose(operation['description'])}</p>")
            parts.append(f"<p><small>Permission: {html.escape(operation['x-permission'])}</small></p>")
            rows = [
                (p["name"], _type(p["schema"]), p["required"], p.get("description", ""))
                for p in operation.get("parameters", [])
            ]
            if rows:
                parts.append(f"<h3>Parameters</h3>{_table(rows)}")
            body = (
                operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            )
            if body:
                parts.append(f"<h3>Body</h3>{_table(_fields(body, components))}")
            parts.append("</section>")
    return "".join(parts)
