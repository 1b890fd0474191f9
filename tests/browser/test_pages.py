"""What people do on the pages, with a keyboard, in a browser."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import serving, until
from tests.unit.web.world import World, build


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    async def made() -> World:
        world = await build(tmp_path_factory.mktemp("browser"), 400, seed=5)
        # Of labels of one moment nobody could say which is the newest.
        moments = itertools.count(world.services.clock())
        world.services.clock = lambda: next(moments)
        return world

    with serving(made) as served:
        yield served


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/traces",
        "/sessions",
        "/alerts",
        "/alerts/al_relevance",
        "/review/rev_00",
        "/quality/answer_relevance",
        "/settings/prices",
        "/settings/export",
    ],
)
def test_it_never_scrolls_sideways(chromium: Any, world: tuple[World, str], path: str) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 800}, base_url=world[1])
    page = context.new_page()
    page.goto(path, wait_until="load")
    for width in (390, 900, 1440):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_it_goes_places_by_keyboard(page: Any) -> None:
    page.goto("/")
    for key, path in (("t", "/traces"), ("a", "/alerts"), ("r", "/review"), ("q", "/quality"), ("o", "/")):
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(re.compile(rf"^[^/]*//[^/]+{path}(\?.*)?$"))
    page.keyboard.press("?")
    assert page.locator("#help").evaluate("d => d.open")
    page.keyboard.press("Escape")
    assert not page.locator("#help").evaluate("d => d.open")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("refund")
    page.keyboard.press("Enter")
    page.wait_for_url("**/traces?*q=refund*")


def tabbed(page: Any, wanted: str) -> None:
    """Press Tab until the focus is on what `wanted`, an expression of the element `e`, is true of."""
    for _ in range(150):
        page.keyboard.press("Tab")
        if page.evaluate(f"((e) => {wanted})(document.activeElement)"):
            return
    raise AssertionError(f"Tab never reaches {wanted}")


def test_it_goes_the_whole_loop_by_keyboard(page: Any) -> None:
    """From the sentence of the overview by alert, worst trace and dataset to the case and its gate's verdict."""
    page.goto("/")
    tabbed(page, "e.matches('a.verdict.bad')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/al_relevance*")
    tabbed(page, "e.textContent.includes('Take it')")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.goto(page.url)
    assert page.get_by_text("taken by").count()
    tabbed(page, "e.matches('.worst a')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/traces/*")
    tabbed(page, "e.matches('summary') && e.textContent.includes('Add to dataset')")
    page.keyboard.press("Enter")
    tabbed(page, "e.matches('input[name=dataset]')")
    page.keyboard.press("Control+a")
    page.keyboard.type("by-keyboard")
    tabbed(page, "e.matches('button.primary') && !!e.form?.dataset")
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets/by-keyboard*")
    tabbed(page, "e.matches('td a.main')")
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets/by-keyboard/cases/*")
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.wait_for_url("**/experiments*")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/experiments/exp_*")


def test_it_walks_the_list_and_opens_beside_it(page: Any) -> None:
    page.goto("/traces?range=30d")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.locator("tr.go").first
    assert "at" in (first.get_attribute("class") or "").split()
    page.keyboard.press("o")
    page.wait_for_selector("#side #panel")
    assert first.get_attribute("data-id") in page.locator("#side").inner_text()
    page.keyboard.press("j")
    second = page.locator("tr.go").nth(1).get_attribute("data-id")
    until(page, f"document.querySelector('#side').textContent.includes('{second}')")
    page.keyboard.press("Escape")
    assert page.locator("#side").is_hidden()
    page.keyboard.press("x")
    assert page.locator("#selected-n").inner_text() == "1"
    page.get_by_role("button", name="Send to review").click()
    page.locator(".toast", has_text="Sent to review").wait_for()
    assert page.locator(".selection").is_hidden(), "the list stays, and what was selected is no more"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/traces/{second}*")


