"""Exports of other products: each record becomes the span its own client would have sent."""

import json
from typing import Any

import msgspec
import pytest

from watchkeeper import dialects
from watchkeeper.dialects import history
from watchkeeper.dialects.history import common
from watchkeeper.model.span import LogRecord, RawSpan, Trace
from watchkeeper.wire import encode
from watchkeeper.wire.otlp import decode

UUID = "6f1e3c0a-0c52-4a4c-9a39-2f9c53f1a001"
RUN = "1b64098b-4ab7-43f6-afee-992304f198d8"
CHILD = "809ed3a2-0172-4f4d-8a02-a64e9b7a0f8a"
LANGFUSE_TRACE: dict[str, Any] = {
    "id": UUID, "timestamp": "2026-10-01T08:00:00.000Z", "name": "answer", "input": {"question": "Where is my parcel?"},
    "output": "On its way.", "userId": "u-7", "sessionId": "s-9", "release": "2026.9", "tags": ["eu"], "public": False,
    "environment": "production", "metadata": {"tier": "gold"}, "latency": 2.5,
}  # fmt: skip
LANGFUSE_CALL: dict[str, Any] = {
    "id": "obs-1", "traceId": UUID, "type": "GENERATION", "name": "draft", "startTime": "2026-10-01T08:00:00.100Z",
    "endTime": "2026-10-01T08:00:02.100Z", "completionStartTime": "2026-10-01T08:00:00.600Z", "model": "gpt-4o-mini",
    "modelParameters": {"temperature": 0.2}, "input": [{"role": "user", "content": "Where is my parcel?"}],
    "output": {"role": "assistant", "content": "On its way."}, "parentObservationId": None, "level": "DEFAULT",
    "usageDetails": {"input": 12, "output": 4, "total": 16}, "costDetails": {"total": 0.0001}, "promptName": "support",
    "promptVersion": 3, "metadata": {"scenario": "tracking"}, "timeToFirstToken": 0.5,
}  # fmt: skip
PHOENIX: dict[str, Any] = {
    "context.trace_id": "ab" * 16, "context.span_id": "cd" * 8, "parent_id": None, "name": "ChatCompletion",
    "span_kind": "LLM", "start_time": "2026-10-01 08:00:00.123456+00:00", "end_time": "2026-10-01 08:00:01.123456+00:00",
    "status_code": "OK", "status_message": "", "events": [],
    "attributes.llm.model_name": "gpt-4o-mini", "attributes.llm.token_count.prompt": 22.0,
    "attributes.llm.token_count.completion": 12.0, "attributes.session.id": "s-1",
    "attributes.llm.invocation_parameters": '{"temperature": 1.0}', "attributes.metadata": {"user_id": "u-1"},
    "attributes.llm.input_messages": [
        {"message.role": "system", "message.content": "Be brief."},
        {"message.role": "user", "message.content": "What is the capital of France?"},
    ],
    "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "Paris."}],
    "attributes.output.value": float("nan"),
}  # fmt: skip
LANGSMITH: dict[str, Any] = {
    "id": CHILD, "trace_id": RUN, "dotted_order": f"20261001T080000000000Z{RUN}.20261001T080000100000Z{CHILD}",
    "run_type": "llm", "name": "ChatOpenAI", "start_time": "2026-10-01T08:00:00.100000",
    "end_time": "2026-10-01T08:00:02.100000", "first_token_time": "2026-10-01T08:00:00.400000",
    "inputs": {"messages": [[{"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"],
                              "kwargs": {"content": "Where is my parcel?", "type": "human"}}]]},
    "outputs": {"generations": [[{"text": "On its way.", "message": {
        "lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "AIMessage"],
        "kwargs": {"content": "On its way.", "type": "ai", "response_metadata": {"finish_reason": "stop"}}}}]]},
    "extra": {"metadata": {"ls_model_name": "gpt-4o-mini", "ls_provider": "openai", "thread_id": "t-3"},
              "invocation_params": {"model": "gpt-4o-mini", "temperature": 0.3}, "runtime": {"sdk": "langsmith-py"}},
    "prompt_tokens": 12, "completion_tokens": 4, "total_cost": 0.0002, "session_name": "shop", "tags": ["eu"],
    "feedback_stats": {"helpful": {"n": 2, "avg": 0.5, "values": {}}, "tone": {"n": 1, "avg": None, "values": {"rude": 1}}},
    "status": "success", "error": None,
}  # fmt: skip
MLFLOW: dict[str, Any] = {
    "info": {
        "trace_id": "tr-" + "ab" * 16, "request_time": "2026-10-01T08:00:00.000Z", "state": "OK",
        "trace_metadata": {"mlflow.trace.user": "u-7", "mlflow.trace.session": "s-9", "mlflow.source.name": "app.py"},
        "tags": {"team": "support"}, "execution_duration_ms": 85,
        "assessments": [
            {"assessment_name": "good", "source": {"source_type": "HUMAN", "source_id": "bob"}, "feedback": {"value": False},
             "create_time": "2026-10-01T09:00:00Z", "rationale": "too short", "span_id": "GGlNa3MeGVM=", "valid": True},
            {"assessment_name": "tone", "source": {"source_type": "LLM_JUDGE"}, "feedback": {"value": "rude"}},
            {"assessment_name": "answer", "expectation": {"value": "Paris"}},
        ],
    },
    "data": {"spans": [
        {"trace_id": "q6urq6urq6urq6urq6urqw==", "span_id": "aqpYFrcCdIE=", "parent_span_id": None, "name": "ask",
         "start_time_unix_nano": 1790841600000000001, "end_time_unix_nano": 1790841601000000001, "events": [],
         "status": {"code": "STATUS_CODE_OK", "message": ""},
         "attributes": {"mlflow.spanType": '"CHAIN"', "mlflow.spanInputs": '{"q": "Capital?"}', "mlflow.spanOutputs": '"Lyon"'}},
        {"trace_id": "q6urq6urq6urq6urq6urqw==", "span_id": "GGlNa3MeGVM=", "parent_span_id": "aqpYFrcCdIE=", "name": "llm",
         "start_time_unix_nano": 1790841600100000000, "end_time_unix_nano": 1790841600900000000,
         "status": {"code": "STATUS_CODE_ERROR", "message": "late"},
         "events": [{"name": "exception", "time_unix_nano": 1790841600900000000, "attributes": {"exception.type": "TimeoutError"}}],
         "attributes": {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.chat.tokenUsage": '{"input_tokens": 12, "output_tokens": 4}',
                        "mlflow.spanInputs": '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Capital?"}]}'}},
    ]},
}  # fmt: skip
BRAINTRUST: dict[str, Any] = {
    "id": "row-1", "span_id": CHILD, "root_span_id": RUN, "span_parents": [RUN], "_xact_id": "1000", "project_id": "p",
    "created": "2026-10-01T08:00:00.000Z", "input": [{"role": "user", "content": "Capital?"}], "expected": "Paris",
    "output": [{"role": "assistant", "content": "Lyon."}], "metadata": {"model": "gpt-4o", "temperature": 0.1},
    "metrics": {"start": 1790841600.25, "end": 1790841601.25, "prompt_tokens": 12, "completion_tokens": 4, "tokens": 16,
                "time_to_first_token": 0.5},
    "span_attributes": {"name": "Chat Completion", "type": "llm"}, "scores": {"Factuality": 0.25, "none": None}, "tags": ["eu"],
}  # fmt: skip


