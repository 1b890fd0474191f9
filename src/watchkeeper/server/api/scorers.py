"""Scorers: what they saw, how far they may be trusted, and calibrating them against people."""

from typing import Annotated, Any

import msgspec
from pydantic import Field, StringConstraints

from watchkeeper.model.calibration import Calibration, Standing
from watchkeeper.pipeline.calibrate import CalibrationError, Calibrator
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Finite, Page
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import audit
from watchkeeper.store.records import calibration as store

DatasetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$")]


class Compared(Body):
    """What to compare a scorer with people on: the labels of its drawn sample, or the split `calibration` of a dataset. `cut`
    is the value from which on an answer passes, for a scorer without a floor."""

    dataset: DatasetName | None = None
    version: int | None = Field(None, ge=1)
    cut: Finite | None = None


class Drawn(Body):
    """How many traces of the last `days` people are asked to label: half the scorer's fails, half its passes."""

    labels: int = Field(100, ge=2, le=1000)
    days: int = Field(7, ge=1, le=90)
    cut: Finite | None = None


def calibrator(call: Call) -> Calibrator:
    """The calibrator of this server. Raises `HttpError` 503 where none runs."""
    found: Calibrator | None = call.services.scorers
    if found is None:
        raise HttpError(503, "this server runs no scorers", "", {"retry-after": "5"})
    return found


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
