"""Coding agents that send log records only."""

import json
import random
from typing import Any

from tests.unit.dialects.make import event, log, span
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


def test_it_counts_a_gemini_cli_request_once_with_its_thoughts() -> None:
    records = [
        _log("gemini_cli.user_prompt", 1, session__id="g-1", prompt="Fix the bug", prompt_length=11),
        _log("gemini_cli.api_request", 100, session__id="g-1", model="gemini-2.5-pro", request_text="[]"),
        _log("gemini_cli.api_response", 900, session__id="g-1", model="gemini-2.5-pro", duration_ms=800, status_code=200,
             input_token_count=1000, output_token_count=60, cached_content_token_count=800, thoughts_token_count=20,
             tool_token_count=0, total_token_count=1080, response_text="Done.", finish_reasons=["stop"]),
        _log("gemini_cli.tool_call", 950, session__id="g-1", function_name="read_file", function_args='{"path": "a"}',
             duration_ms=5, success=False, error="no such file"),
        _log("gemini_cli.api_error", 990, session__id="g-1", model="gemini-2.5-pro", error="quota", status_code=429,
             duration_ms=5),
    ]  # fmt: skip
    trace = dialects.assemble([], records[::-1])
    assert [s.kind for s in trace.spans] == ["agent", "llm", "tool", "llm"]
    good, bad = trace.llm_calls
    assert good.llm is not None and bad.error is not None and bad.error.class_ == "rate_limit"
    usage = good.llm.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_output_tokens) == (1000, 80, 20)
    assert (good.llm.provider, good.llm.finish_reason, good.llm.output_text) == ("google", "stop", "Done.")
    tool = trace.tools[0].tool
    assert tool is not None and (tool.name, tool.arguments, tool.error) == (
        "read_file",
        {"path": "a"},
        "no such file",
    )


def test_a_request_that_a_record_tells_is_what_was_sent_also_for_an_agent_below() -> None:
    def sent(text: str) -> str:
        return json.dumps([{"role": "user", "parts": [{"text": text}]}])

    told: dict[str, Any] = {"session__id": "q-1", "model": "qwen3-coder-plus"}
    counts = {"input_token_count": 9, "output_token_count": 2}
    records = [
        _log("qwen-code.user_prompt", 1, session__id="q-1", prompt="Fix it", prompt_id="p1"),
        _log("qwen-code.api_request", 2, **told, prompt_id="p1", request_text=sent("Context. Fix it")),
        _log(
            "qwen-code.api_request",
            3,
            **told,
            prompt_id="p2",
            subagent_name="recall",
            request_text=sent("Recall"),
        ),
        _log(
            "qwen-code.api_response",
            4,
            **told,
            **counts,
            prompt_id="p1",
            response_id="r1",
            response_text="Done.",
        ),
        _log("qwen-code.api_response", 5, **told, **counts, prompt_id="p2", subagent_name="recall"),
        _log("qwen-code.api_response", 6, **told, **counts, prompt_id="p3"),
        _log("qwen-code.api_response", 7, **told, **counts, prompt_id="p1"),
    ]
    calls = dialects.assemble([], records[::-1]).llm_calls
    assert [c.input_text for c in calls] == ["Context. Fix it", "Recall", None, "Fix it"]
    assert [c.context.agent_name for c in calls] == ["qwen-code", "recall", "qwen-code", "qwen-code"]
    assert calls[0].llm is not None and calls[0].llm.response_id == "r1"


def test_it_reads_claude_codes_own_spans_and_leaves_the_records_on_them_to_them() -> None:
    session: dict[str, Any] = {"session.id": "s-1", "user.id": "u-1"}
    turn = span({**session, "span.type": "interaction", "user_prompt": "Fix the bug"}, span_id="0a" * 8,
                name="claude_code.interaction", kind="internal", end=100)  # fmt: skip
    request = span(
        {**session, "span.type": "llm_request", "model": "claude-opus-5", "gen_ai.system": "anthropic",
         "gen_ai.request.model": "claude-opus-5", "input_tokens": 2, "output_tokens": 120, "cache_read_tokens": 800,
         "cache_creation_tokens": 70, "success": True, "stop_reason": "tool_use", "ttft_ms": 12, "attempt": 1},
        span_id="0b" * 8, parent="0a" * 8, name="claude_code.llm_request", kind="internal", start=1, end=50,
    )  # fmt: skip
    output = event("tool.output", output="a.txt")
    tool = span({**session, "span.type": "tool", "tool_name": "Bash", "tool_use_id": "t1", "full_command": "ls"},
                span_id="0c" * 8, parent="0a" * 8, name="claude_code.tool", kind="internal", start=51, end=60,
                events=[output])  # fmt: skip
    failed = span({**session, "span.type": "llm_request", "model": "claude-opus-5", "success": False,
                   "error": "Overloaded", "status_code": 529}, span_id="0d" * 8, parent="0a" * 8,
                  name="claude_code.llm_request", kind="internal", start=61, end=70)  # fmt: skip
    told = log("claude_code.api_request", "claude_code.api_request",
               {**session, "model": "claude-opus-5", "input_tokens": 2, "output_tokens": 120}, span_id="0b" * 8)  # fmt: skip
    trace = dialects.assemble([failed, tool, request, turn], [told])
    assert trace == dialects.assemble([turn, request, tool, failed], [told, told])
    assert [s.kind for s in trace.spans] == ["agent", "llm", "tool", "llm"]
    assert trace.input_text == "Fix the bug" and trace.context.session_id == "s-1"
    call = trace.spans[1].llm
    assert call is not None and (call.usage.input_tokens, call.usage.input_tokens_as_sent) == (872, 2)
    assert (call.finish_reason, call.ttft_ms, call.provider, trace.totals.output_tokens) == (
        "tool_calls",
        12,
        "anthropic",
        120,
    )
    ran = trace.tools[0].tool
    assert ran is not None and (ran.name, ran.call_id, ran.arguments, ran.result) == (
        "Bash",
        "t1",
        {"full_command": "ls"},
        "a.txt",
    )
    assert trace.spans[3].error is not None and trace.spans[3].error.class_ == "server_error"


