"""The scorers' API and pages over a real store: provisional first, labelled blind, then calibrated everywhere."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest_asyncio
from sqlalchemy.engine import Connection

from tests.unit.pipeline.test_calibrate import NOW, World
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.dialects import normalise
from watchkeeper.model.span import RawSpan
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.reviewing.queue import item
from watchkeeper.server.app import create_app
from watchkeeper.server.services import Services
from watchkeeper.store.columns import SpanRow
from watchkeeper.store.records import access, jobs, reviews


class Surface(World):
    """The calibration world with the whole HTTP surface over it; its project is the one a caller has by default."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        ingest: Any = None
        self.services = Services(
            folder, self.records, self.columns, ConfigHolder(Config()), lambda: self.now, ingest, no_auth=True
        )
        self.services.scorers = self.flow

    def browser(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(create_app(self.services))
        headers = {"x-watchkeeper-project": "p"}
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


@pytest_asyncio.fixture
async def surface(tmp_path: Path) -> AsyncIterator[Surface]:
    made = Surface(tmp_path)
    # One process has one embedded store: whatever fails, it must not stay open for the next test.
    try:
        await made.records.write(lambda c: access.ensure_project(c, "p", NOW))
        await made.traffic()
        await Roller(made.columns, made.records, RollPlan()).roll("p", NOW)
        yield made
    finally:
        await made.columns.close()
        made.records.close()


async def labelled(browser: httpx.AsyncClient, world: Surface) -> None:
    drawn = await browser.post("/api/scorers/quality/calibration/sample", json={"labels": 80})
    assert drawn.status_code == 201 and drawn.json()["drawn"] == 80
    queue = (await browser.get("/api/reviews?limit=1000")).json()
    assert {i["source"] for i in queue} == {"calibration:quality"}
    for one in queue:
        verdict = "good" if world.truth[one["trace_id"]] else "bad"
        said = await browser.post(f"/api/reviews/{one['id']}/label", json={"verdict": verdict})
        assert said.status_code == 201


async def test_a_provisional_scorer_is_marked_until_people_agree_with_it(surface: Surface) -> None:
    async with surface.browser() as browser:
        (judge, rule) = (await browser.get("/api/scorers")).json()
        assert judge["name"] == "quality" and judge["provisional"] and not rule["provisional"]
        found = judge["estimate"]
        assert found["low"] < found["value"] < found["high"] and found["n"] > 250 and found["n_eff"] > 250
        series = (await browser.get("/api/series?metric=quality&since=7d&cohort=")).json()
        assert series and all(p["provisional"] for p in series)
        assert all(p["low"] is None for p in series if p["n"] == 1), "one score has no interval"
        scored = next(iter(await surface.columns.read_scores("p", list(surface.truth)))).trace_id
        page = (await browser.get("/scorers/quality")).text
        assert "It may neither gate nor page: never compared with people" in page
        assert "◇" in (await browser.get("/quality?range=7d")).text

        await labelled(browser, surface)
        made = (await browser.post("/api/scorers/quality/calibration", json={})).json()
        assert made["status"] == "calibrated", made["failed"]
        assert made["agreement"]["low"] < made["agreement"]["value"] < made["agreement"]["high"]
        (judge, _) = (await browser.get("/api/scorers")).json()
        assert not judge["provisional"] and judge["standing"]["labels"] == 80
        series = (await browser.get("/api/series?metric=quality&since=7d&cohort=")).json()
        assert not any(p["provisional"] for p in series)
        page = (await browser.get("/scorers/quality")).text
        assert "It may gate and page until" in page and "post-stratified on the verdict, 80 labels" in page
        assert "◇" not in (await browser.get("/quality?range=7d")).text
        history = (await browser.get("/api/scorers/quality/calibration")).json()
        assert history["sample"] == {"drawn": 80, "waiting": 0} and len(history["history"]) == 1
        assert scored in surface.truth


async def test_the_corrected_twin_stands_beside_the_raw_rate(surface: Surface) -> None:
    async with surface.browser() as browser:
        before = (await browser.get("/api/scorers/quality/estimate?since=7d")).json()
        assert before["corrected"]["value"] is None and "no human labels" in before["corrected"]["reason"]
        await labelled(browser, surface)
        found = (await browser.get("/api/scorers/quality/estimate?since=7d")).json()
        truth = sum(surface.truth.values()) / len(surface.truth)
        assert found["method"] == "post_stratified" and found["labels"] == 80
        assert found["corrected"]["low"] <= truth <= found["corrected"]["high"]
        assert "stretches" not in found
        daily = (await browser.get("/api/scorers/quality/estimate?since=7d&every=1d")).json()["stretches"]
        assert len(daily) == 7 and {d["method"] for d in daily} <= {None, "post_stratified", "rogan_gladen"}
        assert sum(d["raw"]["n"] for d in daily) == found["raw"]["n"]
        assert "What people would say, over time" in (await browser.get("/scorers/quality")).text
        for every in ("1s", "often", "-1d"):
            refused = await browser.get(f"/api/scorers/quality/estimate?every={every}")
            assert refused.status_code == 400 and "every" in refused.json()["error"]
        wrong = await browser.get("/api/scorers/quality/estimate?cohort=colour%3Dred")
        assert wrong.status_code == 400 and "any of" in wrong.json()["hint"]


async def test_an_answer_from_kept_replies_does_not_make_the_others_free(surface: Surface) -> None:
    async def cost() -> float | None:
        async with surface.browser() as browser:
            return next(
                s["cost"] for s in (await browser.get("/api/scorers")).json() if s["name"] == "quality"
            )

    first, second, *_ = await surface.columns.read_scores("p", sorted(surface.truth)[:40])
    again = {"scored_ns": surface.now + 1, "scorer": "quality"}
    await surface.columns.write_scores([msgspec.structs.replace(first, cost=0.0, **again)])
    assert await cost() is None
    await surface.columns.write_scores([msgspec.structs.replace(second, cost=0.25, **again)])
    assert await cost() == 0.25


async def test_judgements_that_wait_say_why(surface: Surface) -> None:
    def given_back(c: Connection) -> None:
        for n, said in enumerate(("connection: refused", "timeout: no answer within 60 s")):
            work = {"scorer": "quality", "backfill": ""}
            jobs.add(c, [jobs.NewJob(f"j{n}", "p", "judge", work, due_ns=n)], n)
            jobs.claim(c, "judge", "w", 10, 1, 100)
            jobs.retry(c, f"j{n}", "w", 1000 + n, said, max_attempts=5, blameless=True)

    async with surface.browser() as browser:
        await surface.records.write(given_back)
        (judge, rule) = (await browser.get("/api/scorers")).json()
        assert judge["held_up"] == "timeout: no answer within 60 s" and rule["held_up"] is None
        for page in ("/scorers", "/scorers/quality"):
            assert "no answer within 60 s" in (await browser.get(page)).text


async def test_what_the_budget_was_charged_today_is_told_also_for_replies_that_could_not_be_used(
    surface: Surface,
) -> None:
    day = surface.now // DAY

    def charged(c: Connection) -> None:
        jobs.charge(c, "p", day, 4, 0.5, surface.now, "quality")
        jobs.charge(c, "p", day, 2, 0.25, surface.now, "quality")
        jobs.charge(c, "p", day - 1, 2, 8.0, surface.now, "quality")

    async with surface.browser() as browser:
        assert [s["charged_today"] for s in (await browser.get("/api/scorers")).json()] == [None, None]
        assert "Charged today" not in (await browser.get("/scorers/quality")).text
        await surface.records.write(charged)
        assert [s["charged_today"] for s in (await browser.get("/api/scorers")).json()] == [0.75, None]
        page = (await browser.get("/scorers/quality")).text
        assert "Charged today" in page and "$0.75" in page


async def test_calibration_refuses_in_words(surface: Surface) -> None:
    async with surface.browser() as browser:
        gone = await browser.get("/api/scorers/nope/calibration")
        assert gone.status_code == 404 and "model-based ones: quality" in gone.json()["error"]
        rule = await browser.post("/api/scorers/empty_output/calibration", json={})
        assert rule.status_code == 400 and "needs no calibration" in rule.json()["error"]
        cut = await browser.post("/api/scorers/quality/calibration", json={"cut": 5.0})
        assert cut.status_code == 400 and "leave the cut out" in cut.json()["error"]
        none = await browser.post("/api/scorers/quality/calibration", json={"dataset": "held-out"})
        assert none.status_code == 400 and "no dataset held-out" in none.json()["error"]
        assert (await browser.get("/scorers/nope")).status_code == 404


async def test_a_person_labels_without_seeing_the_verdict(surface: Surface) -> None:
    async with surface.browser() as browser:
        await browser.post("/scorers/quality/sample", data={})
        (drawn, *_) = surface.records.read_now(lambda c: reviews.queue(c, "p"))
        raw = RawSpan(
            drawn.trace_id, "1" * 16, None, "root", "internal", NOW - 10**9, NOW, "ok", None,
            {"watchkeeper.input": "q", "watchkeeper.output": "a"}, [], [], {},
        )  # fmt: skip
        await surface.columns.write_spans([SpanRow("p", normalise(raw), NOW)], [])
        by_hand = item("p", drawn.trace_id, "manual:ana", "look at this", 6.0, NOW)
        surface.records.write_now(lambda c: reviews.add(c, by_hand))
        blind = (await browser.get(f"/review/{drawn.id}")).text
        seeing = (await browser.get(f"/review/{by_hand.id}")).text
        assert "is this answer good?" in blind
        assert surface.judge.version[:10] in seeing and surface.judge.version[:10] not in blind
        listing = (await browser.get("/scorers")).text
        assert "100 to label" in listing and "quality" in listing and "empty_output" in listing


async def test_the_pages_are_there_on_the_first_day(tmp_path: Path) -> None:
    empty = Surface(tmp_path)
    try:
        await empty.records.write(lambda c: access.ensure_project(c, "p", NOW))
        async with empty.browser() as browser:
            assert "Had nothing to look at" in (await browser.get("/scorers")).text
            one = await browser.get("/scorers/quality")
            assert one.status_code == 200 and "watchkeeper calibrate quality --draw 100" in one.text
    finally:
        await empty.columns.close()
        empty.records.close()
