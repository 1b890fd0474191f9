"""A rubric tried on stored traces before it is configured, and two versions of it side by side. Nothing is stored as a score."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from watchkeeper.dialects import pricing
from watchkeeper.llm.port import ProviderError
from watchkeeper.model.prompt import Ask, Prompt, Reply
from watchkeeper.model.score import Failed, Outcome, Subject, Verdict
from watchkeeper.model.series import Estimate
from watchkeeper.pipeline.quote import quote, total_of
from watchkeeper.pipeline.reading import read_traces, turns_before
from watchkeeper.pipeline.refusal import Refused
from watchkeeper.scoring.drive import drive
from watchkeeper.scoring.protocol import Judge
from watchkeeper.scoring.registry import SpecError, build
from watchkeeper.stats.estimates import mean
from watchkeeper.store.columns import Columns, TraceFilter

MOST_TRACES = 25
AT_ONCE = 8
KEYS = ("model", "rubric", "prompt", "scale", "floor", "self_judging")


def judge_of(spec: Mapping[str, Any], version: str) -> Judge:
    """The judge of one version. Raises `Refused`."""
    given = {k: v for k, v in spec.items() if k in KEYS and v not in (None, "")}
    if "prompt" in given and "rubric" in given:
        given.pop("rubric")
    try:
        made = build({"name": f"version {version}", "type": "llm_judge", **given})
    except SpecError as error:
        raise Refused(f"version {version}: {error}") from None
    if not isinstance(made, Judge):
        raise Refused(f"version {version}: only judges can be tried here")
    return made


class Playground:
    """Tries judges on a project's traces; `ask` is the provider port, `nonce` gives fresh random strings."""

    def __init__(self, columns: Columns, ask: Ask, nonce: Callable[[], str]) -> None:
        self._columns, self._ask, self._nonce = columns, ask, nonce
        self._turn = asyncio.Semaphore(2)

    async def subjects(self, project: str, since_ns: int, where: str | None, n: int) -> list[Subject]:
        """The newest traces that meet the condition, with the turns before each. Raises QueryRefused."""
        wanted = TraceFilter(since_ns=since_ns, where=where or None, limit=min(n, MOST_TRACES))
        ids = [str(r["trace_id"]) for r in await self._columns.list_traces(project, wanted)]
        found = await read_traces(self._columns, project, ids)
        return [Subject(t, earlier=await turns_before(self._columns, project, t)) for t in found.values()]

    async def preview(self, judges: Sequence[Judge], subjects: Sequence[Subject]) -> dict[str, Any]:
        """What a trial would call and cost; prompts are built, nobody is asked."""
        made = [await quote(judge, subjects) for judge in judges]
        return {
            "traces": len(subjects), "calls": sum(q.calls for q in made),
            "input_tokens": sum(q.input_tokens for q in made), "output_tokens": sum(q.output_tokens for q in made),
            "cost": total_of(q.cost for q in made),
            "pricing_version": pricing.in_force().version,
            "not_scored": dict(sum((q.refused for q in made), Counter[str]())),
        }  # fmt: skip

    async def run(self, judges: Sequence[Judge], subjects: Sequence[Subject]) -> dict[str, Any]:
        """Ask every judge about every trace. Rows hold one cell a version; `versions` the mean of each with its interval, `difference`
        that of the second to the first, paired."""
        spent: list[float | None] = []
        gate = asyncio.Semaphore(AT_ONCE)

        async def paid(prompt: Prompt) -> Reply:
            reply = await self._ask(prompt)
            spent.append(reply.cost)
            return reply

        async def one(judge: Judge, subject: Subject) -> Outcome:
            mine = Subject(subject.trace, earlier=subject.earlier, extra={"nonce": self._nonce()})
            async with gate:
                try:
                    return await drive(judge.steps(mine), paid)
                except ProviderError as error:
                    return Failed(str(error))

        async with self._turn:
            outcomes = [await asyncio.gather(*(one(judge, s) for judge in judges)) for s in subjects]
        rows: list[dict[str, Any]] = [
            {"trace_id": s.trace.trace_id, "input": s.trace.input_text, "output": s.trace.output_text,
             "cells": [_cell(o) for o in found]}
            for s, found in zip(subjects, outcomes, strict=True)
        ]  # fmt: skip
        columns = [[_value(found[i]) for found in outcomes] for i in range(len(judges))]
        pairs = (
            [(a, b) for a, b in zip(*columns, strict=True) if a is not None and b is not None]
            if len(judges) == 2
            else []
        )
        if pairs:
            rows.sort(key=lambda r: -abs(_gap(r["cells"])))
        return {
            "rows": rows,
            "versions": [
                {
                    "model": j.model,
                    "version": j.version,
                    "mean": _estimate([v for v in column if v is not None]),
                }
                for j, column in zip(judges, columns, strict=True)
            ],
            "difference": _estimate([b - a for a, b in pairs]),
            "calls": len(spent),
            "cost": total_of(spent),
        }


def _value(outcome: Outcome) -> float | None:
    return outcome.value if isinstance(outcome, Verdict) else None


def _gap(cells: Sequence[Mapping[str, Any]]) -> float:
    values = [c["value"] for c in cells]
    return 0.0 if None in values else float(values[1]) - float(values[0])


def _cell(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Verdict):
        return {"value": outcome.value, "passed": outcome.passed, "reason": outcome.reason, "failed": False}
    return {"value": None, "passed": None, "reason": outcome.reason, "failed": isinstance(outcome, Failed)}


def _estimate(values: Sequence[float]) -> dict[str, Any] | None:
    found = mean(list(values)) if values else None
    return msgspec.to_builtins(found) if isinstance(found, Estimate) else None
