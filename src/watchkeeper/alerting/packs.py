"""Ready-made monitors with the field's thresholds: one line of configuration enables a pack."""

from dataclasses import dataclass
from typing import Literal

from watchkeeper.alerting.monitor import Monitor
from watchkeeper.model.alert import Severity
from watchkeeper.model.times import HOUR, MINUTE

PackName = Literal["latency", "errors", "cost", "quality", "safety", "texts", "watchkeeper"]


@dataclass(frozen=True)
class Pack:
    """`needs` are the metrics that must exist; a rule is its name, condition, window, hold (ns), severity and why."""

    name: PackName
    about: str
    needs: tuple[str, ...]
    rules: tuple[tuple[str, str, int, int, Severity, str], ...]

    def monitors(
        self,
        owner: str,
        runbook: str,
        by: tuple[str, ...] = (),
        routes: tuple[str, ...] = (),
        project: str = "default",
    ) -> list[Monitor]:
        """The pack's monitors for an owner and a runbook, which stay required: a page nobody owns helps nobody."""
        return [
            Monitor(
                f"{self.name}-{name}",
                condition,
                owner,
                runbook,
                project,
                window=window,
                hold=hold,
                by=by,
                severity=severity,
                routes=routes,
                description=about,
                # Of a pack that watches for silence, silence is the alert.
                no_data="alert" if self.name == "watchkeeper" else "keep",
            )
            for name, condition, window, hold, severity, about in self.rules
        ]


_LATENCY = Pack(
    "latency",
    "time to first token and total latency",
    ("ttft_ms", "latency_ms"),
    (
        (
            "ttft",
            "ttft_ms.p50 > 500ms",
            15 * MINUTE,
            0,
            "warn",
            "half the users wait longer than half a second for the first token",
        ),
        (
            "ttft-tail",
            "ttft_ms.p99 > 5s",
            HOUR,
            0,
            "warn",
            "one user in a hundred waits longer than five seconds for the first token",
        ),
        ("slower", "shift(latency_ms) = 'up'", HOUR, 0, "warn", "latency is no longer what it was"),
    ),
)
_ERRORS = Pack(
    "errors",
    "provider and transport errors",
    ("error_rate",),
    (
        ("sustained", "error_rate > 2%", 15 * MINUTE, 10 * MINUTE, "warn", "more than 2 % of requests fail"),
        ("burst", "error_rate > 5%", 5 * MINUTE, 0, "page", "more than 5 % of requests fail"),
        (
            "tools",
            "tool_error_rate > 10%",
            HOUR,
            0,
            "warn",
            "more than one agent run in ten has a failing tool",
        ),
    ),
)
_COST = Pack(
    "cost",
    "money spent and money per request",
    ("cost",),
    (
        (
            "daily",
            "cost.sum > 2 * baseline.cost.sum",
            24 * HOUR,
            0,
            "warn",
            "a day costs more than twice the baseline",
        ),
        ("per-request", "shift(cost) = 'up'", HOUR, 0, "warn", "a request costs more than it did"),
    ),
)
_QUALITY = Pack(
    "quality",
    "groundedness and relevance of answers",
    ("grounded", "answer_relevance"),
    (
        ("ungrounded", "grounded < 0.80", HOUR, 0, "warn", "less than 80 % of answers are grounded"),
        (
            "grounding-fell",
            "shift(grounded) = 'down'",
            HOUR,
            0,
            "warn",
            "answers are less grounded than they were",
        ),
        (
            "relevance-fell",
            "shift(answer_relevance) = 'down'",
            HOUR,
            0,
            "warn",
            "answers are less relevant than they were",
        ),
    ),
)
_SAFETY = Pack(
    "safety",
    "policy violations and safety failures",
    ("error_class:unsafe",),
    (
        (
            "violations",
            "error_class:unsafe > 1%",
            10 * MINUTE,
            0,
            "page",
            "more than 1 % of answers break a policy",
        ),
        ("any", "any(error_class:unsafe > 0)", MINUTE, 0, "page", "a safety check failed"),
    ),
)
_SELF = Pack(
    "watchkeeper",
    "the system watching itself",
    ("traces",),
    (
        (
            "silence",
            "traces.n < 1",
            15 * MINUTE,
            0,
            "page",
            "no trace has arrived: traffic stopped, or capture did",
        ),
    ),
)

_TEXTS = Pack(
    "texts",
    "what users ask and what is answered",
    (),
    (
        ("asked", "drift(input)", HOUR, 0, "warn", "users ask for something else than in the baseline"),
        ("answered", "drift(output)", HOUR, 0, "warn", "answers read differently than in the baseline"),
    ),
)

PACKS: dict[PackName, Pack] = {
    p.name: p for p in (_LATENCY, _ERRORS, _COST, _QUALITY, _SAFETY, _TEXTS, _SELF)
}