def taken(*records: dict[str, Any]) -> tuple[list[RawSpan], list[LogRecord]]:
    """What these records become after a trip over the wire."""
    index = history.Index()
    forms = [history.recognise(r) for r in records]
    for form, record in zip(forms, records, strict=True):
        assert form is not None
        history.note(form, record, index)
    spans: list[RawSpan] = []
    logs: list[LogRecord] = []
    for form, record in zip(forms, records, strict=True):
        got = history.read(str(form), record, index)
        spans += decode("traces", encode.traces(got.spans)).spans
        logs += decode("logs", encode.logs(got.logs)).logs
    return spans, logs


def trace_of(*records: dict[str, Any]) -> Trace:
    spans, logs = taken(*records)
    return dialects.assemble([dialects.normalise(s) for s in spans], logs)


def test_a_langfuse_trace_and_its_call_become_one_trace() -> None:
    trace = trace_of(LANGFUSE_CALL, LANGFUSE_TRACE)
    assert trace.trace_id == UUID.replace("-", "")
    root, call = trace.spans
    assert (root.name, root.parent_id, call.parent_id) == ("answer", None, root.span_id)
    assert trace.complete and trace.duration_ms == 2500
    assert (trace.context.user_id, trace.context.session_id) == ("u-7", "s-9")
    assert (trace.context.release, trace.context.environment, trace.context.tags) == (
        "2026.9",
        "production",
        ["eu"],
    )
    assert trace.input_text == "Where is my parcel?" and trace.output_text == "On its way."
    assert call.llm is not None and call.dialect == "langfuse" and call.kind == "llm"
    assert (call.llm.usage.input_tokens, call.llm.usage.output_tokens) == (12, 4)
    assert (
        call.llm.cost_client == 0.0001 and call.llm.params["temperature"] == 0.2 and call.llm.ttft_ms == 500
    )
    assert (call.context.prompt_name, call.context.prompt_version) == ("support", "3")
    assert call.raw is not None and call.raw.attributes["langfuse.export.time_to_first_token"] == 0.5


