"""Experiments: a target over a dataset, its verdict by metric, and case by case against the baseline."""

from typing import Any

from starlette.responses import Response

from watchkeeper.gating.contrast import contrast, percent
from watchkeeper.gating.report import SHOWN
from watchkeeper.model.numerals import figure
from watchkeeper.server.routing import Call, HttpError, route
from watchkeeper.store.records import experiments
from watchkeeper.web.estimate import Estimate
from watchkeeper.web.pages.common import answer
from watchkeeper.web.view import view_of


@route("GET", "/experiments", permission="viewer")
async def listing(call: Call) -> Response:
    """The newest runs."""
    view = view_of(call, "30d")
    found = await call.services.records.read(lambda c: experiments.listing(c, view.project))
    return await answer(view, "experiments", "Experiments", "experiments.html", {"runs": found})


SHOWN_CASES = 200


def said(value: float, name: str, checks: frozenset[str]) -> str:
    """A scorer's value for a cell: a check passes, fails, or does both; anything else is a number."""
    if name in checks:
        return "pass" if value == 1 else "fail" if value == 0 else f"flaky {value:.0%}"
    return figure(value)


def checks_of(*runs: dict[str, Any] | None) -> frozenset[str]:
    """The scorers whose value is whether they pass, in all of the runs. One that also measures, such as a judge with a floor, is none:
    8 of 10 is not 800 %."""
    flags: set[str] = set()
    measures: set[str] = set()
    for run in runs:
        for result in (run or {}).get("results", []):
            for name, score in result["scores"].items():
                told = [
                    (v, p) for v, p in zip(score["values"], score["passed"], strict=False) if p is not None
                ]
                flags |= {name} if told else set()
                measures |= {name} if any(v != float(p) for v, p in told) else set()
    return frozenset(flags - measures)


def alone(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The cases of a run without anything to compare with: what broke first, then what fails, then the rest."""
    rows: list[tuple[tuple[bool, int, str], dict[str, Any]]] = []
    for result in run.get("results", []):
        bad = {
            n: {
                "before": None,
                "after": sum(s["values"]) / len(s["values"]),
                "reason": s.get("reason"),
                "worse": True,
            }
            for n, s in result.get("scores", {}).items()
            if any(p is False for p in s.get("passed") or [])
        }
        row = {**result, "after": result.get("output"), "before": None, "changes": bad, "worse": bool(bad)}
        rows.append(((not result.get("error"), -len(bad), str(result["case_id"])), row))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


def _preferred(made: dict[str, Any]) -> Estimate:
    """How far a pairwise judge prefers the later answers: 1 always, 0.5 not at all, 0 never."""
    found = made["preference"] or {}
    value, low, high = (found.get(k) for k in ("value", "low", "high"))
    return Estimate(value, low, high, int(found.get("n", 0)), "share", "" if found else "too few pairs")


@route("GET", "/experiments/{experiment_id}", permission="viewer")
async def one(call: Call) -> Response:
    """One run. `?against=` compares with another run than its own baseline."""
    view = view_of(call, "30d")
    wanted = str(call.request.path_params["experiment_id"])
    run = await call.services.records.read(lambda c: experiments.get(c, view.project, wanted))
    if run is None:
        raise HttpError(
            404, "there is no such experiment in this project", "the list of experiments has all of them"
        )
    against = view.params.get("against") or run.get("baseline")
    base = (
        await call.services.records.read(lambda c: experiments.get(c, view.project, str(against)))
        if against
        else None
    )
    others = await call.services.records.read(lambda c: experiments.listing(c, view.project))
    side = contrast(base, run) if base is not None else None
    cases = side["cases"] if side is not None else alone(run)
    counts = {
        "worse": sum(bool(c["worse"]) for c in cases),
        "different": sum(bool(c.get("differs")) for c in cases),
        "all": len(cases),
    }
    only = view.params.get("show", "")
    if only == "worse":
        cases = [c for c in cases if c["worse"]]
    elif only == "different":
        cases = [c for c in cases if c.get("differs")]
    rank = {"fail": 0, "not_enough_evidence": 1}
    metrics = sorted(run.get("metrics") or [], key=lambda m: rank.get(m["outcome"], 2))
    quiet = [
        m
        for m in metrics
        if m["kind"] == "deterministic"
        and m["outcome"] == "pass"
        and m["scorer"] not in SHOWN
        and not m["flaky_cases"]
    ]
    names = {str(o["id"]): str(o["name"]) for o in others}
    preferences = [(names.get(str(p["against"])), p, _preferred(p)) for p in run.get("preferences", [])]
    context = {
        "run": run,
        "preferences": preferences,
        "metrics": [m for m in metrics if m not in quiet],
        "quiet": quiet,
        "base": base,
        "side": side,
        "cases": cases[:SHOWN_CASES],
        "counts": counts,
        "only": only,
        "more_cases": max(0, len(cases) - SHOWN_CASES),
        "checks": checks_of(run, base),
        "said": said,
        "percent": percent,
        "others": [o for o in others if o["dataset"] == run["dataset"] and o["id"] != run["id"]][:20],
        "content": call.sees_content,
    }
    return await answer(view, "experiments", str(run["name"]), "experiment.html", context)
