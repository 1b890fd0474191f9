"""Pages over the whole application and the real store: nothing, a little, and what people do on them."""

import asyncio
import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy.engine import Connection

from tests.unit.web.world import NOW, PROJECT, World, build
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.load import load_text
from watchkeeper.config.models import Config, Privacy
from watchkeeper.gating.report import change
from watchkeeper.llm.fake import FakeProvider
from watchkeeper.model.alert import Alert
from watchkeeper.model.review import Case
from watchkeeper.pipeline.preference import Pair, prefer
from watchkeeper.pipeline.reporting import ReportFlow, Setting
from watchkeeper.pipeline.watching.versions import version_alert
from watchkeeper.scoring.judges.pairwise import PairwiseJudge
from watchkeeper.store.records import access, alerts, datasets, experiments, reviews, states
from watchkeeper.web import estimate
from watchkeeper.web.pages import overview
from watchkeeper.web.pictures import alert_picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = (
    "/", "/traces", "/quality", "/scorers", "/drift", "/monitors", "/alerts", "/review", "/signals", "/datasets", "/experiments", "/releases", "/settings",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def empty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    made = await build(tmp_path_factory.mktemp("empty"), 0)
    yield made
    await made.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, empty: World) -> AsyncIterator[World]:
    # One process opens one embedded store at a time, so this world is written into the first one's.
    made = await build(Path(empty.services.data_dir), 600, seed=11)
    yield made
    await made.close()


def client(world: World) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1")


async def test_it_teaches_on_the_first_day(empty: World) -> None:
    async with client(empty) as browser:
        for path in PAGES:
            answer = await browser.get(path)
            assert answer.status_code == 200, path
        first = (await browser.get("/")).text
        assert "No traces yet" in first
        assert "WATCHKEEPER_ENDPOINT=http://127.0.0.1" in first
        assert "watchkeeper demo" in first
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in (await browser.get("/traces")).text
        assert "Traces appear here as they arrive" in (await browser.get("/traces?live=1")).text
        assert "runbook:" in (await browser.get("/alerts")).text


async def test_it_says_what_a_report_needs_before_there_is_anything_to_report(empty: World) -> None:
    services = empty.services
    services.reports = ReportFlow(
        empty.columns, services.records, services.clock, lambda _: Setting(), lambda: None
    )
    async with client(empty) as browser:
        text = (await browser.get("/reports")).text
        assert "Nothing to report yet" in text
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in text
        assert "No traces in this range" in (await browser.get("/traces/compare")).text


async def test_it_shows_every_page_with_data(world: World) -> None:
    some = world.trace_ids[-1]
    async with client(world) as browser:
        for path in (
            *PAGES,
            f"/traces/{some}",
            f"/traces/{some}/panel",
            "/quality/answer_relevance?by=prompt_version",
            "/alerts/al_relevance",
            "/alerts/al_tools",
            "/review/rev_00",
            "/datasets/support-regressions",
            "/datasets/support-regressions?version=1",
            "/datasets/support-regressions/cases/case_0003",
            "/experiments/exp_1",
            "/experiments/exp_1?against=exp_0",
        ):
            answer = await browser.get(path)
            assert answer.status_code == 200, (path, answer.text[:300])
            assert "None" not in re.sub(r"<[^>]+>", " ", answer.text), path


