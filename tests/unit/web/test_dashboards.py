"""Dashboards as code over the real store: five kinds of widgets, n and interval everywhere, errors that stay in their place."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from tests.unit.web.world import World, build
from watchkeeper.config.dashboards import Dashboard, Widget
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.load import load_text
from watchkeeper.config.models import Config, Privacy
from watchkeeper.config.problems import ConfigError
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.stats.correlation import spearman
from watchkeeper.store.columns import Table
from watchkeeper.web.widgets import Wrong, histogram, number_of, summary

WIDGETS: list[dict[str, Any]] = [
    {"type": "number", "metric": "answer_relevance", "title": "Relevance"},
    {"type": "number", "metric": "rating", "title": "Rating of users"},
    {"type": "timeseries", "metric": "has_steps", "cohort": {"prompt_version": "v1"}},
    {"type": "timeseries", "title": "By query", "sql": "select time, answer_relevance as value from traces where time >= {since} and time < {until}"},
    {"type": "distribution", "metric": "answer_relevance"},
    {"type": "distribution", "metric": "latency_ms", "cohort": {"prompt_version": "v2"}},
    {"type": "scatter", "x": "latency_ms", "y": "answer_relevance"},
    {"type": "table", "title": "Versions", "sql": "select prompt_version, count() as n from traces group by prompt_version order by prompt_version"},
    {"type": "number", "title": "Price", "unit": "money", "sql": "select sum(cost) as value, count() as n from traces"},
    {"type": "number", "title": "Broken", "sql": "select nothing as value from traces"},
    {"type": "timeseries", "metric": "no_such_thing"},
    {"type": "scatter", "title": "Texts", "sql": "select root_name as x, 1 as y from traces limit 5"},
]  # fmt: skip
CHARTS = (3, 4, 5, 6)


def board(widgets: list[dict[str, Any]]) -> Dashboard:
    sections = ({"title": "All <b>", "widgets": tuple(widgets)},)
    return Dashboard.model_validate(
        {"name": "all", "title": "Everything", "range": "14d", "sections": sections}
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(tmp_path_factory.mktemp("dashboards"), 500, seed=5)
    made.services.config = ConfigHolder(Config(dashboards=(board(WIDGETS),)))  # pyright: ignore[reportCallIssue]
    yield made
    await made.close()


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


def articles(page: str) -> list[str]:
    found = re.findall(r'<article class="card pad widget \w+">(.*?)</article>', page, re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", " ", one).split()) for one in found]


@pytest.mark.asyncio(loop_scope="module")
async def test_every_widget_shows_its_n_and_a_broken_one_only_its_error(world: World) -> None:
    async with client(world) as browser:
        assert "Everything" in (await browser.get("/dashboards")).text
        answer = await browser.get("/dashboards/all")
    assert answer.status_code == 200 and "All &lt;b&gt;" in answer.text
    shown = articles(answer.text)
    assert len(shown) == len(WIDGETS)
    for text in shown[:9]:
        assert re.search(r"\bn (= )?\d", text), text
    for text in (*shown[:7],):
        assert re.search(r"± |–\d", text), f"no interval: {text}"
    assert "gives no interval" in shown[8] and "v1" in shown[7] and "v2" in shown[7]
    assert "no column nothing" in shown[9] and "nothing called no_such_thing" in shown[10]
    assert "not of numbers" in shown[11]


@pytest.mark.asyncio(loop_scope="module")
async def test_its_pictures_are_drawn_in_both_themes(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/dashboards/all")).text
        for place in CHARTS:
            assert f"/dashboards/all/pictures/0.{place}?" in page
            for theme in ("light", "dark"):
                answer = await browser.get(f"/dashboards/all/pictures/0.{place}?theme={theme}")
                assert answer.status_code == 200 and answer.text.startswith("<svg"), answer.text[:200]
        for wrong in ("0.99", "9.0", "x", "0.9", "0.-1"):
            assert (await browser.get(f"/dashboards/all/pictures/{wrong}")).status_code == 404, wrong
        assert (await browser.get("/dashboards/none")).status_code == 404


@pytest.mark.asyncio(loop_scope="module")
async def test_tables_are_hidden_from_whoever_may_not_see_content(world: World) -> None:
    s = world.services
    kept = s.config
    hidden = Config(dashboards=(board(WIDGETS[7:8]),), privacy=Privacy(content_role="admin"))  # pyright: ignore[reportCallIssue]
    s.config = ConfigHolder(hidden)
    try:
        async with client(world) as browser:
            assert "v1" in articles((await browser.get("/dashboards/all")).text)[0]
    finally:
        s.config = kept


def table(columns: list[str], *rows: list[Any]) -> Table:
    return Table(columns, list(rows))


def test_a_number_is_one_row_with_n_or_one_row_an_observation() -> None:
    one = number_of(table(["value", "n", "low", "high"], [4.0, 20, 3.0, 5.0]), "")
    assert (one.value, one.low, one.high, one.n) == (4.0, 3.0, 5.0, 20)
    raw = number_of(table(["value"], [1.0], [2.0], [3.0], [None]), "")
    assert raw.value == 2.0 and raw.n == 3 and raw.low is not None and raw.low < 2.0
    share = number_of(table(["value"], [1], [0], [1], [1]), "")
    assert share.value == 0.75 and share.unit == "share"
    assert number_of(table(["value"]), "").value is None
    assert number_of(table(["value", "n"], [None, 0]), "").value is None
    for wrong in (table(["x"], [1]), table(["value", "n"], [1, 2], [1, 2]), table(["n"], [1]), table(["value"], ["a"]),
                  table(["value"], [float("nan")])):  # fmt: skip
        with pytest.raises(Wrong):
            number_of(wrong, "")


def test_a_histogram_holds_everything_once() -> None:
    values = list(np.random.default_rng(1).normal(5, 1, 500))
    assert sum(share for _, share in histogram(values)) == pytest.approx(1.0)
    assert histogram([]) == [] and histogram([2.0, 2.0]) == [("2", 1.0)]
    assert summary([], "").value is None


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.8])
def test_the_interval_of_a_rank_correlation_covers_the_truth(rho: float) -> None:
    rng = np.random.default_rng(3)
    # Spearman's ρ of a bivariate normal is 6/π·asin(r/2).
    truth = 6 / np.pi * np.arcsin(rho / 2)
    hits = 0
    for _ in range(300):
        x = rng.normal(size=120)
        y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=120)
        found = spearman(x, y)
        assert isinstance(found, Estimate)
        hits += found.low <= truth <= found.high
    assert hits / 300 > 0.91


def test_a_correlation_of_too_little_is_not_a_number() -> None:
    assert isinstance(spearman([1, 2], [1, 2]), Insufficient)
    assert isinstance(spearman([1] * 20, list(range(20))), Insufficient)
    perfect = spearman(list(range(20)), list(range(20)))
    assert isinstance(perfect, Estimate) and perfect.value == 1.0
    with pytest.raises(ValueError):
        spearman([1, 2], [1])


@pytest.mark.parametrize(
    "widget",
    [{"type": "number"}, {"type": "table", "metric": "x"}, {"type": "scatter", "x": "a"}, {"type": "pie", "metric": "x"},
     {"type": "number", "metric": "x", "sql": "select 1"}, {"type": "number", "sql": "select 1", "cohort": {"release": "x"}},
     {"type": "number", "metric": "x`; drop"}],
)  # fmt: skip
def test_a_widget_that_makes_no_sense_is_refused(widget: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Widget.model_validate(widget)


def test_check_reads_the_statements_as_the_sandbox_does() -> None:
    text = """
dashboards:
  - name: a
    sections:
      - title: s
        widgets:
          - {type: table, sql: "select * from traces where time > {since}"}
          - {type: table, sql: "select * from system.tables"}
          - {type: table, sql: "drop table traces"}
          - {type: number, metric: x, cohort: {colour: red}}
"""
    with pytest.raises(ConfigError) as refused:
        load_text(text)
    said = str(refused.value)
    assert "widgets[0]" not in said
    assert "widgets[1]" in said and "widgets[2]" in said and "colour" in said


def test_the_time_range_is_given_as_literals() -> None:
    from watchkeeper.config.dashboards import filled
    from watchkeeper.server.api.shapes import sql_time

    since = sql_time(int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 10**9)
    assert filled("time >= {since}", since, "") == "time >= '2026-01-02 00:00:00.000000'"
