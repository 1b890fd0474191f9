"""Experiments: a target's answers over a dataset, judged by the scorers in force."""

import secrets
from typing import Any, Literal, cast

import msgspec
from pydantic import Field

from watchkeeper.config import adapters
from watchkeeper.dialects import pricing
from watchkeeper.gating import report
from watchkeeper.gating.contrast import contrast
from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.llm import table
from watchkeeper.model.span import Trace
from watchkeeper.pipeline.gate import GateError
from watchkeeper.pipeline.preference import estimate_cost, lines_of, pairs_of, prefer
from watchkeeper.pipeline.reading import read_traces
from watchkeeper.pipeline.replay import chosen, replay
from watchkeeper.scoring.judges.pairwise import QUESTION, PairwiseJudge
from watchkeeper.server.answers import timed
from watchkeeper.server.api.shapes import (
    Body,
    DatasetName,
    Finite,
    Ordinal,
    Page,
    Query,
    Short,
    TraceId,
    period,
)
from watchkeeper.server.reading import no_trace, note_change
from watchkeeper.server.routing import Call, HttpError, needed, provided, route
from watchkeeper.store.columns import TraceFilter
from watchkeeper.store.records import experiments

# A replay chooses among this many newest traces that match.
AMONG = 5_000
READ_AT_ONCE = 50


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
    version: Ordinal | None = None
    split: Short | None = None
    target: Short
    name: Short | None = None
    baseline: Short | None = None
    answers: list[dict[str, Any]] = Field(max_length=100_000)
    settings: Settings = Settings()  # pyright: ignore[reportCallIssue]


class Loose(Body):
    """Answers to score without storing an experiment."""

    dataset: DatasetName
    version: Ordinal | None = None
    answers: list[dict[str, Any]] = Field(max_length=1_000)


def _answers(given: list[dict[str, Any]]) -> list[Answer]:
    try:
        return msgspec.convert(given, list[Answer], strict=False)
    except msgspec.ValidationError as error:
        raise HttpError(400, f"answers: {error}", "each answer needs case_id and output (or error)") from None


@route("POST", "/api/experiments/score", permission="editor", body=Loose, max_body=64 << 20)
async def score(call: Call) -> list[dict[str, Any]]:
    """What the scorers in force say of answers, one object an answer and nothing stored: for a test that wants to know at once."""
    given: Loose = call.body
    gate = needed(call.services.gate, "the gate")
    try:
        found: list[dict[str, Any]] = await gate.score(
            call.project, given.dataset, given.version, _answers(given.answers)
        )
    except GateError as error:
        raise HttpError(400, str(error), "") from None
    return found if call.sees_content else [_without_content(f) for f in found]


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
    return _reported(call, found)


_CONTENT = (
    "input",
    "expected",
    "output",
    "before",
    "after",
    "reason",
    "error",
    "before_error",
    "failed_because",
)


def _without_content(value: Any) -> Any:
    """The document without prompts, outputs and the scorers' words about them."""
    if isinstance(value, dict):
        return {
            k: (None if k in _CONTENT and not isinstance(v, int | float) else _without_content(v))
            for k, v in cast("dict[str, Any]", value).items()
        }
    if isinstance(value, list | tuple):
        return [_without_content(v) for v in cast("list[Any]", value)]
    return value


def _hidden(call: Call, document: dict[str, Any]) -> dict[str, Any]:
    """As it is for who may see content; without it for everybody else."""
    if call.sees_content:
        return document
    kept = {k: document[k] for k in ("before", "after") if isinstance(document.get(k), dict)}
    return {**_without_content(document), **kept, "content_hidden": True}


def _reported(call: Call, experiment: dict[str, Any]) -> dict[str, Any]:
    experiment = _hidden(call, experiment)
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
    gate = needed(call.services.gate, "the gate")
    answers = _answers(given.answers)
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
        made = await gate.evaluate(
            call.project, given.dataset, given.version, answers,
            target=given.target, split=given.split, name=given.name, baseline=given.baseline, settings=settings,
        )  # fmt: skip
    except GateError as error:
        raise HttpError(400, str(error), "") from None
    await note_change(call, "experiment.run", f"{given.dataset} {made['verdict']}")
    return _reported(call, made)


@route("GET", "/api/models", permission="editor", query=Wanted)
async def model(call: Call) -> dict[str, Any]:
    """Where a `provider:model` answers, which environment variable holds its key, and its price per million tokens (null when
    unknown), so that a client can ask it itself. Keys are never told."""
    given = str(call.query.model)
    provider, _, name = given.partition(":")
    config = call.services.config.current
    provided(call, given, 404)
    settings = {**table.DEFAULTS, **adapters.providers_of(config)}[provider]
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


class Beside(Query):
    """The experiment to compare with, by id or name: the earlier one."""

    against: str = Field(min_length=1, max_length=255)