def test_a_blob_store_row_in_snake_case_is_the_same_call() -> None:
    row = {
        "id": "obs-1", "trace_id": UUID, "project_id": "p", "type": "GENERATION", "parent_observation_id": "",
        "start_time": "2026-10-01 08:00:00.100000", "end_time": "2026-10-01 08:00:02.100000", "name": "draft",
        "provided_model_name": "gpt-4o-mini", "model_parameters": '{"temperature": 0.2}', "level": "ERROR",
        "input": '[{"role": "user", "content": "Where is my parcel?"}]', "output": None, "status_message": "rate limited",
        "usage_details": {"input": 0, "output": 0, "total": 0}, "total_cost": 0, "user_id": "u-7", "session_id": "s-9",
        "trace_name": "answer", "tags": ["eu"], "metadata": {"tier": "gold"},
    }  # fmt: skip
    trace = trace_of(row)
    (call,) = trace.spans
    assert call.parent_id is None and call.start_ns == 1_790_841_600_100_000_000
    assert (call.context.user_id, call.context.session_id) == ("u-7", "s-9")
    assert call.llm is not None and call.llm.usage.input_tokens is None and call.llm.cost_client is None
    assert call.error is not None and call.error.message == "rate limited"


def test_langfuse_scores_reach_the_trace_and_the_observation() -> None:
    scores = [
        {"id": "1", "name": "helpful", "value": 1, "dataType": "NUMERIC", "source": "API", "traceId": UUID,
         "timestamp": "2026-10-02T00:00:00Z", "comment": "said so"},
        {"id": "2", "name": "tone", "value": 0, "stringValue": "rude", "dataType": "CATEGORICAL", "source": "ANNOTATION",
         "traceId": UUID, "observationId": "obs-1", "timestamp": "2026-10-02T00:00:00Z"},
    ]  # fmt: skip
    trace = trace_of(LANGFUSE_TRACE, LANGFUSE_CALL, *scores)
    root, call = trace.spans
    assert [(e.name, e.value, e.label, e.explanation) for e in root.evaluations] == [
        ("helpful", 1.0, None, "said so")
    ]
    assert [(e.name, e.value, e.label) for e in call.evaluations] == [("tone", None, "rude")]


def test_a_trace_with_everything_inside_is_the_same_as_its_parts() -> None:
    score = {"id": "1", "name": "helpful", "value": 0.5, "dataType": "NUMERIC", "source": "API"}
    whole = {**LANGFUSE_TRACE, "observations": [LANGFUSE_CALL], "scores": [score]}
    trace = trace_of(whole)
    assert [s.name for s in trace.spans] == ["answer", "draft"]
    assert [(e.name, e.value) for e in trace.spans[0].evaluations] == [("helpful", 0.5)]
    apart = trace_of(LANGFUSE_CALL, LANGFUSE_TRACE)
    assert [s.span_id for s in apart.spans] == [s.span_id for s in trace.spans]


def test_the_table_export_names_scores_and_observation_ids_only() -> None:
    row = {**LANGFUSE_TRACE, "observations": ["obs-1"], "scores": {"helpful": [0.5], "tone": ["rude"]}}
    (root,) = trace_of(row).spans
    assert {(e.name, e.value, e.label) for e in root.evaluations} == {
        ("helpful", 0.5, None),
        ("tone", None, "rude"),
    }


# Rows of the pages' tables: sums over the trace, and a column for every score of the project, null where there is none.
TABLE_TRACE: dict[str, Any] = {
    **{k: LANGFUSE_TRACE[k] for k in ("id", "timestamp", "name", "userId", "sessionId", "release", "tags", "public")},
    "version": None, "environment": "production", "bookmarked": False, "input": {"question": "Where is my parcel?"},
    "output": "On its way.", "metadata": {"tier": "gold"}, "latency": 2.5,
    "usage": {"promptTokens": 12, "completionTokens": 4, "totalTokens": 16}, "inputCost": 0.00006, "outputCost": 0.00004,
    "totalCost": 0.0001, "level": "DEFAULT", "errorCount": 0, "warningCount": 0, "defaultCount": 1, "debugCount": 0,
    "observationCount": 1, "inputTokens": 12, "outputTokens": 4, "totalTokens": 16, "comments": [],
    "Is it helpful?": [0.5, 1.0], "tone": ["rude", "rude", "kind"], "never given": None,
}  # fmt: skip
TABLE_CALL: dict[str, Any] = {
    **LANGFUSE_CALL, "traceName": "answer", "traceTags": ["eu"], "traceTimestamp": "2026-10-01T08:00:00.000Z", "userId": "u-7",
    "modelId": "m-1", "inputPrice": 0.1, "toolCallNames": ["lookup"], "input": ["Where is my parcel?"],
    "comments": [{"content": "look at this"}], "groundedness": [0.9], "never given": None,
}  # fmt: skip