async def test_it_answers_in_one_sentence_whether_it_still_works(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/")).text
    assert "answer_relevance for prompt_version v2 fell from 8.1 to 6.6" in page
    assert "order-status" in page
    assert "/alerts/al_relevance" in page


async def test_it_says_what_is_loud_first_and_what_is_quiet_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = [*((f"calm-{i}", 900 - i, 0) for i in range(9)), ("", 30, 3), ("customer-support", 2, 0)]
    busy = [{"scenario": name, "n": n, "errors": estimate.proportion(bad, n)} for name, n, bad in counts]
    monkeypatch.setattr(overview, "scenarios", lambda _: busy)
    async with client(world) as browser:
        page = (await browser.get("/")).text
    assert page.index("customer-support") < page.index("The other 10 scenarios") < page.index("calm-0")
    assert page.count("Measured, but not watched. Errors, latency") == 1
    assert "errors 10 %" in page and "scenario%3DUnnamed" not in page
    assert "cohort=scenario%3Dcalm-8" in page


async def test_it_filters_by_score_text_and_cohort(world: World) -> None:
    async with client(world) as browser:
        everything = (await browser.get("/traces?range=30d")).text
        low = (await browser.get("/traces?range=30d&where=answer_relevance+%3C+4")).text
        nothing = (await browser.get("/traces?range=30d&q=zebra")).text
        cohort = (await browser.get("/traces?range=30d&cohort=prompt_version%3Dv2")).text
    assert "600 match" in everything
    assert 0 < low.count("<tr class=") < everything.count("<tr class=") + 1
    assert "Nothing matches" in nothing
    assert "v1 ·" not in cohort


async def test_the_worst_answers_of_a_prompt_version_are_a_filter_and_a_click_away(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/traces?range=30d&where=prompt_version+%3D+%27v2%27")).text
        found = re.search(r'href="([^"]*sort=answer_relevance[^"]*)"', page)
        assert found
        worst = (await browser.get(html.unescape(found[1]))).text
    shown = [float(x) for x in re.findall(r"answer_relevance</span> ([\d.]+)", worst)]
    assert len(shown) > 10 and shown == sorted(shown)


async def test_the_baseline_is_named_as_long_as_it_is(world: World) -> None:
    async with client(world) as browser:
        for length, named in (("24h", "14 d"), ("30d", "30 d")):
            page = (await browser.get(f"/?range={length}")).text
            assert f"against the {named} before; marked" in page
            assert (
                f"nor in the {named} before." in (await browser.get(f"/quality/nothing?range={length}")).text
            )


async def test_a_series_has_the_monitor_that_would_watch_it(world: World) -> None:
    async with client(world) as browser:
        for path, way in (("/quality/answer_relevance", "down"), ("/quality/latency_ms?by=model", "up")):
            page = (await browser.get(path)).text
            (found,) = re.findall(r'<code class="cmd"[^>]*>(.*?)</code>', page, re.DOTALL)
            (monitor,) = load_text(html.unescape(found)).config.monitors
            metric = path.split("/")[2].split("?")[0]
            assert (monitor.condition, monitor.name) == (
                f"shift({metric}) = '{way}'", f"{metric.replace('_', '-')}-{way}"
            )  # fmt: skip
            assert monitor.by == (("model",) if "by=" in path else ("prompt_version",))
            assert ("Slowest traces first" in page and "sort=duration" in page) == (metric == "latency_ms")


async def test_it_says_what_is_wrong_with_a_filter(world: World) -> None:
    async with client(world) as browser:
        answer = await browser.get("/traces?where=answr_relevance+%3C+4")
        unfinished = await browser.get("/traces", params={"where": "answer_relevance <"})
        other_name = await browser.get("/traces", params={"where": "latency_ms > 3000"})
    assert answer.status_code == 400
    assert "This filter cannot be used" in answer.text
    assert "answer_relevance" in answer.text
    assert "This is not a condition: something is missing or too much at its end." in unfinished.text
    assert "SELECT" not in unfinished.text
    assert "latency_ms is the column duration_ms here." in other_name.text


async def test_it_turns_a_menu_line_into_a_chip_and_back(world: World) -> None:
    async with client(world) as browser:
        answer = await browser.get(
            "/traces/filter",
            params={"field": "duration_ms", "op": ">", "value": "100", "back": "/traces?range=30d"},
        )
        there = await browser.get(answer.headers["location"])
        wrong = await browser.get("/traces/filter", params={"field": "nope", "op": "=", "value": "1"})
        away = await browser.get(
            "/traces/filter", params={"field": "cost", "op": ">", "value": "1", "back": "https://evil/"}
        )
    assert answer.status_code == 303
    assert "duration_ms &gt; 100" in there.text
    assert wrong.status_code == 400
    assert away.headers["location"].startswith("/")


async def test_it_pages_through_every_trace_once(world: World) -> None:
    seen: list[str] = []
    address: str | None = "/traces?range=30d"
    async with client(world) as browser:
        while address:
            page = (await browser.get(address)).text
            seen += re.findall(r'data-id="([0-9a-f]{32})"', page)
            following = re.search(r'href="(/traces\?[^"]*before=[^"]+)"', page)
            address = following.group(1).replace("&amp;", "&") if following else None
    assert len(seen) == len(set(seen)) == 600


async def test_it_goes_straight_to_a_trace_by_its_id(world: World) -> None:
    async with client(world) as browser:
        answer = await browser.get("/traces", params={"q": world.trace_ids[0].upper()})
        missing = await browser.get(f"/traces/{'0' * 32}")
        nonsense = await browser.get("/traces/..%2f..%2fetc")
    assert answer.headers["location"].startswith(f"/traces/{world.trace_ids[0]}")
    assert (missing.status_code, nonsense.status_code) == (404, 404)


async def test_the_side_panel_says_what_was_measured_and_counts_what_merely_passes(world: World) -> None:
    async with client(world) as browser:
        text = (await browser.get(f"/traces/{world.trace_ids[0]}/panel")).text
        assert re.search(r"token_overlap 0\.\d", text)
        assert "empty_output" not in text
        assert re.search(r"\d checks? pass", text)


async def test_it_helps_to_choose_two_traces_to_compare(world: World) -> None:
    async with client(world) as browser:
        first = await browser.get("/traces/compare")
        assert first.status_code == 200
        assert "Choose two traces" in first.text
        newest = re.search(r'data-href="(/traces/compare\?a=[0-9a-f]{32})"', first.text)
        assert newest is not None
        held = await browser.get(newest[1])
        assert newest[1].partition("a=")[2] in held.text
        both = re.search(r'data-href="(/traces/compare\?[^"]*b=[0-9a-f]{32}[^"]*)"', held.text)
        assert both is not None
        assert "Two traces" in (await browser.get(both[1].replace("&amp;", "&"))).text
        wrong = await browser.get("/traces/compare?a=x&b=" + world.trace_ids[0])
        assert wrong.status_code == 400
        assert "an id of 32 characters" in wrong.text


async def test_an_address_that_leads_nowhere_is_a_page_for_browsers_and_json_for_programs(
    world: World,
) -> None:
    async with client(world) as browser:
        page = await browser.get("/nowhere", headers={"accept": "text/html,*/*"})
        assert (page.status_code, page.headers["content-type"][:9]) == (404, "text/html")
        assert "Not found" in page.text
        for path, accept in (("/nowhere", "*/*"), ("/api/nowhere", "text/html")):
            answer = await browser.get(path, headers={"accept": accept})
            assert (answer.status_code, answer.json()["error"]) == (404, f"there is nothing at {path}")


async def test_it_shows_one_trace_as_tree_conversation_and_scores(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get(f"/traces/{world.worst[0]}")).text
    for words in (
        "support.answer",
        "retrieval support-articles",
        "chat gpt-4o-mini",
        "You are a support assistant",
        "Documents",
        "has_steps",
        "answer_relevance",
    ):
        assert words in page
    assert 'href="#document-1"' in page or "[kb-" not in page


async def test_it_hides_content_from_roles_that_may_not_see_it(world: World) -> None:
    holder = world.services.config
    before = holder.current
    key = await world.services.records.write(
        lambda c: access.create_key(
            c, project=PROJECT, name="looker", role="viewer", created_by="t", now_ns=NOW
        )
    )
    holder.current = Config(privacy=Privacy(content_role="editor"))  # pyright: ignore[reportCallIssue]
    world.services.no_auth = False
    headers = {"authorization": f"Bearer {key[1]}"}
    try:
        async with client(world) as browser:
            pages = {
                p: (await browser.get(p, headers=headers)).text
                for p in (
                    "/traces?range=30d",
                    f"/traces/{world.worst[0]}",
                    f"/traces/{world.worst[0]}/panel",
                    "/alerts/al_relevance",
                    "/review",
                    "/quality/answer_relevance",
                    "/signals",
                    "/datasets/support-regressions",
                )
            }
    finally:
        holder.current = before
        world.services.no_auth = True
    for path, page in pages.items():
        assert "How do I" not in page, path
        assert "Our documentation" not in page, path
        assert "You asked:" not in page, path
    assert "hidden for your role" in pages["/traces?range=30d"]


async def test_it_takes_and_gives_back_an_alert(world: World) -> None:
    async with client(world) as browser:
        await browser.post("/alerts/al_relevance/ack", data={"back": "/alerts"})
        taken = await world.services.records.read(lambda c: alerts.get(c, PROJECT, "al_relevance"))
        assert taken is not None
        assert taken.acknowledged_by == "local"
        assert "taken by local" in (await browser.get("/alerts/al_relevance")).text
        await browser.post("/alerts/al_relevance/ack", data={"undo": "yes"})
        given = await world.services.records.read(lambda c: alerts.get(c, PROJECT, "al_relevance"))
        assert given is not None
        assert given.acknowledged_by is None


async def test_an_alert_leads_to_its_traces_with_the_worst_first(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/alerts/al_relevance")).text
        there = re.search(r'href="(/traces\?[^"]*sort=answer_relevance)"', page)
        assert there
        listed = (await browser.get(html.unescape(there.group(1)))).text
        values = [float(v) for v in re.findall(r"answer_relevance</span> ([0-9.]+)", listed)]
        assert len(values) > 5 and values == sorted(values)
        assert 'aria-current="true">Lowest answer_relevance</a>' in listed
        slowest = (await browser.get("/traces?range=30d&sort=-latency_ms")).text
        assert 'aria-current="true">Highest latency_ms</a>' in slowest
        assert 'aria-current="true">Newest</a>' in (await browser.get("/traces?sort=no_such_thing")).text


async def test_it_silences_and_ends_a_silence(world: World) -> None:
    async with client(world) as browser:
        wrong = await browser.post("/alerts/al_relevance/silence", data={"for": "9y"})
        await browser.post("/alerts/al_relevance/silence", data={"for": "4h", "comment": "known"})
        page = (await browser.get("/alerts")).text
        (row,) = await world.services.records.read(lambda c: alerts.list_silences(c, PROJECT, NOW))
        await browser.post(f"/silences/{row.id}/end")
    assert wrong.status_code == 400
    assert "known" in page
    assert not await world.services.records.read(lambda c: alerts.list_silences(c, PROJECT, NOW))


async def test_it_labels_promotes_moves_on_and_undoes(world: World) -> None:
    async with client(world) as browser:
        first = (await browser.post("/review/next")).headers["location"]
        assert first.startswith("/review/rev_")
        bad = await browser.post(f"{first.partition('?')[0]}/label", data={"label": "maybe:"})
        assert bad.status_code == 400
        data = {
            "label": "bad:ungrounded",
            "severity": "high",
            "expected": "1. Do this",
            "actual": "No.",
            "promote": "yes",
            "dataset": "fresh",
        }
        second = (await browser.post(f"{first.partition('?')[0]}/label", data=data)).headers["location"]
        assert second.partition("?")[0] != first.partition("?")[0]
        assert "done=promoted" in second
        made = await world.services.records.read(lambda c: datasets.get(c, PROJECT, "fresh"))
        assert made is not None
        assert made.cases[0].expected == "1. Do this"
        (given,) = await world.services.records.read(lambda c: reviews.labels_of(c, PROJECT))
        assert (given.verdict, given.taxonomy, given.severity) == ("bad", "ungrounded", "high")
        back = (await browser.post("/review/undo")).headers["location"]
        assert back.startswith(first.partition("?")[0])
        # A version is for ever: what an undo does not take back is said.
        assert "stays a case of its dataset" in (await browser.get(back)).text
    assert not await world.services.records.read(lambda c: reviews.labels_of(c, PROJECT))


async def test_an_experiment_of_one_case_has_a_difference_and_no_interval(world: World) -> None:
    def one(conn: Connection) -> dict[str, Any]:
        found = experiments.get(conn, PROJECT, "exp_1")
        assert found is not None
        relevance = next(x for x in found["metrics"] if x["scorer"] == "answer_relevance")
        alone = {**relevance, "n": 1, "low": None, "high": None}
        made = {**found, "id": "exp_one", "name": "one", "metrics": [alone], "n_cases": 1}
        experiments.save(conn, made)
        return made

    made = await world.services.records.write(one)
    async with client(world) as browser:
        page = await browser.get("/experiments/exp_one")
    assert page.status_code == 200 and "-1.9" in page.text and "no interval" in page.text
    assert change(made["metrics"][0]) == "8.1 → 6.2 (-1.9, too few sessions for an interval)"


async def test_a_dataset_without_a_case_has_a_page_that_says_how_to_fill_it(world: World) -> None:
    await world.services.records.write(lambda c: datasets.create(c, PROJECT, "hollow", "For <later>", NOW))
    async with client(world) as browser:
        assert 'href="/datasets/hollow"' in (await browser.get("/datasets")).text
        page = await browser.get("/datasets/hollow")
        assert page.status_code == 200 and "For &lt;later&gt;" in page.text
        assert "watchkeeper dataset import hollow" in page.text
        assert (await browser.get("/datasets/hollow?version=1")).status_code == 404
        assert (await browser.get("/datasets/nowhere")).status_code == 404


async def test_what_replays_make_anew_is_no_place_for_a_case(world: World) -> None:
    """The next replay would take it out of there; it stood first in the field of who had replayed anything."""
    case = Case("r", {"text": "Was it asked before?"}, split="replay")

    def replayed(conn: Connection) -> object:
        return datasets.commit(
            conn, PROJECT, "replay", add=[case], remove=[], author="a", note="", now_ns=NOW
        )

    await world.services.records.write(replayed)
    async with client(world) as browser:
        first = (await browser.post("/review/next")).headers["location"].partition("?")[0]
        page = (await browser.get(first)).text
        assert 'value="replay"' not in page and 'name="dataset" value="' in page
        trace_id = page.partition("/traces/")[2][:32]
        assert 'value="replay"' not in (await browser.get(f"/traces/{trace_id}")).text
        data = {"label": "bad:", "promote": "yes", "dataset": "replay"}
        for path in (f"/traces/{trace_id}/dataset", f"{first}/label"):
            answer = await browser.post(path, data=data)
            assert answer.status_code == 409 and "choose another dataset" in answer.text.lower()
        # What a label named stays for the next one, and is a name as everywhere.
        assert (await browser.post(f"{first}/label", data={**data, "dataset": "a b"})).status_code == 400
        assert first in (await browser.post("/review/next")).headers["location"]
        following = (await browser.post(f"{first}/label", data={**data, "dataset": "mine"})).headers[
            "location"
        ]
        assert 'name="dataset" value="mine"' in (await browser.get(following)).text


async def test_a_case_that_leaves_its_split_is_told_on_the_pages(world: World) -> None:
    async with client(world) as browser:
        first = (await browser.post("/review/next")).headers["location"].partition("?")[0]
        trace_id = first and (await browser.get(first)).text.partition("/traces/")[2][:32]
        there = (await browser.post(f"/traces/{trace_id}/dataset", data={"dataset": "moves"})).headers[
            "location"
        ]
        assert "was taken out of" not in (await browser.get(there)).text
        made = await world.services.records.read(lambda c: datasets.get(c, PROJECT, "moves"))
        assert made is not None
        path = f"/datasets/moves/cases/{made.cases[0].id}"
        assert (await browser.post(path, data={"version": "1", "split": "golden"})).status_code == 303
        assert (
            "was taken out of regression: it is in golden now" in (await browser.get("/datasets/moves")).text
        )
        data = {"label": "good:", "promote": "yes", "dataset": "moves"}
        following = (await browser.post(f"{first}/label", data=data)).headers["location"]
        assert "done=moved" in following
        assert "it is in regression now" in (await browser.get(following)).text
        assert (
            "was taken out of golden: it is in regression now" in (await browser.get("/datasets/moves")).text
        )


async def test_a_case_s_id_may_hold_a_slash(world: World) -> None:
    case = Case("tests/refund.py::test_late", {"text": "Where is my refund?"}, expected="On its way.")
    await world.services.records.write(
        lambda c: datasets.commit(
            c, PROJECT, "slashes", add=[case], remove=[], author="ann", note="", now_ns=NOW
        )
    )
    async with client(world) as browser:
        listed = (await browser.get("/datasets/slashes")).text
        (link,) = set(re.findall(r'href="(/datasets/slashes/cases/[^"]+)"', listed))
        page = await browser.get(link)
        assert page.status_code == 200 and "On its way." in page.text
        assert (await browser.post(link, data={"version": "1", "split": "golden"})).status_code == 303


async def test_what_a_dataset_asks_already_is_added_when_one_insists(world: World) -> None:
    async with client(world) as browser:
        for trace_id in world.trace_ids[10:]:
            answer = await browser.post(f"/traces/{trace_id}/dataset", data={"dataset": "twins"})
            if answer.status_code == 409:
                break
        assert answer.status_code == 409 and "add it anyway" in answer.text.lower()
        assert 'name="force" value="yes"' in (await browser.get(f"/traces/{trace_id}")).text
        there = await browser.post(f"/traces/{trace_id}/dataset", data={"dataset": "twins", "force": "yes"})
        assert there.headers["location"].startswith("/datasets/twins")


async def test_it_sends_traces_to_review_and_to_datasets(world: World) -> None:
    some = world.trace_ids[5]
    async with client(world) as browser:
        await browser.post(f"/traces/{some}/review", data={"back": "/traces"})
        assert "In review" in (await browser.get(f"/traces/{some}")).text
        there = await browser.post(f"/traces/{some}/dataset", data={"dataset": "by-hand"})
        assert there.headers["location"].startswith("/datasets/by-hand")
        assert "by-hand" in (await browser.get(f"/traces/{some}")).text
        none = await browser.post("/traces/selected", data={})
        many = await browser.post("/traces/selected", data={"trace": world.trace_ids[6:9], "back": "/traces"})
    assert none.status_code == 400
    assert many.status_code == 303
    for trace_id in world.trace_ids[6:9]:
        assert await world.services.records.read(lambda c, t=trace_id: reviews.for_trace(c, PROJECT, t))


async def test_it_shows_a_new_key_once(world: World) -> None:
    async with client(world) as browser:
        made = await browser.post("/settings/keys", data={"name": "app", "role": "ingest", "life": "30"})
        (secret,) = re.findall(r"wk_[0-9a-z]{12}_[0-9A-Za-z]{49}", made.text)
        later = (await browser.get("/settings")).text
        key_id = secret.split("_")[1]
        await browser.post(f"/settings/keys/{key_id}/revoke")
        after = (await browser.get("/settings")).text
    assert made.headers["cache-control"] == "no-store"
    assert secret not in later
    assert "app" in later
    assert "revoked" in after


async def test_an_admin_adds_people_changes_what_they_may_and_takes_it_away(world: World) -> None:
    def role_of(page: str) -> str:
        rows = page.partition(">ann@example.com</b>")[2].partition("</tr>")[0]
        return re.findall(r'value="(\w+)" selected', rows)[0]

    async with client(world) as browser:
        made = await browser.post("/settings/people", data={"email": " Ann@Example.com", "role": "reviewer"})
        (link,) = re.findall(r"http://[^<]+/login\?token=[\w-]+", made.text)
        later = (await browser.get("/settings/people")).text
        (ann,) = re.findall(r"/settings/people/(\w+)/role", later.partition('id="remove-')[0])
        there = {"email": "ann@example.com", "role": "viewer"}
        assert (await browser.post("/settings/people", data=there)).status_code == 400
        assert (await browser.post("/settings/people", data={**there, "role": "ingest"})).status_code == 400
        assert (
            await browser.post("/settings/people", data={"email": "ann", "role": "viewer"})
        ).status_code == 400
        assert (await browser.post(f"/settings/people/{ann}/role", data={"role": "boss"})).status_code == 400
        await browser.post(f"/settings/people/{ann}/role", data={"role": "editor"})
        changed = (await browser.get("/settings/people")).text
        another = (await browser.post(f"/settings/people/{ann}/link")).text
        await browser.post(f"/settings/people/{ann}/role", data={"role": "none"})
        gone = (await browser.get("/settings/people")).text
        # Whoever was here before comes back.
        assert (await browser.post("/settings/people", data=there)).status_code == 200
        back = (await browser.get("/settings/people")).text
    assert made.headers["cache-control"] == "no-store" and link not in later
    assert role_of(later) == "reviewer"
    assert role_of(changed) == "editor"
    assert "/login?token=" in another and "ann@example.com" in another
    assert ">ann@example.com</b>" not in gone and role_of(back) == "viewer"


async def test_it_draws_charts_by_address_and_says_when_it_cannot(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/quality/answer_relevance?range=14d")).text
        (address, *_) = re.findall(r'<img src="(/charts/[^"]+)"', page)
        address = address.replace("&amp;", "&")
        picture = await browser.get(address)
        again = await browser.get(address, headers={"if-none-match": picture.headers["etag"]})
        png = await browser.get(address.replace(".svg", ".png"))
        unknown = await browser.get("/charts/series.svg?metric=nope")
        wrong = await browser.get("/charts/series.svg?metric=answer_relevance&size=huge")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert "support-answer v2" in picture.text
    assert again.status_code == 304
    assert png.content.startswith(b"\x89PNG")
    assert (unknown.status_code, wrong.status_code) == (404, 400)


async def test_it_draws_an_alert_for_its_message(world: World) -> None:
    alert = await world.services.records.read(lambda c: alerts.get(c, PROJECT, "al_relevance"))
    assert alert is not None
    picture = await alert_picture(world.columns, alert, NOW)
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    alert.evidence, alert.moved = {}, []
    assert await alert_picture(world.columns, alert, NOW) is None


async def test_it_computes_a_cohort_that_is_not_rolled_from_the_traces(world: World) -> None:
    async with client(world) as browser:
        rolled = (await browser.get("/quality?range=14d")).text
        made = (await browser.get("/quality?range=14d&cohort=region%3Deu-west-1")).text
    assert "answer_relevance" in rolled
    assert "answer_relevance" in made


async def test_it_sends_only_headers_that_forbid_foreign_code(world: World) -> None:
    async with client(world) as browser:
        answer = await browser.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy


async def test_it_suggests_values_and_sets_a_cohort(world: World) -> None:
    async with client(world) as browser:
        found = (await browser.get("/cohort/values?name=prompt_version&range=30d")).json()
        models = (await browser.get("/cohort/values?name=model&range=30d")).json()
        wrong = await browser.get("/cohort/values?name=password")
        there = await browser.get(
            "/cohort", params={"name": "prompt_version", "value": "v2", "back": "/traces?range=7d"}
        )
    assert set(found) == {"v1", "v2"}
    assert models
    assert wrong.status_code == 400
    assert there.headers["location"] == "/traces?range=7d&cohort=prompt_version%3Dv2"


async def test_a_case_is_edited_as_a_new_version_and_not_over_somebody_else_s(world: World) -> None:
    async with client(world) as browser:
        where = "/datasets/support-regressions/cases/case_0003"
        page = (await browser.get(where)).text
        version = int(re.findall(r'name="version" value="(\d+)"', page)[0])
        assert f"Save as v{version + 1}" in page
        given = {
            "version": str(version),
            "expected": "Within 14 days.",
            "split": "golden",
            "owner": "payments",
            "note": "law",
        }
        saved = await browser.post(where, data=given)
        assert saved.status_code == 303 and f"version={version + 1}" in saved.headers["location"]
        late = await browser.post(where, data={**given, "expected": "Never."})
        assert late.status_code == 409, "the case changed since that page was opened"
        assert (await browser.post(where, data={**given, "split": "gold"})).status_code == 400
        made = await world.services.records.read(lambda c: datasets.get(c, PROJECT, "support-regressions"))
        case = next(c for c in made.cases if c.id == "case_0003")
        assert (made.version, made.note) == (version + 1, "law")
        assert (case.expected, case.split, case.owner) == ("Within 14 days.", "golden", "payments")
        shown = (await browser.get("/datasets/support-regressions")).text
        assert "Within 14 days." in shown and "1 changed" in shown
        assert "Only the newest version" in (await browser.get(f"{where}?version={version}")).text


async def test_two_runs_are_beside_each_other_with_what_differs_first(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/experiments/exp_1?against=exp_0")).text
        assert "Paired case by case" in page and "Case by case" in page
        # What passes or fails is a share of the cases, wherever it stands.
        assert "-100 pt" in page and "<b>has_steps</b>" in page and "62.0 %" in page
        worse = (await browser.get("/experiments/exp_1?against=exp_0&show=worse")).text
        assert worse.count("diff-row") <= page.count("diff-row")
        alone = (await browser.get("/experiments/exp_0")).text
        assert "Paired case by case" not in alone


async def test_what_a_pairwise_judge_preferred_is_on_the_later_runs_page(world: World) -> None:
    judge = PairwiseJudge(model="fake:j")
    first = FakeProvider(answer=lambda _: '{"reasoning": "place", "better": "A"}')
    pairs = [Pair(str(i), "q", "old", f"new {i}") for i in range(9)]
    made = await prefer(judge, pairs, first.ask, lambda: "n")

    def keep(conn: Connection) -> None:
        run = experiments.get(conn, PROJECT, "exp_1")
        assert run is not None
        experiments.save(conn, {**run, "preferences": [{**made, "against": "exp_0"}]})

    await world.services.records.write(keep)
    async with client(world) as browser:
        page = (await browser.get("/experiments/exp_1")).text
        assert "Preferred by a judge" in page and "fake:j" in page
        assert "first place among 9 flipped of 9 pairs" in page and "biased" in page
        assert "Preferred by a judge" not in (await browser.get("/experiments/exp_0")).text


async def test_another_judge_is_a_line_in_the_alerts_and_not_a_fault(world: World) -> None:
    rule = Monitor("relevance-down", "shift(answer_relevance) = 'down'", "ml", "r.md", PROJECT)
    told = version_alert(PROJECT, rule, "answer_relevance", (), "1 gpt-5", "1 gpt-6", NOW - 3600 * 10**9)
    await world.services.records.write(lambda c: alerts.save(c, told))
    async with client(world) as browser:
        listed = (await browser.get("/alerts?state=resolved")).text
        assert "version changed" in listed and told.id in listed
        page = await browser.get(f"/alerts/{told.id}")
        assert page.status_code == 200 and "1 gpt-6" in page.text
        series = await browser.get("/quality/answer_relevance")
        assert series.status_code == 200
        missing = await browser.get("/monitors/nobody")
        assert missing.status_code == 404


async def test_a_backtest_goes_on_behind_its_page_which_says_how_far_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load_text(
        f"monitors: [{{name: slow, project: {PROJECT}, condition: x < 1, owner: o, runbook: r}}]\n"
    )
    monkeypatch.setattr(world.services, "config", ConfigHolder(found.config))
    go, ended = asyncio.Event(), asyncio.Event()

    async def rehearsed(*given: Any) -> list[Alert]:
        given[-1](0.25)
        await go.wait()
        asyncio.get_running_loop().call_soon(ended.set)
        raise RuntimeError("no history")

    monkeypatch.setattr("watchkeeper.web.pages.monitors.backtest", rehearsed)
    async with client(world) as browser:
        begun = await browser.post("/monitors/slow/backtest")
        assert begun.status_code == 303
        page = await browser.get("/monitors/slow")
        assert "Replaying 30 days: 25 %" in page.text and page.headers["refresh"] == "2"
        assert (await browser.get("/api/backtest")).json() == {"share": 0.25}
        assert (await browser.post("/monitors/slow/backtest")).status_code == 503
        go.set()
        await ended.wait()
        page = await browser.get("/monitors/slow")
        assert "The last run failed" in page.text and "refresh" not in page.headers
        assert (await browser.get("/api/backtest")).json() == {"share": None}


async def test_the_alerts_page_counts_the_monitors_of_packs_and_objectives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = load_text(
        f"packs: [{{name: errors, project: {PROJECT}, owner: o, runbook: r}}]\n"
        f"objectives: [{{name: grounded, project: {PROJECT}, good: groundedness >= 0.8, target: 95%, owner: o, runbook: r}}]\n"
        f"monitors: [{{name: a, project: {PROJECT}, condition: x < 1, owner: o, runbook: r}}]\n"
    )
    monkeypatch.setattr(world.services, "config", ConfigHolder(found.config))
    async with client(world) as browser:
        page = (await browser.get("/alerts")).text
        unread = (await browser.get("/monitors")).text
    assert "7 monitors watch this project; none of them has data yet" in page
    # What no monitor has read yet is not known, and not zero.
    assert "no monitor has read a series yet" in unread
    standing = {"a|": {"life": {"state": "ok"}}, "a|scenario=x": {"life": {"state": "no_data"}}}
    await world.services.records.write(lambda c: states.put_all(c, PROJECT, "watched", standing, NOW))
    async with client(world) as browser:
        assert (
            "7 monitors watch this project; 6 of them have no data yet" in (await browser.get("/alerts")).text
        )
    await world.services.records.write(lambda c: states.delete(c, PROJECT, "watched", standing))