def test_it_reads_what_claude_code_answered_to_which_request() -> None:
    turn = {"session__id": "s-9", "prompt__id": "p-1", "model": "claude-sonnet-4-5"}
    used = {"input_tokens": "8", "output_tokens": "2", "duration_ms": "50"}
    records = [
        _log("claude_code.user_prompt", 1, session__id="s-9", prompt__id="p-1", prompt="Which branch?"),
        _log("claude_code.api_request", 100, **turn, **used),
        _log("claude_code.tool_result", 200, session__id="s-9", tool_name="Bash", success="true",
             tool_parameters='{"bash_command": "git"}', tool_input='{"command": "git branch"}'),
        _log("claude_code.api_request", 300, **turn, **used),
        _log("claude_code.assistant_response", 301, **turn, response="You are on main."),
    ]  # fmt: skip
    trace = dialects.assemble([], records[::-1])
    assert trace == dialects.assemble([], records)
    assert [s.output_text for s in trace.llm_calls] == [None, "You are on main."]
    assert (trace.input_text, trace.output_text) == ("Which branch?", "You are on main.")
    assert [s.tool.arguments for s in trace.tools if s.tool] == [{"command": "git branch"}]


def test_a_turn_of_claude_code_answers_what_its_record_says() -> None:
    turn = span({"span.type": "interaction", "session.id": "s-1", "user_prompt": "Which branch?"},
                name="claude_code.interaction", scope="com.anthropic.claude_code.tracing")  # fmt: skip
    said = log("claude_code.assistant_response", None, {"response": "You are on main."})
    trace = dialects.assemble([turn], [said])
    assert (trace.input_text, trace.output_text) == ("Which branch?", "You are on main.")


def test_codex_tells_the_end_of_a_stream_twice_and_its_usage_once() -> None:
    ended = {"conversation__id": "c-1", "model": "gpt-5-codex", "event__kind": "response.completed"}
    records = [
        _log("codex.api_request", 90, conversation__id="c-1", http__response__status_code="200"),
        _log("codex.sse_event", 100, **ended, duration_ms="0"),
        _log("codex.sse_event", 101, **ended, input_token_count="80", output_token_count="20"),
        _log("codex.api_request", 200, conversation__id="c-1", http__response__status_code="429",
             error__message="slow down"),
    ]  # fmt: skip
    calls = dialects.assemble([], records).llm_calls
    assert [(s.llm.usage.input_tokens, s.error and s.error.class_) for s in calls if s.llm] == [
        (80, None),
        (None, "rate_limit"),
    ]


def test_gemini_cli_is_told_by_its_records_and_not_again_by_its_spans() -> None:
    def chunk(text: str, **more: Any) -> dict[str, Any]:
        return {"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, **more}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3}}  # fmt: skip

    streamed = json.dumps([chunk("On "), chunk("main.", finishReason="STOP")])
    counts = {"model": "gemini-2.5-flash", "input_token_count": 9, "output_token_count": 3}
    answer = _log("gemini_cli.api_response", 50, session__id="s-1", **counts, response_text=streamed)
    told = {"session.id": "s-1", "function_name": "ls", "function_args": "{}", "success": True}
    within = log("gemini_cli.tool_call", "Tool call: ls.", told, at=60)
    assert dialects.trace_id_of(within) == dialects.trace_id_of(answer) != within.trace_id
    trace = dialects.assemble([], [answer, within])
    assert [s.output_text for s in trace.llm_calls] == ["On main."] and len(trace.tools) == 1
    assert trace.llm_calls[0].llm is not None and trace.llm_calls[0].llm.stream is True
    call = {"gen_ai.operation.name": "llm_call", "gen_ai.usage.input_tokens": 9, "gen_ai.request.model": "g"}
    assert span(call, scope="gemini-cli").kind == "workflow"
