"""Failed checks, low scores, broken calls and bad labels in the real stores become signals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.columns import empty_columns
from tests.unit.pipeline.test_roll import HOUR, T0, a_trace
from tests.unit.reviewing.test_signals import embed
from watchkeeper.model.managed import Managed
from watchkeeper.model.review import Label, ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.pipeline.from_signal import PASSING, ActFlow
from watchkeeper.pipeline.signals import SignalFlow
from watchkeeper.reviewing.signals import decided
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import Table, TraceRow
from watchkeeper.store.records import managed, reviews, signals
from watchkeeper.store.records.engine import Records

NOW = T0 + 32 * HOUR


@pytest.fixture
def columns(tmp_path: Path) -> Iterator[ClickHouseColumns]:
    store = open_columns(empty_columns(tmp_path / "c"), clock=lambda: NOW)
    yield store
    store.close_now()


def row(i: int, bad: bool = False, release: str = "1.0", hour: float | None = None) -> TraceRow:
    made = a_trace(i, i / 60 if hour is None else hour, "v1", 8.0, "live")
    made.trace.context.release = release
    check = Score(
        "live", made.trace.trace_id, "", "cites_form", "1", "check", made.trace.start_ns, NOW,
        passed=not bad, value=float(not bad), reason=f"found {i} of {i + 2} steps" if bad else None,
    )  # fmt: skip
    return msgspec.structs.replace(made, checks=[check])


async def test_it_groups_what_failed_and_reopens_what_returns_after_its_fix(
    columns: ClickHouseColumns, records: Records
) -> None:
    rows = [row(i, bad=i % 10 == 0) for i in range(100)]
    await columns.write_traces(rows)
    low = [
        Score(
            "live", rows[i].trace.trace_id, "", "answer_relevance", "1", "judge", rows[i].trace.start_ns, NOW,
            value=2.0 if i < 4 else 9.0, reason="ignores the refund question", inclusion_probability=0.1,
        )
        for i in range(8)
    ]  # fmt: skip
    await columns.write_scores(low)
    now = NOW
    flow = SignalFlow(columns, records, lambda: now, embed, owner_of=lambda _p, s: f"team of {s}")
    made = await flow.run_once("live")
    by_scorer = {s.scorer: s for s in made.signals}
    steps, judged = by_scorer["cites_form"], by_scorer["answer_relevance"]
    assert (
        steps.traces == 10 and steps.title == "found <n> of <n> steps" and steps.owner == "team of cites_form"
    )
    assert steps.prevalence.value == pytest.approx(0.1)
    assert judged.traces == 4 and judged.weight == pytest.approx(40) and judged.source == "judge"
    stored = await records.read(lambda c: signals.find(c, "live"))
    assert {s.id for s in stored} == {s.id for s in made.signals} and await flow.run_once("other")
    assert await records.read(lambda c: len(signals.members(c, "live", steps.id))) == 10
    newest = await records.read(lambda c: signals.newest(c, "live", steps.id, 3))
    members = await records.read(lambda c: signals.members(c, "live", steps.id))
    held = [m.trace_id for m in members]
    assert newest == [(m.trace_id, m.time_ns) for m in members[:3]] and sorted(
        await records.read(lambda c: signals.trace_ids(c, "live", steps.id))
    ) == sorted(held)

    await records.write(lambda c: signals.put(c, decided(steps, NOW, state="fixed", release="1.1")))
    after = [row(200 + i, bad=True, release=r, hour=32.5) for i, r in enumerate(("1.0", "1.1"))]
    now = NOW + HOUR
    await columns.write_traces(after[:1])
    assert (await flow.run_once("live")).regressed == []
    await columns.write_traces(after[1:])
    again = await flow.run_once("live")
    assert again.regressed == [steps.id]
    found = await records.read(lambda c: signals.get(c, "live", steps.id))
    assert found is not None and (found.state, found.regressed_release) == ("regressed", "1.1")
    assert flow.counts["regressed"] == 1


async def test_a_bad_label_names_a_signal_and_undoing_it_takes_the_signal_back(
    columns: ClickHouseColumns, records: Records
) -> None:
    rows = [row(i) for i in range(20)]
    await columns.write_traces(rows)
    trace = rows[5].trace.trace_id
    label = Label(
        "l1", "live", "i1", trace, "ana", NOW - HOUR, "bad", taxonomy="wrong form", comment="old form"
    )
    await records.write(
        lambda c: reviews.add(c, ReviewItem("i1", "live", trace, "low", "x", 5.0, NOW - HOUR))
    )
    await records.write(lambda c: reviews.label(c, label))
    flow = SignalFlow(columns, records, lambda: NOW, None)
    (signal,) = (await flow.run_once("live")).signals
    assert (signal.name, signal.state, signal.representative) == ("wrong form", "confirmed", trace)
    await records.write(lambda c: reviews.undo(c, "live", "ana", NOW))
    assert (await flow.run_once("live")).signals == []
    assert await records.read(lambda c: (signals.find(c, "live"), signals.members(c, "live"))) == ([], [])


async def test_a_decision_made_while_it_ran_is_kept(columns: ClickHouseColumns, records: Records) -> None:
    await columns.write_traces([row(i, bad=True) for i in range(5)])
    flow = SignalFlow(columns, records, lambda: NOW, None)
    (signal,) = (await flow.run_once("live")).signals
    was = await records.read(lambda c: signals.find(c, "live"))
    members = await records.read(lambda c: signals.members(c, "live"))
    await records.write(lambda c: signals.put(c, decided(signal, NOW + 1, state="ignored", owner="ben")))
    from watchkeeper.pipeline.signals import merged

    late = msgspec.structs.replace(signal, traces=9, owner="rule", updated_ns=NOW + 2)
    await records.write(lambda c: signals.replace(c, "live", was, [late], members, merged))
    kept = await records.read(lambda c: signals.get(c, "live", signal.id))
    assert kept is not None and (kept.state, kept.owner, kept.traces) == ("ignored", "ben", 9)


def test_a_failure_carries_only_the_step_it_speaks_of() -> None:
    from watchkeeper.pipeline.signals import _Steps  # pyright: ignore[reportPrivateUsage]

    broken = {
        "trace_id": "t", "span_id": "s1", "name": "pay", "tool_name": "pay", "error_class": "tool_error", "message": "no",
    }  # fmt: skip
    steps = _Steps([broken])
    row = {
        "trace_id": "t", "span_id": "", "at": 1, "message": "m", "input": "i", "release": "", "weight": 1.0,
        "error_class": "tool_error",
    }  # fmt: skip
    words = steps.failure({**row, "scorer": "has_steps"}, "check")
    assert (words.tool, words.error_class, words.step) == (None, None, "")
    for scorer, span_id in (("tool_error", ""), ("json_valid", "s1")):
        about = steps.failure({**row, "scorer": scorer, "span_id": span_id}, "check")
        assert (about.tool, about.error_class, about.step) == ("pay", "tool_error", "pay")
    call = steps.failure({**row, "scorer": "tool_error", "message": ""}, "class")
    assert call.message == "no" and call.tool == "pay"


def asked(i: int, text: str, refused: bool = False) -> TraceRow:
    made = row(i)
    made.trace.input_text = text
    score = Score(
        "live", made.trace.trace_id, "", "refusal", "1", "check", made.trace.start_ns, NOW, value=float(refused),
    )  # fmt: skip
    return msgspec.structs.replace(made, checks=[*made.checks, score])


async def test_topics_and_unanswered_questions_are_grouped_like_failures(
    columns: ClickHouseColumns, records: Records
) -> None:
    rows = [asked(i, f"Where is my parcel number {i}?") for i in range(30)]
    rows += [asked(100 + i, f"How do I cancel contract {i}, please?", refused=i < 8) for i in range(10)]
    await columns.write_traces(rows)
    flow = SignalFlow(columns, records, lambda: NOW, embed)
    await flow.run_once("live")
    topics, open_questions, failures, ours = await records.read(
        lambda c: (
            signals.find(c, "live", kind="topic"),
            signals.find(c, "live", kind="unanswered"),
            signals.find(c, "live"),
            signals.members(c, "live", kind="topic"),
        )
    )
    sizes = {t.title: (t.traces, t.prevalence) for t in topics}
    assert {t: n for t, (n, _) in sizes.items()} == {
        "Where is my parcel number <n>?": 30, "How do I cancel contract <n>, please?": 10,
    }  # fmt: skip
    parcels = sizes["Where is my parcel number <n>?"][1]
    assert parcels.value == pytest.approx(0.75) and parcels.low and parcels.low < 0.75 < (parcels.high or 0)
    (refused,) = open_questions
    assert refused.traces == 8 and refused.kind == "unanswered" and failures == [] and len(ours) == 40
    named = decided(topics[0], NOW, name="Parcels")
    await records.write(lambda c: signals.put(c, named))
    await flow.run_once("live")
    again = await records.read(lambda c: signals.find(c, "live", kind="topic"))
    assert {t.id for t in again} == {t.id for t in topics} and "Parcels" in {t.name for t in again}


async def test_what_was_asked_is_sampled_from_the_latest_versions_and_stands_for_all(
    columns: ClickHouseColumns,
) -> None:
    rows = [asked(i, f"old {i}") for i in range(40)]
    await columns.write_traces(rows)
    later = [asked(i, " " if i < 10 else f"new {i}") for i in range(40)]
    await columns.write_traces([msgspec.structs.replace(r, assembled_ns=r.assembled_ns + 1) for r in later])
    span = {"since": NOW - 48 * HOUR, "until": NOW}
    found = (await columns.named("signals_inputs", "live", **span, limit=100)).dicts()
    assert sorted(str(r["input"]) for r in found) == sorted(" " if i < 10 else f"new {i}" for i in range(40))
    few = (await columns.named("signals_inputs", "live", **span, limit=12)).dicts()
    assert few == found[:12] and {float(r["total"]) for r in found} == {40.0}


async def test_what_a_scorer_made_for_a_signal_finds_is_that_signal_in_whatever_words(
    columns: ClickHouseColumns, records: Records
) -> None:
    await columns.write_traces([row(i, bad=i < 4) for i in range(40)])
    flow = SignalFlow(columns, records, lambda: NOW, embed)
    (signal,) = (await flow.run_once("live")).signals
    card = {"name": "c", "metrics": [{"name": "aimed", "type": "terms", "deny": ["x"]}]}
    entry = Managed("man_1", "live", signal.id, "ana", NOW, "steps", "aimed", [card], [])
    await records.write(
        lambda c: (managed.add(c, entry), signals.put(c, decided(signal, NOW, state="fixed")))
    )
    back = row(300, hour=32.4)
    found = Score(
        "live", back.trace.trace_id, "", "aimed", "1", "check", back.trace.start_ns, NOW, passed=False, value=0.0,
        reason="says something wholly different",
    )  # fmt: skip
    await columns.write_traces([msgspec.structs.replace(back, checks=[found])])
    later = SignalFlow(columns, records, lambda: NOW + HOUR, embed)
    made = await later.run_once("live")
    assert made.regressed == [signal.id]
    (now,) = [s for s in made.signals if s.id == signal.id]
    assert now.state == "regressed" and now.title == signal.title and now.traces == 5


async def test_the_passing_traces_of_an_action_hold_none_that_failed_however_many_did() -> None:
    asked: list[int] = []

    class Fixed:
        """One order of traces, of which the first thousand failed."""

        async def named(self, _name: str, _project: str, *, limit: int, **_: object) -> Table:
            asked.append(limit)
            return Table(["trace_id"], [[f"t{i}"] for i in range(min(limit, 1100))])

    unused: Any = None
    flow = ActFlow(unused, Fixed(), lambda: NOW, unused, lambda _: [])  # type: ignore[arg-type]
    failed = frozenset(f"t{i}" for i in range(1000))
    assert await flow._passing("live", NOW, [], failed) == [f"t{i}" for i in range(1000, 1100)]
    assert asked[0] == 4 * PASSING and asked == sorted(asked) and asked[-1] > 1100
    assert await flow._passing("live", NOW, [], frozenset()) == [f"t{i}" for i in range(PASSING)]
