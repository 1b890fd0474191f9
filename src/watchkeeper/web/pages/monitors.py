"""Monitors: where each stands, what of the false-alarm budget it costs, and when it would have fired over stored history."""

import asyncio
import logging
from typing import Any, Final

import msgspec
from starlette.responses import RedirectResponse, Response

from watchkeeper.alerting.cohorts import cohort_words
from watchkeeper.alerting.evidence import show
from watchkeeper.alerting.monitor import Monitor, tick_of
from watchkeeper.alerting.routing import cohort_of_alert
from watchkeeper.config.adapters import objective_of, rules_of
from watchkeeper.model.series import cohort_parse, cohort_text
from watchkeeper.model.times import DAY
from watchkeeper.pipeline.backtest import TURN, backtest
from watchkeeper.pipeline.explore import Backtest, Stand, stands
from watchkeeper.pipeline.monitor_tests import TestResult, run_tests
from watchkeeper.pipeline.objectives import read as read_objectives
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import alerts, states
from watchkeeper.web import data
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import View, view_of

DAYS: Final = 30
ALLOWED: Final = 1.0
# What asks for somebody stands first; the rest is in the configuration's order.
LOUD: Final = ("firing", "pending", "unstable", "relearning")
_tested: dict[str, list[TestResult]] = {}
# Backtests that were begun here: the event loop itself holds its tasks weakly. Those that failed, until they are run again.
_running: set[asyncio.Task[None]] = set()
_failed: set[tuple[str, str]] = set()
REFRESH_S: Final = 2
log = logging.getLogger(__name__)


def strips(found: Backtest, deploys: list[dict[str, Any]], width: int = 1000) -> list[dict[str, Any]]:
    """A backtest as a picture: one row a cohort, a bar for each episode, x in px of `width`."""
    span = max(found.until_ns - found.since_ns, 1)

    def x(ns: int) -> float:
        return round(width * min(max((ns - found.since_ns) / span, 0.0), 1.0), 1)

    by_cohort: dict[str, list[tuple[int, int, int]]] = {"": []}
    for cohort, onset, fired, resolved in found.episodes:
        by_cohort.setdefault(cohort, []).append((onset, fired, resolved or found.until_ns))
    return [
        {
            "cohort": cohort_words(cohort_parse(cohort)),
            "bars": [
                {
                    "x": x(onset),
                    "width": max(x(resolved) - x(onset), 4.0),
                    "fired": x(fired),
                    "onset_ns": onset,
                    "fired_ns": fired,
                    "resolved_ns": resolved,
                }
                for onset, fired, resolved in episodes
            ],
            "deploys": [x(int(d["at"])) for d in deploys if found.since_ns <= int(d["at"]) < found.until_ns],
        }
        for cohort, episodes in sorted(by_cohort.items())
        if episodes or len(by_cohort) == 1
    ]


async def _tests(rule: Monitor) -> list[TestResult]:
    key = repr(rule)
    if key not in _tested:
        if len(_tested) > 500:
            _tested.clear()
        _tested[key] = await run_tests(rule)
    return _tested[key]


def _detectable(stand: Stand) -> str:
    metric = stand.monitor.moving[0] if stand.monitor.moving else ""
    # An estimate of two digits: the third would promise what the variance it rests on does not keep.
    return show(metric, float(f"{stand.detectable:.2g}")) if stand.detectable is not None else ""


async def _found(call: Call) -> list[Stand]:
    rules = rules_of(call.services.config.current)
    return await call.services.records.read(lambda c: stands(c, call.project, rules))


@route("GET", "/monitors", permission="viewer")
async def listing(call: Call) -> Response:
    """Every monitor and objective of the project."""
    view = view_of(call, "30d")
    config = call.services.config.current
    promised = [objective_of(o) for o in config.objectives if o.project == view.project]
    found, objectives = await asyncio.gather(
        _found(call),
        read_objectives(call.services.columns, promised, view.now_ns, tick_of(rules_of(config))),
    )
    context = {
        "stands": sorted(found, key=lambda s: LOUD.index(s.state) if s.state in LOUD else len(LOUD)),
        "spent": sum(s.false_alarms for s in found),
        "allowed": ALLOWED,
        "objectives": objectives,
        "tested": {s.monitor.name: _tested.get(repr(s.monitor)) for s in found},
        "detectable": {s.monitor.name: _detectable(s) for s in found},
        "pictures": {s.monitor.name: strips(s.backtest, [], 200) for s in found if s.backtest is not None},
    }
    return await answer(view, "monitors", "Monitors", "monitors.html", context)


async def _one(call: Call) -> Stand:
    name = str(call.request.path_params["name"])[:200]
    found = next((s for s in await _found(call) if s.monitor.name == name), None)
    if found is None:
        raise HttpError(
            404, "there is no such monitor in this project", "the list of monitors has all of them"
        )
    return found


@route("GET", "/monitors/{name}", permission="viewer")
async def detail(call: Call) -> Response:
    """One monitor: its cohorts, its tests, its alerts, and its backtest."""
    view = view_of(call, "30d")
    stand = await _one(call)
    told, tests, changes = await asyncio.gather(
        call.services.records.read(lambda c: alerts.find(c, view.project, limit=500)),
        _tests(stand.monitor),
        data.deploys(view),
    )
    context = {
        "stand": stand,
        "alerts": [a for a in told if a.monitor == stand.monitor.name][:20],
        "tests": tests,
        "detectable": _detectable(stand),
        "rows": strips(stand.backtest, changes) if stand.backtest is not None else [],
        "words": lambda cohort: cohort_words(cohort_parse(cohort)),
        "days": DAYS,
        "share": TURN.share if TURN.what == (view.project, stand.monitor.name) else None,
        "failed": (view.project, stand.monitor.name) in _failed,
    }
    response = await answer(view, "monitors", stand.monitor.name, "monitor.html", context)
    if context["share"] is not None:
        response.headers["refresh"] = str(REFRESH_S)
    return response


@route("POST", "/monitors/{name}/backtest", permission="editor", kind="page")
async def run(call: Call) -> Response:
    """Begin to run the monitor over the last 30 days; its page says how far it is."""
    view: View = view_of(call, "30d")
    stand = await _one(call)
    if not TURN.take((view.project, stand.monitor.name)):
        raise HttpError(503, "another backtest is running", "try again in a minute", {"retry-after": "5"})
    task = asyncio.create_task(_rehearse(call, view, stand.monitor))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return RedirectResponse(view.url(f"/monitors/{stand.monitor.name}"), 303)


async def _rehearse(call: Call, view: View, monitor: Monitor) -> None:
    """Run a monitor over history in the turn that was taken, changing nothing and telling nobody, and keep what was found."""
    what = (view.project, monitor.name)
    _failed.discard(what)
    try:
        await _kept(call, view, monitor)
    except Exception:  # nobody waits for this task; the page says that it failed, and the log why
        _failed.add(what)
        log.exception("the backtest of monitor %s of project %s failed", monitor.name, view.project)
    finally:
        TURN.free()


async def _kept(call: Call, view: View, monitor: Monitor) -> None:
    since = view.now_ns - DAYS * DAY
    found = await backtest(call.services.columns, [monitor], since, view.now_ns, TURN.at)
    made = Backtest(
        since,
        view.now_ns,
        tuple(
            (cohort_text(cohort_of_alert(a)), a.onset_ns or a.since_ns, a.fired_ns or 0, a.resolved_ns or 0)
            for a in found
        ),
    )
    await call.services.records.write(
        lambda c: states.put(
            c, view.project, "backtest", monitor.name, msgspec.to_builtins(made), view.now_ns
        )
    )