def as_cells(row: dict[str, Any], texts_quoted: bool) -> dict[str, Any]:
    """A row as the CSV export writes it: JSON; older versions also put texts in quotes, newer ones only times."""

    def cell(key: str, value: Any) -> str:
        if isinstance(value, str) and not texts_quoted and "ime" not in key:
            return value
        return json.dumps("" if value is None else value, separators=(",", ":"))

    cells = {k: cell(k, v) for k, v in row.items() if v is not None or texts_quoted}
    return {k: v for k, v in cells.items() if v}


@pytest.mark.parametrize("form", ["json", "csv", "older csv"])
def test_rows_of_a_langfuse_table_are_traces_calls_and_scores(form: str) -> None:
    rows = [TABLE_TRACE, TABLE_CALL]
    if form != "json":
        rows = [as_cells(row, form == "older csv") for row in rows]
    trace = trace_of(*rows)
    root, call = trace.spans
    assert (trace.trace_id, root.name, call.parent_id) == (UUID.replace("-", ""), "answer", root.span_id)
    assert (trace.context.user_id, trace.context.session_id) == ("u-7", "s-9")
    assert (trace.context.release, trace.context.environment) == ("2026.9", "production")
    assert trace.duration_ms == 2500 and trace.output_text == "On its way."
    assert trace.totals.input_tokens == 12, "the row's own sums are those of its calls"
    assert call.llm is not None and call.llm.ttft_ms == 500 and call.llm.request_model == "gpt-4o-mini"
    assert sorted((e.name, e.value, e.label, e.explanation) for e in root.evaluations) == [
        ("Is it helpful?", 0.75, None, "mean of 2 scores"),
        ("tone", None, "rude", "rude (2), kind (1)"),
    ]
    assert [(e.name, e.value) for e in call.evaluations] == [("groundedness", 0.9)]


def test_every_field_of_an_export_is_kept() -> None:
    lost = {
        "langfuse": {"id", "traceId", "type", "parentObservationId", "startTime", "endTime", "name", "comments"},
        "langsmith": {"id", "trace_id", "dotted_order", "run_type", "name", "start_time", "end_time", "first_token_time"},
    }  # fmt: skip
    run = {
        **LANGSMITH,
        "serialized": {"lc": 1, "id": ["a"]},
        "events": [{"name": "retry", "time": "2026-10-01T08:00:01"}],
    }
    for form, record in (("langfuse", TABLE_CALL), ("langfuse", TABLE_TRACE), ("langsmith", run)):
        ((span, *_), _) = taken(record)
        held = json.dumps([span.attributes, span.resource], default=str).replace("\\", "")
        for key, value in record.items():
            if key in lost[form] or value in (None, "", [], {}) or "ime" in key or key == "latency":
                continue
            for leaf in leaves(value):
                assert str(leaf).replace("\\", "") in held, (form, key, leaf)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [] if value is None or isinstance(value, bool | float) else [value]


def test_runs_inside_a_langsmith_run_are_runs() -> None:
    below = {k: v for k, v in LANGSMITH.items() if k not in ("trace_id", "dotted_order")}
    root = {"id": RUN, "run_type": "chain", "name": "Agent", "start_time": "2026-10-01T08:00:00",
            "end_time": "2026-10-01T08:00:03", "child_runs": [{**below, "child_runs": None}]}  # fmt: skip
    said = {"run_id": CHILD, "key": "thumbs", "score": True}
    trace = trace_of(root, said)
    top, call = trace.spans
    assert (top.name, call.name, call.parent_id) == ("Agent", "ChatOpenAI", top.span_id)
    assert ("thumbs", 1.0) in [(e.name, e.value) for e in call.evaluations]
    assert top.raw is not None and not any("child_runs" in key for key in top.raw.attributes)


def test_a_phoenix_row_is_read_like_its_own_otlp() -> None:
    trace = trace_of(PHOENIX)
    (call,) = trace.spans
    assert (call.trace_id, call.span_id, call.dialect, call.kind) == (
        "ab" * 16,
        "cd" * 8,
        "openinference",
        "llm",
    )
    assert call.start_ns == 1_790_841_600_123_456_000 and call.duration_ms == 1000
    assert call.llm is not None and [m.role for m in call.llm.input_messages] == ["user"]
    assert call.llm.system == "Be brief."
    assert (
        call.llm.output_text == "Paris."
        and call.llm.usage.input_tokens == 22
        and call.llm.params["temperature"] == 1
    )
    assert (trace.context.session_id, trace.context.user_id) == ("s-1", "u-1")


