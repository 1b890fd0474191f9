"""Our own SDK in a process of its own against a running server: trace, scores, feedback, session, project."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Server

APPLICATION = """
import json, sys
import watchkeeper
from watchkeeper import current_trace_id, feedback, flush, init, score, session, span, trace, variant

init(endpoint=sys.argv[1], project="shop", service="store-front", environment="test", release="7.1")

@trace(scenario="order-status", prompt=("answer", "v3"), user_id=lambda question, user: user)
def answer(question, user):
    with span("find order", kind="retrieval", input="order 1234") as step:
        step.documents([{"id": "faq-7", "score": 0.83, "content": "Orders leave within a day."}])
    with span("lookup", kind="tool") as step:
        step.tool(arguments={"order": "1234"}, result="Error: no such order")
    with span("chat", kind="llm", model="gpt-4o-mini", provider="openai") as step:
        step.input([{"role": "user", "content": question}]).llm(temperature=0.2)
        step.output("It arrives on Thursday.").usage(input_tokens=812, output_tokens=9).finish("stop")
    score("has_steps", False, reason="no steps")
    return "It arrives on Thursday. Write to ann.brown@example.com.", current_trace_id()

with session("chat-42"), variant("concise"):
    _, good = answer("Where is my order?", user="u-17")
    _, bad = answer("Where is it now?", user="u-18")
feedback(good, rating="up")
feedback(bad, rating=2, name="stars", comment="useless")
try:
    with span("broken", kind="workflow") as step:
        failed = step.trace_id
        raise RuntimeError("no stock")
except RuntimeError:
    pass
assert flush(20)
print(json.dumps({"good": good, "bad": bad, "failed": failed}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    folder: Path = tmp_path_factory.mktemp("sdk")
    script = folder / "application.py"
    script.write_text(APPLICATION)
    with Server(folder / "data") as server:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "WATCHKEEPER_"))}
        done = subprocess.run(
            [sys.executable, str(script), server.url], env=clean, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == "", "the SDK says nothing when all is well"
        server.headers["x-watchkeeper-project"] = "shop"
        server.eventually("select count() as n from traces", lambda rows: rows[0]["n"] == 3)
        yield server, json.loads(done.stdout)


def test_the_trace_reads_as_the_application_meant_it(told: tuple[Server, dict[str, str]]) -> None:
    server, ids = told
    trace = server.json("GET", f"/api/traces/{ids['good']}")
    assert [s["kind"] for s in trace["spans"]][1:] == ["retrieval", "tool", "llm"]
    assert (trace["session_id"], trace["user_id"], trace["scenario"]) == ("chat-42", "u-17", "order-status")
    assert (trace["prompt_name"], trace["prompt_version"], trace["variant"]) == ("answer", "v3", "concise")
    assert (trace["service"], trace["environment"], trace["release"]) == ("store-front", "test", "7.1")
    _, retrieval, tool, chat = trace["spans"]
    assert retrieval["retrieval"]["documents"][0]["id"] == "faq-7"
    assert tool["tool"]["arguments"] == {"order": "1234"}
    assert chat["llm"]["usage"]["input_tokens"] == 812 and chat["llm"]["finish_reason"] == "stop"
    assert trace["usage"]["cost"] == pytest.approx((812 * 0.15 + 9 * 0.6) / 1e6)
    assert "example.com" not in json.dumps(trace), "addresses are removed before they leave the process"
    failed = server.json("GET", f"/api/traces/{ids['failed']}")
    assert failed["spans"][0]["status"] == "error" and "no stock" in failed["spans"][0]["error"]["message"]


def test_feedback_scores_and_checks_are_columns_in_sql(told: tuple[Server, dict[str, str]]) -> None:
    server, ids = told
    rows = server.eventually(
        "select trace_id, thumbs, stars, has_steps, tool_error from traces where scenario = 'order-status'",
        lambda rows: sum(r.get("has_steps") is not None for r in rows) == 2,
    )
    by_id = {r["trace_id"]: r for r in rows}
    good, bad = by_id[ids["good"]], by_id[ids["bad"]]
    assert (good["thumbs"], good["stars"], good["has_steps"], good["tool_error"]) == (1, None, 0, 0)
    assert (bad["thumbs"], bad["stars"]) == (None, 2)
    said = server.sql(
        f"select scorer, source, value, passed, reason from scores where trace_id = '{ids['bad']}' and source != 'check'"
        " order by scorer"
    )
    assert [
        (r["scorer"], r["source"], r["value"], r["passed"], r["reason"])
        for r in said
        if r["source"] != "classifier"
    ] == [
        ("has_steps", "external", 0, False, "no steps"),
        ("stars", "user", 2, False, "useless"),
    ]


def test_another_project_sees_nothing_of_it(told: tuple[Server, dict[str, str]]) -> None:
    server, ids = told
    default = {"x-watchkeeper-project": "default"}
    assert server.call("GET", f"/api/traces/{ids['good']}", headers=default)[0] == 404
    _, _, body = server.call("POST", "/api/sql", {"query": "select count() from spans"}, default)
    assert json.loads(body)["rows"] == [[0]]


OUTAGE = """
import json, sys
import watchkeeper
from watchkeeper.sdk import stats

watchkeeper.init(endpoint=sys.argv[1], max_queue_spans=40, max_batch_spans=10)
for number in range(500):
    with watchkeeper.span(f"step {number}"):
        pass
print("made", flush=True)
sys.stdin.readline()
watchkeeper.flush(30)
print(json.dumps(stats()))
"""


def test_what_an_outage_cost_is_asked_in_sql_and_adds_up_exactly(tmp_path: Path) -> None:
    script = tmp_path / "application.py"
    script.write_text(OUTAGE)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "WATCHKEEPER_"))}
    server = Server(tmp_path / "data")
    with subprocess.Popen(
        [sys.executable, str(script), server.url],
        env=clean,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as application:
        assert application.stdout is not None and application.stdin is not None
        assert application.stdout.readline() == "made\n"
        with server:
            application.stdin.write("\n")
            application.stdin.close()
            told = json.loads(application.stdout.readline())
            lost = server.sql(
                "select sum(lost) as n from (select max(value) as lost from measurements"
                " where name = 'watchkeeper.sdk.dropped_spans' group by attributes['watchkeeper.sdk.instance'])"
            )[0]["n"]
            stored = server.sql("select count() as n from spans")[0]["n"]
            metrics = server.call("GET", "/metrics")[2].decode()
    assert lost == sum(told["dropped_spans"].values()) > 0
    assert stored == told["sent_spans"] and stored + lost == 500
    assert f'watchkeeper_sdk_dropped_spans{{project="default"}} {lost:g}' in metrics
