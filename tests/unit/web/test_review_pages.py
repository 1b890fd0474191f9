"""Review, names and signals as pages: what people press does what it says, and is on record."""

import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.unit.web.world import HOUR, NOW, PROJECT, World, build
from watchkeeper.config.models import Config
from watchkeeper.model.prompt import Prompt, Reply
from watchkeeper.model.signal import Member, Rate, Signal
from watchkeeper.pipeline.from_signal import ActFlow, Choice, Preview
from watchkeeper.pipeline.reading import read_traces
from watchkeeper.scoring.checks.table import default_checks
from watchkeeper.server.answers import iso
from watchkeeper.store.records import audit, managed, reviews, signals

pytestmark = pytest.mark.asyncio(loop_scope="module")
SIGNAL = "sig_0123456789abcdef"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(tmp_path_factory.mktemp("reviewing"), 300, seed=11)
    s = made.services
    s.from_signal = ActFlow(s.records, s.columns, s.clock, s.config, lambda _p: default_checks())
    ours = made.worst[:12]
    share = Rate(0.04, 0.02, 0.07)
    one = Signal(
        SIGNAL, PROJECT, "takes up no word of the question", "answer_relevance", "judge", NOW - 10**15, NOW, "confirmed",
        "beside_the_point", representative=ours[0], examples=ours[1:3], traces=len(ours), weight=12.0, prevalence=share,
        growth=Rate(2.5, 1.2, 4.0), trend="growing", severity="high",
    )  # fmt: skip
    topic = Signal(
        "sig_topic", PROJECT, "How do I get a refund?", "topic", "topic", NOW - 10**15, NOW, kind="topic",
        representative=made.trace_ids[0], traces=40, weight=40.0, prevalence=share,
    )  # fmt: skip
    members = [Member(t, "answer_relevance", SIGNAL, "f", NOW - i, "1", 1.0) for i, t in enumerate(ours)]

    def store(conn: Any) -> None:
        signals.replace(conn, PROJECT, [], [one], members, lambda a, _b: a)
        signals.put(conn, topic)

    await s.records.write(store)
    yield made
    await made.close()


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


def token(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]*)"', text)
    return found.group(1) if found else ""


async def press(browser: httpx.AsyncClient, page: str, action: str, **fields: Any) -> httpx.Response:
    """Open a page and send one of its forms."""
    text = (await browser.get(page)).text
    data = {"csrf": token(text), **fields}
    return await browser.post(action, data=data, headers={"origin": "http://127.0.0.1"})


async def test_a_signal_shows_where_since_when_and_its_traces(world: World) -> None:
    async with client(world) as browser:
        listed = (await browser.get("/signals")).text
        assert f"/signals/{SIGNAL}" in listed and "beside the point" in listed
        asked = (await world.columns.named("page_inputs", PROJECT, ids=world.trace_ids)).rows
        # Each failed check is shown with what was asked in one of its traces.
        assert any(html.escape(text)[:60] in listed for _, text in asked if text)
        page = (await browser.get(f"/signals/{SIGNAL}")).text
        assert "4.0 %" in page and "growing" in page and "prompt version" in page and world.worst[0] in page
        topics = (await browser.get("/signals?kind=topic")).text
        assert "How do I get a refund?" in topics and "beside the point" not in topics
        assert (await browser.get("/signals/sig_none")).status_code == 404
        found = (await browser.get(f"/api/signals/{SIGNAL}?limit=5&offset=2")).json()
        n = len(world.worst[:12])
        assert len(found["failures"]) == min(5, n - 2) > 0 and found["n_failures"] == n
        cohorts = {(c["dimension"], c["value"]): c for c in found["cohorts"]}
        assert (
            sum(c["k"] for (d, _), c in cohorts.items() if d == "prompt_version")
            == n
            == found["overall"]["k"]
        )
        assert {"dimension", "share"} <= found["overall"].keys() and "" not in {d for d, _ in cohorts}
        assert all(c["share"]["low"] <= c["share"]["value"] <= c["share"]["high"] for c in cohorts.values())
        assert [s["id"] for s in (await browser.get("/api/signals?kind=unanswered")).json()] == []


