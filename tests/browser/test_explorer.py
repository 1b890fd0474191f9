"""The trace explorer by keyboard and over time, in a browser."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import opened, serving, until
from tests.unit.web.world import NOW, PROJECT, World, build, spans_of, turns
from watchkeeper.dialects import assemble, normalise
from watchkeeper.store.columns import SpanRow, TraceRow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    with serving(lambda: build(tmp_path_factory.mktemp("explorer"), 120, seed=5, roll=False)) as served:
        yield served


def arrive(world: World, *trace_ids: str, at: int = NOW - 10**9) -> None:
    """More traces, which began at `at` and ended just now."""
    number, _, turn, scenario = next(turns(1, 5))
    made = [[normalise(raw) for raw in spans_of(turn, t, at, number, scenario)] for t in trace_ids]

    async def write() -> None:
        await world.columns.write_spans([SpanRow(PROJECT, s, NOW) for spans in made for s in spans], [])
        await world.columns.write_traces(
            [TraceRow(PROJECT, assemble(spans, []), [], 1.0, "all", NOW) for spans in made]
        )

    # The browser's driver runs a loop of its own in this thread.
    done = threading.Thread(target=lambda: asyncio.run(write()))
    done.start()
    done.join()


def test_it_compares_two_rows_chosen_by_keyboard(page: Any) -> None:
    page.goto("/traces?range=30d")
    for key in ("c", "j", "x", "j", "x"):
        page.keyboard.press(key)
    chosen = [page.locator("tr.go").nth(n).get_attribute("data-id") for n in (0, 1)]
    assert page.locator("#compare").is_enabled()
    page.keyboard.press("c")
    page.wait_for_url("**/traces/compare?*")
    assert f"a={chosen[1]}" in page.url
    assert f"b={chosen[0]}" in page.url
    assert page.locator("h1").inner_text() == "Two traces"


def test_new_traces_appear_and_wait_while_somebody_reads(page: Any, world: tuple[World, str]) -> None:
    page.goto("/traces?live=1&range=30d")
    until(page, "document.querySelector('#live-state').textContent.startsWith('Live')")
    arrive(world[0], "a" * 32)
    until(page, f"document.querySelector('#live-rows tr').dataset.id === '{'a' * 32}'")
    page.locator("#live-rows tr").nth(1).hover()
    arrive(world[0], "b" * 32)
    until(page, "document.querySelector('#live-state').textContent.includes('1 new')")
    assert page.locator(f"#live-rows tr[data-id='{'b' * 32}']").count() == 0
    page.mouse.move(700, 5)
    until(page, f"!!document.querySelector('#live-rows tr[data-id=\"{'b' * 32}\"]')")
    assert page.locator("#live-rows tr").count() <= 50


def test_a_flood_waits_in_a_list_that_does_not_grow(page: Any, world: tuple[World, str]) -> None:
    page.goto("/traces?live=1&range=30d")
    page.locator("#live-rows tr").nth(1).hover()
    for batch in range(3):
        arrive(world[0], *(f"{batch}{n:031x}" for n in range(40)), at=NOW - 10**9 + batch * 10**6)
        until(
            page,
            f"document.querySelector('#live-state').textContent.includes('{'newest 50' if batch else '40 new'}')",
        )
    page.mouse.move(700, 5)
    until(page, "document.querySelector('#live-rows tr').dataset.id.startsWith('2')")
    # Where everything is new nothing is marked: fifty moving rows cost every frame.
    assert page.locator("#live-rows tr").count() == 50
    assert page.locator("#live-rows tr.fresh").count() == 0


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_new_rows_move_only_for_who_likes_it(chromium: Any, world: tuple[World, str], motion: str) -> None:
    page = opened(chromium, world[1], viewport={"width": 1440, "height": 900}, reduced_motion=motion)
    page.goto("/traces?live=1&range=30d")
    trace_id = ("d" if motion == "reduce" else "e") * 32
    arrive(world[0], trace_id, at=NOW - 10**8)
    row = f"document.querySelector('tr.fresh[data-id=\"{trace_id}\"] td')"
    until(page, f"!!{row}")
    assert (page.evaluate(f"getComputedStyle({row}).animationName") == "none") is (motion == "reduce")
    page.context.close()


def test_a_live_list_is_a_page_without_scripts(chromium: Any, world: tuple[World, str]) -> None:
    context = chromium.new_context(base_url=world[1], java_script_enabled=False)
    page = context.new_page()
    page.goto("/traces?live=1&range=30d")
    assert page.locator("#live-rows tr").count() == 50
    page.get_by_role("link", name="Refresh").click()
    page.wait_for_url("**/traces?*live=1*")
    context.close()


def test_it_copies_a_command_that_sends_the_trace_again(page: Any, world: tuple[World, str]) -> None:
    trace_id = world[0].worst[0]
    page.goto(f"/traces/{trace_id}")
    page.locator("summary", has_text="Copy").click()
    page.get_by_role("button", name="As curl").click()
    page.wait_for_selector(".toast")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("curl -sS http://127.0.0.1")
    assert trace_id in copied
    page.locator("summary", has_text="Copy").click()
    page.get_by_text("The selected span as received").click()
    page.wait_for_url(f"**/traces/{trace_id}/raw?*span=*")


def selected(page: Any) -> str:
    """The span that is shown on the right."""
    return str(page.locator("#span").get_attribute("data-span"))


def test_it_walks_folds_and_enters_the_tree_with_arrow_keys(page: Any, world: tuple[World, str]) -> None:
    page.goto(f"/traces/{world[0].worst[0]}?span=0000000000000001")
    page.evaluate("window.kept = true")
    spans = page.locator(".tree .step")
    last = spans.count() - 1
    page.locator(".tree a[aria-current]").focus()
    page.keyboard.press("ArrowDown")
    until(page, f"document.querySelector('#span').dataset.span === '{spans.nth(1).get_attribute('data-id')}'")
    assert page.evaluate("document.activeElement.closest('.step').dataset.id") == selected(page)
    page.keyboard.press("ArrowLeft")
    until(page, "document.querySelector('#span').dataset.span === '0000000000000001'")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".tree .step:visible").count() == 1
    assert page.locator(".twig").first.get_attribute("aria-expanded") == "false"
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('.step').dataset.id") == "0000000000000001", (
        "nothing to go to"
    )
    page.keyboard.press("ArrowRight")
    assert page.locator(".tree .step:visible").count() == last + 1
    page.keyboard.press("k")
    for _ in range(last):
        page.keyboard.press("j")
    until(
        page, f"document.querySelector('#span').dataset.span === '{spans.nth(last).get_attribute('data-id')}'"
    )
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id === 'span'")
    assert page.evaluate("window.kept") is True


def test_it_finds_a_span_of_a_trace_and_shares_the_view_by_its_address(
    page: Any, world: tuple[World, str]
) -> None:
    page.goto(f"/traces/{world[0].worst[0]}?show=llm")
    assert page.locator(".tree .step:not(.orienting)").count() >= 1
    assert page.locator(".tree .sorts a[aria-current]").inner_text().startswith("Calls")
    page.locator("#find").fill("no such span")
    page.keyboard.press("Enter")
    page.wait_for_url("**find=no+such+span*")
    assert "show=llm" in page.url
    page.locator(".tree").get_by_text("Show all").click()
    page.wait_for_url(lambda url: "find=" not in url)
    assert page.locator(".tree .step.orienting").count() == 0


def test_it_copies_a_message_and_a_link_to_the_span(page: Any, world: tuple[World, str]) -> None:
    page.goto(f"/traces/{world[0].worst[0]}")
    page.locator(".turn.output").hover()
    page.locator(".turn.output .copy-near").click()
    page.wait_for_selector(".toast")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator(".turn.output .text").inner_text()
    page.locator("summary", has_text="Copy").click()
    page.get_by_role("button", name="Link to the selected span").click()
    until(page, "!document.querySelector('.head details[open]')")
    assert f"span={selected(page)}" in page.evaluate("navigator.clipboard.readText()")


def test_it_builds_a_filter_and_saves_the_view_with_the_keyboard_alone(page: Any) -> None:
    page.goto("/traces?range=30d")
    page.keyboard.press("f")
    until(page, "document.activeElement.id === 'f-field'")
    page.keyboard.type("duration")
    page.keyboard.press("Tab")
    page.keyboard.type(">")
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=*")
    assert page.locator(".filters .chip").inner_text().startswith("duration_ms >")
    page.locator("#views-menu summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("slow ones")
    page.keyboard.press("Enter")
    page.locator("#views-menu summary", has_text="1").wait_for()
    assert "where=" in page.url
    page.goto("/traces?range=30d")
    page.locator("#views-menu summary").click()
    page.get_by_role("link", name="slow ones").click()
    page.wait_for_url("**where=*")
    assert page.locator(".filters .chip").inner_text().startswith("duration_ms >")
    page.go_back()
    page.wait_for_url(lambda url: "where=" not in url)
    assert page.locator(".filters .chip").count() == 0


def test_dragging_over_the_bars_narrows_the_list_to_that_time(page: Any) -> None:
    page.goto("/traces?range=30d&where=duration_ms+%3E+2")
    bars = page.locator(".hist .bars")
    over, links = bars.bounding_box(), bars.locator("a")
    edges = [
        links.nth(i).get_attribute("href").split(name)[1][:20] for i, name in ((0, "since="), (-1, "until="))
    ]
    page.mouse.move(over["x"] + 1, over["y"] + 20)
    page.mouse.down()
    page.mouse.move(over["x"] + over["width"] - 1, over["y"] + 20, steps=3)
    assert bars.locator(".brush").count() == 1
    page.mouse.up()
    page.wait_for_url("**since=*")
    assert all(edge in page.url for edge in edges) and "where=duration_ms" in page.url


def test_it_suggests_names_of_attributes(page: Any) -> None:
    page.goto("/traces?range=30d")
    page.locator("#filter-menu summary").click()
    until(page, "document.querySelectorAll('#f-attributes option').length > 3")
    page.locator("#f-attribute").fill("user.id")
    page.locator("#f-attribute-value").fill("user-3")
    page.keyboard.press("Enter")
    page.wait_for_url("**/traces?*where=*")
    assert "user-3" in page.locator(".filters .chip").inner_text()


def test_what_is_refused_is_said_in_the_form_where_it_was_written(
    chromium: Any, world: tuple[World, str]
) -> None:
    page = opened(chromium, world[1], viewport={"width": 900, "height": 900})
    page.goto("/traces?range=30d")
    page.locator("#filter-menu summary").click()
    page.locator("#f-field").select_option("duration_ms")
    page.locator("#f-value").fill("slow")
    page.keyboard.press("Enter")
    page.locator("#filter-menu [role=alert]", has_text="duration_ms is a number").wait_for()
    page.locator("#f-raw").fill("no_such_column = 1")
    page.keyboard.press("Enter")
    page.locator("#filter-menu [role=alert]", has_text="no_such_column").wait_for()
    assert (page.locator("#f-value").input_value(), page.locator("#f-field").input_value()) == (
        "slow",
        "duration_ms",
    )
    page.locator("#f-value").fill("1")
    page.keyboard.press("Enter")
    page.wait_for_url("**where=*")
    assert page.locator(".filters .chip").inner_text().startswith("duration_ms =")
    page.goto(f"/traces/{world[0].worst[1]}")
    page.locator(".head summary", has_text="Add to dataset").click()
    page.locator("#ds").fill("a/b")
    page.keyboard.press("Enter")
    page.locator(".head [role=alert]", has_text="cannot name a dataset").wait_for()
    page.locator("#ds").fill("by-hand")
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets/by-hand*")
    page.context.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_what_cannot_be_taken_back_asks_once_more(
    chromium: Any, world: tuple[World, str], scripts: bool
) -> None:
    context = chromium.new_context(base_url=world[1], java_script_enabled=scripts)
    page = context.new_page()
    name = f"to be deleted, scripts {scripts}"
    page.goto("/traces?range=30d&where=duration_ms+%3E+2")
    page.locator("#views-menu summary").click()
    page.locator("#view-name").fill(name)
    page.get_by_role("button", name="Save view").click()
    view = page.locator(".view-item", has_text=name)
    view.wait_for(state="attached")
    page.locator("#views-menu summary").click()
    view.get_by_role("button", name="Delete").click()
    asked = page.get_by_role("dialog", name=name)
    asked.get_by_role("button", name="Keep it").click()
    asked.wait_for(state="hidden")
    view.get_by_role("button", name="Delete").click()
    asked.get_by_role("button", name="Delete").click()
    view.wait_for(state="detached")
    context.close()


def test_a_form_is_sent_once_and_again_only_when_one_insists(chromium: Any, world: tuple[World, str]) -> None:
    page = opened(chromium, world[1], viewport={"width": 1440, "height": 900})
    held: list[Any] = []
    page.route("**/dataset", lambda r: held.append(r) if r.request.method == "POST" else r.continue_())

    def holding(n: int) -> None:
        for _ in range(10_000):
            if len(held) >= n:
                return
            page.wait_for_timeout(20)
        raise AssertionError(f"{len(held)} of {n} requests were made")

    page.goto(f"/traces/{world[0].worst[2]}")
    page.locator(".head summary", has_text="Add to dataset").click()
    page.locator("#ds").fill("insisted")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Make it a case").click()
    holding(1)
    assert len(held) == 1 and not page.get_by_role("button", name="Add it anyway").is_visible()
    held[0].fulfill(status=409, content_type="text/html", body="<p id=error>It asks this already.</p>")
    page.locator(".head [role=alert]", has_text="It asks this already.").wait_for()
    page.get_by_role("button", name="Add it anyway").click()
    holding(2)
    assert "force=yes" not in held[0].request.post_data and "force=yes" in held[1].request.post_data
    held[1].continue_()
    page.wait_for_url("**/datasets/insisted*")
    assert [c for c in page.complaints if "409" not in c] == []
    page.context.close()


def test_a_marked_or_selected_row_stays_so_while_others_come(page: Any, world: tuple[World, str]) -> None:
    page.goto("/traces?live=1&range=30d")
    page.keyboard.press("j")
    marked = page.locator("tr.at").get_attribute("data-id")
    arrive(world[0], "f" * 32, at=NOW - 10**7)
    until(page, f"document.querySelector('#live-rows tr').dataset.id === '{'f' * 32}'")
    page.keyboard.press("x")
    assert page.locator("tr.at").get_attribute("data-id") == marked
    assert page.locator("input[name=trace]:checked").input_value() == marked
    # The selected trace is written again, as it is when a judge has looked at it.
    arrive(world[0], str(marked), at=NOW - 10**7)
    until(page, "document.querySelector('#live-state').textContent.startsWith('Paused')")
    page.evaluate("document.querySelector('#live-state button')?.click()")
    assert page.locator("input[name=trace]:checked").input_value() == marked
    assert page.locator("#selected-n").inner_text() == "1"


def test_what_could_not_be_loaded_is_said_and_nothing_else_changes(
    chromium: Any, world: tuple[World, str]
) -> None:
    page = opened(chromium, world[1], viewport={"width": 1440, "height": 900})
    page.goto(f"/traces/{world[0].worst[0]}")
    there = page.locator("#span").get_attribute("data-span")
    page.route("**/step?*", lambda r: r.abort())
    page.locator(".tree a[data-step]").last.click()
    page.locator(".toast", has_text="This span could not be opened. The server does not answer.").wait_for()
    assert f"span={there}" in page.locator(".tree a[aria-current]").get_attribute("data-step")
    page.goto("/traces?range=30d")
    page.route("**/panel*", lambda r: r.fulfill(status=401, content_type="text/html", body="<p>no</p>"))
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.locator(".toast", has_text="Your login has ended").wait_for()
    page.route("**/cohort/values*", lambda r: r.abort())
    page.locator("#cohort-menu summary").click()
    page.locator("#cohort-value:focus").wait_for()
    # Enter opens and closes what has the focus, whatever row is marked.
    page.keyboard.press("Escape")
    with page.expect_event("requestfailed", timeout=5000):
        page.keyboard.press("Enter")
    assert page.locator("#cohort-menu[open]").count() == 1 and "/traces?" in page.url
    mine = ("ERR_FAILED", "401", "/cohort/values", "/step?")
    assert [c for c in page.complaints if not any(part in c for part in mine)] == []
    page.context.close()


def test_a_place_on_the_page_does_not_lose_what_was_typed(page: Any) -> None:
    page.goto("/review/rev_00")
    page.locator("#comment").fill("half a sentence")
    page.evaluate("location.hash = 'main'")
    page.evaluate("new Promise(done => setTimeout(done, 100))")
    assert page.locator("#comment").input_value() == "half a sentence"
