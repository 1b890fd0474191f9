"""Gate runs: a target over a dataset, its verdict by metric, and case by case against the baseline."""

from typing import Any

from starlette.responses import Response

from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import experiments
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import view_of


@route("GET", "/experiments", permission="viewer")
async def listing(call: Call) -> Response:
    """The newest runs."""
    view = view_of(call, "30d")
    found = await call.services.records.read(lambda c: experiments.listing(c, view.project))
    return await answer(view, "experiments", "Gate runs", "experiments.html", {"runs": found})


def _say(score: dict[str, Any] | None) -> dict[str, Any] | None:
    """One scorer's answer for one case, for a cell: `tone`, `words`, and the number to compare by."""
    if not score or not score.get("values"):
        return None
    passed = [p for p in score.get("passed") or [] if p is not None]
    mean = sum(score["values"]) / len(score["values"])
    if passed:
        failed = any(p is False for p in passed)
        flaky = len(set(passed)) > 1
        return {
            "tone": "bad" if failed else "good",
            "words": "flaky" if flaky else "fail" if failed else "pass",
            "value": 0.0 if failed else 1.0,
            "reason": score.get("reason") or "",
        }
    return {"tone": "", "words": f"{mean:.3g}", "value": mean, "reason": score.get("reason") or ""}


def compared(run: dict[str, Any], base: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The cases of a run beside the baseline's, those that got worse first, then those that differ."""
    before = {r["case_id"]: r for r in (base or {}).get("results", [])}
    made: list[dict[str, Any]] = []
    for result in run.get("results", []):
        was = before.get(result["case_id"], {})
        cells: dict[str, dict[str, Any]] = {}
        worst, differs = 0.0, False
        for scorer, score in sorted(result.get("scores", {}).items()):
            now, then = _say(score), _say(was.get("scores", {}).get(scorer))
            if now is None:
                continue
            drop = (then["value"] - now["value"]) if then else 0.0
            differs = differs or bool(then and then["words"] != now["words"])
            worst = max(worst, drop)
            cells[scorer] = {"now": now, "then": then, "worse": drop > 1e-9, "better": drop < -1e-9}
        made.append(
            {**result, "was_output": was.get("output"), "cells": cells, "worst": worst, "differs": differs}
        )
    return sorted(made, key=lambda r: (-r["worst"], not r["differs"], str(r["case_id"])))


@route("GET", "/experiments/{experiment_id}", permission="viewer")
async def one(call: Call) -> Response:
    """One run. `?against=` compares with another run than its own baseline."""
    view = view_of(call, "30d")
    wanted = str(call.request.path_params["experiment_id"])
    run = await call.services.records.read(lambda c: experiments.get(c, view.project, wanted))
    if run is None:
        raise HttpError(404, "there is no such run in this project", "the list of gate runs has all of them")
    against = view.params.get("against") or run.get("baseline")
    base = (
        await call.services.records.read(lambda c: experiments.get(c, view.project, str(against)))
        if against
        else None
    )
    others = await call.services.records.read(lambda c: experiments.listing(c, view.project))
    cases = compared(run, base)
    context = {
        "run": run,
        "base": base,
        "cases": cases[:200],
        "more_cases": max(0, len(cases) - 200),
        "scorers": sorted({s for c in cases for s in c["cells"]}),
        "others": [o for o in others if o["dataset"] == run["dataset"] and o["id"] != run["id"]][:20],
        "content": call.sees_content,
    }
    return await answer(view, "experiments", str(run["name"]), "experiment.html", context)
