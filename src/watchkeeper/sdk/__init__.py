"""The SDK: traces, guards, feedback and scores out of a Python application, by OTLP and four small JSON calls.

It depends on the OpenTelemetry SDK alone and shares no code with the server.
"""

from watchkeeper.sdk.ambient import propagate, session, variant
from watchkeeper.sdk.client import flush, init, shutdown, stats
from watchkeeper.sdk.decorate import trace
from watchkeeper.sdk.guarding import Guard, GuardBlocked, Verdict, guard
from watchkeeper.sdk.redaction import Redactor
from watchkeeper.sdk.report import feedback, score
from watchkeeper.sdk.spans import Span, current_span, current_trace_id, span, stream

__all__ = [
    "Guard",
    "GuardBlocked",
    "Redactor",
    "Span",
    "Verdict",
    "current_span",
    "current_trace_id",
    "feedback",
    "flush",
    "guard",
    "init",
    "propagate",
    "score",
    "session",
    "shutdown",
    "span",
    "stats",
    "stream",
    "trace",
    "variant",
]
