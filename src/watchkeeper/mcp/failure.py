"""One trace, one stored run or one alert as failures to understand: what was asked, what came, which step broke, what scorers said."""

from typing import Any, Final

#: Steps of a trace that are read with everything they hold.
_STEPS: Final = 60
#: What the list of traces says for those who weigh and price them.
_BOOKKEEPING: Final = frozenset({
    "pricing_version", "inclusion_probability", "policy", "keep_probability", "time_suspect", "complete", "provider",
})  # fmt: skip
#: What draws an alert's picture.
_DRAWN: Final = frozenset({"chart", "chart_parent", "links", "log10_m", "log10_a", "broke_short"})
_MOVED: Final = 6


def failure_of(trace: dict[str, Any]) -> dict[str, Any]:
    """The API's trace without what explains no failure: raw attributes, resources, passing scores' words."""
    scores = trace["scores"]
    failed = [s for s in scores if s["passed"] is False]
    steps = _told(trace["spans"], {str(s["span_id"]) for s in failed if s["span_id"]})
    return {
        **{k: trace[k] for k in ("trace_id", "time", "duration_ms", "session_id", "scenario", "service", "release")},
        **{k: trace[k] for k in ("prompt_name", "prompt_version", "error_class", "complete", "content_hidden")},
        "content_gone": trace.get("content_gone", False),
        "failed": [_score(s) for s in failed],
        "other_scores": {s["scorer"]: s["value"] if s["value"] is not None else s["label"] for s in scores if s not in failed},
        "input": trace["input_text"],
        "output": trace["output_text"],
        "steps_in_all": len(trace["spans"]),
        "steps": [_step(s) for s in steps],
    }  # fmt: skip


def _told(spans: list[dict[str, Any]], blamed: set[str]) -> list[dict[str, Any]]:
    """The steps to read, in order: all of a short trace; of a long one those that failed with what they stand in, and as many of the
    first and last as there is room for."""
    if len(spans) <= _STEPS:
        return spans
    above = {s["span_id"]: s["parent_id"] for s in spans}
    chosen: set[str] = set()
    bad = [s["span_id"] for s in spans if s["error"] or s["span_id"] in blamed]
    ends = [s["span_id"] for pair in zip(spans, reversed(spans), strict=True) for s in pair]
    for step in (*bad, *ends):
        line: list[str] = []
        while step in above and step not in chosen and step not in line:
            line.append(step)
            step = above[step]
        if len(chosen) + len(line) <= _STEPS:
            chosen.update(line)
    return [s for s in spans if s["span_id"] in chosen]


def row_of(trace: dict[str, Any]) -> dict[str, Any]:
    """One line of the API's list of traces."""
    return {k: v for k, v in trace.items() if k not in _BOOKKEEPING}


def alert_of(alert: dict[str, Any]) -> dict[str, Any]:
    """The API's alert without the points of its charts and times that are there in words."""
    kept = {k: v for k, v in alert.items() if not k.endswith("_ns")}
    evidence = {k: v for k, v in alert["evidence"].items() if k not in _DRAWN}
    return {
        **kept,
        "evidence": evidence,
        "moved": alert["moved"][:_MOVED],
        "moved_in_all": len(alert["moved"]),
    }


def heading_of(run: dict[str, Any]) -> dict[str, Any]:
    """What a stored run is, and what came of it."""
    return {
        **{
            k: run[k]
            for k in ("id", "name", "created", "dataset", "dataset_version", "target", "baseline_name")
        },
        **{k: run[k] for k in ("verdict", "needed", "n_cases", "repeats", "cost")},
    }


def run_of(run: dict[str, Any], every: bool, limit: int) -> dict[str, Any]:
    """The API's experiment with at most `limit` of its cases, those that failed unless `every` one is wanted, without the scores that
    say nothing bad."""
    taken = [c for r in run["results"] if (c := _case(r))["failed"] or c["error"] or every]
    return {
        **heading_of(run),
        "metrics": [
            {k: m[k] for k in ("scorer", "outcome", "n", "mean", "baseline_mean", "low", "high", "margin", "explanation")}
            for m in run["metrics"]
        ],
        "regressions": run["regressions"][:limit],
        "regressions_in_all": len(run["regressions"]),
        "cases": taken[:limit],
        "cases_in_all": len(taken),
    }  # fmt: skip


def _case(result: dict[str, Any]) -> dict[str, Any]:
    return {
        **{k: result[k] for k in ("case_id", "input", "expected", "output", "error", "trace_id")},
        "failed": {
            name: {"reason": score["reason"], "flaky": score["flaky"]}
            for name, score in result["scores"].items()
            if False in score["passed"]
        },
    }


def _score(score: dict[str, Any]) -> dict[str, Any]:
    return {k: score[k] for k in ("scorer", "source", "value", "label", "reason", "span_id", "author")}


def _step(span: dict[str, Any]) -> dict[str, Any]:
    llm, found, tool = span["llm"] or {}, span["retrieval"] or {}, span["tool"] or {}
    return {
        **{k: span[k] for k in ("span_id", "parent_id", "name", "kind", "duration_ms", "error")},
        "model": llm.get("response_model") or llm.get("request_model"),
        "finish_reason": llm.get("finish_reason"),
        "system": llm.get("system"),
        "messages": [{"role": m["role"], "text": m["text"]} for m in llm.get("input_messages", [])],
        "output": llm.get("output_text"),
        "tool_calls": llm.get("tool_calls"),
        "query": found.get("query"),
        "documents": [{"id": d["id"], "content": d["content"]} for d in found.get("documents", [])],
        "tool": {k: tool.get(k) for k in ("name", "arguments", "result", "error")} if tool else None,
    }
