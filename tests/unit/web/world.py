"""A seeded world for pages: a support assistant's traces in the real store, with everything that follows from them.

`build(folder, traces=0)` is an installation on its first day, 40 a small one, thousands a busy one.
"""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from tests.columns import empty_columns
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.models import Config
from watchkeeper.demo import assistant
from watchkeeper.dialects import assemble, normalise
from watchkeeper.model.alert import Alert, Deploy, Moved, Notification
from watchkeeper.model.review import Case, ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.model.span import RawEvent, RawSpan, Trace
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.server.app import App, create_app
from watchkeeper.server.services import Services
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import SpanRow, TraceRow
from watchkeeper.store.records import alerts, datasets, experiments, outbox, reviews
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata, notifications

NOW = 1_772_550_000_000_000_000  # Tue 3 Mar 2026 15:00 UTC
HOUR = 3_600_000_000_000
MS = 1_000_000
DEPLOY = NOW - 26 * HOUR
PROJECT = "default"
RESOURCE = {
    "service.name": "assistant",
    "deployment.environment.name": "production",
    "service.version": "2026.03.1",
    "cloud.region": "eu-west-1",
}


@dataclass
class World:
    """The services and what a test wants to name in them."""

    services: Services
    columns: ClickHouseColumns
    trace_ids: list[str]
    worst: list[str]
    alert_id: str = "al_relevance"

    @property
    def app(self) -> App:
        """The whole HTTP surface over this world."""
        return create_app(self.services)

    async def close(self) -> None:
        await self.columns.close()
        self.services.records.close()


def _span(
    trace_id: str,
    number: int,
    parent: int | None,
    name: str,
    at: tuple[int, int],
    attributes: dict[str, Any],
    error: str | None = None,
) -> RawSpan:
    events = (
        [RawEvent("exception", at[1], {"exception.type": "APIError", "exception.message": error})]
        if error
        else []
    )
    return RawSpan(
        trace_id, f"{number:016x}", f"{parent:016x}" if parent else None, name, "internal", *at,
        "error" if error else "ok", error, attributes, events, [], RESOURCE,
    )  # fmt: skip


def _messages(turn: assistant.Turn) -> list[dict[str, Any]]:
    articles = "\n\n".join(d["content"] for d in turn.documents)
    said: list[dict[str, Any]] = [
        {
            "role": "system",
            "parts": [{"type": "text", "content": f"{assistant.PROMPTS[turn.version]}\n\n{articles}"}],
        },
        {"role": "user", "parts": [{"type": "text", "content": turn.question}]},
    ]
    if turn.tool:
        call = {
            "type": "tool_call",
            "id": "call_1",
            "name": turn.tool["name"],
            "arguments": turn.tool["arguments"],
        }
        answer = {"type": "tool_call_response", "id": "call_1", "result": turn.tool["result"]}
        said += [{"role": "assistant", "parts": [call]}, {"role": "tool", "parts": [answer]}]
    return said


def spans_of(turn: assistant.Turn, trace_id: str, at: int, number: int, scenario: str) -> list[RawSpan]:
    """The spans the assistant sends for one turn: root, retrieval, perhaps a tool, model call."""
    retrieved = at + int(turn.retrieval_seconds * 1000) * MS
    called = retrieved + int(turn.tool_seconds * 1000) * MS
    end = called + int(turn.model_seconds * 1000) * MS
    answer = f"{turn.answer} [kb-{turn.topic.key}]" if number % 2 else turn.answer
    failed = "Too Many Requests" if turn.failed else None
    context = {
        "gen_ai.conversation.id": f"conv-{number // 2}",
        "user.id": f"user-{number % 97}",
        "gen_ai.prompt.name": "support-answer",
        "watchkeeper.prompt.version": turn.version,
        "watchkeeper.scenario": scenario,
        "watchkeeper.input": turn.question,
        **({} if failed else {"watchkeeper.output": answer}),
    }
    chat: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.input.messages": json.dumps(_messages(turn)),
    }
    if failed:
        chat["error.type"] = "429"
    else:
        said = [
            {"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}
        ]
        chat |= {
            "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
            "gen_ai.output.messages": json.dumps(said),
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": turn.input_tokens,
            "gen_ai.usage.output_tokens": turn.output_tokens,
            "gen_ai.server.time_to_first_token": turn.first_token_seconds,
        }
    found = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.query.text": turn.question,
        "gen_ai.retrieval.documents": json.dumps(turn.documents),
    }
    made = [
        _span(trace_id, 1, None, "support.answer", (at, end + 4 * MS), context, failed),
        _span(trace_id, 2, 1, "retrieval support-articles", (at + MS, retrieved), found),
    ]
    if turn.tool:
        tool = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": turn.tool["name"],
            "gen_ai.tool.call.arguments": json.dumps(turn.tool["arguments"]),
            "gen_ai.tool.call.result": json.dumps(turn.tool["result"]),
        }
        made.append(_span(trace_id, 3, 1, f"execute_tool {turn.tool['name']}", (retrieved, called), tool))
    made.append(_span(trace_id, 4, 1, "chat gpt-4o-mini", (called, end), chat, failed))
    return made


