"""Incidents over the whole application and the real store: triage that names the cause, the story, the draft."""

from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.unit.web.world import DEPLOY, HOUR, PROJECT, World, build
from watchkeeper.compose import pictures
from watchkeeper.compose.actions import actor_of
from watchkeeper.compose.pictures import Pictures
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.model.action import ActionSpec
from watchkeeper.model.alert import Notification
from watchkeeper.pipeline.incidents import IncidentFlow
from watchkeeper.pipeline.levers import Pauses
from watchkeeper.pipeline.reporting import ReportFlow, Setting
from watchkeeper.store.records import alerts, audit, incidents

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(tmp_path_factory.mktemp("incidents"), 2600, seed=3)
    s = made.services
    s.incidents = IncidentFlow(
        made.columns, s.records, s.clock, lambda _project, _monitor: ("prompt_version",)
    )
    yield made
    await made.close()


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


async def opened(browser: httpx.AsyncClient, world: World) -> str:
    answer = await browser.post("/api/incidents", json={"alert_id": world.alert_id})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_triage_names_the_prompt_version_and_clears_the_rest(world: World) -> None:
    async with client(world) as browser:
        made = await opened(browser, world)
        assert made == await opened(browser, world)
        found = (await browser.post(f"/api/incidents/{made}/triage")).json()["triage"]
        assert found["ranked"][0]["name"] == "prompt_version v2"
        first = found["ranked"][0]
        assert first["verdict"] == "explains" and first["share_low"] > 0.2 and first["line"]["current_n"] > 40
        verdicts = {s["name"]: s["verdict"] for s in found["steps"]}
        assert [s["name"] for s in found["steps"]] == ["retrieval", "generation", "routing", "upstream"]
        assert verdicts["generation"] == "explains"
        assert verdicts["retrieval"] == verdicts["routing"] == verdicts["upstream"] == "holds"
        documents = next(f for f in found["steps"][0]["factors"] if f["name"] == "documents retrieved")
        assert documents["line"]["baseline_n"] >= 100 and documents["line"]["current_n"] >= 100
        assert "support-answer v2 (more concise) was deployed" in found["says"]
        page = (await browser.get(f"/incidents/{made}")).text
        assert page.index("1. Retrieval") < page.index("2. Generation") < page.index("4. Upstream")
        assert "First suspect: prompt_version v2" in page and "Explains it" in page
        assert "prompt_version v2" in (await browser.get("/incidents")).text
        assert f"/incidents/{made}" in (await browser.get(f"/alerts/{world.alert_id}")).text


async def test_the_flow_computes_what_is_missing_once(world: World) -> None:
    async with client(world) as browser:
        made = await opened(browser, world)
    flow: IncidentFlow = world.services.incidents
    await world.services.records.write(lambda c: incidents.put(c, PROJECT, made, "triage", None))
    assert await flow.run_due(PROJECT) == 1
    assert await flow.run_due(PROJECT) == 0


async def test_a_rollback_is_not_part_of_the_trouble(world: World) -> None:
    flow: IncidentFlow = world.services.incidents
    alert = world.services.records.read_now(lambda c: alerts.get(c, PROJECT, world.alert_id))
    assert alert is not None and alert.fired_ns is not None
    from watchkeeper.model.alert import Deploy
    from watchkeeper.pipeline.triage import question_of

    rollback = Deploy(PROJECT, "support-answer", "v1", alert.fired_ns + 2 * HOUR, "rollback")
    before = Deploy(PROJECT, "support-answer", "v2", DEPLOY)
    asked = question_of(alert, (), flow.clock(), [before, rollback])
    assert asked is not None and asked.after == (DEPLOY, rollback.time_ns)


async def test_people_work_on_it_and_everything_is_on_record(world: World) -> None:
    async with client(world) as browser:
        made = await opened(browser, world)
        path = f"/api/incidents/{made}"
        assert (await browser.post(f"{path}/ack", json={})).json()["status"] == "acknowledged"
        assert (await browser.post(f"{path}/notes", json={"text": "<b>looking</b>"})).status_code == 201
        assert (await browser.post(f"{path}/resolve", json={"text": "rolled back"})).json()[
            "status"
        ] == "resolved"
        assert (await browser.post(f"{path}/resolve", json={})).json()["status"] == "resolved"
        assert (await browser.post(f"{path}/ack", json={})).status_code == 409
        kinds = [line["kind"] for line in (await browser.get(path)).json()["timeline"]]
        assert kinds == ["deploy", "opened", "acknowledged", "comment", "resolved"]
        page = (await browser.get(f"/incidents/{made}")).text
        assert "&lt;b&gt;looking" in page and "<b>looking" not in page
        listed = (await browser.get("/api/incidents?status=resolved")).json()
        assert [i["id"] for i in listed] == [made] and "triage" not in listed[0]["document"]
        assert (await browser.post(f"{path}/reopen", json={})).json()["status"] == "open"
    lines = world.services.records.read_now(lambda c: audit.latest(c, PROJECT))
    assert {"incident.open", "incident.acknowledged", "incident.resolved"} <= {
        str(x["action"]) for x in lines
    }