async def test_of_a_signal_with_many_traces_the_newest_are_set_against_the_traffic_since_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client(world) as browser:
        whole = (await browser.get(f"/api/signals/{SIGNAL}")).json()["cohorts_since"]
        monkeypatch.setattr("watchkeeper.server.api.signals.MOST_COUNTED", 5)
        newest = (await browser.get(f"/api/signals/{SIGNAL}")).json()["cohorts_since"]
        # The five newest failures of this world are nanoseconds old.
        assert [whole, newest] == [iso(NOW - 14 * 24 * HOUR), iso(NOW - 4)]


async def test_what_is_decided_about_a_signal_is_kept_with_who_and_when(world: World) -> None:
    async with client(world) as browser:
        here = f"/signals/{SIGNAL}"
        done = await press(browser, here, f"{here}/change", owner="answers-team", severity="critical")
        assert done.status_code == 303 and "done=changed" in done.headers["location"]
        await press(browser, here, f"{here}/change", state="ignored")
        await press(browser, here, f"{here}/change", state="confirmed")
        assert (await press(browser, here, f"{here}/change", state="nonsense")).status_code == 400
        signal = await world.services.records.read(lambda c: signals.get(c, PROJECT, SIGNAL))
        assert signal and (signal.owner, signal.severity, signal.state) == (
            "answers-team",
            "critical",
            "confirmed",
        )
        page = (await browser.get(here)).text
        assert "owner answers-team" in page and "state ignored" in page


async def test_an_action_on_failures_of_several_scenarios_is_shown_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = world.services.from_signal
    assert flow is not None
    kind = next(p.kind for p in (await flow.preview(PROJECT, SIGNAL, Choice())).proposals if not p.existing)
    seen = await flow.preview(PROJECT, SIGNAL, Choice(kind=kind))
    assert seen.scorecard is not None and "where" in seen.scorecard
    card = {k: v for k, v in seen.scorecard.items() if k != "where"}

    async def preview(*_: Any) -> Preview:
        return replace(seen, scorecard=card)

    monkeypatch.setattr(flow, "preview", preview)
    async with client(world) as browser:
        page = await browser.get(f"/signals/{SIGNAL}/act")
        assert page.status_code == 200 and str(seen.scorer) in page.text


async def test_the_action_is_shown_first_and_done_once(world: World) -> None:
    async with client(world) as browser:
        page = await browser.get(f"/signals/{SIGNAL}/act")
        assert page.status_code == 200 and "Nothing is stored until you accept" in page.text
        # A template of reasons is not shown with its holes, here as on the signal's own page.
        assert "&lt;n&gt;" not in page.text.split("What it checks")[0]
        assert await world.services.records.read(lambda c: managed.find(c)) == []
        seen = (await browser.post(f"/api/signals/{SIGNAL}/act", json={})).json()
        rule = next(p for p in seen["proposals"] if p["measured"])
        refused = await browser.post(f"/api/signals/{SIGNAL}/act", json={"accept": True, "kind": "judge"})
        assert refused.status_code == 409 and "not measured" in refused.json()["error"]
        form = {
            "kind": rule["kind"],
            "owner": "answers-team",
            "dataset": "beside",
            "runbook": "runbooks/beside.md",
        }
        done = await press(browser, f"/signals/{SIGNAL}/act", f"/signals/{SIGNAL}/act", **form)
        assert done.status_code == 303 and "done=acted" in done.headers["location"], done.text
        (entry,) = await world.services.records.read(lambda c: managed.find(c))
        assert (
            entry.monitors[0]["runbook"] == "runbooks/beside.md"
            and entry.gate
            and entry.gate.dataset == "beside"
        )
        in_use = {m.name for c in world.services.config.current.scorecards for m in c.metrics}
        assert not entry.scorecards or entry.scorer in in_use
        shown = (await browser.get(f"/signals/{SIGNAL}")).text
        assert entry.scorer in shown and "cases in beside" in shown
        await press(browser, f"/signals/{SIGNAL}", f"/signals/{SIGNAL}/retire", id=entry.id)
        assert await world.services.records.read(lambda c: managed.find(c)) == []
        assert world.services.config.current.monitors == ()
        unknown = await browser.post("/api/signals/sig_none/act", json={})
        assert unknown.status_code == 404


