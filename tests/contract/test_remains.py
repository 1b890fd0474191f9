"""What can be looked at of a trace whose content has passed its retention."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.columns import empty_columns
from tests.contract.columns_world import DAY, NOW, log, log_rows, new_trace_id, raw, rows, score, trace_row
from watchkeeper.server.reading import load_trace, shown_trace
from watchkeeper.server.routing import HttpError
from watchkeeper.server.trace_json import trace_json
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import Retention

OLD = NOW - 40 * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseColumns]:
    made = open_columns(empty_columns(tmp_path / "c"), clock=lambda: NOW)
    yield made
    made.close_now()


async def test_the_steps_of_a_trace_outlive_its_texts(store: ClickHouseColumns) -> None:
    trace_id, told = new_trace_id(), new_trace_id()
    sent = [
        raw(trace_id, 0, start=OLD, input="who am I", output="Ada", session="s1", scenario="support"),
        raw(trace_id, 1, parent=0, start=OLD, kind="llm", cost=0.5, output="Ada", prompt="who am I",
            **{"in": 12, "out": 3, "region_of": "eu"}),
        raw(trace_id, 2, parent=0, start=OLD, end=OLD + 3 * 10**9, kind="tool", error="tool_error"),
    ]  # fmt: skip
    await store.write_spans(rows("p", sent), [])
    await store.write_traces([trace_row("p", sent)])
    await store.write_scores([score("p", trace_id, "polite", 0.25)])
    only_logs = trace_row("p", [raw(told, start=OLD)])
    await store.write_spans([], log_rows("p", [msgspec.structs.replace(log(told), time_ns=OLD)]))
    await store.write_traces([only_logs])
    services: Any = SimpleNamespace(columns=store, held={})
    whole, _ = await shown_trace(services, "p", trace_id)
    assert not whole.content_gone and whole.spans[0].raw is not None
    await store.expire(NOW, Retention(30, 90, 400))

    assert await load_trace(services, "p", trace_id) is None
    left, scores = await shown_trace(services, "p", trace_id)
    assert left.content_gone and left.complete
    assert [(s.span_id, s.parent_id, s.name, s.kind, s.duration_ms) for s in left.spans] == [
        (s.span_id, s.parent_id, s.name, s.attributes.get("kind", "other"), (s.end_ns - s.start_ns) / 1e6) for s in sent
    ]  # fmt: skip
    assert left.spans[2].error is not None and left.spans[2].error.class_ == "tool_error"
    (call,) = left.llm_calls
    assert call.llm is not None and call.llm.usage.input_tokens == 12 and call.llm.request_model == "m"
    assert (left.totals.input_tokens, left.totals.cost, left.context.session_id) == (12, 0.5, "s1")
    assert [(s.scorer, s.value) for s in scores] == [("polite", 0.25)]
    shown = trace_json(left, scores)
    assert shown["content_gone"] and shown["output_text"] is None
    assert shown["spans"][1]["attributes"]["region_of"] == "eu"
    assert not any(word in repr(shown) for word in ("Ada", "who am I"))

    # Another project's, one that never was, and one that came as log records only.
    for project, asked in (("q", trace_id), ("p", new_trace_id())):
        with pytest.raises(HttpError) as refused:
            await shown_trace(services, project, asked)
        assert refused.value.status == 404
    alone, _ = await shown_trace(services, "p", told)
    assert alone.content_gone and alone.spans == []
