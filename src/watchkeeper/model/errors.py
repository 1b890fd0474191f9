"""The closed taxonomy of what can be wrong with a trace, in two families, with root-cause precedence."""

from typing import NamedTuple


class ErrorClass(NamedTuple):
    """One class: `family` transport (the call itself failed) or content (it answered, but badly)."""

    name: str
    family: str
    definition: str


# A refusal is an outcome with a rate of its own, not an error: declining can be right.
# Ordered by root cause: the first class that applies is the trace's class.
TAXONOMY: tuple[ErrorClass, ...] = (
    ErrorClass("rate_limit", "transport", "The provider refused the call because of a quota or rate limit."),
    ErrorClass("timeout", "transport", "No answer within the caller's deadline."),
    ErrorClass(
        "context_length_exceeded", "transport", "The request was longer than the model's context window."
    ),
    ErrorClass("bad_request", "transport", "The provider rejected the request as invalid or not permitted."),
    ErrorClass(
        "server_error",
        "transport",
        "The provider or network failed (5xx, broken connection, cut stream), or the application did and nothing else explains it.",
    ),
    ErrorClass("truncation", "content", "The answer stopped at the token limit."),
    ErrorClass("tool_error", "content", "A tool call was invalid, failed, or was repeated without progress."),
    ErrorClass(
        "invalid_output", "content", "The answer is empty or breaks its format, schema or policy rules."
    ),
    ErrorClass(
        "ungrounded", "content", "The answer cites or states what the retrieved context does not hold."
    ),
    ErrorClass(
        "unsafe",
        "content",
        "Secrets, personal data, injection or harmful text; or a provider's filter stepped in.",
    ),
)
PRECEDENCE: dict[str, int] = {c.name: i for i, c in enumerate(TAXONOMY)}
TRANSPORT = frozenset(c.name for c in TAXONOMY if c.family == "transport")


def root_cause(classes: "list[str | None]") -> str | None:
    """The class that explains the others: the earliest in `TAXONOMY`; names outside it are ignored."""
    known = [c for c in classes if c is not None and c in PRECEDENCE]
    return min(known, key=PRECEDENCE.__getitem__) if known else None
