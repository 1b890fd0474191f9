"""Experiments: a target's answers over a dataset, judged by the scorers in force."""

from typing import Any

import msgspec
from pydantic import Field

from watchkeeper.config import adapters
from watchkeeper.dialects import pricing
from watchkeeper.gating import report
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.llm import table
from watchkeeper.pipeline.gate import GateError
from watchkeeper.server.answers import timed
from watchkeeper.server.api.shapes import Body, DatasetName, Finite, Page, Query, Short
from watchkeeper.server.reading import note_change
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import experiments


class Settings(Body):
    """What the gate asks for; see `docs/cli.md`."""

    semantic: list[Short] = []
    ignore: list[Short] = []
    margin: dict[str, Finite] = {}
    margin_sd: float = Field(0.15, gt=0, le=10)
    max_failure_rate: float = Field(0.05, gt=0, lt=1)
    level: float = Field(0.05, gt=0, lt=0.5)
    max_flaky: float = Field(0.1, ge=0, le=1)


class Run(Body):
    """A target's answers over a dataset, to be scored and compared."""

    dataset: DatasetName
    version: int | None = Field(None, ge=1)
    split: Short | None = None
    target: Short
    name: Short | None = None
    baseline: Short | None = None
    answers: list[dict[str, Any]] = Field(max_length=100_000)
    settings: Settings = Settings()  # pyright: ignore[reportCallIssue]


class Wanted(Query):
    """A model as `provider:model`."""

    model: str = Field(min_length=1, max_length=255)


@route("GET", "/api/experiments", permission="viewer", query=Page)
async def list_experiments(call: Call) -> list[dict[str, Any]]:
    """The newest experiments, without their per-case results."""
    limit = int(call.query.limit)
    rows = await call.services.records.read(lambda c: experiments.listing(c, call.project, limit))
    return [timed(row) for row in rows]


@route("GET", "/api/experiments/{experiment_id}", permission="viewer")
async def one_experiment(call: Call) -> dict[str, Any]:
    """One experiment with its verdict, metrics and results, by id or name."""
    wanted = str(call.request.path_params["experiment_id"])
    found = await call.services.records.read(lambda c: experiments.get(c, call.project, wanted))
    if found is None:
        raise HttpError(404, f"there is no experiment {wanted[:100]!r}", "GET /api/experiments lists them")
    return _reported(found)


def _reported(experiment: dict[str, Any]) -> dict[str, Any]:
    written = {
        "text": "\n".join(report.lines(experiment)),
        "markdown": report.markdown(experiment),
        "junit": report.junit(experiment),
    }
    return {**timed(experiment), "report": written}


@route("POST", "/api/experiments", permission="editor", body=Run, status=201, max_body=64 << 20)
async def run(call: Call) -> dict[str, Any]:
    """Score a target's answers with the scorers in force and say pass, fail or not enough evidence."""
    given: Run = call.body
    if call.services.gate is None:
        raise HttpError(503, "this server does not run the gate", "", {"retry-after": "5"})
    try:
        answers = msgspec.convert(given.answers, list[Answer], strict=False)
    except msgspec.ValidationError as error:
        raise HttpError(400, f"answers: {error}", "each answer needs case_id and output (or error)") from None
    chosen = given.settings
    settings = GateSettings(
        semantic=tuple(chosen.semantic),
        ignore=tuple(chosen.ignore),
        max_failure_rate=chosen.max_failure_rate,
        margin=chosen.margin,
        margin_sd=chosen.margin_sd,
        level=chosen.level,
        max_flaky=chosen.max_flaky,
    )
    try:
        made = await call.services.gate.evaluate(
            call.project, given.dataset, given.version, answers,
            target=given.target, split=given.split, name=given.name, baseline=given.baseline, settings=settings,
        )  # fmt: skip
    except GateError as error:
        raise HttpError(400, str(error), "") from None
    await note_change(call, "experiment.run", f"{given.dataset} {made['verdict']}")
    return _reported(made)


@route("GET", "/api/models", permission="editor", query=Wanted)
async def model(call: Call) -> dict[str, Any]:
    """Where a `provider:model` answers, which environment variable holds its key, and its price per million tokens (null when
    unknown), so that a client can ask it itself. Keys are never told."""
    given = str(call.query.model)
    provider, _, name = given.partition(":")
    config = call.services.config.current
    known = {**table.DEFAULTS, **adapters.providers_of(config)}
    if not name or provider not in known:
        raise HttpError(
            404,
            f"there is no provider {provider[:60]!r}",
            f"write provider:model; providers are {', '.join(sorted(known))}",
        )
    settings = known[provider]
    if settings.protocol != "openai":
        raise HttpError(
            400, f"provider {provider} speaks {settings.protocol}, not the OpenAI protocol",
            "name its OpenAI-compatible address with --base-url, or use a 'command:' or 'module:function' target",
        )  # fmt: skip
    price = pricing.find(adapters.prices_of(config), provider, name)
    return {
        "provider": provider,
        "model": name,
        "base_url": settings.base_url,
        "key_env": settings.key_env,
        "price": None if price is None else {"input": price.input, "output": price.output},
    }