async def test_a_monitor_of_what_a_check_found_says_the_checks_name_and_not_its_pattern(world: World) -> None:
    before = await world.services.records.read(lambda c: signals.get(c, PROJECT, SIGNAL))
    assert before is not None and world.services.from_signal is not None
    found = msgspec.structs.replace(
        before, name=None, source="check", scorer="has_steps", title=r"(?m)^\s*<n>[.)] does not occur"
    )
    await world.services.records.write(lambda c: signals.put(c, found))
    seen = await world.services.from_signal.preview(PROJECT, SIGNAL, Choice(kind="judge"))
    await world.services.records.write(lambda c: signals.put(c, before))
    assert seen.monitor is not None
    assert seen.monitor["description"] == "The failure “has_steps” is back."


async def test_a_case_that_leaves_its_split_is_named_before_and_after(world: World) -> None:
    async with client(world) as browser:
        path = f"/api/signals/{SIGNAL}/act"
        body = {"owner": "answers-team", "dataset": "shared"}
        seen = (await browser.post(path, json=body)).json()
        kind = next(p["kind"] for p in seen["proposals"] if p["measured"])
        case = seen["cases"][0]
        held = {"id": case["id"], "input": "something else entirely", "split": "holdout"}
        await browser.post("/api/datasets/shared/cases", json={"add": [held]})
        expected = [{"case_id": case["id"], "was": "holdout", "split": "regression"}]
        body["kind"] = kind
        assert (await browser.post(path, json=body)).json()["moved"] == expected
        page = (await browser.get(f"/signals/{SIGNAL}/act?dataset=shared&kind={kind}")).text
        assert page.count("leaves the split holdout") == 1
        made = (await browser.post(path, json={**body, "accept": True})).json()
        assert made["moved"] == expected
        await browser.post(f"/api/managed/{made['managed']['id']}/retire", json={})
        refused = await browser.post(path, json={**body, "dataset": "replay"})
        assert refused.status_code == 409 and "anew" in refused.json()["error"]


async def test_a_judge_is_proposed_where_rules_fail_and_measured_before_it_is_accepted(world: World) -> None:
    flow: ActFlow = world.services.from_signal
    asked: list[str] = []

    async def ask(prompt: Prompt) -> Reply:
        text = prompt.turns[-1].text
        asked.append(prompt.system)
        points = 2 if any(answers[t] in text for t in failing) else 9
        return Reply(json.dumps({"reasoning": "Read.", "scores": {"proposed": points}}), "claude-sonnet-4-5")

    loaded = await read_traces(world.columns, PROJECT, world.worst[:12])
    answers = {t: (loaded[t].output_text or "")[:40] for t in loaded}
    failing = [t for t in loaded if answers[t]]
    flow.ask = ask
    async with client(world) as browser:
        body = {
            "kind": "judge",
            "model": "anthropic:claude-sonnet-4-5",
            "owner": "answers-team",
            "dataset": "judged",
        }
        seen = (await browser.post(f"/api/signals/{SIGNAL}/act", json=body)).json()
        judge = next(p for p in seen["proposals"] if p["kind"] == "judge")
        assert (
            judge["measured"] and judge["recall"]["n"] == len(loaded) and judge["recall"]["k"] == len(failing)
        )
        assert judge["false_alarms"]["n"] == 20 and len(asked) == 20 + len(loaded)
        assert "beside the point" in asked[0], "the rubric names the failure"
        made = (await browser.post(f"/api/signals/{SIGNAL}/act", json={**body, "accept": True})).json()[
            "managed"
        ]
        (metric,) = made["scorecards"][0]["metrics"]
        assert metric["type"] == "llm_judge" and metric["model"] == "anthropic:claude-sonnet-4-5"
        assert "< 5" in made["monitors"][0]["condition"]

        async def silent(_prompt: Prompt) -> Reply:
            return Reply("no JSON at all", "claude-sonnet-4-5")

        flow.ask = silent
        refused = await browser.post(f"/api/signals/{SIGNAL}/act", json=body)
        assert refused.status_code == 409 and "answered for no trace" in refused.json()["error"]
        await browser.post(f"/api/managed/{made['id']}/retire", json={})


