"""Reads what triage needs of an incident: scored traces before and after the onset with everything recorded about them,
what their steps were, and the documents of some. A random part is read, whole windows never: figures carry their n."""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchkeeper.alerting.monitor import DIMENSIONS
from watchkeeper.alerting.routing import cohort_of_alert, onset_of
from watchkeeper.alerting.triage import Sample, triage
from watchkeeper.dialects import normalise
from watchkeeper.model.alert import Alert, Deploy, Moved
from watchkeeper.model.errors import TRANSPORT
from watchkeeper.model.incident import Factor, Triage
from watchkeeper.model.series import Cohort, Point, cohort_text
from watchkeeper.model.span import RawSpan
from watchkeeper.model.times import DAY, HOUR
from watchkeeper.pipeline.watching.normals import BASELINE_NS
from watchkeeper.reviewing.clusters import words
from watchkeeper.scoring.checks.language import guess
from watchkeeper.store.columns import Columns

TRACES, RETRIEVALS, WORDS, VALUES = 3000, 200, 24, 12
# Scorers of what goes into an answer, or of how it is made. A scorer of the answer's worth is the thing to be explained.
SCORED = {
    "context_precision": "retrieval", "context_recall": "retrieval", "context_relevance": "retrieval",
    "retrieval_empty": "retrieval", "refusal": "generation", "truncation": "generation",
    "empty_output": "generation", "uncertainty": "generation", "output_repetition": "generation",
    "tool_empty_result": "routing", "tool_error": "routing", "tool_known": "routing", "too_many_steps": "routing",
    "repeated_call": "routing", "tool_arguments_valid": "routing", "input_length": "upstream",
    "injection_pattern": "upstream", "input_encoding": "upstream",
}  # fmt: skip
# Errors of the machinery; the others are what a scorer thought of the answer.
MECHANICAL = frozenset({*TRANSPORT, "tool_error"})
_PLAIN = (
    ("generation", "output_tokens"), ("generation", "output_characters"), ("generation", "temperature"),
    ("generation", "max_tokens"), ("routing", "llm_calls"), ("routing", "tool_calls"), ("routing", "steps"),
    ("routing", "failed_tool_runs"), ("retrieval", "retrievals"), ("upstream", "input_characters"),
    ("upstream", "input_tokens"),
)  # fmt: skip
WORDING = {
    "output_tokens": "output length (tokens)", "output_characters": "output length (characters)",
    "input_characters": "input length (characters)", "input_tokens": "input length (tokens)",
    "llm_calls": "model calls per trace", "tool_calls": "tool calls per trace", "steps": "spans per trace",
    "failed_tool_runs": "failed tool runs per trace", "retrievals": "retrievals per trace",
    "retrieval_documents": "documents retrieved", "retrieval_empty": "retrievals without a document",
    "retrieval_top_score": "best document's score", "temperature": "temperature asked for", "max_tokens": "output limit asked for",
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """What is to be explained: a metric of a cohort, the calm before [ns, ns) and the trouble since [ns, ns). `named` is what
    the alert adds to the cohort."""

    project: str
    metric: str
    cohort: Cohort
    before: tuple[int, int]
    after: tuple[int, int]
    named: Cohort = ()


def question_of(alert: Alert, where: Cohort, now: int, deploys: Sequence[Deploy] = ()) -> Question | None:
    """The question an alert asks, of the traffic its monitor watches as a whole (`where`): whether its cohort is to blame
    is part of the answer. The trouble ends with the first deploy after the alert fired, since a rollback is what was done
    about it and not what happened. None for an alert without a metric, such as one about ourselves."""
    metric = alert.evidence.get("metric")
    if not isinstance(metric, str):
        return None
    onset = onset_of(alert)
    base = alert.evidence.get("baseline")
    known: Mapping[str, Any] = base if isinstance(base, dict) else {}
    start, end = known.get("from_ns"), known.get("to_ns")
    start = start if isinstance(start, int) else onset - BASELINE_NS
    end = min(end if isinstance(end, int) else onset, onset)
    fired = alert.fired_ns or now
    acted = [d.time_ns for d in deploys if d.time_ns > fired]
    until = max(min(alert.resolved_ns or now, now, *acted), onset + 1)
    named = tuple(x for x in cohort_of_alert(alert) if x not in where)
    return Question(alert.project, metric, where, (min(start, end - 1), end), (onset, until), named)


def where_of(alert: Alert, monitor_by: Sequence[str] | None) -> Cohort:
    """The monitor's own part of the alert's cohort: what it is not split by."""
    split = set(alert.cohort) if monitor_by is None else set(monitor_by)
    return tuple((k, v) for k, v in cohort_of_alert(alert) if k not in split)


async def run(columns: Columns, question: Question, now: int) -> Triage:
    """Answer a question. Five queries and the content of a few hundred traces; arithmetic in a thread."""
    q = question
    table = await columns.named(
        "triage_rows",
        q.project,
        metric=q.metric,
        since=q.before[0],
        base_until=q.before[1],
        onset=q.after[0],
        until=q.after[1],
        positions=[DIMENSIONS.index(k) + 1 for k, _ in q.cohort],
        values=[v for _, v in q.cohort],
        transport=sorted(TRANSPORT),
        names=list(SCORED),
        limit=TRACES,
    )
    rows = table.dicts()
    ids = [str(r["trace_id"]) for r in rows]
    steps_of = await _steps(columns, q.project, ids)
    documents, deploys, points = await asyncio.gather(
        _documents(columns, q.project, rows, steps_of),
        columns.read_deploys(q.project, q.after[0] - 14 * DAY, now + 1),
        columns.read_points(
            q.project,
            q.before[0],
            q.after[1],
            metric="traces",
            cohort=cohort_text(q.cohort),
        ),
    )

    def work() -> Triage:
        sample = sample_of(rows, steps_of, documents, q.metric)
        extra = [volume(points, q)]
        return triage(sample, q.metric, q.cohort, q.before, q.after, now, deploys, extra, q.named)

    return await asyncio.to_thread(work)


async def _steps(columns: Columns, project: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    found = await columns.named("triage_steps", project, ids=list(ids))
    return {str(r["trace_id"]): r for r in found.dicts()}


async def _documents(
    columns: Columns, project: str, rows: Sequence[Mapping[str, Any]], steps: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[int, float | None]]:
    """How many documents the retrievals of some traces found, and the best one's score; from the stored spans."""
    wanted: list[str] = []
    for side in (True, False):
        some = [str(r["trace_id"]) for r in rows if bool(r["after"]) is side]
        wanted += [t for t in some if int(steps.get(t, {}).get("retrievals") or 0) > 0][:RETRIEVALS]
    found: dict[str, tuple[int, float | None]] = {}
    for start in range(0, len(wanted), 50):
        part = await columns.read_traces(project, wanted[start : start + 50])
        found |= await asyncio.to_thread(
            lambda p=part: {t: d for t, (raws, _) in p.items() if (d := _found(raws))}
        )
    return found


def _found(raws: Sequence[RawSpan]) -> tuple[int, float | None] | None:
    spans = [normalise(raw) for raw in raws]
    lists = [s.retrieval.documents for s in spans if s.retrieval is not None and s.kind == "retrieval"]
    if not lists:
        return None
    scores = [d.score for documents in lists for d in documents if d.score is not None]
    return sum(len(documents) for documents in lists), max(scores, default=None)


def sample_of(
    rows: Sequence[Mapping[str, Any]],
    steps: Mapping[str, Mapping[str, Any]],
    documents: Mapping[str, tuple[int, float | None]],
    metric: str,
) -> Sample:
    """The rows as columns; a fact that is the metric itself is left out."""
    facts: dict[tuple[str, str], NDArray[np.float64]] = {}
    of = [steps.get(str(r["trace_id"]), {}) for r in rows]
    merged = [{**r, **s, "failed_tool_runs": s.get("tool_failures")} for r, s in zip(rows, of, strict=True)]
    for step, name in _PLAIN:
        facts[(step, name)] = _numbers([m.get(name) for m in merged])
    for i, (name, step) in enumerate(SCORED.items()):
        facts[(step, name)] = _numbers([r["scored"][i] for r in rows])
    found = [documents.get(str(r["trace_id"])) for r in rows]
    facts[("retrieval", "retrieval_documents")] = _numbers([d[0] if d else None for d in found])
    facts[("retrieval", "retrieval_empty")] = _numbers([float(d[0] == 0) if d else None for d in found])
    facts[("retrieval", "retrieval_top_score")] = _numbers([d[1] if d else None for d in found])
    wording = dict(WORDING)
    for step, prefix, values in _mixes(rows, of):
        counts = Counter(v for vs in values for v in vs)
        most = WORDS if prefix == "word" else VALUES
        for value, n in counts.most_common(most):
            if n < 20 or n == len(rows):
                continue
            key = f"{prefix}:{value}"
            facts[(step, key)] = np.fromiter((float(value in vs) for vs in values), float, len(rows))
            wording[key] = _PHRASE[prefix].format(value)
    kept = {k: x for k, x in facts.items() if k[1] != metric and np.isfinite(x).any()}
    cohorts = {d: [str(r["dims"][i]) for r in rows] for i, d in enumerate(DIMENSIONS)}
    return Sample(
        np.fromiter((bool(r["after"]) for r in rows), bool, len(rows)),
        _numbers([r["value"] for r in rows]),
        _numbers([r["weight"] for r in rows]),
        {d: _commonest(v) for d, v in cohorts.items() if len(set(v)) > 1},
        kept,
        wording,
    )


_PHRASE = {
    "finish": "answers that finish with {}", "tool": "traces that use {}", "error": "traces with the error {}",
    "language": "inputs in {}", "word": "inputs that say “{}”",
}  # fmt: skip


def _mixes(
    rows: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, list[set[str]]]]:
    """What a trace may have several of or one of many: step, prefix, values per trace."""
    texts = [str(r["input"] or "") for r in rows]
    tokens = [words(t, 80) for t in texts]
    language = [{guess(t, w) or "an unclear language"} for t, w in zip(texts, tokens, strict=True)]
    return [
        ("generation", "finish", [{str(r["finish_reason"])} if r["finish_reason"] else set() for r in rows]),
        ("routing", "tool", [set(map(str, s.get("tools") or ())) for s in steps]),
        ("routing", "error", [{str(r["error_class"])} & MECHANICAL for r in rows]),
        ("upstream", "language", language),
        ("upstream", "word", [{w for w in found if len(w) > 4 and w.isalpha()} for found in tokens]),
    ]


def _commonest(values: list[str]) -> list[str]:
    kept = {v for v, _ in Counter(values).most_common(VALUES)}
    return [v if v in kept else "other" for v in values]


def _numbers(values: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([math.nan if v is None else float(v) for v in values], dtype=np.float64)


def volume(points: Sequence[Point], q: Question) -> Factor:
    """Traces per hour before and after, from whole hours; it cannot be a share of a mean, so it only stands beside."""
    sides: list[tuple[float, float, float, int] | None] = []
    for since, until in (q.before, q.after):
        hours: dict[int, float] = dict.fromkeys(
            range(-(-since // HOUR) * HOUR, until // HOUR * HOUR, HOUR), 0.0
        )
        for p in points:
            at = p.start_ns // HOUR * HOUR
            if at in hours:
                hours[at] += p.sw
        if len(hours) < 3:
            sides.append(None)
            continue
        x = np.array(list(hours.values()))
        half = 1.96 * float(x.std(ddof=1)) / math.sqrt(x.size)
        sides.append((float(x.mean()), max(float(x.mean()) - half, 0.0), float(x.mean()) + half, x.size))
    name = "traces per hour"
    b, a = sides
    if b is None or a is None:
        line = Moved(name, None, None, None, 0, None, None, None, 0)
        return Factor(
            "upstream", name, "fact", "not_enough", line, "fewer than three whole hours on one side"
        )
    # Days differ from nights: only a change beyond half is worth a word without a seasonal model behind it.
    moved = (a[1] > b[2] or a[2] < b[1]) and not 0.5 <= a[0] / max(b[0], 1e-9) <= 2
    line = Moved(name, *b[:3], b[3], *a[:3], a[3], "", moved)
    note = "moved; what it does to the metric shows in the cohorts" if moved else "as before (n: hours)"
    return Factor("upstream", name, "fact", "holds", line, note, moved=moved, value="volume")
