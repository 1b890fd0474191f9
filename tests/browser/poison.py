"""A world in which every stored string is one of the payloads."""

from pathlib import Path
from typing import Any

import msgspec

from tests.browser.payloads import PAYLOADS
from tests.unit.web.world import HOUR, MS, NOW, PROJECT, World, _alert, _experiment, build
from watchkeeper.dialects import assemble, normalise
from watchkeeper.model.alert import Deploy, Notification
from watchkeeper.model.review import Case, Label, ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.model.span import RawEvent, RawSpan
from watchkeeper.store.columns import SpanRow, TraceRow
from watchkeeper.store.records import access, alerts, audit, datasets, experiments, outbox, reviews


def _raw(trace_id: str, number: int, parent: int | None, text: str, attributes: dict[str, Any]) -> RawSpan:
    at = NOW - 2 * HOUR + int(trace_id[-4:], 16) * 1000 * MS
    resource = {
        "service.name": text,
        "service.version": text,
        "deployment.environment.name": text,
        text: text,
    }
    return RawSpan(
        trace_id, f"{number:016x}", f"{parent:016x}" if parent else None, text, "internal", at + number * MS,
        at + 900 * MS, "error", text, {text: text, **attributes}, [RawEvent(text, at, {text: text})], [], resource,
    )  # fmt: skip


def spans(trace_id: str, text: str) -> list[RawSpan]:
    """A trace whose every name, key and value is the text."""
    message = [
        {"role": "system", "parts": [{"type": "text", "content": text}]},
        {
            "role": "user",
            "name": text,
            "parts": [{"type": "text", "content": text}, {"type": "uri", "uri": text, "modality": "image"}],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "tool_call", "id": text, "name": text, "arguments": {text: text}},
                {"type": "reasoning", "content": text},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": text, "result": text}]},
    ]
    said = [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": f"{text} [1] [{text}]"}],
            "finish_reason": text,
        }
    ]
    context = {
        "gen_ai.conversation.id": text, "user.id": text, "gen_ai.prompt.name": text, "watchkeeper.prompt.version": text,
        "watchkeeper.scenario": text, "watchkeeper.variant": text, "gen_ai.agent.name": text,
        "watchkeeper.input": text, "watchkeeper.output": text,
    }  # fmt: skip
    chat = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": text, "gen_ai.request.model": text,
        "gen_ai.response.model": text, "gen_ai.input.messages": message, "gen_ai.output.messages": said,
        "error.type": text, "gen_ai.response.finish_reasons": [text],
    }  # fmt: skip
    documents = [{"id": text, "score": 0.5, "content": text}]
    found = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.query.text": text,
        "gen_ai.retrieval.documents": documents,
    }
    tool = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": text,
        "gen_ai.tool.call.arguments": {text: text},
        "gen_ai.tool.call.result": text,
        "error.type": text,
    }
    import json

    def flat(attributes: dict[str, Any]) -> dict[str, Any]:
        return {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in attributes.items()}

    return [
        _raw(trace_id, 1, None, text, context),
        _raw(trace_id, 2, 1, text, flat(found)),
        _raw(trace_id, 3, 1, text, flat(tool)),
        _raw(trace_id, 4, 1, text, flat(chat)),
    ]


def _score(trace_id: str, at: int, text: str, span_id: str = "") -> Score:
    return Score(
        PROJECT, trace_id, span_id, "answer_relevance", text, "judge", at, at, session_id=text, judge_model=text,
        author=text, value=2.0, label=text, passed=False, reason=text,
    )  # fmt: skip


