"""Classifiers trained from labels: their versions, how they compare with their judge, and which of them runs."""

from typing import Any, Literal

from pydantic import Field

from watchkeeper.model.trained import Trained
from watchkeeper.pipeline.examples import examples
from watchkeeper.pipeline.train import NotAsGood, TrainFlow
from watchkeeper.scoring.classifiers.trained import TooFew
from watchkeeper.scoring.judges.rubric import RubricJudge
from watchkeeper.server.answers import iso
from watchkeeper.server.api.shapes import Body, Query, ScorerName, moment_ns
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, needed, route
from watchkeeper.store.records import trained

STATE = {"decide": "active", "measure": "measuring", "stop": "retired"}


class Train(Body):
    """What to train: its name as a scorer, the judge whose verdicts to learn beside people's labels, from when on. `floor` is the
    value from which on an answer is good, for a judge without a floor of its own."""

    name: ScorerName
    judge: ScorerName | None = None
    floor: float | None = Field(None, allow_inf_nan=False)
    since: str = Field("90d", max_length=40)


class Run(Body):
    """What a version may do: decide (pass and fail answers), measure, or stop."""

    action: Literal["decide", "measure", "stop"]


def trained_json(made: Trained) -> dict[str, Any]:
    """A version without its weights."""
    shown = {k: v for k, v in made.document().items() if k not in ("weights", "created_ns")}
    return {
        **shown,
        "threshold": made.weights.threshold,
        "features": made.weights.features,
        "created": iso(made.created_ns),
    }


def _flow(call: Call) -> TrainFlow:
    return needed(call.services.train, "the training of classifiers")


class Wanted(Query):
    """How many examples, and the ends of the judge's scale, or the judge whose scale it is."""

    n: int = Field(6, ge=2, le=20)
    judge: str | None = Field(None, max_length=200)
    low: float = Field(0.0, allow_inf_nan=False)
    high: float = Field(10.0, allow_inf_nan=False)


@route("GET", "/api/examples", permission="editor", query=Wanted)
async def graded(call: Call) -> list[dict[str, Any]]:
    """Graded examples for a judge's prompt from people's labels, good and bad in turn, never from a calibration set."""
    call.need_content("examples hold prompts and outputs")
    wanted: Wanted = call.query
    low, high = wanted.low, wanted.high
    if wanted.judge is not None:
        low, high = _scale(call, wanted.judge)
    return await examples(call.services.columns, call.services.records, call.project, wanted.n, low, high)


def _scale(call: Call, judge: str) -> tuple[float, float]:
    """The ends of a judge's scale. Raises `HttpError` 404 where no judge in force has this name."""
    models = needed(call.services.scorers, "scorers").models(call.project)
    found = models.get(judge)
    if not isinstance(found, RubricJudge):
        judges = sorted(n for n, s in models.items() if isinstance(s, RubricJudge))
        raise HttpError(
            404, f"there is no judge {judge} in {call.project}", f"judges: {', '.join(judges) or 'none'}"
        )
    return found.rubric.low, found.rubric.high


@route("GET", "/api/trained", permission="viewer")
async def versions(call: Call) -> list[dict[str, Any]]:
    """Every trained classifier with its comparison on held-out labels, the newest version of each first."""
    return [
        trained_json(t) for t in await call.services.records.read(lambda c: trained.versions(c, call.project))
    ]


@route("POST", "/api/trained", permission="editor", body=Train, status=201)
async def train(call: Call) -> dict[str, Any]:
    """Train a classifier from labels and compare it with the judge on labels it has not seen. It runs nowhere yet."""
    return trained_json(await begin(call, call.body))


async def begin(call: Call, given: Train) -> Trained:
    """The next version of a classifier. Raises `HttpError` 400 for too few labels, 503 where nothing is trained."""
    since = moment_ns(given.since, call.services.clock(), "since")
    try:
        made: Trained = await _flow(call).train(
            call.project,
            given.name,
            judge=given.judge,
            floor=given.floor,
            since_ns=since,
            author=call.principal.actor,
        )
    except TooFew as error:
        raise HttpError(400, str(error), "label traces in Review, or name a judge") from None
    except ModuleNotFoundError as error:
        raise HttpError(503, str(error), "") from None
    await note_change(call, "trained.create", f"{made.name} {made.version}")
    return made


@route("POST", "/api/trained/{name}/{version}", permission="editor", body=Run)
async def run(call: Call) -> dict[str, Any]:
    """Let a version decide, only measure, or stop. It may decide only where held-out labels show that it is as good as its judge."""
    given: Run = call.body
    return trained_json(await put(call, given.action))


async def put(call: Call, action: Literal["decide", "measure", "stop"]) -> Trained:
    """Let the version that the path names do this. Raises `HttpError` 409 where it may not decide, 404 where there is none."""
    name, version = str(call.request.path_params["name"]), str(call.request.path_params["version"])
    number = int(version) if version.isdecimal() else -1
    try:
        made: Trained | None = await _flow(call).put(call.project, name, number, STATE[action])
    except NotAsGood as error:
        raise HttpError(409, str(error), "let it measure, label more traces, and train again") from None
    if made is None:
        raise HttpError(
            404, f"there is no version {version[:20]!r} of {name[:80]!r}", "GET /api/trained lists them"
        )
    await note_change(call, f"trained.{action}", f"{made.name} {made.version}")
    return made
