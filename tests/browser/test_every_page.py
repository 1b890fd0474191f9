"""Every page there is: the browser has no complaint, and neither has axe (WCAG 2.2 A and AA, best practices) in either theme;
nothing moves where motion is not wanted, and tables fit 900 px."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import compile_path

from tests.browser.conftest import opened, serving
from tests.unit.web.world import HOUR, NOW, PROJECT, World, build
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.load import load_text
from watchkeeper.config.models import Config
from watchkeeper.model.signal import Rate, Signal
from watchkeeper.pipeline.backfill import BackfillFlow
from watchkeeper.pipeline.calibrate import Calibrator
from watchkeeper.pipeline.plan import make_plan
from watchkeeper.pipeline.reporting import ReportFlow, Setting
from watchkeeper.scoring.sampling import Sampler
from watchkeeper.server.routing import routes_of
from watchkeeper.server.services import Services
from watchkeeper.store.records import incidents, signals
from watchkeeper.web.routes import MODULES

FIRST, SECOND = "{first}", "{second}"
INCIDENT = incidents.id_of_group(PROJECT, "group")
ADDRESSES = (
    "/", "/traces?range=30d", "/traces?live=1", f"/traces/{FIRST}", f"/traces/{FIRST}/raw",
    f"/traces/compare?a={FIRST}&b={SECOND}", "/traces/compare", "/sessions?range=30d", "/sessions/conv-7", "/users?range=30d",
    "/quality", "/quality/answer_relevance?by=prompt_version", "/drift", "/dashboards", "/dashboards/all",
    "/scorers", "/trained", "/scorers/helpful", "/scorers/empty_output", "/playground", "/backfills", "/monitors", "/monitors/relevance-down",
    "/alerts", "/alerts?state=all", "/alerts/al_relevance", "/alerts/al_tools", "/incidents", f"/incidents/{INCIDENT}",
    "/review", "/review/rev_00", "/review/agreement", "/taxonomy", "/signals", "/signals?kind=topic", "/signals/sig_1",
    "/datasets", "/datasets/support-regressions", "/datasets/support-regressions/cases/case_0003",
    "/experiments", "/experiments/exp_1", "/experiments/exp_1?against=exp_0", "/releases?range=30d",
    "/reports", "/reports?kind=evidence", "/settings", "/settings/prices", "/settings/export", "/settings/forwarding",
    "/settings/people", "/settings/audit",
)  # fmt: skip
# What answers with a file, a part of a page or another address; the preview of an action needs a running scoring.
NOT_PAGES = {
    "/traces/live", "/traces/{trace_id}/panel", "/traces/{trace_id}/step", "/traces/filter", "/cohort", "/settings/export/rows", "/settings/export/traces", "/signals/{signal_id}/act",
}  # fmt: skip


CONFIG = """
scorecards:
  - name: answers
    metrics:
      - {name: helpful, type: llm_judge, model: "fake:judge", rubric: helpfulness}
providers: [{name: fake, protocol: fake}]
monitors:
  - name: relevance-down
    condition: shift(answer_relevance) = 'down'
    owner: support-ml
    runbook: https://runbooks.example.com/relevance
dashboards:
  - name: all
    sections:
      - title: Everything
        widgets:
          - {type: number, metric: answer_relevance}
          - {type: timeseries, metric: has_steps}
          - {type: scatter, x: latency_ms, y: answer_relevance}
          - {type: table, sql: "select prompt_version, count() as n from traces group by prompt_version"}
"""


# Rows of a long table are alike: fifty of them take half a minute on a slow machine.
SEEN = "{exclude: ['tbody tr:nth-child(n+21)']}"
# What still moves although motion is not wanted, and what does not fit the width of the window.
MOVING = """[...document.querySelectorAll('*')].filter((e) => {
  const s = getComputedStyle(e);
  return s.animationName !== 'none' || s.transitionDuration.split(', ').some((d) => parseFloat(d) > 0);
}).map((e) => e.outerHTML.slice(0, 120))"""
SIDEWAYS = """[document.documentElement, ...document.querySelectorAll('.scroll')]
  .filter((e) => e.scrollWidth > e.clientWidth + 1)
  .map((e) => `${e.scrollWidth} in ${e.clientWidth}: ${e.textContent.trim().replace(/\\s+/g, ' ').slice(0, 80)}`)"""


@cache
def axe() -> str:
    """The accessibility checker's source."""
    found = pytest.importorskip("axe_playwright_python", reason="needs the package axe-playwright-python")
    return (Path(str(found.__file__)).parent / "axe.min.js").read_text()