def scores_of(trace: Trace, turn: assistant.Turn, rng: random.Random) -> tuple[list[Score], float]:
    """What the checks would say of a turn, and its relevance."""
    steps = "1. " in turn.answer
    evasive = turn.answer in assistant.EVASIONS
    relevance = round(min(10.0, max(0.0, rng.gauss(8.4 if steps else 7.4 if not evasive else 2.4, 1.1))), 2)

    def check(name: str, value: float, passed: bool | None, reason: str | None = None) -> Score:
        return Score(
            PROJECT, trace.trace_id, "", name, "9f31c2ab77", "check", trace.start_ns, trace.end_ns,
            value=value, passed=passed, reason=reason,
        )  # fmt: skip

    made = [
        check("has_steps", float(steps), steps, None if steps else "no numbered step found"),
        check("answer_relevance", relevance, None, "share of the question's words that the answer takes up"),
        check("empty_output", 1.0, True),
        check(
            "tool_error",
            0.0 if turn.failed else 1.0,
            not turn.failed,
            "the call failed" if turn.failed else None,
        ),
        check("token_overlap", round(min(1.0, max(0.0, rng.gauss(0.7, 0.12))), 3), None),
    ]
    if turn.rating is not None:
        made.append(check("rating", float(turn.rating), None))
    return made, relevance


def turns(count: int, seed: int) -> Iterator[tuple[int, int, assistant.Turn, str]]:
    """(number, start ns, turn, scenario): two weeks with days and nights, v2 for half of the traffic since yesterday."""
    rng = random.Random(seed)
    for number in range(count):
        hours = 16 * 24 * number / max(1, count)
        day = 0.5 + 0.5 * math.sin((hours % 24 - 6) / 24 * 2 * math.pi)
        at = NOW - int((16 * 24 - hours - 0.3 * day) * HOUR)
        scenario = "customer-support" if rng.random() < 0.86 else "order-status"
        version = "v2" if at > DEPLOY and scenario == "customer-support" and rng.random() < 0.5 else "v1"
        topic, question = assistant.question_for(rng)
        yield (
            number,
            min(at, NOW - 60_000 * MS),
            assistant.respond(question, version, (seed, number), topic),
            scenario,
        )


async def _write(columns: ClickHouseColumns, count: int, seed: int) -> tuple[list[str], list[str]]:
    rng = random.Random(seed + 1)
    spans: list[SpanRow] = []
    rows: list[TraceRow] = []
    ids: list[str] = []
    bad: list[tuple[float, str]] = []

    async def flush() -> None:
        await columns.write_spans(spans, [])
        await columns.write_traces(rows)
        spans.clear()
        rows.clear()

    for number, at, turn, scenario in turns(count, seed):
        trace_id = f"{rng.getrandbits(128):032x}"
        made = [normalise(raw) for raw in spans_of(turn, trace_id, at, number, scenario)]
        trace = assemble(made, [])
        checks, relevance = scores_of(trace, turn, rng)
        spans += [SpanRow(PROJECT, span, at) for span in made]
        rows.append(TraceRow(PROJECT, trace, checks, 1.0, "all", at))
        ids.append(trace_id)
        if turn.version == "v2":
            bad.append((relevance, trace_id))
        if len(rows) >= 2000:
            await flush()
    await flush()
    return ids, [trace_id for _, trace_id in sorted(bad)] or ids