async def test_the_draft_of_the_post_mortem_is_a_file(world: World) -> None:
    async with client(world) as browser:
        made = await opened(browser, world)
        await browser.post(f"/api/incidents/{made}/triage")
        answer = await browser.get(f"/api/incidents/{made}/postmortem")
        assert answer.headers["content-type"].startswith("text/markdown")
        assert "attachment" in answer.headers["content-disposition"]
        assert (
            "Generation: explains it." in answer.text and "| alert" not in answer.text.split("## Timeline")[0]
        )
        assert (await browser.get("/api/incidents/none/postmortem")).status_code == 404


async def test_one_opened_by_hand_explains_the_metric_it_names(world: World) -> None:
    async with client(world) as browser:
        about = {"title": "answers got vague", "owner": "ml", "metric": "has_steps", "since": "26h"}
        made = (await browser.post("/api/incidents", json=about)).json()["id"]
        found = (await browser.post(f"/api/incidents/{made}/triage")).json()["triage"]
        assert found["ranked"][0]["name"] == "prompt_version v2"
        bare = (await browser.post("/api/incidents", json={"title": "odd", "owner": "ml"})).json()["id"]
        assert (await browser.post(f"/api/incidents/{bare}/triage")).status_code == 409
        assert "No metric was named" in (await browser.get(f"/incidents/{bare}")).text
        for wrong in (
            {"title": "x"},
            {"alert_id": "nope"},
            {"title": "x", "owner": "y", "cohort": {"colour": "red"}},
        ):
            assert (await browser.post("/api/incidents", json=wrong)).status_code in (400, 404), wrong


async def test_an_incident_says_what_its_triage_waits_for_and_what_nothing_is_called(world: World) -> None:
    async with client(world) as browser:
        body = {"title": "t", "owner": "ml", "metric": "answer_relevanc", "since": "6h"}
        made = (await browser.post("/api/incidents", json=body)).json()["id"]
        draft = (await browser.get(f"/api/incidents/{made}/postmortem")).text
        assert "Not computed yet." in draft and "names no metric" not in draft
        await world.services.incidents.triage(PROJECT, made)
        draft = (await browser.get(f"/api/incidents/{made}/postmortem")).text
        assert "No trace has answer\\_relevanc" in draft and "is it called that?" in draft
        plain = (await browser.post("/api/incidents", json={"title": "u", "owner": "ml"})).json()["id"]
        assert "names no metric" in (await browser.get(f"/api/incidents/{plain}/postmortem")).text


async def test_forms_open_take_note_and_resolve(world: World) -> None:
    async with client(world) as browser:
        form = {"title": "by form", "owner": "ml", "severity": "page", "metric": "", "since": ""}
        headers = {"origin": "http://127.0.0.1"}
        answer = await browser.post("/incidents", data=form, headers=headers)
        assert answer.status_code == 303, answer.text
        path = answer.headers["location"]
        for action, data in (
            ("change", {"what": "take", "back": path}),
            ("note", {"text": "on it", "back": path}),
            ("change", {"what": "resolve", "back": path}),
        ):
            done = await browser.post(f"{path}/{action}", data=data, headers=headers)
            assert (done.status_code, done.headers["location"]) == (303, path), done.text
        assert (
            await browser.post(f"{path}/change", data={"what": "burn"}, headers=headers)
        ).status_code == 400
        assert "on it" in (await browser.get(path)).text