def furnish(services: Services, config: Config) -> None:
    """What a running server has beside its stores: scorers with their standing, backfills, reports."""
    plan = make_plan(config.scorecards, salt="s")
    scorers = [*(s.scorer for s in plan.scheduled), *plan.judges.values()]

    async def load(_project: str, _trace_id: str, _span: str) -> None:
        return None

    services.config = ConfigHolder(config)
    services.scorers = Calibrator(services.records, services.columns, lambda _: scorers, load, services.clock)
    services.backfill = BackfillFlow(
        services.columns, services.records, lambda _: plan, Sampler([], "s").u, services.clock
    )
    services.reports = ReportFlow(
        services.columns, services.records, services.clock, lambda _: Setting(allowed=1.0), lambda: None
    )


async def furnished(folder: Path) -> World:
    """The small busy world, with one of everything that configuration and time would bring."""
    world = await build(folder, 400, seed=5)
    furnish(world.services, load_text(CONFIG).config)
    signal = Signal(
        "sig_1", PROJECT, "no match of ^<n>", "has_steps", "check", NOW - 50 * HOUR, NOW - HOUR,
        representative=world.worst[0], examples=world.worst[1:3], traces=31, weight=31.0,
        prevalence=Rate(0.08, 0.05, 0.11), growth=Rate(1.4, 0.8, 2.3), trend="steady",
    )  # fmt: skip

    def write(conn: Any) -> None:
        signals.put(conn, signal)
        incidents.open_for(
            conn, PROJECT, "group", "relevance-down: prompt_version v2", "page", "support-ml", NOW - 20 * HOUR,
            "watch", (world.alert_id,),
        )  # fmt: skip

    await world.services.records.write(write)
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    with serving(lambda: furnished(tmp_path_factory.mktemp("every"))) as served:
        yield served


def test_it_visits_every_page_there_is() -> None:
    paths = [address.partition("?")[0] for address in ADDRESSES]
    pages = {r.path for r in routes_of(*MODULES) if r.method == "GET" and r.kind == "page"} - NOT_PAGES
    assert {p for p in pages if not any(compile_path(p)[0].match(path) for path in paths)} == set()


@pytest.fixture(scope="module")
def visitor(chromium: Any, world: tuple[World, str]) -> Any:
    """One page that goes everywhere: opening one anew costs more than most pages do."""
    return opened(chromium, world[1], reduced_motion="reduce")


@pytest.mark.parametrize("address", ADDRESSES)
def test_neither_the_browser_nor_axe_complains(visitor: Any, world: tuple[World, str], address: str) -> None:
    made, page = world[0], visitor
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")
    page.goto("about:blank")
    page.complaints.clear()
    page.goto(address.replace(FIRST, made.worst[0]).replace(SECOND, made.worst[1]), wait_until="networkidle")
    assert page.evaluate("document.querySelectorAll('[style]').length") == 0
    # What is folded away is checked as well.
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.evaluate(axe())
    found = page.evaluate(f"axe.run({SEEN}, {{resultTypes: ['violations'], preload: false}})")["violations"]
    page.emulate_media(color_scheme="dark")
    found += page.evaluate(
        f"axe.run({SEEN}, {{runOnly: ['color-contrast'], resultTypes: ['violations'], preload: false}})"
    )["violations"]
    assert [(v["id"], [n["html"][:120] for n in v["nodes"][:3]]) for v in found] == []
    assert page.evaluate(MOVING) == []
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = false))")
    # The narrowest with the menu's words beside, and one without.
    for width in (1200, 900):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(SIDEWAYS) == [], width
    assert page.complaints == []
