"""Watchkeeper: is your LLM application still working?

The names below are the SDK. They load on first use, so importing this package costs nothing and pulls
neither OpenTelemetry nor anything of the server.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from watchkeeper.sdk import (
        GuardBlocked,
        Redactor,
        Span,
        Verdict,
        current_span,
        current_trace_id,
        feedback,
        flush,
        guard,
        init,
        propagate,
        score,
        session,
        shutdown,
        span,
        stream,
        trace,
        variant,
    )

__all__ = [
    "GuardBlocked",
    "Redactor",
    "Span",
    "Verdict",
    "__version__",
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
    "stream",
    "trace",
    "variant",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__") or name not in __all__:
        raise AttributeError(
            f"module 'watchkeeper' has no attribute {name!r}; it offers {', '.join(__all__)}"
        )
    from watchkeeper import sdk

    value = getattr(sdk, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