async def test_whoever_cannot_tell_skips_and_the_item_waits_for_others(world: World) -> None:
    async with client(world) as browser:
        first = (await browser.post("/api/reviews/next")).json()["item"]
        await browser.post(f"/api/reviews/{first['id']}/assign", json={"to": "local"})
        page = (await browser.get(f"/review/{first['id']}")).text
        assert 'form="skip-form"' in page
        gone = await press(browser, f"/review/{first['id']}", f"/review/{first['id']}/skip")
        assert gone.status_code == 303 and "done=skipped" in gone.headers["location"]
        second = (await browser.post("/api/reviews/next")).json()["item"]
        assert second["id"] != first["id"] and second["id"] in gone.headers["location"]
        answer = await browser.post(f"/api/reviews/{second['id']}/skip")
        assert answer.json() == {"id": second["id"], "skipped": True}
        third = (await browser.post("/api/reviews/next")).json()["item"]
        assert third["id"] not in (first["id"], second["id"])
        left = (await browser.get(f"/api/reviews/{first['id']}")).json()
        assert (left["status"], left["assigned_to"], left["held_by"]) == ("open", None, [])
        other = await world.services.records.write(lambda c: reviews.reserve_next(c, PROJECT, "ben", NOW))
        assert other is not None and other.id == first["id"]
        # It may still be labelled by whoever skipped it, and then no more.
        await browser.post(f"/api/reviews/{second['id']}/label", json={"verdict": "good"})
        assert (await browser.post(f"/api/reviews/{second['id']}/skip")).status_code == 404
        assert (await browser.post("/api/reviews/rev_none/skip")).status_code == 404
        last = (await browser.get("/review?done=skipped")).text
        assert "Skipped: it waits for others." in last and "Nothing else waits for you." in last
        assert "undoes it" not in last
    lines = await world.services.records.read(lambda c: audit.latest(c, PROJECT))
    assert [x["target"] for x in lines if x["action"] == "review.skip"] == [
        second["trace_id"],
        first["trace_id"],
    ]


async def test_two_reviewers_are_blind_and_the_page_says_who_decides(world: World) -> None:
    world.services.config.current = Config.model_validate({"review": {"reviewers_per_item": 2}})
    async with client(world) as browser:
        taken = (await browser.post("/api/reviews/next")).json()["item"]
        await world.services.records.write(
            lambda c: reviews.label(
                c,
                reviews.Label(
                    "l1", PROJECT, taken["id"], taken["trace_id"], "ben", NOW, "good", comment="BEN SAYS"
                ),
            )
        )
        page = (await browser.get(f"/review/{taken['id']}")).text
        assert "1 of 2 reviewers have labelled this one" in page and "BEN SAYS" not in page
        shown = (await browser.get(f"/api/reviews/{taken['id']}")).json()
        assert shown["blind"] is True and shown["labels"] == [] and shown["votes"] == 1
        done = await press(
            browser,
            f"/review/{taken['id']}",
            f"/review/{taken['id']}/label",
            label="bad:invented",
        )
        assert done.status_code == 303 and "done=disputed" in done.headers["location"]
        assert taken["trace_id"] in (await browser.get("/api/reviews?status=disputed")).text
        listed = (await browser.get("/review?status=disputed")).text
        assert f"/review/{taken['id']}" in listed
        page = (await browser.get(f"/review/{taken['id']}")).text
        assert "Your label decides" in page and "BEN SAYS" in page
        made = (await browser.post(f"/api/reviews/{taken['id']}/label", json={"verdict": "good"})).json()
        assert (made["role"], made["status"]) == ("final", "done")
        agreement = (await browser.get("/api/reviews/agreement")).json()
        assert agreement["items"] == 1 and agreement["alike"]["value"] == 0.0 and agreement["alpha"]["why"]
        assert "Pairs of reviewers" in (await browser.get("/review/agreement")).text
    world.services.config.current = Config()


