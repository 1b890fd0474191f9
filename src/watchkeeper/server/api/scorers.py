"""Scorers: what they saw, how far they may be trusted, and calibrating them against people."""

from typing import Any

import msgspec
from pydantic import Field

from watchkeeper.config.units import duration_ns
from watchkeeper.model.calibration import Calibration, Corrected, Standing
from watchkeeper.model.series import Estimate, Insufficient
from watchkeeper.pipeline import scorecards
from watchkeeper.pipeline.calibrate import CalibrationError, Calibrator
from watchkeeper.pipeline.scorecards import Line
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, DatasetName, Finite, Ordinal, Page, Query, cohort_from, period
from watchkeeper.server.routing import Call, HttpError, needed, route
from watchkeeper.store.records import audit
from watchkeeper.store.records import calibration as store


class Compared(Body):
    """What to compare a scorer with people on: the labels of its drawn sample, or the split `calibration` of a dataset. `cut`
    is the value from which on an answer passes, for a scorer without a floor."""

    dataset: DatasetName | None = None
    version: Ordinal | None = None
    cut: Finite | None = None


class Wanted(Query):
    """Which window: times are ISO 8601, nanoseconds, or how long ago (`7d`)."""

    since: str = Field("7d", max_length=40)
    until: str | None = Field(None, max_length=40)


class Within(Wanted):
    """A window and a cohort: `k=v,k2=v2`, the empty string is everything."""

    cohort: str = Field("", max_length=500)


class Stretches(Within):
    """A window and a cohort, and the length of the stretches it is cut into: `1h`, `1d`; none without."""

    every: str | None = Field(None, max_length=20)


class Drawn(Body):
    """How many traces of the last `days` people are asked to label: half the scorer's fails, half its passes."""

    labels: int = Field(100, ge=2, le=1000)
    days: int = Field(7, ge=1, le=90)
    cut: Finite | None = None


def calibrator(call: Call) -> Calibrator:
    """The calibrator of this server. Raises `HttpError` 503 where none runs."""
    return needed(call.services.scorers, "scorers")


def standing_json(one: Standing) -> dict[str, Any]:
    """Whether a scorer may gate and page, and until when."""
    return {
        "provisional": one.provisional,
        "reason": one.reason or None,
        "calibrated": iso(one.calibrated_ns),
        "expires": iso(one.expires_ns),
        "labels": one.n,
    }


def calibration_json(made: Calibration) -> dict[str, Any]:
    """One comparison of a scorer version with people."""
    shown = {
        k: v for k, v in msgspec.to_builtins(made).items() if k not in ("project", "time_ns", "expires_ns")
    }
    return {**shown, "time": iso(made.time_ns), "expires": iso(made.expires_ns)}


def estimate_json(found: Estimate | Insufficient | None) -> dict[str, Any]:
    """A mean or rate with n, n_eff and its interval; nulls and the reason where it is not known."""
    if isinstance(found, Estimate):
        return {**msgspec.to_builtins(found), "reason": None}
    reason = found.reason if found is not None else "not known"
    n, n_eff = (found.n, found.n_eff) if found is not None else (0, 0.0)
    return {"value": None, "low": None, "high": None, "n": n, "n_eff": n_eff, "level": 0.95, "reason": reason}


def line_json(one: Line) -> dict[str, Any]:
    """One scorer in a window."""
    return {
        "name": one.name,
        "kind": one.kind,
        "version": one.version,
        "judge_model": one.model or None,
        "level": one.level,
        "provisional": one.provisional,
        "standing": None if one.standing is None else standing_json(one.standing),
        "estimate": estimate_json(one.estimate),
        "coverage": {**one.coverage, "missing": one.missing, "abstained": one.abstained},
        "cost": one.cost,
        "charged_today": one.charged,
        "waiting": one.waiting,
        "held_up": one.held_up or None,
        "versions": [
            {
                "version": v.version,
                "estimate": estimate_json(v.estimate),
                "first_seen": iso(v.first_ns),
                "last_seen": iso(v.last_ns),
                "coverage": dict(v.coverage) or None,
            }
            for v in one.versions
        ],
    }


def window_of(call: Call) -> tuple[int, int]:
    """The [since, until) of a `Wanted` query."""
    wanted: Wanted = call.query
    now = call.services.clock()
    since, until = period(wanted.since, wanted.until, now)
    return since or 0, now if until is None else until


@route("GET", "/api/scorers", permission="viewer", query=Wanted)
async def listing(call: Call) -> list[dict[str, Any]]:
    """Every scorer: version, standing, coverage, weighted mean with n, n_eff and interval, cost. `charged_today` is what its judgements have cost since midnight UTC,
    those whose reply could not be used included: it is what the scorecard's budget counts."""
    since, until = window_of(call)
    s = call.services
    found = await scorecards.lines(
        s.columns, s.records, calibrator(call), call.project, since, until, s.clock()
    )
    return [line_json(one) for one in found]


