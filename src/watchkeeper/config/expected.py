"""A scorer's own tests as configuration."""

from typing import Any, Literal

from pydantic import Field

from watchkeeper.config.base import Line, Strict


class Expected(Strict):
    """What a scorer must say. `value` is exact to nine digits; `reason` is a part of its reason."""

    passed: bool | None = None
    value: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    label: Line | None = None
    reason: Line | None = None


class MetricTest(Strict):
    """A made-up answer and what the scorer must say of it."""

    name: Line | None = None
    input: str | dict[str, Any] = ""
    output: str | None = None
    expected: str | None = Field(None, description="The expected output, for scorers that compare.")
    documents: tuple[str | dict[str, Any], ...] = ()
    system: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = Field(
        (), description="name, arguments, and what came back: result or error."
    )
    tools: tuple[dict[str, Any], ...] = Field((), description="The definitions sent with the request.")
    finish_reason: Line | None = None
    latency_ms: float | None = None
    cost: float | None = None
    expect: Literal["pass", "fail", "not_scored"] | Expected