async def poisoned(folder: Path) -> World:
    """The poisoned world; `trace_ids[i]`, `al_i`, `rev_i`, `exp_i` and dataset i carry payload i."""
    world = await build(folder, 60, seed=3)
    ids = [f"{0xABC0000 + i:032x}" for i in range(len(PAYLOADS))]
    rows: list[SpanRow] = []
    traces: list[TraceRow] = []
    scores: list[Score] = []
    for trace_id, text in zip(ids, PAYLOADS, strict=True):
        made = [normalise(raw) for raw in spans(trace_id, text)]
        trace = assemble(made, [])
        checks = [_score(trace_id, trace.start_ns, text), _score(trace_id, trace.start_ns, text, f"{4:016x}")]
        rows += [SpanRow(PROJECT, s, NOW) for s in made]
        traces.append(TraceRow(PROJECT, trace, checks, 1.0, text, NOW))
        scores.append(_score(trace_id, trace.start_ns, text))
    await world.columns.write_spans(rows, [])
    await world.columns.write_traces(traces)
    await world.columns.write_scores(scores)
    deploys = [Deploy(PROJECT, t, t, NOW - (i + 1) * 600 * 1000 * MS, t) for i, t in enumerate(PAYLOADS)]
    await world.columns.write_deploys(deploys)
    await world.services.records.write(lambda conn: _records(conn, ids))
    world.trace_ids = ids
    return world


def _records(conn: Any, ids: list[str]) -> None:
    for i, (trace_id, text) in enumerate(zip(ids, PAYLOADS, strict=True)):
        alert = msgspec.structs.replace(
            _alert([trace_id]), id=f"al_{i}", monitor=text, cohort={"prompt_version": text, text: text}, owner=text,
            runbook=text, condition=text, summary=text, acknowledged_by=text, acknowledged_ns=NOW, routes=[text],
            evidence={"metric": "answer_relevance", "holds": text, "suspicion": text, "reason": text, "log10_m": 3.0},
            worst=[{"trace_id": trace_id, "value": 1.0, "why": text, "input_text": text, "output_text": text}],
            deploys=[Deploy(PROJECT, text, text, NOW - HOUR, text)],
        )  # fmt: skip
        alerts.save(conn, alert)
        outbox.enqueue(conn, Notification(f"n{i}", PROJECT, alert.id, text, text, text, text, text, {}, NOW))
        reviews.add(
            conn,
            ReviewItem(f"rev_p{i}", PROJECT, trace_id, text, text[:60], 99 - i / 10, NOW, scorer=text[:60]),
        )
        mine = {
            "id": f"lab_{i}",
            "item_id": f"rev_p{i}",
            "author": text,
            "taxonomy": text[:200],
            "severity": "high",
        }
        reviews.label(
            conn,
            Label(
                project=PROJECT,
                trace_id=trace_id,
                time_ns=NOW,
                verdict="bad",
                comment=text,
                expected_output=text,
                **mine,
            ),
        )
        case = Case(
            f"case_{i}",
            {"text": text, "messages": []},
            {"documents": [{"id": text, "content": text}]},
            text,
            text,
            [text],
            text,
            trace_id,
            text,
            text,
        )
        name = text.replace("/", "∕").replace("\x00", "")[:100]
        datasets.commit(conn, PROJECT, name, add=[case], remove=[], author=text, note=text, now_ns=NOW)
        run = {
            **_experiment(1, "fail", [case, case]),
            "id": f"exp_p{i}",
            "name": text,
            "dataset": name,
            "target": text,
            "baseline_name": text,
            "baseline": "exp_0",
        }
        run["metrics"] = [{**m, "scorer": text, "explanation": text} for m in run["metrics"]]
        run["results"] = [
            {
                **r,
                "output": text,
                "error": text,
                "scores": {text: {"values": [1], "passed": [None], "reason": text}},
            }
            for r in run["results"]
        ]
        experiments.save(conn, run)
        alerts.add_silence(conn, PROJECT, {"monitor": text, text: text}, NOW - 1, NOW + HOUR, text, text)
        access.create_key(
            conn, project=PROJECT, name=text.strip()[:255] or "x", role="viewer", created_by=text, now_ns=NOW
        )
        audit.record(
            conn,
            project=PROJECT,
            now_ns=NOW,
            actor=text,
            source="127.0.0.1",
            action="key.create",
            target=text,
        )
