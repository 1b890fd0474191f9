"""Scorers: what each saw and said, what it cost, and how far people agree with it."""

import asyncio
from dataclasses import replace
from typing import Any, Final

from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from watchkeeper.model.calibration import Calibration, Probe
from watchkeeper.model.series import cohort_parse
from watchkeeper.pipeline import scorecards
from watchkeeper.pipeline.calibrate import CalibrationError
from watchkeeper.pipeline.roll import metric_of
from watchkeeper.pipeline.scorecards import Line
from watchkeeper.server.api.scorers import calibrator
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit
from watchkeeper.store.records import calibration as store
from watchkeeper.web import data, estimate
from watchkeeper.web.charts.inline import bins
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.metrics import counted, describe
from watchkeeper.web.pages.common import answer, form_of
from watchkeeper.web.pages.quality import MOST_WORST, worst_of
from watchkeeper.web.twin import corrected_by, figure, twin
from watchkeeper.web.view import DIMENSIONS, View, view_of

MOST_COHORTS: Final = 12
DRAWN: Final = 100


async def _lines(view: View) -> list[Line]:
    """Every scorer in force; none where this server runs none."""
    s = view.call.services
    if s.scorers is None:
        return []
    return await scorecards.lines(
        s.columns,
        s.records,
        calibrator(view.call),
        view.project,
        view.range.since_ns,
        view.range.until_ns,
        s.clock(),
    )


def _budget(view: View, name: str) -> dict[str, Any]:
    """The scorecard that pays for a scorer's judgements, and what it may cost a day."""
    for card in view.call.services.config.current.scorecards:
        if card.project == view.project and any(m.name == name for m in card.metrics):
            limit = card.sample.budget
            return {"card": card.name, "budget": None if limit is None else limit.per_day}
    return {"card": "", "budget": None}


def _row(one: Line, history: dict[str, Calibration]) -> dict[str, Any]:
    last = history.get(one.name)
    done = one.coverage.get("scored", 0)
    unit = "share" if one.binary else ""
    value = figure(one.estimate, unit, provisional=one.provisional)
    return {
        "line": one,
        "value": replace(value, counts=counted(one.name, unit)),
        "covered": estimate.proportion(done, one.coverage.get("selected", 0)),
        "agreement": figure(last.agreement if last else None, "share", "no labels yet"),
    }


@route("GET", "/scorers", permission="viewer")
async def listing(call: Call) -> Response:
    """Every scorer with its standing, coverage, figure and cost."""
    view = view_of(call, "7d")
    found, history = await asyncio.gather(
        _lines(view), call.services.records.read(lambda c: store.history(c, view.project))
    )
    newest: dict[str, Calibration] = {}
    for one in history:
        newest.setdefault(one.scorer, one)
    context = {
        "models": [_row(one, newest) for one in found if one.standing is not None],
        "rules": [
            _row(one, newest) for one in found if one.standing is None and one.coverage.get("eligible")
        ],
        "idle": [one for one in found if one.standing is None and not one.coverage.get("eligible")],
    }
    return await answer(view, "scorers", "Scorers", "scorers.html", context)


async def _cohorts(
    view: View, name: str, dimension: str, unit: str, held: bool
) -> list[tuple[str, Estimate]]:
    """(value, estimate) of the dimension's cohorts over the range, most scores first."""
    found = await data.rows(
        view, "page_cohort_points", metric=name, dimension=dimension, bucket=view.range.bucket,
        before=view.range.since_ns, **data.span(view.range),
    )  # fmt: skip
    by_cohort: dict[str, list[data.Row]] = {}
    for row in found:
        by_cohort.setdefault(str(row["cohort"]), []).append(row)
    made: list[tuple[str, Estimate]] = []
    for cohort, rows in by_cohort.items():
        one = estimate.from_sums(data.add(rows), unit)
        marked = Estimate(one.value, one.low, one.high, one.n, unit, one.why, held)
        made.append((cohort_parse(cohort)[0][1], marked))
    return sorted(made, key=lambda m: (-m[1].n, m[0]))


def probe_words(one: Probe) -> str:
    """What a bias probe found, in one line."""
    if one.value is None or one.low is None or one.high is None:
        return one.words
    return f"{one.value:+.2f} ({one.low:+.2f} to {one.high:+.2f}) {one.words}"


