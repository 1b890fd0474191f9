"""Every page there is, in both themes: the browser has no complaint, and neither has axe (WCAG 2.2 A and AA, best practices)."""

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
from watchkeeper.model.signal import Rate, Signal
from watchkeeper.server.routing import routes_of
from watchkeeper.store.records import incidents, signals
from watchkeeper.web.routes import MODULES

FIRST, SECOND = "{first}", "{second}"
INCIDENT = incidents.id_of_group(PROJECT, "group")
ADDRESSES = (
    "/", "/traces?range=30d", "/traces?live=1", f"/traces/{FIRST}", f"/traces/{FIRST}/panel", f"/traces/{FIRST}/raw",
    f"/traces/compare?a={FIRST}&b={SECOND}", "/sessions?range=30d", "/sessions/conv-7", "/users?range=30d",
    "/quality", "/quality/answer_relevance?by=prompt_version", "/drift", "/dashboards", "/dashboards/all",
    "/scorers", "/scorers/answer_relevance", "/playground", "/backfills", "/monitors", "/monitors/relevance-down",
    "/alerts", "/alerts?state=all", "/alerts/al_relevance", "/alerts/al_tools", "/incidents", f"/incidents/{INCIDENT}",
    "/review", "/review/rev_00", "/review/agreement", "/taxonomy", "/signals", "/signals?kind=topic", "/signals/sig_1",
    "/datasets", "/datasets/support-regressions", "/datasets/support-regressions/cases/case_0003",
    "/experiments", "/experiments/exp_1", "/experiments/exp_1?against=exp_0", "/releases?range=30d",
    "/reports", "/reports?kind=evidence", "/settings", "/settings/prices", "/settings/export", "/settings/forwarding",
    "/settings/audit",
)  # fmt: skip
# What answers with a file, a part of a page or another address; the preview of an action needs a running scoring.
NOT_PAGES = {
    "/traces/live", "/traces/filter", "/cohort", "/settings/export/rows", "/settings/export/traces", "/signals/{signal_id}/act",
}  # fmt: skip


CONFIG = """
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


@cache
def axe() -> str:
    """The accessibility checker's source."""
    found = pytest.importorskip("axe_playwright_python", reason="needs the package axe-playwright-python")
    return (Path(str(found.__file__)).parent / "axe.min.js").read_text()


async def furnished(folder: Path) -> World:
    """The small busy world, with one of everything that configuration and time would bring."""
    world = await build(folder, 400, seed=5)
    world.services.config = ConfigHolder(load_text(CONFIG).config)
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_neither_the_browser_nor_axe_complains(
    chromium: Any, world: tuple[World, str], address: str, scheme: str
) -> None:
    made, base = world
    page = opened(chromium, base, viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    path = address.replace(FIRST, made.worst[0]).replace(SECOND, made.worst[1])
    page.goto(path, wait_until="networkidle")
    assert page.complaints == []
    assert page.evaluate("document.querySelectorAll('[style]').length") == 0
    # What is folded away is checked as well.
    page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    page.evaluate(axe())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    said = [(v["id"], [n["html"][:120] for n in v["nodes"][:3]]) for v in found]
    # A part of a page has neither title nor heading: it is put into one.
    whole = {"document-title", "html-has-lang", "page-has-heading-one", "landmark-one-main", "region"}
    assert [x for x in said if "/panel" not in path or x[0] not in whole] == []
    page.context.close()