def test_a_phoenix_row_of_a_csv_file_holds_reprs_and_means_the_same() -> None:
    row = {k: v if isinstance(v, str) else str(v) for k, v in PHOENIX.items() if v is not None}
    (call,) = trace_of(row).spans
    assert call.llm is not None and call.llm.output_text == "Paris." and call.llm.usage.output_tokens == 12


def test_json_that_went_in_or_came_out_stays_a_text_in_a_row_of_phoenix() -> None:
    given, said = '{"city": "Oslo"}', '[{"degrees": 4}]'
    row = {**PHOENIX, "span_kind": "TOOL", "attributes.openinference.span.kind": "TOOL", "attributes.tool.name": "find",
           "attributes.input.value": given, "attributes.output.value": said}  # fmt: skip
    (span,) = trace_of(row).spans
    assert span.tool is not None and span.raw is not None
    assert (span.tool.arguments, span.tool.result) == ({"city": "Oslo"}, [{"degrees": 4}])
    assert (span.raw.attributes["input.value"], span.raw.attributes["output.value"]) == (given, said)


def test_a_phoenix_annotation_finds_its_trace_through_its_span() -> None:
    note: dict[str, Any] = {"span_id": "cd" * 8, "name": "correct", "annotator_kind": "HUMAN",
            "result": {"score": 1.0, "label": "yes", "explanation": "it is"}}  # fmt: skip
    trace = trace_of(note, PHOENIX)
    assert [(e.name, e.value, e.label, e.explanation) for e in trace.spans[0].evaluations] == [
        ("correct", 1.0, "yes", "it is")
    ]
    with pytest.raises(history.Unreadable, match="together with their spans"):
        history.read("phoenix", note, history.Index())


def test_a_langsmith_run_with_its_feedback() -> None:
    root = {"id": RUN, "trace_id": RUN, "run_type": "chain", "name": "agent", "start_time": "2026-10-01T08:00:00",
            "end_time": "2026-10-01T08:00:03", "inputs": {"question": "Where is my parcel?"}, "prompt_tokens": 12,
            "completion_tokens": 4, "outputs": {"answer": "On its way."}, "dotted_order": f"20261001T080000000000Z{RUN}"}  # fmt: skip
    said = {
        "run_id": RUN,
        "key": "thumbs",
        "score": False,
        "comment": "no",
        "feedback_source": {"type": "app"},
    }
    trace = trace_of(LANGSMITH, root, said)
    top, call = trace.spans
    assert trace.trace_id == RUN.replace("-", "") and call.parent_id == top.span_id
    assert (
        trace.totals.input_tokens == 12
        and trace.context.service == "shop"
        and trace.context.session_id == "t-3"
    )
    assert (
        call.llm is not None
        and call.llm.request_model == "gpt-4o-mini"
        and call.llm.output_text == "On its way."
    )
    assert call.llm.ttft_ms == 300 and call.llm.finish_reason == "stop" and call.llm.cost_client == 0.0002
    assert {(e.name, e.value, e.label) for e in call.evaluations} == {
        ("helpful", 0.5, None),
        ("tone", None, "rude"),
    }
    assert [(e.name, e.value, e.explanation) for e in top.evaluations] == [("thumbs", 0.0, "no")]


def test_the_bulk_export_holds_json_text_and_means_the_same() -> None:
    row = {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in LANGSMITH.items()}
    del row["trace_id"]
    (call,) = trace_of(row).spans
    assert (
        call.trace_id == RUN.replace("-", "")
        and call.llm is not None
        and call.llm.output_text == "On its way."
    )


def test_a_failed_run_is_a_failed_span_with_its_class() -> None:
    row = {**LANGSMITH, "outputs": None, "error": "RateLimitError('slow down')Traceback (most recent call last): …",
           "status": "error", "first_token_time": None}  # fmt: skip
    (call,) = trace_of(row).spans
    assert call.status == "error" and call.error is not None
    assert (call.error.class_, call.error.raw_type) == ("rate_limit", "RateLimitError")


