"""Spans and logs in any order and number become one trace."""

import json
import random
from typing import Any

import pytest

from tests.unit.dialects.make import log, span
from watchkeeper import dialects
from watchkeeper.model.span import Span

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
}


def _call(n: int, parent: str | None = None, **attributes: Any) -> Span:
    return span({**CHAT, **attributes}, span_id=f"{n:016x}", parent=parent, start=n, end=100 + n)


def test_the_latest_end_wins_and_the_rest_is_forgotten() -> None:
    running = span(CHAT, end=-1)
    ended = span({**CHAT, "gen_ai.usage.input_tokens": 5}, end=500)
    older = span({**CHAT, "gen_ai.usage.input_tokens": 9}, end=400)
    for order in ([running, ended, older], [older, running, ended], [ended, older, running]):
        trace = dialects.assemble(order, [])
        assert len(trace.spans) == 1 and trace.totals.input_tokens == 5 and trace.complete


def test_two_versions_with_the_same_end_give_one_result_in_any_order() -> None:
    one, two = span({**CHAT, "x": "1"}), span({**CHAT, "x": "2"})
    assert dialects.assemble([one, two], []) == dialects.assemble([two, one], [])


def test_it_does_not_change_what_it_is_given() -> None:
    parent = span({"gen_ai.operation.name": "invoke_agent", "session.id": "s"}, span_id="0" * 15 + "1")
    child = _call(2, parent="0" * 15 + "1")
    before = (child.context.session_id, child.llm and child.llm.duplicate_of)
    trace = dialects.assemble([parent, child], [])
    assert (child.context.session_id, child.llm and child.llm.duplicate_of) == before == (None, None)
    assert trace.spans[1].context.session_id == "s"
    assert dialects.assemble(trace.spans, []) == trace


def test_a_trace_is_complete_when_its_root_has_ended() -> None:
    root = span({}, span_id="0" * 15 + "9", end=-1)
    child = _call(1, parent="0" * 15 + "9")
    assert not dialects.assemble([child], []).complete
    assert dialects.assemble([child], []).orphan_parents == ["0" * 15 + "9"]
    assert not dialects.assemble([child, root], []).complete
    assert dialects.assemble([child, span({}, span_id="0" * 15 + "9")], []).complete


def test_cycles_and_missing_parents_do_no_harm() -> None:
    a, b, c = _call(1, parent=f"{2:016x}"), _call(2, parent=f"{1:016x}"), _call(3, parent="ff" * 8)
    trace = dialects.assemble([a, b, c], [])
    assert len(trace.spans) == 3 and not trace.complete and trace.root is not None


@pytest.mark.parametrize(
    "carrier", ["wrapper without usage", "wrapper with the same usage", "wrapper with the sum"]
)
def test_a_wrapper_repeats_its_children(carrier: str) -> None:
    usage = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 4}
    outer_usage = {"wrapper without usage": {}, "wrapper with the same usage": usage,
                   "wrapper with the sum": {"gen_ai.usage.input_tokens": 20, "gen_ai.usage.output_tokens": 8}}[carrier]  # fmt: skip
    outer = _call(1, **outer_usage)
    inner = [_call(2, parent=outer.span_id, **usage), _call(3, parent=outer.span_id, **usage)]
    trace = dialects.assemble([outer, *inner], [])
    assert [s.span_id for s in trace.llm_calls] == [s.span_id for s in inner]
    assert trace.totals.input_tokens == 20


