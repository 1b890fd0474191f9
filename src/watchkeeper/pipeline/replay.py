"""Stored traces asked again: the recorded answers become the baseline a new prompt, model or release is compared with."""

import hashlib
from collections.abc import Sequence
from typing import Any

from watchkeeper.gating.subject import Answer
from watchkeeper.gating.verdict import GateSettings
from watchkeeper.model.review import Case
from watchkeeper.model.span import Trace
from watchkeeper.model.splits import REPLAYS
from watchkeeper.pipeline.gate import Gate, GateError
from watchkeeper.pipeline.promote import case_of
from watchkeeper.store.records import datasets


def chosen(trace_ids: Sequence[str], limit: int) -> list[str]:
    """`limit` of the traces by the hash of their id: the same ones each time, and not the newest only."""
    return sorted(trace_ids, key=lambda t: hashlib.sha256(t.encode()).digest())[:limit]


def recorded(case: Case, trace: Trace) -> Answer:
    """What production answered, as the answer of a target; None where it recorded nothing."""
    calls = trace.llm_calls
    last = calls[-1].llm if calls else None
    tools = [
        {"name": s.tool.name, "arguments": s.tool.arguments, "result": s.tool.result, "error": s.tool.error}
        for s in trace.spans
        if s.tool is not None
    ]
    usage = {"input_tokens": trace.totals.input_tokens, "output_tokens": trace.totals.output_tokens}
    known = {k: v for k, v in usage.items() if v is not None}
    return Answer(
        case_id=case.id,
        output=trace.output_text,
        tool_calls=tools or None,
        finish_reason=last.finish_reason if last else None,
        model=(last.response_model or last.request_model) if last else None,
        usage=known or None,
        cost=trace.totals.cost,
        latency_ms=(trace.end_ns - trace.start_ns) / 1e6 if trace.end_ns > trace.start_ns else None,
        error=None if trace.output_text is not None else "production recorded no answer",
    )


async def replay(
    gate: Gate, project: str, traces: Sequence[Trace], *, name: str, author: str, note: str
) -> dict[str, Any]:
    """The traces as a version of the dataset `replay`, and their recorded answers as an experiment called `name`, scored
    by the scorers in force. Raises `GateError` when no trace can be asked again."""
    cases: dict[str, tuple[Case, Trace]] = {}
    for trace in traces:
        if trace.input_text:
            case = case_of(trace, None, "replay")
            case.actual = trace.output_text
            cases[case.id] = (case, trace)
    if not cases:
        raise GateError(
            "no trace of these has an input to ask again; look wider (since, where), or check that content is kept"
        )
    held = await gate.records.read(lambda conn: datasets.get(conn, project, REPLAYS))
    gone = [c.id for c in held.cases if c.id not in cases] if held else []
    now = gate.clock()
    made = await gate.records.write(
        lambda conn: datasets.commit(
            conn, project, REPLAYS, add=[c for c, _ in cases.values()], remove=gone, author=author, note=note,
            now_ns=now,
        )
    )  # fmt: skip
    answers = [recorded(case, trace) for case, trace in cases.values()]
    base = await gate.evaluate(
        project, REPLAYS, made.version, answers, target="recorded", name=name, settings=GateSettings()
    )
    return {"dataset": REPLAYS, "version": made.version, "cases": len(cases), "baseline": base["id"]}