@pytest.mark.parametrize(
    "record", [LANGFUSE_TRACE, LANGFUSE_CALL, PHOENIX, LANGSMITH, MLFLOW, BRAINTRUST], ids=str
)
def test_every_record_becomes_the_same_ids_every_time(record: dict[str, Any]) -> None:
    first, again = taken(record), taken(json.loads(json.dumps(record)))
    assert [(s.trace_id, s.span_id) for s in first[0]] == [(s.trace_id, s.span_id) for s in again[0]]
    assert [r.log_id for r in first[1]] == [r.log_id for r in again[1]]


@pytest.mark.parametrize(
    ("form", "record", "words"),
    [
        ("langfuse", {"id": "x", "traceId": "t", "type": "SPAN"}, "no time it began"),
        (
            "langfuse",
            {"traceId": "t", "type": "SPAN", "startTime": "2026-10-01"},
            "its start_time is not a time: .2026-10-01",
        ),
        (
            "langfuse",
            {"name": "s", "traceId": "t", "dataType": "NUMERIC", "value": None},
            "neither a number nor a label",
        ),
        ("phoenix", {"context.trace_id": "t", "span_kind": "LLM"}, "reset_index"),
        ("langsmith", {"id": RUN, "run_type": "llm"}, "no time it began"),
        ("langsmith", {"run_id": CHILD, "key": "k", "score": 1}, "together with its runs"),
        ("mlflow", {"info": {"trace_id": "tr-1"}, "data": {"spans": []}}, "it has no spans"),
        ("mlflow", {"info": {"trace_id": "tr-1"}, "data": {"spans": [{"name": "x"}]}}, "no span_id"),
        ("braintrust", {"span_id": "a", "root_span_id": "b", "metrics": {}}, "no time it began"),
        ("watchkeeper", {"trace_id": "t", "spans": [], "usage": {}}, "no raw spans"),
    ],
)
def test_a_record_that_lacks_what_it_needs_says_so(form: str, record: dict[str, Any], words: str) -> None:
    with pytest.raises(history.Unreadable, match=words):
        history.read(form, record, history.Index())


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("2026-10-01T08:00:00.123456789Z", 1_790_841_600_123_456_789),
        ("2026-10-01 08:00:00", 1_790_841_600_000_000_000),
        ("2026-10-01T10:00:00.5+02:00", 1_790_841_600_500_000_000),
        (1_790_841_600, 1_790_841_600_000_000_000),
        (1_790_841_600_123, 1_790_841_600_123_000_000),
        ("1790841600123456", 1_790_841_600_123_456_000),
        (1_790_841_600_123_456_789, 1_790_841_600_123_456_789),
        ("yesterday", None),
        (float("nan"), None),
        (True, None),
        (-5, None),
    ],
)
def test_times_are_read_in_every_writing(value: object, wanted: int | None) -> None:
    assert common.time_ns(value) == wanted


def test_what_belongs_to_nobody_is_not_guessed() -> None:
    assert history.recognise({"question": "a", "answer": "b"}) is None
    assert history.recognise({"resourceSpans": []}) is None


def test_an_mlflow_trace_with_its_assessments_is_one_trace() -> None:
    trace = trace_of(MLFLOW)
    ask, call = sorted(trace.spans, key=lambda s: s.start_ns)
    assert (trace.trace_id, ask.context.user_id, ask.context.session_id) == ("ab" * 16, "u-7", "s-9")
    assert (ask.span_id, call.span_id, call.parent_id) == (
        "6aaa5816b7027481",
        "18694d6b731e1953",
        ask.span_id,
    )
    assert (ask.start_ns, ask.end_ns) == (1790841600000000001, 1790841601000000001)
    assert (call.kind, call.status) == ("llm", "error")
    assert call.llm is not None and (call.llm.request_model, call.llm.usage.input_tokens) == ("gpt-4o", 12)
    good, tone = taken(MLFLOW)[1]
    assert (good.span_id, good.attributes["gen_ai.evaluation.score.value"]) == (call.span_id, 0.0)
    assert good.attributes["gen_ai.evaluation.explanation"] == "too short"
    assert (tone.span_id, tone.attributes["gen_ai.evaluation.score.label"]) == ("", "rude")
    root = taken(MLFLOW)[0][0].attributes
    assert root["mlflow.export.expectation.answer"] == '{"value":"Paris"}'
    assert root["mlflow.export.tag.team"] == "support"


