"""A score as other systems read it: the evaluation event of the GenAI conventions."""

from typing import Any

from watchkeeper.model.score import Score
from watchkeeper.model.span import LogRecord

SCOPE = "watchkeeper.scores"


def evaluation_of(score: Score) -> LogRecord:
    """`gen_ai.evaluation.result` at the evaluated span (or trace), timed when the score was made.

    What the conventions have no name for goes under `watchkeeper.score.`; unknown values are left out.
    """
    attributes: dict[str, Any] = {
        "gen_ai.evaluation.name": score.scorer,
        "gen_ai.evaluation.score.value": score.value,
        "gen_ai.evaluation.score.label": score.label,
        "gen_ai.evaluation.explanation": score.reason,
        "watchkeeper.score.source": score.source,
        "watchkeeper.score.version": score.version,
        "watchkeeper.score.passed": score.passed,
        "watchkeeper.score.judge_model": score.judge_model or None,
        "watchkeeper.score.author": score.author or None,
        "watchkeeper.score.inclusion_probability": score.inclusion_probability or None,
        "session.id": score.session_id,
    }
    return LogRecord(
        trace_id=score.trace_id,
        span_id=score.span_id,
        time_ns=score.scored_ns,
        name="gen_ai.evaluation.result",
        severity=9,
        body=None,
        attributes={k: v for k, v in attributes.items() if v is not None},
        resource={"service.name": "watchkeeper", "watchkeeper.project": score.project},
        scope_name=SCOPE,
    )