def test_it_selects_a_step_without_loading_the_page(page: Any, world: tuple[World, str]) -> None:
    page.goto(f"/traces/{world[0].worst[0]}")
    page.evaluate("window.kept = true")
    page.locator(".tree a[data-step]").first.click()
    until(page, "document.querySelector('#span h2').textContent === 'support.answer'")
    assert page.evaluate("window.kept") is True
    assert "span=0000000000000001" in page.url
    page.locator("summary", has_text="Copy").click()
    page.locator("[data-copy-link]").click()
    page.wait_for_selector(".toast")
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_it_labels_thirty_traces_with_the_keyboard_alone(page: Any) -> None:
    page.goto("/review")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/rev_*")
    page.evaluate("window.kept = true")
    for turn in range(4):
        before = page.url
        page.keyboard.press("3" if turn % 2 else "1")
        until(page, f"location.href !== '{before}'")
        page.wait_for_selector("#label-form")
    assert page.evaluate("window.kept") is True, "the next item is swapped in, not loaded"
    assert "4 done" in page.locator(".progress").inner_text()
    waiting = page.locator(".rail a[href^='/review'] .count").inner_text()
    assert " ".join(waiting.split()) in page.locator(".progress").inner_text()
    assert page.locator(".rail a[href^='/review'] .count .sr").count() == 1, (
        "what it counts is said, not shown"
    )
    page.keyboard.press("u")
    until(page, "document.querySelector('.progress').innerText.includes('3 done')")
    before = page.url
    page.keyboard.press("n")
    until(page, f"location.href !== '{before}'")
    page.wait_for_selector(".toast:has-text('Skipped: it waits for others')")
    assert "3 done" in page.locator(".progress").inner_text() and page.evaluate("window.kept") is True


def test_it_triages_the_week_with_the_keyboard_alone(page: Any) -> None:
    page.goto("/review")
    page.locator("form[action='/review/triage'] button").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/rev_*source=triage*")
    page.evaluate("window.kept = true")
    waiting = int(re.search(r"(\d+) waiting", page.locator(".progress").inner_text()).group(1))  # type: ignore[union-attr]
    assert 2 < waiting <= 30
    for turn in range(min(waiting - 1, 29)):
        before = page.url
        page.keyboard.press("c")
        page.keyboard.type("beside the point")
        page.keyboard.press("Escape")
        page.keyboard.press("2" if turn % 3 else "1")
        until(page, f"location.href !== '{before}'")
        page.wait_for_selector("#label-form")
        assert "source=triage" in page.url, "labelling stays within the list"
    assert page.evaluate("window.kept") is True, "every next item was swapped in, none loaded"
    assert "1 waiting" in page.locator(".progress").inner_text()
    page.keyboard.press("u")
    until(page, "document.querySelector('.progress').innerText.includes('2 waiting')")


def test_it_shows_how_the_expected_output_differs(page: Any) -> None:
    page.goto("/review/rev_04")
    page.keyboard.press("e")
    page.keyboard.press("Control+End")
    page.keyboard.type(" Open Orders.")
    assert page.locator("#diff ins").inner_text().strip() == "Open Orders."
    assert page.locator("#promote").is_checked()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    assert not page.locator("#promote").is_checked()


def test_it_remembers_the_theme(page: Any) -> None:
    page.goto("/quality/answer_relevance")
    page.wait_for_load_state("networkidle")
    light = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    page.locator("#theme-switch").click()
    page.locator("#theme-switch").click()
    assert page.locator("#theme-name").inner_text() == "dark"
    dark = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    assert dark != light
    page.reload(wait_until="networkidle")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert "theme=dark" in page.locator(".chart img").first.get_attribute("src")


def test_it_links_chart_points_to_their_traces(page: Any) -> None:
    page.goto("/quality/answer_relevance?range=14d", wait_until="networkidle")
    point = page.locator(".chart svg.over a").nth(3)
    assert "n " in point.get_attribute("data-tip")
    point.hover()
    assert "Show these traces" in page.locator(".tip").inner_text()
    point.click()
    page.wait_for_url("**/traces?*since=*")
    assert page.locator("tr.go").count() > 0


def test_it_suggests_cohort_values_and_filters_by_one(page: Any) -> None:
    page.goto("/traces?range=30d")
    page.locator("#cohort-menu summary").click()
    page.locator("#cohort-name").select_option("prompt_version")
    until(page, "[...document.querySelectorAll('#cohort-values option')].some(o => o.value === 'v2')")
    page.locator("#cohort-value").fill("v2")
    page.keyboard.press("Enter")
    page.wait_for_url("**cohort=prompt_version%3Dv2*")
    assert "prompt_version v2" in page.locator(".chip").first.inner_text().replace("\n", " ")
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url("**/?*cohort=prompt_version%3Dv2*")