def _alert(worst: list[str]) -> Alert:
    return Alert(
        id="al_relevance",
        project=PROJECT,
        monitor="answer-relevance-down",
        cohort={"prompt_version": "v2", "scenario": "customer-support"},
        state="firing",
        severity="page",
        owner="support-ml",
        runbook="https://runbooks.example.com/answer-relevance",
        condition="shift(answer_relevance) = 'down'",
        since_ns=DEPLOY + 5 * HOUR,
        onset_ns=DEPLOY,
        fired_ns=DEPLOY + 6 * HOUR,
        updated_ns=DEPLOY + 6 * HOUR,
        summary="answer_relevance for prompt_version v2 fell from 8.1 to 6.6 since Mon 2 Mar 13:00 UTC.",
        evidence={
            "metric": "answer_relevance",
            "log10_m": 4.7,
            "holds": "Also moved: has_steps fell. Uptime metrics are all green (error_rate, latency_ms).",
            "suspicion": "First suspect: support-answer v2 (more concise): it introduced v2, the cohort that changed.",
        },
        moved=[
            Moved("answer_relevance", 8.11, 8.08, 8.14, 12034, 6.64, 6.41, 6.87, 412, "", True),
            Moved("has_steps", 0.921, 0.915, 0.927, 10450, 0.64, 0.59, 0.69, 412, "rate", True),
            Moved("latency_ms", 2210, 2190, 2230, 12034, 1430, 1380, 1480, 412, "ms", True),
            Moved("error_rate", 0.004, 0.003, 0.005, 12034, 0.005, 0.001, 0.02, 412, "rate", False),
        ],
        worst=[{"trace_id": t, "value": 1.2} for t in worst[:3]],
        deploys=[Deploy(PROJECT, "support-answer", "v2", DEPLOY, "more concise")],
        routes=["on-call"],
    )


def _metric(scorer: str, kind: str, outcome: str, **more: Any) -> dict[str, Any]:
    return {
        "scorer": scorer, "kind": kind, "outcome": outcome, "n": 13, "explanation": "5 of 13 cases failed",
        "mean": 0.62, "baseline_mean": None, "difference": None, "low": None, "high": None, "margin": None,
        "needed": None, "failed_cases": [], "flaky_cases": [], **more,
    }  # fmt: skip


def _experiment(number: int, verdict: str, cases: list[Case]) -> dict[str, Any]:
    good = verdict == "pass"
    results = [
        {
            "case_id": c.id, "input": c.input["text"], "expected": c.expected, "output": "1. Do this" if good else "No.",
            "error": None, "cost": 0.0001, "latency_ms": 800.0, "trace_id": c.trace_id,
            "scores": {
                "has_steps": {"values": [float(good)], "passed": [good], "reason": None, "flaky": False},
                "answer_relevance": {"values": [8.1 if good else 6.2], "passed": [None], "reason": None, "flaky": False},
            },
        }
        for c in cases
    ]  # fmt: skip
    regression = {
        "case_id": cases[1].id, "scorer": "has_steps", "was": "passes", "now": "fails", "reason": "no step",
        "input": cases[1].input["text"], "owner": "support-ml", "severity": "high", "trace_id": cases[1].trace_id,
    }  # fmt: skip
    return {
        "id": f"exp_{number}", "project": PROJECT, "name": f"prompt {'v1' if good else 'v2'} #{number}",
        "dataset": "support-regressions", "dataset_version": 2, "target": "watchkeeper.demo.assistant:answer",
        "verdict": verdict, "created_ns": NOW - (9 - number) * HOUR, "finished_ns": NOW - (9 - number) * HOUR + MS,
        "n_cases": len(cases), "baseline": None if good else "exp_0", "baseline_name": None if good else "prompt v1 #0",
        "metrics": [
            _metric("has_steps", "deterministic", verdict),
            _metric("answer_relevance", "semantic", verdict, mean=6.2, baseline_mean=8.1, difference=-1.9, low=-2.3, high=-1.5, margin=0.25),
        ],
        "needed": 60 if verdict == "not_enough_evidence" else None,
        "regressions": [] if good else [regression],
        "results": results,
    }  # fmt: skip