@route("GET", "/scorers/{name}", permission="viewer")
async def one(call: Call) -> Response:
    """One scorer in full. `?by=` names the dimension its cohorts are cut by."""
    view = view_of(call, "7d")
    name = str(call.request.path_params["name"])[:200]
    line = next((x for x in await _lines(view) if x.name == name), None)
    if line is None:
        raise HttpError(
            404, "there is no such scorer in this project", "what other systems and users say is on Quality"
        )
    by = view.params.get("by", "prompt_version")
    by = by if by in DIMENSIONS else "prompt_version"
    unit = "share" if line.binary else ""
    metric = replace(describe(metric_of(name)), unit=unit)
    # A version before the one in force may have said otherwise.
    mean = figure(line.estimate).value if len(line.versions) < 2 else None

    def read(c: Connection) -> tuple[list[Calibration], Any]:
        return store.history(c, view.project, name, 20), store.canaries(c, view.project).get(name)

    (history, canary), cohorts, worst, spread, (people, stretches) = await asyncio.gather(
        call.services.records.read(read),
        _cohorts(view, metric_of(name), by, unit, line.provisional),
        worst_of(view, name, metric, mean, MOST_WORST),
        data.spread(view, metric_of(name)),
        corrected_by(view, name),
    )
    last = history[0] if history else None
    context = {
        **_row(line, {name: last} if last else {}),
        **_budget(view, name),
        "name": name,
        "unit": unit,
        "by": by,
        "cohorts": cohorts[:MOST_COHORTS],
        "more_cohorts": max(0, len(cohorts) - MOST_COHORTS),
        "worst": worst,
        "better": metric.better,
        "spread": bins(spread.edges, spread.now, spread.then) if spread and not line.binary else [],
        "twin": twin(people),
        "stretches": stretches,
        "last": last,
        "history": history,
        "kappa": figure(last.kappa if last else None, "", "both always said the same"),
        "weighted": figure(last.agreement_weighted if last else None, "share"),
        "recall": {k: figure(v, "share") for k, v in sorted(last.recall.items())} if last else {},
        "probes": [(p, probe_words(p)) for p in last.probes] if last else [],
        "canary": canary,
        "versions": [(v, figure(v.estimate, unit)) for v in line.versions],
        "said": view.params.get("said", "")[:500],
        "drawn": DRAWN,
    }
    return await answer(view, "scorers", name, "scorer.html", context)


def _cut(form: dict[str, str]) -> float | None:
    text = form.get("cut", "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise HttpError(
            400, f"{text[:40]!r} is not a number", "the cut is on the scorer's own scale"
        ) from None


async def _noted(call: Call, name: str, action: str, detail: dict[str, Any]) -> None:
    await call.services.records.write(
        lambda c: audit.record(
            c, project=call.project, now_ns=call.services.wall_clock(), actor=call.principal.actor,
            source=call.source, action=action, target=name, detail=detail,
        )
    )  # fmt: skip


@route("POST", "/scorers/{name}/sample", permission="editor", kind="page")
async def sample(call: Call) -> Response:
    """Put a random sample of the last week into the review queue."""
    name, form = str(call.request.path_params["name"]), await form_of(call)
    view = view_of(call)
    try:
        made = await calibrator(call).draw(view.project, name, wanted=DRAWN, cut=_cut(form))
        said = f"{made['drawn']} traces wait in review."
        await _noted(call, name, "scorer.sample", made)
    except CalibrationError as error:
        said = str(error)
    return RedirectResponse(view.url(f"/scorers/{name}", said=said), 303)


@route("POST", "/scorers/{name}/calibrate", permission="editor", kind="page")
async def compare(call: Call) -> Response:
    """Compare the scorer with the labels there are now."""
    name, form = str(call.request.path_params["name"]), await form_of(call)
    view = view_of(call)
    try:
        made = await calibrator(call).calibrate(
            view.project, name, cut=_cut(form), author=call.principal.actor
        )
        said = f"Compared with {made.n} labels: {made.status}."
        await _noted(call, name, "scorer.calibrate", {"status": made.status, "n": made.n})
    except CalibrationError as error:
        said = str(error)
    return RedirectResponse(view.url(f"/scorers/{name}", said=said), 303)
