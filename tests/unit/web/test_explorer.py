"""The trace explorer over the real store: filters, pages both ways, the live list, and what lies behind a row."""

import re
import subprocess
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import pytest_asyncio

from tests.unit.web.world import NOW, PROJECT, World, build, spans_of, turns
from watchkeeper.config.models import Config, Privacy
from watchkeeper.dialects import assemble, normalise
from watchkeeper.model.review import Case
from watchkeeper.store.columns import SpanRow, TraceRow
from watchkeeper.store.records import access, audit, saved_views
from watchkeeper.web.pages import raw
from watchkeeper.web.pages.raw import curl
from watchkeeper.wire.otlp import decode

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


async def arrive(world: World, started_ns: dict[str, int], assembled_ns: int) -> None:
    """More traces of the assistant's, by id, written as the pipeline writes them."""
    number, _, turn, scenario = next(turns(1, 5))
    made = [
        [normalise(raw) for raw in spans_of(turn, trace_id, at, number, scenario)]
        for trace_id, at in started_ns.items()
    ]
    await world.columns.write_spans(
        [SpanRow(PROJECT, s, spans[0].start_ns) for spans in made for s in spans], []
    )
    await world.columns.write_traces(
        [TraceRow(PROJECT, assemble(spans, []), [], 1.0, "all", assembled_ns) for spans in made]
    )


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