def test_a_row_of_mlflows_table_and_its_older_spans_mean_the_same() -> None:
    spans = MLFLOW["data"]["spans"]
    older = [
        {"name": s["name"], "context": {"span_id": f"0x{i}", "trace_id": "0x" + "cd" * 16}, "attributes": s["attributes"],
         "parent_id": None if s["parent_span_id"] is None else "0x6aaa5816b7027481", "start_time": s["start_time_unix_nano"],
         "end_time": s["end_time_unix_nano"], "status_code": s["status"]["code"].removeprefix("STATUS_CODE_"),
         "status_message": s["status"]["message"], "events": s["events"]}
        for s, i in zip(spans, ("6aaa5816b7027481", "18694d6b731e1953"), strict=True)
    ]  # fmt: skip
    info = {("request_id" if k == "trace_id" else k): v for k, v in MLFLOW["info"].items()}
    row = {"trace": json.dumps({"info": info, "data": {"spans": older}}), "request": "…"}
    newer, before = taken(MLFLOW)[0], taken(row)[0]
    for a, b in zip(newer, before, strict=True):
        assert (a.trace_id, a.span_id, a.parent_id, a.start_ns, a.end_ns, a.status) == (
            b.trace_id, b.span_id, b.parent_id, b.start_ns, b.end_ns, b.status
        )  # fmt: skip


def test_a_row_of_braintrust_is_the_call_its_own_client_would_have_sent() -> None:
    spans, logs = taken(BRAINTRUST)
    call = dialects.normalise(spans[0])
    assert (call.kind, call.name, call.status) == ("llm", "Chat Completion", "ok")
    assert (call.start_ns, call.end_ns) == (1790841600250000000, 1790841601250000000)
    assert call.llm is not None and call.llm.output_text == "Lyon."
    assert (call.llm.usage.input_tokens, call.llm.usage.output_tokens) == (12, 4)
    assert call.llm.ttft_ms == 500
    assert spans[0].attributes["braintrust.export.expected"] == "Paris"
    assert [
        (r.attributes["gen_ai.evaluation.name"], r.attributes["gen_ai.evaluation.score.value"]) for r in logs
    ] == [("Factuality", 0.25)]


def test_a_span_of_phoenix_as_otlp_is_the_same_as_its_row() -> None:
    def value(held: Any) -> dict[str, Any]:
        kinds = {str: "string_value", float: "double_value", int: "int_value", bool: "bool_value"}
        if isinstance(held, list):
            return {"array_value": {"values": [value(v) for v in held]}, "string_value": None}
        return {kinds[type(held)]: held, "kvlist_value": None}

    row = {
        k: v
        for k, v in PHOENIX.items()
        if "messages" not in k
        and k
        not in ("attributes.output.value", "attributes.metadata", "attributes.llm.invocation_parameters")
    }
    row["attributes.tag.tags"] = ["a", "b"]
    told = {k.removeprefix("attributes."): v for k, v in row.items() if k.startswith("attributes.")}
    told["openinference.span.kind"] = "LLM"
    otlp = {
        "trace_id": row["context.trace_id"], "span_id": row["context.span_id"], "parent_span_id": None, "name": row["name"],
        "start_time_unix_nano": "1790841600123456000", "end_time_unix_nano": 1790841601123456000,
        "status": {"code": 1, "message": None}, "attributes": [{"key": k, "value": value(v)} for k, v in told.items()],
        "events": [{"name": "seen", "time_unix_nano": 1790841600123456001, "attributes": [{"key": "n", "value": {"int_value": "7"}}]}],
    }  # fmt: skip
    (a,), (b,) = taken(row)[0], taken(otlp)[0]
    assert (a.trace_id, a.span_id, a.start_ns, a.end_ns, a.status, a.attributes) == (
        b.trace_id, b.span_id, b.start_ns, b.end_ns, b.status, b.attributes
    )  # fmt: skip
    assert [(e.name, e.time_ns, e.attributes) for e in b.events] == [("seen", 1790841600123456001, {"n": 7})]


def test_feedback_that_is_only_a_comment_or_a_correction_is_a_word() -> None:
    given = {"run_id": CHILD, "trace_id": RUN, "key": "note", "score": None}
    index = history.Index()
    for said, word in (
        ({"comment": "see the manual"}, "commented"),
        ({"correction": {"answer": "Paris"}}, "corrected"),
    ):
        (made,) = history.read("langsmith", {**given, **said}, index).logs
        assert made.attributes["gen_ai.evaluation.score.label"] == word


def _sent_again(record: dict[str, Any], spans: list[RawSpan]) -> Trace:
    """The trace as the server that takes an export of ours has it."""
    taken = history.read("watchkeeper", record, history.Index())
    came = decode("logs", encode.logs(taken.logs), "application/x-protobuf").logs if taken.logs else []
    return dialects.derive(spans, came)


