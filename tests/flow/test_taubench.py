"""Real agent runs loaded as traces: the checks find exactly the tool errors and repeated calls that are in the data.

The truth is computed here from the conversations alone, by rules that share no code with the checks.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flow.sending import Connection, hex_id, request, span
from tests.serving import Server
from tests.shared import ROOT

DATA = ROOT / "data/taubench_airline.jsonl"
CONFIG = """
scorecards:
  - name: agents
    metrics:
      - name: repeated_anywhere
        type: repeated_call
        window: 100
"""
START_NS = 1_760_000_000 * 10**9


def runs() -> list[dict[str, Any]]:
    if not DATA.exists():
        pytest.skip("data/taubench_airline.jsonl is not here; set WATCHKEEPER_SHARED")
    return [json.loads(line) for line in DATA.open()]


def calls_of(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Every tool call of a conversation in order: its tool and its arguments in one spelling."""
    return [
        (c["function"]["name"], json.dumps(json.loads(c["function"]["arguments"]), sort_keys=True))
        for m in run["messages"]
        for c in m.get("tool_calls") or []
    ]


def truth(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Which runs hold a failed tool, the same call twice in a row, and the same call twice anywhere."""
    found: dict[str, set[str]] = {"tool_error": set(), "repeated_call": set(), "repeated_anywhere": set()}
    for run in rows:
        calls = calls_of(run)
        results = [m["content"] for m in run["messages"] if m["role"] == "tool"]
        if any(r.startswith("Error:") for r in results):
            found["tool_error"].add(run["id"])
        if any(a == b for a, b in itertools.pairwise(calls)):
            found["repeated_call"].add(run["id"])
        if len(set(calls)) < len(calls):
            found["repeated_anywhere"].add(run["id"])
    return found


def message(given: dict[str, Any]) -> dict[str, Any]:
    """An OpenAI chat message in the GenAI conventions."""
    if given["role"] == "tool":
        part = {"type": "tool_call_response", "id": given["tool_call_id"], "response": given["content"]}
        return {"role": "tool", "parts": [part]}
    parts: list[dict[str, Any]] = []
    if given.get("content"):
        parts.append({"type": "text", "content": given["content"]})
    for c in given.get("tool_calls") or []:
        arguments = json.loads(c["function"]["arguments"])
        parts.append(
            {"type": "tool_call", "id": c["id"], "name": c["function"]["name"], "arguments": arguments}
        )
    return {"role": given["role"], "parts": parts}


def spans_of(run: dict[str, Any], start_ns: int) -> list[dict[str, Any]]:
    """A run as an agent span over its model calls and tool executions, as an instrumented agent sends it."""
    trace_id, root = hex_id("tau", run["id"]), hex_id("tau", run["id"], "root", digits=16)
    at, made, asked = start_ns, [], {}
    for i, given in enumerate(run["messages"]):
        own = hex_id("tau", run["id"], i, digits=16)
        at += 10**9
        if given["role"] == "assistant":
            history = [message(m) for m in run["messages"][max(0, i - 2) : i]]
            finish = "tool_calls" if given.get("tool_calls") else "stop"
            reply = {**message(given), "finish_reason": finish}
            values = {
                "gen_ai__operation__name": "chat", "gen_ai__provider__name": "openai",
                "gen_ai__request__model": "gpt-4o", "gen_ai__input__messages": history,
                "gen_ai__output__messages": [reply], "gen_ai__usage__input_tokens": 1000 + i,
                "gen_ai__usage__output_tokens": 10 + i,
            }  # fmt: skip
            made.append(span(trace_id, own, "chat gpt-4o", parent=root, start_ns=at, **values))
            # The ids of calls repeat within a run of this data set, so the latest one counts.
            asked.update({c["id"]: c["function"]["arguments"] for c in given.get("tool_calls") or []})
        elif given["role"] == "tool":
            values = {
                "gen_ai__operation__name": "execute_tool", "gen_ai__tool__name": given["name"],
                "gen_ai__tool__call__id": given["tool_call_id"],
                "gen_ai__tool__call__arguments": asked[given["tool_call_id"]],
                "gen_ai__tool__call__result": given["content"],
            }  # fmt: skip
            name = f"execute_tool {given['name']}"
            made.append(span(trace_id, own, name, parent=root, start_ns=at, **values))
    agent = {
        "gen_ai__operation__name": "invoke_agent", "gen_ai__agent__name": "airline",
        "gen_ai__conversation__id": run["id"], "watchkeeper__scenario": "airline",
    }  # fmt: skip
    seconds = (at - start_ns) / 1e9 + 1
    return [span(trace_id, root, "invoke_agent airline", start_ns=start_ns, seconds=seconds, **agent), *made]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[dict[str, Any]]]]:
    rows = runs()
    folder = tmp_path_factory.mktemp("tau")
    config: Path = folder / "watchkeeper.yaml"
    config.write_text(CONFIG)
    with Server(folder / "data", "--config", str(config)) as server:
        connection = Connection(server.port)
        for i, run in enumerate(rows):
            status, _, answer = connection.post("/v1/traces", request(spans_of(run, START_NS + i * 10**12)))
            assert status == 200, answer
        connection.close()
        server.eventually("select count() as n from traces", lambda found: found[0]["n"] == len(rows))
        yield server, rows


def test_every_step_is_there_once(loaded: tuple[Server, list[dict[str, Any]]]) -> None:
    server, rows = loaded
    got = {
        r["session_id"]: (r["spans"], r["llm_calls"], r["tool_calls"], r["output_tokens"])
        for r in server.sql("select session_id, spans, llm_calls, tool_calls, output_tokens from traces")
    }
    want = {}
    for run in rows:
        said = [i for i, m in enumerate(run["messages"]) if m["role"] == "assistant"]
        tools = sum(m["role"] == "tool" for m in run["messages"])
        want[run["id"]] = (1 + len(said) + tools, len(said), tools, sum(10 + i for i in said))
    assert got == want


def score(name: str, found: set[str], true: set[str]) -> tuple[float, float]:
    """Precision and recall, printed."""
    hits = len(found & true)
    precision, recall = hits / len(found) if found else 0.0, hits / len(true)
    print(
        f"{name}: {len(true)} in the data, {len(found)} found, precision {precision:.3f}, recall {recall:.3f}"
    )
    return precision, recall


@pytest.mark.parametrize("name", ["tool_error", "repeated_call", "repeated_anywhere"])
def test_the_check_finds_what_is_in_the_data(
    name: str, loaded: tuple[Server, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    server, rows = loaded
    true = truth(rows)[name]
    failed = server.sql(
        f"select distinct session_id from scores where scorer = '{name}' and source = 'check' and not passed"
    )
    column = server.sql(f"select session_id from traces where {name} = 0")
    found = {r["session_id"] for r in failed}
    assert {r["session_id"] for r in column} == found, "the column of traces and the table of scores differ"
    with capsys.disabled():
        print(file=sys.stderr)
        precision, recall = score(name, found, true)
    assert len(true) >= 5 and (precision, recall) == (1.0, 1.0), (found - true, true - found)


def test_runs_without_tools_are_not_scored_on_tools(loaded: tuple[Server, list[dict[str, Any]]]) -> None:
    server, rows = loaded
    silent = {r["id"] for r in rows if not calls_of(r)}
    unknown = server.sql("select session_id from traces where tool_error is null")
    assert silent and {r["session_id"] for r in unknown} == silent


def test_a_failed_tool_is_the_error_class_of_its_trace(loaded: tuple[Server, list[dict[str, Any]]]) -> None:
    server, rows = loaded
    classes = {
        r["session_id"]: r["error_class"] for r in server.sql("select session_id, error_class from traces")
    }
    assert {classes[i] for i in truth(rows)["tool_error"]} == {"tool_error"}
