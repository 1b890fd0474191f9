"""The whole loop as a user starts it, and a judge end to end against a provider that fails and comes back."""

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_openai import FakeOpenAI
from tests.flow.sending import Connection, call, hex_id, request
from tests.serving import Server, free_port

STEPS = (
    "Two ordinary weeks pass",
    "Deploy: prompt v2",
    "ALERT after",
    "on-call was told once, signature verified, and acknowledged",
    "worst traces wait in review",
    "made a test in one action",
    "Prompt v2 would have been stopped (exit 1).",
    "The reverted prompt passes (exit 0).",
    "RESOLVED",
    "The days since: quiet.",
)


def test_the_demo_tells_the_whole_story_and_exits_0(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "watchkeeper", "demo", "--fast", "--exit", "--port", str(free_port())]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "demo")], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    at = [done.stdout.find(step) for step in STEPS]
    assert -1 not in at and at == sorted(at), dict(zip(STEPS, at, strict=True))
    played, spans, heard = _ledger(done.stdout)
    assert heard.split(", ")[0] == "firing" and "resolved" in heard
    # Its clock leapt to the present at the end: that is not held against what is to be dropped by age.
    with contextlib.closing(sqlite3.connect(tmp_path / "demo" / "records.db")) as records:
        (value,) = records.execute("select value from states where kind = 'retention'").fetchone()
    assert json.loads(value)["latest_ns"] > time.time_ns() - 3600 * 10**9
    # What the demo said it sent is what its data directory holds, read by another process.
    with Server(tmp_path / "demo") as server:
        (row,) = server.sql(
            "select count() as n, uniqExact((trace_id, span_id)) as ids, uniqExact(trace_id) as traces from spans"
        )
        assert (row["n"], row["ids"], row["traces"]) == (spans, spans, played)
        (row,) = server.sql(
            "select count() as n, countIf(answer_relevance is null and errors = 0) as unscored from traces"
        )
        assert row["n"] == played and row["unscored"] == 0
        fired = server.sql("select monitor, state from alerts where fired_at is not null")
        assert fired == [{"monitor": "answer-relevance-down", "state": "resolved"}]


def _ledger(output: str) -> tuple[int, int, str]:
    """Conversations, spans and messages as the demo counted them."""
    found = re.search(
        r"quiet\. ([\d,]+) conversations, ([\d,]+) spans, one alert in all; on-call heard: ([^.]+)\.", output
    )
    assert found, output
    conversations, spans, heard = found.groups()
    return int(conversations.replace(",", "")), int(spans.replace(",", "")), heard


def test_the_ledger_of_the_demo_goes_red_on_a_wrong_count() -> None:
    """The control: what the test reads out of the narration is what was narrated."""
    said = "The days since: quiet. 4,312 conversations, 12,936 spans, one alert in all; on-call heard: firing, resolved."
    assert _ledger(said) == (4312, 12936, "firing, resolved")
    for wrong in ("The story did not come out as told", said.replace("one alert", "2 alerts")):
        with pytest.raises(AssertionError):
            _ledger(wrong)


class Judge(FakeOpenAI):
    """A provider whose model grades in the asked form."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        said = super().answer(body)
        asked = body["messages"][-1]["content"]
        grade = 2 if "Nobody knows." in asked else 9
        reply = {"reasoning": "Read and graded.", "scores": {"helpful": grade}}
        said["choices"][0]["message"]["content"] = json.dumps(reply)
        return said


CONFIG = """
egress: {{allow: ["127.0.0.1:{port}"]}}
providers:
  - {{name: local, protocol: openai, base_url: "{url}", timeout: 10s}}
scorecards:
  - name: judged
    where: scenario = 'support'
    sample: {{rate: {rate}}}
    metrics:
      - {{name: helpful, type: llm_judge, model: "local:llama-3-8b", prompt: "Does the answer help?", floor: 5}}
      - {{name: same_family, type: llm_judge, model: "local:gpt-4o", prompt: "Is it good?"}}