async def test_the_chart_of_an_alert_opens_by_its_signed_address_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "DRAW_SECONDS", 120.0)  # the first drawing starts a process
    s = world.services
    told = Notification("n", PROJECT, world.alert_id, "g", "r", "firing", "s", "t", {}, s.clock())
    holder = ConfigHolder(Config.model_validate_json('{"server": {"public_url": "https://w.example.com"}}'))
    s.pictures = Pictures(world.columns, s.records, holder, "key", s.clock, s.wall_clock)
    assert s.pictures.link(told) is told
    about = [{"id": world.alert_id, "evidence": {"metric": "answer_relevance"}}]
    told = msgspec.structs.replace(told, payload={"alerts": about, "links": {"alert": "x"}})
    links = s.pictures.link(told).payload["links"]
    assert links["alert"] == "x" and links["chart"].startswith("https://w.example.com/pictures/")
    async with client(world) as browser:
        answer = await browser.get(links["chart"].removeprefix("https://w.example.com"))
        assert answer.status_code == 200 and answer.content.startswith(b"\x89PNG"), answer.text
        assert answer.content == (await browser.get(f"/api/alerts/{world.alert_id}/chart.png")).content
        assert (await browser.get("/pictures/" + "a" * 40)).status_code == 404
        assert (await browser.get("/api/alerts/nope/chart.png")).status_code == 404
    assert await s.pictures.of(told) is not None


async def test_a_picture_that_cannot_be_drawn_is_left_out(world: World) -> None:
    s = world.services
    broken = Pictures(None, s.records, s.config, "key", s.clock, s.wall_clock)  # type: ignore[arg-type]
    assert await broken.draw(PROJECT, world.alert_id) is None and broken.counts["failed"] == 1


async def test_actions_are_done_and_undone_from_the_page(world: World) -> None:
    s = world.services
    s.actor = actor_of(world.columns, s.records, {}, Pauses(s.records), s.clock, s.wall_clock)
    s.actor.specs = {
        (PROJECT, "answer-relevance-down"): (ActionSpec("bad", "mark_release", automatic=False),)
    }
    headers, path = {"origin": "http://127.0.0.1"}, f"/alerts/{world.alert_id}"
    async with client(world) as browser:
        page = (await browser.get(path)).text
        assert "Dry run" in page and "Send to review" in page
        form = {"type": "open_reviews", "count": "5", "back": path}
        assert (await browser.post(f"{path}/act", data=form, headers=headers)).status_code == 303
        for dry in ("yes", ""):
            form = {"name": "bad", "dry_run": dry, "back": path}
            assert (await browser.post(f"{path}/act", data=form, headers=headers)).status_code == 303
        made = await opened(browser, world)
        found = (await browser.get(f"/api/actions?incident_id={made}")).json()
        assert sorted((a["type"], a["state"]) for a in found) == [
            ("mark_release", "done"), ("mark_release", "dry"), ("open_reviews", "done"),
        ]  # fmt: skip
        page = (await browser.get(f"/incidents/{made}")).text
        assert "v2 is marked bad" in page and "opened 5 reviews" in page and "Undo" in page
        done = next(a for a in found if a["name"] == "bad" and a["state"] == "done")
        undo = await browser.post(f"/actions/{done['id']}/undo", data={"back": path}, headers=headers)
        assert undo.status_code == 303
        assert (await browser.post(f"/api/actions/{done['id']}/undo")).json()["state"] == "undone"
        for wrong in (
            {},
            {"type": "burn"},
            {"name": "x", "type": "pause"},
            {"type": "pause"},
            {"name": "nope"},
        ):
            answer = await browser.post(f"/api/alerts/{world.alert_id}/actions", json=wrong)
            assert answer.status_code in (400, 404), wrong


async def test_reports_are_read_and_taken_along(world: World) -> None:
    s = world.services
    s.reports = ReportFlow(world.columns, s.records, s.clock, lambda _p: Setting(allowed=1.0), lambda: None)
    async with client(world) as browser:
        page = (await browser.get("/reports?range=7d")).text
        assert "answer_relevance" in page and "Scores against the period before" in page
        assert "EU AI Act, Article 15" in (await browser.get("/reports?kind=evidence&range=14d")).text
        for form, begins in (("md", "# Weekly summary"), ("html", "<!doctype html>")):
            answer = await browser.get(f"/api/reports/weekly?format={form}&since=7d")
            assert answer.status_code == 200 and answer.text.startswith(begins)
            assert "attachment" in answer.headers["content-disposition"]
        whole = (await browser.get("/api/reports/evidence")).json()
        assert any("traces" in line for line in whole["headline"])
        for wrong, status in (("daily", 404), ("weekly?since=900d", 400), ("weekly?format=pdf", 400)):
            assert (await browser.get(f"/api/reports/{wrong}")).status_code == status, wrong