async def test_a_bar_of_the_histogram_keeps_every_filter(world: World) -> None:
    async with client(world) as browser:
        page = (
            await browser.get("/traces?range=30d&session=conv-7&user=user-14&where=duration_ms+%3E+2")
        ).text
    narrowed = [a for a in re.findall(r'<a href="([^"]+)" data-tip', page) if "since=" in a]
    assert narrowed
    assert all("session=conv-7" in a and "user=user-14" in a and "where=" in a for a in narrowed)


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
    for first in range(0, 120, 30):
        some = {f"{n * 7919:032x}": start + n // 40 * SECOND for n in range(first, first + 30)}
        await arrive(world, some, NOW - 3600 * SECOND)
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
        await arrive(world, {"f" * 32: NOW - 3600 * SECOND}, NOW + SECOND)
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


async def test_sessions_and_users_say_what_their_turns_cost_and_got(world: World) -> None:
    async with client(world) as browser:
        sessions = (await browser.get("/sessions?range=30d")).text
        following = re.search(r'rel="next" href="([^"]+)"', sessions)
        assert following
        more = (await browser.get(following.group(1).replace("&amp;", "&"))).text
        users = (await browser.get("/users?range=30d")).text
        mine = (await browser.get("/sessions?range=30d&user=user-3")).text
        nobody = (await browser.get("/sessions?range=30d&user=nobody")).text
        other = (await browser.get("/sessions?range=30d&scorer=has_steps")).text
    listed = [re.findall(r'href="/sessions/(conv-\d+)\?range=30d" title', page) for page in (sessions, more)]
    assert [len(one) for one in listed] == [50, 30]
    assert not set(listed[0]) & set(listed[1])
    assert "The lowest answer_relevance of any turn" in sessions
    assert "The lowest has_steps of any turn" in other
    assert "user-3" in users
    assert set(re.findall(r'title="(conv-\d+)"', mine)) == {"conv-1", "conv-50"}
    assert "No sessions in this range" in nobody


async def test_a_session_reads_as_one_conversation(world: World) -> None:
    async with client(world) as browser:
        page = (await browser.get("/sessions/conv-7")).text
        missing = await browser.get("/sessions/no-such/thing")
        empty = await browser.get("/sessions/")
    turns = re.findall(r'id="turn-(\d)"', page)
    assert turns == ["1", "2"]
    assert "Session, 2 turns" in page
    assert "compare with the turn before" in page
    assert missing.status_code == 404
    assert empty.status_code in (303, 307, 404)


async def test_two_traces_are_beside_each_other_with_what_differs_first(world: World) -> None:
    a, b = world.trace_ids[0], world.worst[0]
    async with client(world) as browser:
        page = (await browser.get("/traces/compare", params={"a": a, "b": b})).text
        same = (await browser.get("/traces/compare", params={"a": a, "b": a})).text
        wrong = await browser.get("/traces/compare", params={"a": a, "b": "nope"})
        missing = await browser.get("/traces/compare", params={"a": a, "b": "0" * 31 + "1"})
    texts = page.split("<h2>Properties</h2>")[0]
    assert "<ins>" in texts or "<h3>B</h3>" in texts
    properties = page.split("<h2>Properties</h2>")[1].split("</table>")[0]
    kinds = re.findall(r"<tr( class=\"muted\")?>\s*<td>", properties)
    assert kinds == sorted(kinds)
    assert "prompt version" in properties.split('class="muted"')[0]
    assert "0 properties differ, the output is the same" in same
    assert (wrong.status_code, missing.status_code) == (400, 404)


async def test_a_trace_is_given_as_received_to_send_again_or_to_test_with(world: World) -> None:
    trace_id = world.worst[0]
    async with client(world) as browser:
        page = (await browser.get(f"/traces/{trace_id}/raw")).text
        one = await browser.get(f"/traces/{trace_id}/raw?form=json&span=0000000000000001")
        command = (await browser.get(f"/traces/{trace_id}/raw?form=curl")).text
        case = (await browser.get(f"/traces/{trace_id}/raw?form=case")).text
        whole = (await browser.get(f"/traces/{trace_id}/raw?form=json")).text
        wrong = [
            (await browser.get(f"/traces/{trace_id}/raw?{q}")).status_code for q in ("span=ff", "form=xml")
        ]
    assert "Send it again" in page
    spans = [
        s for outer in one.json()["resourceSpans"] for scope in outer["scopeSpans"] for s in scope["spans"]
    ]
    assert [(s["traceId"], s["spanId"]) for s in spans] == [(trace_id, "0000000000000001")]
    # What is copied decodes to what is stored.
    stored, _ = await world.columns.read_trace(PROJECT, trace_id)
    again = decode("traces", whole.encode(), "application/json").spans
    assert {s.span_id: (s.name, s.attributes) for s in again} == {
        s.span_id: (s.name, s.attributes) for s in stored
    }
    assert command.splitlines()[1] == whole
    assert subprocess.run(["bash", "-n"], input=command, text=True, check=False).returncode == 0  # noqa: ASYNC221
    made = msgspec.json.decode(case, type=Case)
    assert made.trace_id == trace_id
    assert wrong == [404, 400]
    written = await world.services.records.read(lambda c: audit.latest(c, PROJECT, 50))
    assert {"trace.raw", "trace.curl", "trace.case"} <= {line["action"] for line in written}


async def test_a_shell_expands_nothing_of_what_is_sent_again() -> None:
    document = '{"a":"$(echo expanded) `echo expanded` \' OTLP $HOME"}'
    made = curl("http://h/it's", document).replace("curl -sS", "cat #", 1)
    # With the command made `cat`, the shell gives back what curl would have read.
    script = made.replace("cat #", "f() { cat; }; f", 1)
    heard = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert heard.stdout == document + "\n"


async def test_what_is_too_long_to_show_is_downloaded_and_not_copied(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "MOST_SHOWN", 200)
    async with client(world) as browser:
        page = (await browser.get(f"/traces/{world.trace_ids[0]}/raw")).text
    assert "too long to show here, download it" in page
    assert "form=json" in page and 'data-copy="#raw-json"' not in page


async def test_raw_content_is_for_those_who_may_see_content(world: World) -> None:
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
    a, b = world.trace_ids[0], world.worst[0]
    try:
        async with client(world) as browser:
            raw = await browser.get(f"/traces/{a}/raw", headers=headers)
            pages = [
                (await browser.get(path, headers=headers)).text
                for path in (f"/traces/compare?a={a}&b={b}", "/sessions/conv-7", "/traces?live=1&range=30d")
            ]
    finally:
        holder.current = before
        world.services.no_auth = True
    assert raw.status_code == 403
    for page in pages:
        assert "hidden for your role" in page
        assert "How do I" not in page
        assert "Our documentation" not in page


async def test_filters_are_kept_under_a_name_for_the_whole_project(world: World) -> None:
    back = "/traces?range=7d&where=answer_relevance+%3C+5&before=1.aa&project=default"
    async with client(world) as browser:
        saved = await browser.post("/traces/views", data={"name": " low  relevance ", "back": back})
        again = await browser.post("/traces/views", data={"name": "low relevance", "back": back})
        page = (await browser.get("/traces?range=7d&where=answer_relevance+%3C+5")).text
        nameless = await browser.post("/traces/views", data={"name": " ", "back": back})
        [view] = await world.services.records.read(lambda c: saved_views.listing(c, PROJECT))
        elsewhere = await world.services.records.read(lambda c: saved_views.listing(c, "another"))
        gone = await browser.post(f"/traces/views/{view.id}/delete", data={"back": "/traces?range=7d"})
        twice = await browser.post(f"/traces/views/{view.id}/delete")
        after = (await browser.get("/traces?range=7d")).text
    assert (saved.status_code, again.status_code, nameless.status_code) == (303, 303, 400)
    assert (view.name, view.query) == ("low relevance", "range=7d&where=answer_relevance+%3C+5")
    assert 'href="/traces?range=7d&amp;where=answer_relevance+%3C+5" aria-current="true"' in page
    assert elsewhere == []
    assert (gone.status_code, gone.headers["location"], twice.status_code) == (303, "/traces?range=7d", 404)
    assert "low relevance" not in after


async def test_views_are_saved_by_editors_only(world: World) -> None:
    key = await world.services.records.write(
        lambda c: access.create_key(
            c, project=PROJECT, name="reader", role="reviewer", created_by="t", now_ns=NOW
        )
    )
    world.services.no_auth = False
    try:
        async with client(world) as browser:
            headers = {"authorization": f"Bearer {key[1]}"}
            refused = await browser.post(
                "/traces/views", data={"name": "x", "back": "/traces"}, headers=headers
            )
            page = (await browser.get("/traces?range=7d", headers=headers)).text
    finally:
        world.services.no_auth = True
    assert refused.status_code == 403
    assert "Save these filters as" not in page