"""


def serving(folder: Path, judge: Judge, rate: str) -> Server:
    config = folder / "watchkeeper.yaml"
    port = judge.url.split(":")[2].split("/")[0]
    config.write_text(CONFIG.format(port=port, url=judge.url, rate=rate))
    return Server(folder / "data", "--config", str(config))


@pytest.fixture
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def send(server: Server, *questions: tuple[str, str, str], times: int = 1) -> None:
    made = [
        call(hex_id(name), hex_id(name, digits=16), question, answer, watchkeeper__scenario="support")
        for name, question, answer in questions
    ]
    connection = Connection(server.port)
    for _ in range(times):
        assert connection.post("/v1/traces", request(made))[0] == 200
    connection.close()


def asked(judge: Judge, name: str) -> int:
    return sum(f"question {name}?" in json.dumps(r) for r in judge.requests)


def test_a_judge_scores_every_chosen_trace_once_and_refuses_its_own_family(
    judge: Judge, tmp_path: Path
) -> None:
    names = [f"t{i}" for i in range(12)]
    asks = [(n, f"question {n}?", "Nobody knows." if n == "t3" else f"Answer to {n}.") for n in names]
    with serving(tmp_path, judge, "100%") as server:
        send(server, *asks, times=2)
        query = "select * from scores where source = 'judge' order by trace_id"
        rows = server.eventually(query, lambda rows: len(rows) >= len(names))
        # The same spans again re-open their traces: everything is scored again, and nothing is judged twice.
        send(server, *asks)
        server.eventually(
            "select count() as n from traces where helpful is not null", lambda r: r[0]["n"] == len(names)
        )
        rows = server.sql(query)
        assert sorted(r["trace_id"] for r in rows) == sorted(hex_id(n) for n in names)
        assert {(r["scorer"], r["judge_model"], r["inclusion_probability"]) for r in rows} == {
            ("helpful", "local:llama-3-8b", 1.0)
        }
        low = [r for r in rows if not r["passed"]]
        assert [(r["trace_id"], r["value"], r["reason"]) for r in low] == [
            (hex_id("t3"), 2, "Read and graded.")
        ]
        assert [asked(judge, n) for n in names] == [1] * len(names), "a paid question was asked again"
        assert {r["model"] for r in judge.requests} == {"llama-3-8b"}, (
            "a judge of the answer's own family was asked"
        )
        unscored = server.sql("select count() as n from scores where scorer = 'same_family'")
        assert unscored == [{"n": 0}]
        trace = server.json("GET", f"/api/traces/{hex_id('t3')}")
        (shown,) = [s for s in trace["scores"] if s["scorer"] == "helpful"]
        assert (shown["value"], shown["passed"], shown["source"]) == (2, False, "judge")


def test_the_probability_of_being_chosen_is_stored(judge: Judge, tmp_path: Path) -> None:
    names = [f"p{i}" for i in range(120)]
    with serving(tmp_path, judge, "25%") as server:
        send(server, *[(n, f"question {n}?", f"Answer to {n}.") for n in names])
        server.eventually("select count() as n from traces", lambda r: r[0]["n"] == len(names))
        (chosen,) = server.eventually(
            "select sum(selected) as n, sum(eligible) as seen from coverage where scorer = 'helpful'",
            lambda r: r[0]["seen"] == len(names),
        )
        rows = server.eventually(
            "select trace_id, inclusion_probability as p, policy from scores where source = 'judge'",
            lambda rows: len(rows) == chosen["n"],
        )
        assert 10 <= len(rows) <= 60, "about a quarter of 120"
        assert {r["p"] for r in rows} == {0.25}
        assert len({r["trace_id"] for r in rows}) == len(rows)
        (all_,) = server.sql(
            "select min(inclusion_probability) as low, max(inclusion_probability) as high from traces"
        )
        assert (all_["low"], all_["high"]) == (0.25, 0.25)


def test_what_could_not_be_judged_while_the_provider_was_away_is_judged_later_once(tmp_path: Path) -> None:
    names = [f"d{i}" for i in range(6)]
    port = free_port()
    config = tmp_path / "watchkeeper.yaml"
    config.write_text(CONFIG.format(port=port, url=f"http://127.0.0.1:{port}/v1", rate="100%"))
    with Server(tmp_path / "data", "--config", str(config)) as server:
        send(server, *[(n, f"question {n}?", f"Answer to {n}.") for n in names])
        server.eventually("select count() as n from traces", lambda r: r[0]["n"] == len(names))
        assert server.sql("select count() as n from scores where source = 'judge'") == [{"n": 0}]
    # The server is restarted meanwhile: what is due must outlive it.
    with Server(tmp_path / "data", "--config", str(config)) as server, Judge(port) as judge:
        rows = server.eventually(
            "select trace_id from scores where source = 'judge'", lambda rows: len(rows) >= len(names), 60
        )
        assert sorted(r["trace_id"] for r in rows) == sorted(hex_id(n) for n in names)
        assert [asked(judge, n) for n in names] == [1] * len(names)