def test_scores_of_an_export_of_ours_keep_who_said_them_and_what_they_decided() -> None:
    one = RawSpan(
        "ab" * 16,
        "cd" * 8,
        None,
        "answer",
        "internal",
        10**18,
        10**18 + 5,
        "unset",
        None,
        {},
        [],
        [],
        {},
        "",
        "",
    )
    two = msgspec.structs.replace(one, span_id="ef" * 8, parent_id=one.span_id)
    raw = {"spans": msgspec.to_builtins([one, two])}
    scores: list[dict[str, Any]] = [
        {"scorer": "thumbs", "source": "user", "author": "ada", "value": 0.0, "label": "down", "passed": False, "version": "1",
         "scored_at": "2001-09-09T01:46:40Z"},
        {"scorer": "thumbs", "source": "user", "author": "bob", "value": 0.0, "label": "down", "passed": False, "version": "1",
         "scored_at": "2001-09-09T01:46:41Z"},
        {"scorer": "tone", "source": "judge", "value": 4.0, "passed": True, "version": "v9", "span_id": two.span_id},
        {"scorer": "abandoned", "source": "signal", "value": 0.0, "passed": True, "version": "1"},
        {"scorer": "relevance", "source": "classifier", "value": 3.0, "version": "1"},
        {"scorer": "empty_output", "source": "check", "value": 1.0, "passed": True, "version": "1"},
    ]  # fmt: skip
    record = {"trace_id": one.trace_id, "usage": {}, "spans": [], "scores": scores, "raw": raw}
    trace = _sent_again(record, [one, two])
    told = [e for s in trace.spans for e in s.evaluations]
    assert [(e.scored_ns, e.source) for e in told] == [
        (10**18, "user"),
        (10**18 + 10**9, "user"),
        (None, "judge"),
    ]
    found = [(e.name, e.author, e.passed, e.version, s.span_id) for s in trace.spans for e in s.evaluations]
    assert found == [
        ("thumbs", "ada", False, "1", one.span_id),
        ("thumbs", "bob", False, "1", one.span_id),
        ("tone", "judge", True, "v9", two.span_id),
    ]


def test_what_came_with_the_telemetry_is_not_told_twice_by_an_export_of_ours() -> None:
    said = {"name": "helpful", "value": 1.0, "label": None, "author": "ada"}
    score = {
        "scorer": "helpful",
        "source": "external",
        "author": "ada",
        "value": 1.0,
        "label": None,
        "version": "1",
    }
    record: dict[str, Any] = {
        "trace_id": "t",
        "usage": {},
        "spans": [{"evaluations": [said]}],
        "scores": [score],
        "raw": {"spans": []},
    }
    assert history.read("watchkeeper", record, history.Index()).logs == []
    score["author"] = "bob"
    assert len(history.read("watchkeeper", record, history.Index()).logs) == 1


def test_an_attribute_whose_value_is_null_keeps_its_key() -> None:
    one = RawSpan("ab" * 16, "cd" * 8, None, "x", "internal", 10**18, 10**18 + 5, "unset", None, {"a": None, "b": ""}, [], [], {}, "", "")  # fmt: skip
    again = decode("traces", encode.traces([one]), "application/x-protobuf").spans[0]
    assert again.attributes == {"a": None, "b": ""}


@pytest.mark.parametrize(
    ("form", "record", "spans", "scores", "faults"),
    [
        (
            "braintrust",
            {"span_id": "a", "root_span_id": "b", "created": 1, "scores": {"s": "high", "t": 1}},
            1, 1, ["its score 's' is no number"],
        ),
        (
            "langfuse",
            {**LANGFUSE_TRACE, "scores": [{"name": "s", "dataType": "NUMERIC", "value": None}, {"name": "t", "value": 1, "source": "API"}],
             "observations": [{"id": "o", "type": "SPAN"}, {**LANGFUSE_CALL, "type": "NEWER"}]},
            2, 1, ["an observation: it has no time it began (start_time or timestamp)", "the score 's' has neither a number nor a label"],
        ),
        (
            "mlflow",
            {"info": {"trace_id": "tr-1", "assessments": [
                {"assessment_name": "q", "feedback": {"value": None, "error": "timed out"}}, {"feedback": {"value": 1}},
                {"assessment_name": "p", "feedback": {"value": True}}]},
             "data": {"spans": [{"span_id": "cd" * 8, "name": "x", "start_time_unix_nano": 10**18}]}},
            1, 1, ["it has no assessment_name or name"],
        ),
        ("langfuse", {**LANGFUSE_CALL, "type": "NEWER"}, 1, 0, []),
    ],
)  # fmt: skip
def test_what_cannot_be_read_of_a_record_costs_the_rest_of_it_nothing(
    form: str, record: dict[str, Any], spans: int, scores: int, faults: list[str]
) -> None:
    taken = history.read(form, record, history.Index())
    assert (len(taken.spans), len(taken.logs), taken.faults) == (spans, scores, faults)
