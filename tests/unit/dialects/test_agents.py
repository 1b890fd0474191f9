"""Coding agents that send log records only."""

import random
from typing import Any

from tests.unit.dialects.make import log
from watchkeeper import dialects
from watchkeeper.model.span import LogRecord


def _log(name: str, at: int, **attributes: Any) -> LogRecord:
    values = {k.replace("__", "."): v for k, v in attributes.items()}
    return log(name, name, values, at=at, trace_id="", span_id="")


CLAUDE = [
    _log("claude_code.user_prompt", 1, session__id="s-1", user__id="u-1", prompt="Fix the bug", prompt_length=11),
    _log("claude_code.api_request", 900, session__id="s-1", model="claude-sonnet-4-5-20250929", cost_usd=0.02, duration_ms=800,
         input_tokens=10, output_tokens=50, cache_read_tokens=2000, cache_creation_tokens=100),
    _log("claude_code.tool_result", 1500, session__id="s-1", tool_name="Bash", success="false", duration_ms=500, error="exit 1"),
    _log("claude_code.api_error", 2000, session__id="s-1", model="claude-sonnet-4-5-20250929", error="Overloaded", status_code=529,
         duration_ms=100, attempt=3),
]  # fmt: skip


def test_it_makes_one_trace_of_a_claude_code_session_in_any_order() -> None:
    trace_id = dialects.trace_id_of(CLAUDE[0])
    assert len(trace_id) == 32 and {dialects.trace_id_of(x) for x in CLAUDE} == {trace_id}
    first = dialects.assemble([], CLAUDE)
    mixed = CLAUDE * 2
    random.Random(3).shuffle(mixed)
    assert dialects.assemble([], mixed) == first
    assert [s.kind for s in first.spans] == ["agent", "llm", "tool", "llm"]
    call = first.spans[1].llm
    assert call is not None and first.spans[1].duration_ms == 800
    assert (call.usage.input_tokens, call.usage.cached_input_tokens, call.usage.input_tokens_as_sent) == (
        2110,
        2000,
        10,
    )
    assert (call.cost_client, call.provider, first.totals.output_tokens) == (0.02, "anthropic", 50)
    assert (
        first.context.session_id == "s-1"
        and first.context.user_id == "u-1"
        and first.input_text == "Fix the bug"
    )
    tool, failed = first.spans[2], first.spans[3]
    assert tool.tool is not None and (tool.tool.name, tool.tool.error) == ("Bash", "exit 1")
    assert (
        failed.error is not None
        and failed.error.class_ == "server_error"
        and failed.llm
        and failed.llm.attempts == 3
    )


def test_it_reads_codex_usage_from_the_completed_stream_event() -> None:
    records = [
        _log("codex.user_prompt", 1, conversation__id="c-1", prompt="[REDACTED]"),
        _log("codex.api_request", 100, conversation__id="c-1", duration_ms=90, success="true", http__response__status_code=200),
        _log("codex.sse_event", 150, conversation__id="c-1", event__kind="response.output_item.done"),
        _log("codex.sse_event", 900, conversation__id="c-1", event__kind="response.completed", model="gpt-5-codex", input_token_count="1000",
             output_token_count="60", cached_token_count="800", reasoning_token_count="20"),
        _log("codex.tool_result", 950, conversation__id="c-1", tool_name="shell", call_id="k1", arguments='{"cmd": "ls"}', duration_ms="5",
             success="true", output="a.txt"),
        _log("codex.api_request", 990, conversation__id="c-1", duration_ms=5, success="false", error__message="429 Too Many Requests"),
    ]  # fmt: skip
    trace = dialects.assemble([], records)
    good, bad = trace.llm_calls
    assert good.llm is not None and bad.error is not None
    usage = good.llm.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.reasoning_output_tokens) == (1000, 800, 20)
    assert bad.error.class_ == "rate_limit" and trace.input_text is None
    assert trace.tools[0].tool is not None and trace.tools[0].tool.arguments == {"cmd": "ls"}


def test_it_leaves_other_logs_and_those_without_a_session_alone() -> None:
    assert dialects.spans_from_logs([log("gen_ai.choice", {}), _log("claude_code.api_request", 1)]) == []
    assert dialects.trace_id_of(_log("something.else", 1)) == ""