@route("GET", "/api/scorers/{name}/estimate", permission="viewer", query=Stretches)
async def corrected(call: Call) -> dict[str, Any]:
    """A model-based scorer's pass rate in a window and cohort, and beside it the share people would call good: estimate,
    interval, method (post_stratified, ppi or rogan_gladen) and labels; `reason` where there is none. `every` adds the same for each
    stretch of the window, at most 1,000."""
    _known(call)
    since, until = window_of(call)
    cohort = dict(cohort_from(call.query.cohort))
    step = _step(call.query.every, until - since) if call.query.every else until - since
    found = await calibrator(call).corrected_by(call.project, _name(call), since, until, step, cohort)
    if found is None:
        raise HttpError(
            400, f"{_name(call)} passes nothing by itself", "calibrate it with a cut, or give it a floor"
        )
    whole, by = found
    made = {"scorer": _name(call), **corrected_json(whole)}
    if call.query.every:
        made["stretches"] = [{"start": iso(start), **corrected_json(one)} for start, one in by]
    return made


def corrected_json(found: Corrected) -> dict[str, Any]:
    """The scorer's own rate and the corrected one, each with n, n_eff and interval."""
    return {
        "raw": estimate_json(found.raw),
        "corrected": estimate_json(found.estimate or Insufficient(found.reason)),
        "method": found.method,
        "labels": found.labels,
        "recent_labels": found.recent,
    }


def _step(every: str, window_ns: int) -> int:
    """The length of a stretch in ns. Raises `HttpError` 400."""
    try:
        step = duration_ns(every)
    except ValueError as error:
        raise HttpError(400, f"every: {error}", "such as 1h or 1d") from None
    if step <= 0 or window_ns > 1000 * step:
        raise HttpError(
            400, f"every: {every} cuts the window into more than 1,000 stretches", "choose a longer one"
        )
    return step


def _name(call: Call) -> str:
    return str(call.request.path_params["name"])


def _known(call: Call) -> None:
    """Raises `HttpError` 404 or 400 for what cannot be calibrated."""
    try:
        calibrator(call).scorer(call.project, _name(call))
    except CalibrationError as error:
        status = 404 if "there is no scorer" in str(error) else 400
        raise HttpError(status, str(error), "GET /api/scorers lists them") from None


@route("GET", "/api/scorers/{name}/calibration", permission="viewer", query=Page)
async def calibration(call: Call) -> dict[str, Any]:
    """A scorer's standing, its comparisons with people (newest first), its sample and its canary."""
    _known(call)
    name, limit = _name(call), int(call.query.limit)
    standing = (await calibrator(call).standings(call.project))[name]

    def read(c: Any) -> tuple[list[Calibration], int, int, Any]:
        drawn = store.samples(c, call.project, name, standing.version, standing.judge_model)
        waiting = store.waiting(c, call.project).get(name, 0)
        return (
            store.history(c, call.project, name, limit),
            len(drawn),
            waiting,
            store.canaries(c, call.project).get(name),
        )

    history, drawn, waiting, canary = await call.services.records.read(read)
    return {
        "scorer": name,
        "kind": standing.kind,
        "version": standing.version,
        "judge_model": standing.judge_model or None,
        **standing_json(standing),
        "sample": {"drawn": drawn, "waiting": waiting},
        "canary": None if canary is None else {**msgspec.to_builtins(canary), "time": iso(canary.time_ns)},
        "history": [calibration_json(h) for h in history],
    }


@route("POST", "/api/scorers/{name}/calibration", permission="editor", body=Compared, status=201)
async def compare(call: Call) -> dict[str, Any]:
    """Compare a scorer with people now. `status` is calibrated or provisional, `failed` says which rule was not met."""
    given: Compared = call.body
    _known(call)
    try:
        made = await calibrator(call).calibrate(
            call.project, _name(call), dataset=given.dataset, version=given.version, cut=given.cut,
            author=call.principal.actor,
        )  # fmt: skip
    except CalibrationError as error:
        raise HttpError(400, str(error), "") from None
    await _noted(call, "scorer.calibrate", {"status": made.status, "n": made.n, "source": made.source})
    return calibration_json(made)


@route("POST", "/api/scorers/{name}/calibration/sample", permission="editor", body=Drawn, status=201)
async def sample(call: Call) -> dict[str, Any]:
    """Put a random sample of recent traces into the review queue for people to label without seeing the verdict."""
    given: Drawn = call.body
    _known(call)
    try:
        made = await calibrator(call).draw(
            call.project, _name(call), wanted=given.labels, days=given.days, cut=given.cut
        )
    except CalibrationError as error:
        raise HttpError(400, str(error), "") from None
    await _noted(call, "scorer.sample", made)
    return made


async def _noted(call: Call, action: str, detail: dict[str, Any]) -> None:
    await call.services.records.write(
        lambda c: audit.record(
            c, project=call.project, now_ns=call.services.wall_clock(), actor=call.principal.actor,
            source=call.source, action=action, target=_name(call), detail=detail,
        )
    )  # fmt: skip