@route("GET", "/api/experiments/{experiment_id}/compare", permission="viewer", query=Beside)
async def compare(call: Call) -> dict[str, Any]:
    """Two experiments side by side: every figure paired case by case and clustered by session with its 95 % interval, new and
    fixed violations, and the cases, differences first."""
    wanted, against = str(call.request.path_params["experiment_id"]), str(call.query.against)
    found: list[dict[str, Any]] = []
    for name in (against, wanted):
        one = await call.services.records.read(lambda c, name=name: experiments.get(c, call.project, name))
        if one is None:
            raise HttpError(404, f"there is no experiment {name[:100]!r}", "GET /api/experiments lists them")
        found.append(one)
    made = _hidden(call, contrast(found[0], found[1]))
    return {
        **made,
        "report": {
            "text": "\n".join(report.compared_lines(made)),
            "markdown": report.compared_markdown(made),
        },
    }


class Prefer(Body):
    """Which pairs to judge and by whom. Without `confirm` the cost is answered and nobody is asked."""

    against: str = Field(min_length=1, max_length=255)
    model: Short
    question: str | None = Field(None, max_length=4000)
    limit: int = Field(200, ge=1, le=2000)
    self_judging: Literal["refuse", "allow"] = "refuse"
    confirm: bool = False


@route("POST", "/api/experiments/{experiment_id}/prefer", permission="editor", body=Prefer)
async def preference(call: Call) -> dict[str, Any]:
    """Ask a pairwise judge in both orders which of two experiments' answers is better, case by case; what it costs first."""
    given: Prefer = call.body
    ask = needed(call.services.ask, "models to ask")
    provided(call, given.model)
    wanted = str(call.request.path_params["experiment_id"])
    found: list[dict[str, Any]] = []
    for name in (given.against, wanted):
        one = await call.services.records.read(lambda c, name=name: experiments.get(c, call.project, name))
        if one is None:
            raise HttpError(404, f"there is no experiment {name[:100]!r}", "GET /api/experiments lists them")
        found.append(one)
    try:
        judge = PairwiseJudge(
            model=given.model, self_judging=given.self_judging, question=given.question or QUESTION
        )
    except ValueError as error:
        raise HttpError(400, str(error), "model: provider:model") from None
    pairs = pairs_of(contrast(found[0], found[1]), given.limit)
    calls, cost, version = await estimate_cost(judge, pairs)
    planned = {"pairs": len(pairs), "calls": calls, "cost": cost, "pricing_version": version}
    if not given.confirm:
        return {"asked": False, "planned": planned}
    made = await prefer(judge, pairs, ask, lambda: secrets.token_hex(12))
    await note_change(call, "experiment.prefer", str(found[1]["id"]))
    kept = {k: v for k, v in found[1].items() if k != "preferences"}
    told = [p for p in found[1].get("preferences", []) if p.get("against") != found[0]["id"]]
    saved = {**kept, "preferences": [*told, {**made, "against": found[0]["id"]}]}
    await call.services.records.write(lambda c: experiments.save(c, saved))
    if not call.sees_content:
        made["cases"] = [{**c, "reason": None} for c in made["cases"]]
    return {"asked": True, "planned": planned, **made, "report": {"text": "\n".join(lines_of(made))}}


class Again(Body):
    """Which stored traces to ask again. Times are ISO 8601, nanoseconds, or how long ago (`7d`)."""

    trace_ids: list[TraceId] = Field([], max_length=500)
    since: str = Field("7d", max_length=40)
    until: str | None = Field(None, max_length=40)
    where: str | None = Field(None, max_length=4000)
    text: str | None = Field(None, max_length=500)
    limit: int = Field(100, ge=1, le=500)
    name: Short | None = None


@route("POST", "/api/replays", permission="editor", body=Again, status=201)
async def make_replay(call: Call) -> dict[str, Any]:
    """Make stored traces a version of the dataset `replay` and score what production answered as the baseline. Run a target over it
    and post its answers with that baseline; tools are answered from `context.steps` of the case."""
    given: Again = call.body
    gate = needed(call.services.gate, "the gate")
    call.need_content("a replay holds prompts and outputs")
    named = list(dict.fromkeys(given.trace_ids))
    if named and (given.where or given.text or given.until):
        raise HttpError(400, "trace_ids: these are the traces: leave out where, text and until", "")
    ids = named or await _traces(call, given)
    loaded: dict[str, Trace] = {}
    for at in range(0, len(ids), READ_AT_ONCE):
        loaded |= await read_traces(call.services.columns, call.project, ids[at : at + READ_AT_ONCE])
    missing = [i for i in named if i not in loaded]
    if named and not loaded:
        raise await no_trace(call.services, call.project, named[0])
    what = "chosen traces" if named else f"{given.where or given.text or 'all traffic'}, {given.since}"
    name = given.name or f"recorded: {what}"[:200]
    try:
        made = await replay(
            gate,
            call.project,
            list(loaded.values()),
            name=name,
            author=call.principal.actor,
            note=f"replay of {what}",
        )
    except GateError as error:
        raise HttpError(400, str(error), "") from None
    await note_change(call, "replay.make", f"{made['dataset']} v{made['version']} {made['cases']} traces")
    return {**made, "missing": missing}


async def _traces(call: Call, given: Again) -> list[str]:
    now = call.services.clock()
    since, until = period(given.since, given.until, now)
    rows = await call.services.columns.list_traces(
        call.project,
        TraceFilter(
            since_ns=since,
            until_ns=until,
            where=given.where,
            text=given.text,
            limit=AMONG,
        ),
    )
    return chosen([str(row["trace_id"]) for row in rows], given.limit)
