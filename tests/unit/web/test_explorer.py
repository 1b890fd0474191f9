"""The trace explorer over the real store: filters, pages both ways, the live list, and what lies behind a row."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.unit.web.world import NOW, PROJECT, World, build, spans_of, turns
from watchkeeper.dialects import assemble, normalise
from watchkeeper.store.columns import SpanRow, TraceRow

pytestmark = pytest.mark.asyncio(loop_scope="module")
SECOND = 1_000_000_000
ROW = re.compile(r'data-id="([0-9a-f]{32})"')


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(tmp_path_factory.mktemp("explorer"), 160, seed=3, roll=False)
    yield made
    await made.close()


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


async def arrive(world: World, trace_id: str, start_ns: int, assembled_ns: int) -> None:
    """One more trace of the assistant's, written as the pipeline writes it."""
    number, _, turn, scenario = next(turns(1, 5))
    made = [normalise(raw) for raw in spans_of(turn, trace_id, start_ns, number, scenario)]
    await world.columns.write_spans([SpanRow(PROJECT, s, start_ns) for s in made], [])
    await world.columns.write_traces([TraceRow(PROJECT, assemble(made, []), [], 1.0, "all", assembled_ns)])


async def found(browser: httpx.AsyncClient, **menu: str) -> str:
    """The list after one line of the filter menu."""
    answer = await browser.get("/traces/filter", params={"back": "/traces?range=30d", **menu})
    assert answer.status_code == 303, answer.text
    page = await browser.get(answer.headers["location"])
    assert page.status_code == 200, page.text
    return page.text


async def test_it_filters_by_any_attribute_of_any_step(world: World) -> None:
    async with client(world) as browser:
        names = (await browser.get("/traces/attributes?range=30d")).json()
        user = await found(browser, attribute="user.id", op="=", value="user-3")
        known = await found(browser, attribute="user.id", op="is known")
        unknown = await found(browser, attribute="user.id", op="is unknown")
        part = await found(browser, attribute="user.id", op="contains", value="USER-3")
        none = await found(browser, attribute="user.id", op="=", value="' or 1=1 or ''='")
        wrong = await browser.get("/traces/filter", params={"attribute": "user.id", "op": "<", "value": "x"})
    assert {"user.id", "watchkeeper.prompt.version", "service.name"} <= set(names)
    assert "attributes[&#39;user.id&#39;] = &#39;user-3&#39;" in user
    assert "2 match" in user
    assert "160 match" in known
    assert "Nothing matches" in unknown
    assert "2 match" in user
    assert "Nothing matches" in none
    assert len(ROW.findall(part)) >= len(ROW.findall(user))
    assert wrong.status_code == 400
    assert "is a number" in wrong.text


async def test_it_filters_by_what_a_column_holds_among_others(world: World) -> None:
    async with client(world) as browser:
        model = await found(browser, field="model", op="=", value="gpt-4o-mini")
        other = await found(browser, field="model", op="!=", value="gpt-4o-mini")
        wrong = await browser.get("/traces/filter", params={"field": "model", "op": "<", "value": "1"})
    counted = [int(n) for page in (model, other) for n in re.findall(r"(\d+) match", page)]
    assert len(counted) == 2
    assert sum(counted) == 160
    assert wrong.status_code == 400


async def test_it_turns_pages_both_ways_over_equal_times_without_a_gap(world: World) -> None:
    start = NOW - 40 * 24 * 3600 * SECOND
    for n in range(120):
        await arrive(world, f"{n * 7919:032x}", start + n // 40 * SECOND, NOW - 3600 * SECOND)
    address = "/traces?since=2026-01-22T14:00:00Z&until=2026-01-22T16:00:00Z"
    pages: list[list[str]] = []
    async with client(world) as browser:
        text = (await browser.get(address)).text
        assert 'rel="prev"' not in text
        pages.append(ROW.findall(text))
        while following := re.search(r'rel="next" href="([^"]+)"', text):
            text = (await browser.get(following.group(1).replace("&amp;", "&"))).text
            pages.append(ROW.findall(text))
        back = [pages[-1]]
        while before := re.search(r'rel="prev" href="([^"]+)"', text):
            answer = await browser.get(before.group(1).replace("&amp;", "&"), follow_redirects=True)
            text = answer.text
            if ROW.findall(text) == back[-1]:
                break
            back.append(ROW.findall(text))
    forth = [one for page in pages for one in page]
    assert len(forth) == len(set(forth)) == 120
    assert [one for page in reversed(back) for one in page] == forth


async def test_a_live_list_gives_what_was_made_since_under_the_same_filters(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/traces?live=1&where=scenario+%3D+%27customer-support%27")).text
        following = re.search(r'data-live="([^"]+)"', page)
        assert following
        address = following.group(1).replace("&amp;", "&")
        before = (await browser.get(address)).text
        # It began an hour ago and ended now: a list that asked by start would never show it.
        await arrive(world, "f" * 32, NOW - 3600 * SECOND, NOW + SECOND)
        after = (await browser.get(address)).text
        elsewhere = (await browser.get(address.replace("customer-support", "nothing-like-it"))).text
        wrong = await browser.get("/traces/live?after=yesterday")
    assert "histogram" not in page
    assert "Stop live" in page
    assert "f" * 32 not in before
    assert ROW.findall(after) == ["f" * 32]
    assert ROW.findall(elsewhere) == []
    assert 'data-next="/traces/live?' in after
    assert wrong.status_code == 400
