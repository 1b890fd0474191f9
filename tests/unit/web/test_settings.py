"""Settings: prices and stored costs made again, exports, forwarding, the audit log."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.unit.web.world import NOW, PROJECT, World, build, spans_of, turns
from watchkeeper.dialects import assemble, normalise
from watchkeeper.pipeline.forward import ForwardFlow, Target
from watchkeeper.pipeline.reprice import Recompute
from watchkeeper.store.columns import SpanRow, TraceRow
from watchkeeper.store.records import access

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWN = "house-model-7b"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(tmp_path_factory.mktemp("settings"), 60, seed=3, roll=False)
    services = made.services
    services.reprice = Recompute(made.columns, services.records, services.clock)
    number, _, turn, scenario = next(turns(1, 5))
    spans = [normalise(_renamed(raw)) for raw in spans_of(turn, "e" * 32, NOW - 10**9, number, scenario)]
    await made.columns.write_spans([SpanRow(PROJECT, s, NOW) for s in spans], [])
    await made.columns.write_traces([TraceRow(PROJECT, assemble(spans, []), [], 1.0, "all", NOW)])
    yield made
    await services.reprice.close()
    await made.close()


def _renamed(raw: Any) -> Any:
    said = {k: OWN if k.endswith(".model") else v for k, v in raw.attributes.items()}
    return msgspec.structs.replace(raw, attributes=said)


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


async def test_models_without_a_price_are_named_with_what_to_add(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/settings/prices")).text
    assert OWN in page and "its price" in page
    assert f"{{provider: openai, model: {OWN}, input: 0.15, output: 0.60}}" in page
    assert "gpt-4o-mini" in page and "$0.15" in page
    assert "Nothing has been recomputed yet" in page


async def test_stored_costs_are_made_again_from_the_page(world: World) -> None:
    async with client(world) as browser:
        begun = await browser.post("/settings/prices/recompute?project=default", data={"since": "30d"})
        assert begun.status_code == 303 and begun.headers["location"] == "/settings/prices"
        page = (await browser.get("/settings/prices")).text
    assert "looked at" in page and "Nothing has been recomputed" not in page


async def test_an_export_begins_with_the_filters_of_the_list(world: World) -> None:
    async with client(world) as browser:
        where = "/traces?range=7d&where=answer_relevance+%3C+5%0Acost+%3E+0&user=user-3&cohort=prompt_version%3Dv2"
        listed = (await browser.get(where)).text
        link = listed.partition('href="/settings/export')[2].partition('"')[0].replace("&amp;", "&")
        page = (await browser.get("/settings/export" + link)).text
    assert 'value="7d"' in page
    conditions = "(answer_relevance &lt; 5) and (cost &gt; 0) and (prompt_version = &#39;v2&#39;) and (user_id = &#39;user-3&#39;)"
    assert f'value="{conditions}"' in page


async def test_a_file_is_written_and_a_refusal_is_said_on_a_page(world: World) -> None:
    async with client(world) as browser:
        whole = await browser.get("/settings/export/traces", params={"since": "30d", "where": "", "text": ""})
        assert whole.text.count("\n") == 61
        wrong = await browser.get("/settings/export/rows", params={"since": "30d", "where": "nonsense < 1"})
    assert wrong.status_code == 400 and "That did not work" in wrong.text
    assert wrong.headers["content-type"].startswith("text/html")


async def test_forwarding_says_how_far_behind_each_target_is(world: World) -> None:
    services = world.services

    async def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is sent by looking")

    flow = ForwardFlow(world.columns, services.records, services.clock, services.clock, never, lambda: 0.5)
    async with client(world) as browser:
        assert "Nothing is forwarded" in (await browser.get("/settings/forwarding")).text
        flow.use([Target("tracing", "https://otlp.example.com", signals=("traces",), start="beginning")])
        services.forward = flow
        page = (await browser.get("/settings/forwarding")).text
    assert "https://otlp.example.com" in page and "Running" in page


async def test_only_an_admin_sees_the_audit_log_and_where_data_goes(world: World) -> None:
    services = world.services
    _, key = await services.records.write(
        lambda c: access.create_key(
            c, project=PROJECT, name="looker", role="viewer", created_by="t", now_ns=NOW
        )
    )
    services.no_auth = False
    try:
        async with client(world) as browser:
            seen = {"authorization": f"Bearer {key}"}
            page = (await browser.get("/settings", headers=seen)).text
            statuses = [
                (await browser.get(f"/settings/{p}", headers=seen)).status_code
                for p in ("audit", "forwarding")
            ]
    finally:
        services.no_auth = True
    assert "Prices" in page and "Forwarding" not in page and "Audit and erasure" not in page
    assert statuses == [403, 403]
