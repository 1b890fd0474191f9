"""Texts in the store to an alert that shows what people ask now; what is stored is sums."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.columns import empty_columns
from tests.unit.pipeline.test_roll import HOUR, T0, a_trace
from watchkeeper.alerting.monitor import Monitor
from watchkeeper.pipeline.backtest import over_history
from watchkeeper.pipeline.monitor_tests import run_tests
from watchkeeper.pipeline.roll import Roller, RollPlan
from watchkeeper.pipeline.sketch import Sketcher, pack, unpack
from watchkeeper.pipeline.watch import Watcher
from watchkeeper.store.clickhouse import ClickHouseColumns, open_columns
from watchkeeper.store.columns import TraceRow
from watchkeeper.store.records import alerts, states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

CHANGE = 8 * 24
HOURS = CHANGE + 34
END = T0 + HOURS * HOUR
TOPICS = (
    "how do i reset my password", "where is my parcel", "please refund my money", "change the delivery address",
    "my card was declined", "cancel the subscription now", "the app crashes on start", "speak to a person",
)  # fmt: skip


@lru_cache
def vector_of(word: str) -> np.ndarray:
    return np.random.default_rng(list(word.encode())).standard_normal(64)


def vectors_of(texts: Sequence[str]) -> np.ndarray:
    """Words hashed into 64 dimensions: like texts have like vectors."""
    out = np.zeros((len(texts), 64))
    for i, text in enumerate(texts):
        for word in re.findall(r"[a-z]+", text):
            out[i] += vector_of(word)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def asked(i: int, hour: float, text: str, version: str = "v1") -> TraceRow:
    row = a_trace(i, hour, version, 8.0, "texts")
    row.trace.input_text = text
    return row


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseColumns]:
    store = open_columns(empty_columns(tmp_path_factory.mktemp("columns") / "c"), clock=lambda: END)
    yield store
    store.close_now()


def traffic() -> list[TraceRow]:
    dice = np.random.default_rng(3)
    rows: list[TraceRow] = []
    for i in range(HOURS * 20):
        hour = i / 20
        strange = hour >= CHANGE and dice.random() < 0.15
        text = (
            f"tell me a {dice.choice(['poem', 'story', 'joke'])} about dragons"
            if strange
            else str(dice.choice(TOPICS))
        )
        extra = dice.choice(["hello", "thanks", "urgent", "again", "today"], 2)
        rows.append(asked(i, hour, f"{text} {' '.join(extra)}"))
    return rows


def drifting(**change: object) -> Monitor:
    facts = {
        "name": "asked",
        "condition": "drift(input)",
        "owner": "ml",
        "runbook": "r.md",
        "project": "texts",
    }
    return Monitor(**(facts | change))  # type: ignore[arg-type]


async def test_a_new_topic_is_found_and_shown_and_no_text_is_kept(
    columns: ClickHouseColumns, tmp_path: Path
) -> None:
    records = Records(f"sqlite:///{tmp_path}/r.db")
    metadata.create_all(records.engine)
    await columns.write_traces(traffic())
    monitor = drifting(by=("prompt_version",))
    roller = Roller(columns, records, RollPlan.of([monitor]))
    watcher = Watcher(columns, records, [monitor])
    sketcher = Sketcher(columns, records, lambda: watcher.monitors, vectors_of, "words 1")
    watcher.examples = sketcher.examples

    async def until(now: int) -> None:
        await roller.roll("texts", now)
        await sketcher.run("texts", now)
        await watcher.tick(now)

    await until(T0 + 6 * 24 * HOUR)
    assert sketcher.counts["maps"] == 0
    await until(T0 + (7 * 24 + 12) * HOUR)
    assert sketcher.counts["maps"] == 1 and records.read_now(lambda c: alerts.find(c, "texts")) == []
    await until(END)
    (alert,) = records.read_now(lambda c: alerts.find(c, "texts"))
    assert alert.state == "firing" and alert.cohort == {}
    assert T0 + CHANGE * HOUR <= (alert.fired_ns or 0) <= T0 + (CHANGE + 30) * HOUR
    assert "unlike anything" in alert.summary or "topic rose" in alert.summary
    assert alert.worst and all("dragons" in w["input_text"] for w in alert.worst[:3])
    assert watcher.counts.failed == 0

    stored = await columns.named("sketches", "texts", field="input", since=T0, until=END, every=1, cohort="")
    assert {r[0] for r in stored.rows} == {"", "prompt_version=v1"} and {len(r[4]) for r in stored.rows} == {
        277
    }
    document = records.read_now(lambda c: states.get(c, "texts", "map", "input"))
    assert "dragons" not in msgspec.json.encode(document).decode()

    again = Sketcher(columns, records, lambda: watcher.monitors, vectors_of, "words 1")
    assert await again.run("texts", END) == 0 and again.counts["maps"] == 0

    (past,) = await over_history(columns, [monitor], T0 + 7 * 24 * HOUR + 6 * HOUR, END)
    assert past.fired_ns == alert.fired_ns
    records.close()


async def test_another_embedding_makes_another_map_and_no_alarm(
    columns: ClickHouseColumns, tmp_path: Path
) -> None:
    records = Records(f"sqlite:///{tmp_path}/r.db")
    metadata.create_all(records.engine)
    now = T0 + (7 * 24 + 20) * HOUR
    await columns.write_traces([r for r in traffic() if r.trace.start_ns < now])
    monitor = drifting()
    watcher = Watcher(columns, records, [monitor])
    await Roller(columns, records, RollPlan.of([monitor])).roll("texts", now)
    for embedding, turn in (("words 1", vectors_of), ("words 2", lambda x: -vectors_of(x))):
        await Sketcher(columns, records, lambda: watcher.monitors, turn, embedding).run("texts", now)
        await watcher.tick(now + (2 if embedding == "words 1" else 4) * HOUR)
    (told,) = records.read_now(lambda c: alerts.find(c, "texts"))
    assert told.severity == "info" and "words 2" in told.summary
    records.close()


async def test_a_monitor_of_texts_says_that_a_series_of_numbers_cannot_test_it() -> None:
    from watchkeeper.alerting.monitor import Test

    (result,) = await run_tests(drifting(tests=(Test("8 x20", {"never": "firing"}),)))
    assert not result.passed and "backtest" in result.message


def test_a_map_survives_being_stored() -> None:
    from tests.unit.detection.made import vectors
    from watchkeeper.detection.cloud import Geometry, make_geometry, project

    g = make_geometry(vectors(np.random.default_rng(1), 600), 0)
    assert isinstance(g, Geometry)
    back = unpack(msgspec.json.decode(msgspec.json.encode(pack(g))))
    x = vectors(np.random.default_rng(2), 200)
    assert np.abs(project(g, x) - project(back, x)).mean() < 0.01
