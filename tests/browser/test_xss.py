"""Nothing stored or typed runs or loads anything, with the content security policy and without it."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.browser.conftest import serving, until
from tests.browser.payloads import ENDLESS, PAYLOADS
from tests.browser.poison import poisoned
from tests.unit.web.world import World
from watchkeeper.web.render import environment

HOOKS = """
window.__fired = [];
window.xss = () => window.__fired.push(location.href);
for (const name of ['alert', 'confirm', 'prompt', 'print']) window[name] = window.xss;
document.addEventListener('securitypolicyviolation', (e) => (window.__blocked ??= []).push(e.violatedDirective + ' ' + e.blockedURI));
"""


class Watch:
    """A page that notes everything that ran, left, or was blocked."""

    def __init__(self, chromium: Any, base: str, bypass_csp: bool) -> None:
        self.base = base
        self.context = chromium.new_context(bypass_csp=bypass_csp)
        self.context.add_init_script(HOOKS)
        self.context.route("**/*", self._route)
        self.page = self.context.new_page()
        self.page.on("dialog", lambda d: (self.ran.append(f"dialog {d.message}"), d.dismiss()))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.ran: list[str] = []
        self.left: list[str] = []
        self.errors: list[str] = []

    def _route(self, route: Any) -> None:
        if "/charts/" in route.request.url and "/quality" not in self.page.url:
            # A picture cannot run anything; drawing hundreds of them would be most of this test's time.
            route.fulfill(body='<svg xmlns="http://www.w3.org/2000/svg"/>', content_type="image/svg+xml")
        elif route.request.url.startswith((self.base, "blob:")):
            route.continue_()
        else:
            self.left.append(route.request.url)
            route.abort()

    def visit(self, path: str) -> int:
        answer = self.page.goto(self.base + path, wait_until="load")
        self.ran += self.page.evaluate("window.__fired ?? ['hooks are missing']")
        return answer.status if answer else 0

    def close(self) -> None:
        self.context.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    with serving(lambda: poisoned(tmp_path_factory.mktemp("poison"))) as served:
        yield served


def stored(world: World) -> list[str]:
    """Every page that shows a stored string."""
    lists = [
        "/",
        "/traces?range=24h",
        "/traces?live=1",
        "/sessions?range=24h",
        "/users?range=24h",
        "/quality",
        "/quality/answer_relevance?by=prompt_version",
        "/alerts",
        "/alerts?state=all",
        "/review",
        "/signals",
        "/datasets",
        "/experiments",
        "/releases",
        "/settings",
        "/settings/audit",
        "/settings/prices",
    ]
    single: list[str] = []
    for i, text in enumerate(PAYLOADS):
        name = quote(text.replace("/", "∕").replace("\x00", "")[:100], safe="")
        trace_id = world.trace_ids[i]
        single += [f"/traces/{trace_id}/panel"] if i % 4 == 0 else []
        other = world.trace_ids[(i + 1) % len(PAYLOADS)]
        single += [f"/traces/compare?a={trace_id}&b={other}"] if i % 2 == 0 else []
        single += [f"/traces/{trace_id}/raw"] if i % 4 == 1 else []
        single += [
            f"/traces/{trace_id}",
            f"/alerts/al_{i}",
            f"/review/rev_p{i}",
            f"/experiments/exp_p{i}",
        ]
        if name not in ("", ".", ".."):
            single += [f"/datasets/{name}", f"/datasets/{name}/cases/case_{i}"]
    return lists + single


def typed() -> list[str]:
    """Every parameter of an address that a page writes back."""
    found: list[str] = []
    for i, text in enumerate(PAYLOADS):
        one = quote(text, safe="")
        found.append(
            f"/traces?q={one}&where={one}&session={one}&user={one}&cohort=prompt_version%3D{one}"
            f"&range={one}&since={one}&sort={one}"
        )
        if i % 3 == 0:
            found += [
                f"/quality/{one}?by={one}",
                f"/?cohort={one}&range={one}",
                f"/review?done={one}&state={one}",
                f"/sessions?user={one}&scorer={one}&before={one}",
            ]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("bypass", [False, True], ids=["with the policy", "without the policy"])
def test_it_runs_nothing_that_was_stored(chromium: Any, world: tuple[World, str], bypass: bool) -> None:
    made, base = world
    watch = Watch(chromium, base, bypass)
    statuses = {path: watch.visit(path) for path in stored(made)}
    assert watch.ran == []
    assert watch.left == []
    assert {p: s for p, s in statuses.items() if s >= 500} == {}
    assert sum(s == 200 for s in statuses.values()) > 0.9 * len(statuses), {
        p: s for p, s in statuses.items() if s != 200
    }
    watch.close()


@pytest.mark.slow
@pytest.mark.parametrize("bypass", [False, True], ids=["with the policy", "without the policy"])
def test_it_runs_nothing_that_was_typed_into_an_address(
    chromium: Any, world: tuple[World, str], bypass: bool
) -> None:
    _, base = world
    watch = Watch(chromium, base, bypass)
    statuses = {path: watch.visit(path) for path in typed()}
    assert watch.ran == []
    assert watch.left == []
    assert {p: s for p, s in statuses.items() if s >= 500} == {}
    watch.close()


def test_it_would_notice_if_escaping_were_off(chromium: Any, world: tuple[World, str]) -> None:
    made, base = world
    env = environment()
    env.autoescape = False
    assert env.cache is not None
    env.cache.clear()
    try:
        watch = Watch(chromium, base, bypass_csp=True)
        image = next(i for i, p in enumerate(PAYLOADS) if p.startswith("<img src=x"))
        watch.visit(f"/traces/{made.trace_ids[image]}")
        until(watch.page, "window.__fired.length > 0")
        watch.close()
    finally:
        env.autoescape = True
        env.cache.clear()


def test_the_policy_is_a_second_wall(chromium: Any, world: tuple[World, str]) -> None:
    _, base = world
    watch = Watch(chromium, base, bypass_csp=False)
    watch.visit("/")
    watch.page.evaluate(
        """() => { const s = document.createElement('script'); s.append('xss()'); document.body.append(s); }"""
    )
    refused = watch.page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'done'; } catch (e) { return e.name; } }"
    )
    blocked = watch.page.evaluate("window.__blocked ?? []")
    assert watch.page.evaluate("window.__fired") == []
    assert refused == "TypeError"
    assert blocked
    watch.close()


def test_no_name_is_long_enough_to_widen_a_page(chromium: Any, world: tuple[World, str]) -> None:
    made, base = world
    i = PAYLOADS.index(ENDLESS)
    watch = Watch(chromium, base, bypass_csp=False)
    one, other = made.trace_ids[i], made.trace_ids[0]
    paths = ["/", "/traces?range=24h", "/sessions?range=24h", "/review", "/releases", "/settings/prices"]
    paths += [f"/traces/{one}", f"/traces/compare?a={one}&b={other}"]
    paths += [f"/alerts/al_{i}", f"/review/rev_p{i}", f"/experiments/exp_p{i}"]
    for path in paths:
        assert watch.visit(path) == 200
        for width in (1440, 390):
            watch.page.set_viewport_size({"width": width, "height": 900})
            assert watch.page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
    watch.close()