def test_a_call_under_another_call_with_its_own_usage_counts_too() -> None:
    outer = _call(1, **{"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 9})
    inner = _call(
        2, parent=outer.span_id, **{"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 4}
    )
    assert dialects.assemble([outer, inner], []).totals.input_tokens == 110


def test_the_same_response_id_at_two_providers_is_two_calls() -> None:
    one = _call(1, **{"gen_ai.response.id": "chatcmpl-0", "gen_ai.usage.input_tokens": 1})
    two = _call(
        2,
        **{
            "gen_ai.response.id": "chatcmpl-0",
            "gen_ai.usage.input_tokens": 2,
            "gen_ai.provider.name": "groq",
        },
    )
    assert dialects.assemble([one, two], []).totals.input_tokens == 3


def test_unknown_usage_stays_unknown_in_the_total() -> None:
    totals = dialects.assemble([_call(1)], []).totals
    assert (totals.input_tokens, totals.output_tokens, totals.cost, totals.pricing_version) == (
        None,
        None,
        None,
        None,
    )


def test_the_roots_context_outranks_and_reaches_everything() -> None:
    root = span({"session.id": "root", "user.id": "u"}, span_id="0" * 15 + "9", name="POST /chat")
    child = _call(1, parent=root.span_id, **{"session.id": "child"})
    other = _call(2, parent=root.span_id)
    trace = dialects.assemble([child, other, root], [])
    assert trace.context.session_id == "root"
    assert {s.span_id: s.context.session_id for s in trace.spans}[other.span_id] == "root"
    assert {s.span_id: s.context.session_id for s in trace.spans}[child.span_id] == "child"


def test_a_scrubbed_session_is_unknown_although_an_id_was_generated_beside_it() -> None:
    root = span({"session.id": "[Scrubbed due to 'session']"}, span_id="0" * 15 + "9", name="POST")
    child = _call(1, parent=root.span_id, **{"gen_ai.conversation.id": "generated"})
    assert dialects.assemble([root, child], []).context.session_id is None


def test_a_transport_error_counts_when_it_reached_the_user() -> None:
    failed = span({**CHAT, "error.type": "RateLimitError"}, span_id="0" * 15 + "1", status="error", start=1)
    good = _call(2)
    assert dialects.assemble([failed, good], []).error_class is None or failed.parent_id is None
    root = span({}, span_id="0" * 15 + "9", name="root", end=900)
    inner = span(
        {**CHAT, "error.type": "RateLimitError"},
        span_id="0" * 15 + "1",
        parent=root.span_id,
        status="error",
        start=1,
    )
    later = _call(2, parent=root.span_id)
    assert dialects.assemble([root, inner, later], []).error_class is None
    assert dialects.assemble([root, inner], []).error_class == "rate_limit"


def test_a_dropped_assistant_message_comes_back_from_the_call_that_made_it() -> None:
    said = [
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "k1", "name": "find", "arguments": {"q": 1}}],
        }
    ]
    given = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
             {"role": "tool", "parts": [{"type": "tool_call_response", "id": "k1", "response": "ok"}]}]  # fmt: skip
    one = _call(1, **{"gen_ai.output.messages": json.dumps(said)})
    two = _call(2, **{"gen_ai.input.messages": json.dumps(given)})
    llm = dialects.assemble([two, one], []).spans[1].llm
    assert llm is not None and [m.role for m in llm.input_messages] == ["user", "assistant", "tool"]


def test_evaluations_reach_their_span_once_wherever_they_come_from() -> None:
    values = {"gen_ai.evaluation.name": "faithfulness", "gen_ai.evaluation.score.value": 0.9}
    call = _call(1, **{"gen_ai.response.id": "r-12345"})
    direct = log("gen_ai.evaluation.result", None, values, span_id=call.span_id)
    loose = log(
        "gen_ai.evaluation.result",
        None,
        {**values, "gen_ai.evaluation.name": "tone", "gen_ai.response.id": "r-12345"},
        span_id="",
    )
    trace = dialects.assemble([call], [direct, direct, loose])
    assert [(e.name, e.value) for e in trace.spans[0].evaluations] == [("faithfulness", 0.9), ("tone", 0.9)]


def test_ten_thousand_spans_converge_in_any_order() -> None:
    spans = [span({}, span_id=f"{1:016x}", name="root", end=10_000_000)]
    spans += [
        _call(
            n, parent=f"{n // 2:016x}", **{"gen_ai.usage.input_tokens": 1, "gen_ai.response.id": f"resp-{n}"}
        )
        for n in range(2, 10_001)
    ]
    mixed = list(spans)
    random.Random(5).shuffle(mixed)
    first, second = dialects.assemble(spans, []), dialects.assemble(mixed, [])
    assert len(first.spans) == 10_000 and [s.span_id for s in first.spans] == [
        s.span_id for s in second.spans
    ]
    assert first.totals == second.totals


def test_a_chain_of_ten_thousand_nested_calls_takes_linear_work() -> None:
    spans = [
        _call(n, parent=f"{n - 1:016x}" if n > 1 else None, **{"gen_ai.usage.input_tokens": n})
        for n in range(1, 10_001)
    ]
    trace = dialects.assemble(spans, [])
    assert len(trace.spans) == 10_000 and trace.totals.input_tokens == sum(range(1, 10_001))


def test_three_levels_of_wrappers_leave_one_call() -> None:
    usage = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 4}
    a, b, c = _call(1), _call(2, parent=f"{1:016x}", **usage), _call(3, parent=f"{2:016x}", **usage)
    for order in ([a, b, c], [c, b, a], [b, a, c]):
        trace = dialects.assemble(order, [])
        assert [s.span_id for s in trace.llm_calls] == [c.span_id]
        assert {s.llm.duplicate_of for s in trace.spans if s.llm} == {None, c.span_id}


def test_an_agents_question_is_the_traces_where_the_step_around_it_has_an_object() -> None:
    root = span(
        {"openinference.span.kind": "CHAIN", "input.value": '{"topic": "x"}'},
        span_id="01" * 8,
        name="kickoff",
    )
    agent = span(
        {"openinference.span.kind": "AGENT", "input.value": "Capital?"}, span_id="02" * 8, parent="01" * 8
    )
    asked = [{"role": "user", "content": "Current Task: Capital?\nProvide your complete response:"}]
    call = _call(3, parent="02" * 8, **{"gen_ai.input.messages": json.dumps(asked)})
    assert dialects.assemble([root, agent, call], []).input_text == "Capital?"