async def test_the_week_is_triaged_from_one_button(world: World) -> None:
    async with client(world) as browser:
        begun = await press(browser, "/review", "/review/triage")
        assert begun.status_code == 303 and "source=triage" in begun.headers["location"]
        source = "triage:2026-W10"
        counts = (await browser.get(f"/api/reviews/counts?source={source}")).json()
        assert 5 < counts["open"] <= 30
        page = (await browser.get(begun.headers["location"])).text
        assert f'name="source" value="{source}"' in page
        again = (await browser.post("/api/reviews/triage")).json()
        assert again == {"source": source, "added": 0, "counts": counts}
        item = begun.headers["location"].split("?")[0]
        done = await press(browser, item, f"{item}/label", label="good:", source=source)
        there = done.headers["location"].split("?")[0]
        assert there.startswith("/review/rev_") and there != item
        await press(browser, "/review", f"{item}/assign", to="ben")


async def test_names_are_proposed_accepted_and_merged(world: World) -> None:
    async with client(world) as browser:
        items = (await browser.get("/api/reviews?limit=8")).json()
        texts = (
            "ignores the refund question",
            "refund question is ignored",
            "the refund question ignored again",
        )
        for i, item in enumerate(items[:3]):
            said = {"verdict": "bad", "comment": texts[i], **({"taxonomy": "off topic"} if i == 0 else {})}
            assert (await browser.post(f"/api/reviews/{item['id']}/label", json=said)).status_code == 201
        for item in items[3:6]:
            said = {"verdict": "bad", "comment": "Wrong order number 12"}
            await browser.post(f"/api/reviews/{item['id']}/label", json=said)
        found = (await browser.get("/api/taxonomy/proposals")).json()
        named = {p["name"]: p for p in found["proposals"]}
        assert "number_order" in named and len(named["number_order"]["labels"]) == 3
        page = (await browser.get("/taxonomy")).text
        assert "Wrong order number" in page
        given = {
            "name": "wrong order",
            "definition": "Names another order.",
            "labels": named["number_order"]["labels"],
        }
        done = await press(browser, "/taxonomy", "/taxonomy/accept", **given)
        assert done.status_code == 303
        names = {n["name"]: n for n in (await browser.get("/api/taxonomy")).json()}
        assert (names["wrong order"]["count"], names["wrong order"]["origin"]) == (3, "accepted")
        merged = await press(
            browser, "/taxonomy", "/taxonomy/merge", names=["wrong order", "off topic"], into="beside it"
        )
        assert merged.status_code == 303
        names = {n["name"]: n for n in (await browser.get("/api/taxonomy")).json()}
        assert names["beside it"]["count"] == 4 and not {"wrong order", "off topic"} & set(names)
        history = (await browser.get(f"/api/traces/{items[0]['trace_id']}/labels")).json()
        assert [h["taxonomy"] for h in history if h["replaces"]] == ["beside it"]
        assert [h["taxonomy"] for h in history if h["replaced_ns"]] == ["off topic"]
        said = await world.services.records.read(lambda c: audit.of_target(c, PROJECT, "beside it"))
        assert said[0]["action"] == "taxonomy.merge" and said[0]["detail"]["relabelled"] == 4
        missing = await browser.post("/api/taxonomy/nothing/rename", json={"to": "x"})
        assert missing.status_code == 404