def _fill(conn: sa.engine.Connection, ids: list[str], worst: list[str]) -> None:
    alert = _alert(worst)
    over = msgspec.structs.replace(
        alert, id="al_tools", monitor="tool-errors", cohort={}, state="resolved", severity="warn", worst=[], moved=[],
        deploys=[], summary="tool_error_rate is 3.1 % (2.4 to 3.9 %, n 1,204).", since_ns=NOW - 90 * HOUR,
        onset_ns=NOW - 90 * HOUR, fired_ns=NOW - 89 * HOUR, resolved_ns=NOW - 80 * HOUR, updated_ns=NOW - 80 * HOUR,
        evidence={"metric": "tool_error_rate"}, condition="tool_error_rate > 2%",
    )  # fmt: skip
    for one in (alert, over):
        alerts.save(conn, one)
    told = Notification(
        "note_1", PROJECT, alert.id, "group", "on-call", "firing", "s", "t", {}, alert.fired_ns or 0
    )
    outbox.enqueue(conn, told)
    conn.execute(
        sa.update(notifications).values(status="delivered", delivered_ns=(alert.fired_ns or 0) + 10**9)
    )
    reasons = (
        ("low_score", "answer_relevance is 2.1: the answer takes up no word of the question"),
        ("thumbs_down", "The user was not satisfied: rating 1"),
        ("alert:al_relevance", "Among the worst behind “answer-relevance-down”"),
    )
    for number, trace_id in enumerate(worst[:30]):
        source, reason = reasons[number % 3]
        reviews.add(
            conn,
            ReviewItem(
                f"rev_{number:02d}", PROJECT, trace_id, reason, source, 8 - number / 10, NOW - number * HOUR
            ),
        )
    cases = [
        Case(
            f"case_{n:04d}", {"text": f"How do I get refund number {n}?", "messages": []}, {"documents": []},
            expected="1. Open Orders\n2. Choose Request refund", actual="Our documentation covers this.",
            labels=["no_steps"], scenario="customer-support", trace_id=ids[n % len(ids)], severity="high", owner="support-ml",
        )
        for n in range(14)
    ]  # fmt: skip
    made = {"author": "ana@example.com", "now_ns": NOW - 50 * HOUR}
    datasets.commit(
        conn, PROJECT, "support-regressions", add=cases[:9], remove=[], note="first failures", **made
    )
    datasets.commit(
        conn,
        PROJECT,
        "support-regressions",
        add=cases[9:],
        remove=[cases[0].id],
        note="concise prompt",
        **made,
    )
    for number, verdict in enumerate(("pass", "fail", "not_enough_evidence")):
        experiments.save(conn, _experiment(number, verdict, cases[1:]))


async def build(
    folder: Path, traces: int = 0, seed: int = 7, no_auth: bool = True, roll: bool = True
) -> World:
    """The world with this many traces, in `folder`."""
    columns = open_columns(empty_columns(folder / "columns"), lambda: NOW)
    records = Records(f"sqlite:///{folder}/records.db")
    metadata.create_all(records.engine)
    ids, worst = await _write(columns, traces, seed) if traces else ([], [])
    if traces:
        marks = [Deploy(PROJECT, "support-answer", "v2", DEPLOY, "more concise")]
        await columns.write_deploys([*marks, Deploy(PROJECT, "assistant", "2026.03.1", NOW - 9 * 24 * HOUR)])
        ledger = {
            "project": PROJECT,
            "version": "3",
            "time": NOW // 10**9 - 7200,
            "seconds": 3600,
            "eligible": 900,
            "selected": 900,
            "late": 0,
        }
        await columns.write_coverage(
            [
                {**ledger, "scorer": "answer_relevance", "scored": 881, "failed": 7},
                {**ledger, "scorer": "has_steps", "scored": 900, "failed": 0},
            ]
        )
        if roll:
            await Roller(columns, records, RollPlan()).roll(PROJECT, NOW)
        await records.write(lambda conn: _fill(conn, ids, worst))
    return World(_services(folder, columns, records, no_auth), columns, ids, worst)


def _services(folder: Path, columns: ClickHouseColumns, records: Records, no_auth: bool) -> Services:
    return Services(
        data_dir=folder, records=records, columns=columns, config=ConfigHolder(Config()), clock=lambda: NOW,
        ingest=None, no_auth=no_auth,
    )  # fmt: skip


def reopen(folder: Path) -> World:
    """A world built before in `folder`, without the names of its traces."""
    columns = open_columns(f"chdb://{folder}/columns", lambda: NOW)
    records = Records(f"sqlite:///{folder}/records.db")
    return World(_services(folder, columns, records, True), columns, [], [])
