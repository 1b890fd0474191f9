"""Backfills over the whole surface: the cost first, a run by the page and by the API, and what cannot be run."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.unit.web.world import PROJECT, World, build
from watchkeeper.config.models import Metric, Sample, Scorecard
from watchkeeper.pipeline.backfill import BackfillFlow
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.scoring.sampling import Sampler
from watchkeeper.store.records import audit

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(Path(tmp_path_factory.mktemp("backfills")), 60, seed=3)
    metrics = (
        Metric(name="helpful", type="llm_judge", model="anthropic:claude-3-5-haiku", rubric="helpfulness"),  # type: ignore[call-arg]
        Metric(name="brief", type="length", max=200),  # type: ignore[call-arg]
    )
    plan = make_plan([Scorecard(name="answers", sample=Sample(), metrics=metrics)], salt="s")
    services = made.services
    services.backfill = BackfillFlow(
        services.columns, services.records, lambda _: plan, Sampler([], "s").u, services.clock
    )
    yield made
    await made.close()


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


async def test_the_page_shows_the_cost_then_runs_and_shows_progress(world: World) -> None:
    async with client(world) as browser:
        empty = (await browser.get("/backfills")).text
        assert "Nothing has been scored afterwards yet" in empty and 'value="scorecard:answers"' in empty
        shown = (await browser.get("/backfills", params={"scorer": "brief", "back": "90d"})).text
        assert "nothing: no model is asked" in shown and "Score 60 traces" in shown
        asked = (
            await browser.get("/backfills", params={"scorer": "helpful", "back": "90d", "limit": "20"})
        ).text
        assert "20 at most" in asked and "</b> at most, by price table" in asked
        wrong = (await browser.get("/backfills", params={"scorer": "brief", "where": "no such"})).text
        assert "That cannot be run" in wrong
        wrong = (await browser.get("/backfills", params={"scorer": "brief", "limit": "many"})).text
        assert "are numbers" in wrong
        answer = await browser.post("/backfills", data={"scorer": "brief", "back": "90d"})
        assert answer.status_code == 303
        assert "running" in (await browser.get("/backfills")).text
        await world.services.backfill.run_once()
        done = (await browser.get("/backfills")).text
        assert "100 %" in done and "done" in done
    lines = await world.services.records.read(lambda c: audit.latest(c, PROJECT, 5))
    assert lines[0]["action"] == "backfill.start"


async def test_the_api_previews_starts_pauses_and_cancels(world: World) -> None:
    async with client(world) as api:
        body = {"scorecard": "answers", "since": "90d"}
        preview = (await api.post("/api/backfills", json=body)).json()
        assert preview["started"] is False and preview["preview"]["calls"] == 60 and preview["id"] is None
        assert preview["preview"]["cost"] > 0 and preview["preview"]["pricing_version"]
        started = (await api.post("/api/backfills", json={**body, "confirm": True})).json()
        await world.services.backfill.run_once()
        one = (await api.get(f"/api/backfills/{started['id']}")).json()
        assert (one["state"], one["waiting"], one["queued"], one["progress"]) == ("running", 60, 60, 0.0)
        for action, state in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
            changed = await api.post(f"/api/backfills/{started['id']}", json={"action": action})
            assert changed.json()["state"] == state
        assert (
            await api.post(f"/api/backfills/{started['id']}", json={"action": "pause"})
        ).status_code == 409
        assert (await api.post("/api/backfills/bf_none", json={"action": "pause"})).status_code == 404
        assert (await api.get("/api/backfills/bf_none")).status_code == 404
        for wrong in (
            {}, {"scorer": "a", "scorecard": "b"}, {"scorer": "nope"}, {"scorer": "brief", "limit": 0},
            {"scorer": "brief", "since": "yesterday-ish"}, {"scorer": "brief", "where": "1; drop table traces"},
        ):  # fmt: skip
            assert (await api.post("/api/backfills", json=wrong)).status_code == 400, wrong
