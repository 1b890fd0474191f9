"""A judge tried on stored traces: the cost first, then two versions side by side, and nothing kept."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.unit.web.world import World, build
from watchkeeper.llm.fake import FakeProvider
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.pipeline.playground import Playground

pytestmark = pytest.mark.asyncio(loop_scope="module")
TRACES = 12


def by_question(prompt: Prompt) -> str:
    value = 3.0 if "merciless" in prompt.system else 8.0
    name = next(iter((prompt.json_schema or {})["properties"]["scores"]["properties"]))
    return json.dumps({"reasoning": "<script>alert(1)</script> because", "scores": {name: value}})


@pytest.fixture(scope="module")
def provider() -> FakeProvider:
    return FakeProvider(answer=by_question)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> AsyncIterator[World]:
    made = await build(Path(tmp_path_factory.mktemp("playground")), TRACES, seed=5)
    made.services.playground = Playground(made.services.columns, provider.ask, lambda: "n")
    yield made
    await made.close()


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


async def test_it_asks_nobody_before_it_is_told_to(world: World, provider: FakeProvider) -> None:
    async with client(world) as browser:
        assert "Version A" in (await browser.get("/playground")).text
        form = {"model_a": "fake:judge-a", "rubric_a": "helpfulness", "back": "90d", "n": "5"}
        shown = (await browser.get("/playground", params=form)).text
        assert (
            "5 traces, <b>5</b> calls" in shown
            and "unknown: a model has no price" in shown
            and "Ask now" in shown
        )
        body = {"versions": [{"model": "fake:judge-a", "rubric": "helpfulness"}], "since": "90d", "n": 5}
        planned = (await browser.post("/api/playground", json=body)).json()
        assert planned["asked"] is False and planned["planned"]["calls"] == 5
        for wrong in (
            {"versions": []}, {**body, "n": 26}, {**body, "where": "1; drop"}, {**body, "since": "soon"},
            {**body, "versions": [{"model": "nocolon", "rubric": "tone"}]},
            {**body, "versions": [{"model": "fake:a", "rubric": "no_such"}]},
            {**body, "versions": [{"model": "nowhere:a", "rubric": "tone"}]},
        ):  # fmt: skip
            assert (await browser.post("/api/playground", json=wrong)).status_code == 400, wrong
        bad = (await browser.get("/playground", params={**form, "model_a": "nocolon"})).text
        assert "That cannot be tried" in bad
    assert provider.replies == 0


async def test_a_price_that_is_not_known_is_not_nothing(
    world: World, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unpriced(prompt: Prompt) -> Reply:
        return msgspec.structs.replace(await FakeProvider.ask(provider, prompt), cost=None)

    monkeypatch.setattr(
        world.services, "playground", Playground(world.services.columns, unpriced, lambda: "n")
    )
    form = {"model_a": "fake:judge-a", "rubric_a": "tone", "back": "90d", "n": "2"}
    replies = provider.replies
    async with client(world) as browser:
        page = (await browser.post("/playground", data=form)).text
    provider.replies = replies
    assert "2 calls, unknown: a model has no price" in page


async def test_two_versions_stand_side_by_side_and_nothing_is_stored(
    world: World, provider: FakeProvider
) -> None:
    before = await world.services.columns.scorers("default")
    form = {"model_a": "fake:judge-a", "prompt_a": "Is it helpful?", "model_b": "fake:judge-b", "prompt_b": "Be merciless.",
            "back": "90d", "n": "6"}  # fmt: skip
    async with client(world) as browser:
        page = await browser.post("/playground", data=form)
        assert page.status_code == 200 and "What they said" in page.text and "B minus A" in page.text
        assert "-5.00" in page.text
        assert "<script>alert(1)" not in page.text
        versions = [
            {"model": "fake:judge-a", "prompt": "Is it helpful?"},
            {"model": "fake:judge-b", "prompt": "Be merciless."},
        ]
        made = (
            await browser.post(
                "/api/playground", json={"versions": versions, "since": "90d", "n": 6, "confirm": True}
            )
        ).json()
    assert made["difference"]["value"] == -5.0 and made["difference"]["n"] == len(made["rows"]) == 6
    assert [v["mean"]["value"] for v in made["versions"]] == [8.0, 3.0] and made["calls"] == 12
    assert provider.replies == 24 and made["cost"] == pytest.approx(0.012)
    assert await world.services.columns.scorers("default") == before