def test_suggestions_for_a_name_chosen_no_longer_do_not_replace_those_of_the_present_one(page: Any) -> None:
    late: list[Any] = []
    page.route(
        "**/cohort/values*name=*",
        lambda r: r.continue_() if "name=prompt_version" in r.request.url else late.append(r),
    )
    page.goto("/traces?range=30d")
    with page.expect_request("**/cohort/values*"):
        page.locator("#cohort-menu summary").click()
    page.locator("#cohort-name").select_option("prompt_version")
    until(page, "[...document.querySelectorAll('#cohort-values option')].some(o => o.value === 'v2')")
    assert late
    with page.expect_response("**/cohort/values*"):
        late[0].fulfill(json=["of another name"])
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert "v2" in page.evaluate("[...document.querySelectorAll('#cohort-values option')].map(o => o.value)")


def test_it_shows_where_the_focus_is_and_skips_to_the_content(page: Any) -> None:
    page.goto("/traces")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    page.locator(".rail a").nth(2).focus()
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_escape_closes_a_menu_and_gives_the_focus_back(page: Any) -> None:
    page.goto("/traces?range=30d")
    page.locator("#filter-menu summary").click()
    until(page, "document.activeElement.id === 'f-field'")
    page.keyboard.press("Escape")
    assert not page.locator("#filter-menu").evaluate("m => m.open")
    assert page.evaluate("document.activeElement.matches('#filter-menu summary')")


def test_it_copies_a_command(page: Any) -> None:
    page.goto("/settings")
    page.get_by_role("button", name="Copy").first.click()
    page.wait_for_selector(".toast")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("OTEL_EXPORTER_OTLP_ENDPOINT=http") and not copied.endswith("Copy")


def test_a_phone_has_five_pages_in_reach_and_the_rest_behind_one_button(
    chromium: Any, world: tuple[World, str]
) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 800}, base_url=world[1])
    page = context.new_page()
    page.goto("/alerts")
    assert page.locator(".rail li a:visible").count() == 5
    page.get_by_label("All pages").click()
    page.locator(".all-pages .item", has_text="Monitors").click()
    page.wait_for_url("**/monitors*")
    context.close()


def test_enter_in_a_field_labels_nothing(page: Any) -> None:
    page.goto("/review")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review/rev_*")
    before = page.locator(".progress").inner_text()
    page.get_by_label("Dataset", exact=True).fill("elsewhere")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.locator("#help[open]").wait_for()
    page.reload()
    assert page.locator(".progress").inner_text() == before


def test_review_works_without_scripts(chromium: Any, world: tuple[World, str]) -> None:
    context = chromium.new_context(base_url=world[1], java_script_enabled=False)
    page = context.new_page()
    page.goto("/review")
    page.get_by_role("button", name="Start reviewing").click()
    page.wait_for_url("**/review/rev_*")
    page.locator(".choice.bad").first.click()
    page.wait_for_url("**done=labelled*")
    assert "Labelled" in page.locator(".said-done").inner_text()
    page.goto("/review")
    page.get_by_role("button", name="Undo last").click()
    page.wait_for_url("**done=undone*")
    context.close()


def test_rows_are_walked_on_every_page_that_has_some(page: Any) -> None:
    page.goto("/alerts/al_relevance")
    for _ in range(40):
        page.keyboard.press("j")
    assert page.locator(".at").count() == 1
    assert page.locator("article.worst.at").is_visible(), "what is folded away is passed over"
    page.keyboard.press("Enter")
    page.wait_for_url("**/traces/*")
    page.keyboard.press("d")
    assert page.evaluate("document.activeElement.id") == "ds", "what opens is filled in at once"
    page.goto("/?range=14d")
    page.keyboard.press("j")
    there = page.locator("tr.at").get_attribute("data-href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{there}")


def test_loading_a_new_key_again_makes_no_other(page: Any) -> None:
    page.goto("/settings")
    page.locator("#k-name").fill("made once")
    page.get_by_role("button", name="Make a key").click()
    page.locator(".secret").wait_for()
    until(page, "location.pathname === '/settings'")
    page.reload()
    assert page.get_by_text("made once", exact=True).count() == 1
    assert page.locator(".secret").count() == 0
