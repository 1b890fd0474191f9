"""Experiments from outside: a target run, two runs compared, production as the baseline, traces asked again."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_openai import FakeOpenAI
from tests.serving import Server
from watchkeeper.cli.main import main

N = 12


def span(
    i: int, trace: str, attributes: dict[str, Any], span_id: int = 1, parent: str = ""
) -> dict[str, Any]:
    begin = time.time_ns() - 3600 * 10**9 + i * 10**9
    values = [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()]
    return {
        "traceId": trace, "spanId": f"{span_id + 16 * i:016x}", "parentSpanId": parent, "name": "step", "kind": 3,
        "startTimeUnixNano": str(begin), "endTimeUnixNano": str(begin + 10**9), "attributes": values,
    }  # fmt: skip


def traffic() -> dict[str, Any]:
    """Conversations of a release that looks a capital up before it answers."""
    spans: list[dict[str, Any]] = []
    for i in range(N):
        trace = f"{i + 1:032x}"
        asked = f"Which city is the capital of country number {i}, and since when?"
        call = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m1",
            "gen_ai.conversation.id": f"session-{i // 2}", "watchkeeper.input": asked,
            "watchkeeper.output": f"The capital of country number {i} is Paris, the city by the river.",
            "service.version": "1.0",
        }  # fmt: skip
        tool = {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup",
            "gen_ai.tool.call.arguments": json.dumps({"city": "Paris" if i else "Rome"}),
            "gen_ai.tool.call.result": json.dumps({"capital": True}),
        }  # fmt: skip
        spans += [span(i, trace, call), span(i, trace, tool, 2, f"{1 + 16 * i:016x}")]
    resource = {"attributes": [{"key": "service.version", "value": {"stringValue": "1.0"}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("experiments")) as running:
        running.json("POST", "/v1/traces", traffic())
        running.eventually("select trace_id from traces where output_text != ''", lambda r: len(r) == N)
        for i in range(N):
            body = {"trace_id": f"{i + 1:032x}", "split": "golden", "force": True}
            running.json("POST", "/api/datasets/capitals/promote", body)
        yield running


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "answers_app.py").write_text(
        "def good(text):\n"
        "    return {'output': f'You asked: {text} The capital is Paris.', 'cost': 0.01, 'finish_reason': 'stop'}\n"
        "def bad(text):\n"
        "    return {'output': 'The capital is', 'cost': 0.02, 'finish_reason': 'length'}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_two_runs_are_compared_case_by_case_with_what_became_worse(
    server: Server, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--server", server.url]
    assert (
        main(
            [
                "experiment",
                "run",
                "--dataset",
                "capitals",
                "--target",
                "answers_app:good",
                "--save",
                "good",
                *where,
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "experiment",
                "run",
                "--dataset",
                "capitals",
                "--target",
                "answers_app:bad",
                "--save",
                "bad",
                *where,
            ]
        )
        == 0
    )
    capsys.readouterr()
    out = app / "c.json"
    assert (
        main(
            [
                "experiment",
                "compare",
                "good",
                "bad",
                "--json",
                str(out),
                "--markdown",
                str(app / "c.md"),
                *where,
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    found = json.loads(out.read_text())
    cost = next(c for c in found["changes"] if c["metric"] == "cost")
    assert cost["relative"] == pytest.approx(1.0) and cost["direction"] == "worse" and cost["n"] == N
    assert cost["sessions"] == N // 2, "turns of one conversation are not independent"
    assert {s for _, s in found["violations"]["new"]} and "new violations" in found["headline"]
    assert found["cases"][0]["worse"] and "cost +100 %" in said
    assert (app / "c.md").read_text().startswith("## bad against good")
    assert main(["experiment", "list", *where]) == 0
    assert "good" in capsys.readouterr().out
    assert main(["experiment", "compare", "good", "nothing", *where]) == 2


def test_a_window_of_production_is_a_baseline(server: Server, app: Path) -> None:
    out = app / "g.json"
    words = ["gate", "--dataset", "capitals", "--target", "answers_app:good", "--baseline", "release:1.0@2d"]
    code = main(
        [
            *words,
            "--semantic",
            "answer_relevance",
            "--json",
            str(out),
            "--server",
            server.url,
            "--max-failure-rate",
            "0.3",
        ]
    )
    made = json.loads(out.read_text())
    window = made["baseline_window"]
    assert code in (0, 1, 3) and window["release"] == "1.0"
    assert (
        window["scorers"]["answer_relevance"]["n"] == N
        and window["scorers"]["answer_relevance"]["sessions"] == N // 2
    )
    assert main([*words[:-1], "release:9.9@2d", "--json", str(out), "--server", server.url]) == 3
    relevance = next(m for m in json.loads(out.read_text())["metrics"] if m["scorer"] == "answer_relevance")
    assert "in that window" in relevance["explanation"] or relevance["outcome"] == "not_calibrated"
    assert main([*words[:-1], "production:soon", "--server", server.url]) == 2


def test_stored_traces_are_asked_again_with_tools_from_the_recording(
    server: Server, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (app / "new.txt").write_text("Look it up first.\n")
    out = app / "r.json"
    with FakeOpenAI() as fake:
        first = fake.answer
        fake.answer = lambda body: first(  # type: ignore[method-assign]
            {**body, "tools": None if body["messages"][-1]["role"] == "tool" else ["lookup"]}
        )
        code = main(
            [
                "replay", "--since", "2d", "--target", "prompt:new.txt", "--model", "small", "--base-url", fake.url,
                "--price", "1,2", "--json", str(out), "--server", server.url,
            ]
        )  # fmt: skip
    said = capsys.readouterr().out
    made = json.loads(out.read_text())
    assert (
        code == 0
        and made["dataset"] == "replay"
        and made["baseline_name"].startswith("recorded: all traffic")
    )
    unknown = [r for r in made["results"] if r["excused"]]
    assert len(made["results"]) == N and len(unknown) == 1, "one recording was made with other arguments"
    assert "Rome" in unknown[0]["error"] and "not known" in said and "latency" in said
    assert [m["outcome"] for m in made["metrics"] if m["scorer"] == "cases_unsettled"] == [
        "not_enough_evidence"
    ]
    assert not [m for m in made["metrics"] if m["scorer"] == "target_answers"], (
        "the target is not blamed for it"
    )


def test_a_replay_whose_target_is_not_there_leaves_nothing_behind(server: Server, app: Path) -> None:
    before = server.json("GET", "/api/datasets"), server.json("GET", "/api/experiments")
    for target in ("nowhere:answer", "prompt:absent.txt", "outputs:absent.jsonl"):
        words = ["replay", "--since", "2d", "--target", target, "--server", server.url]
        model = ["--model", "small", "--base-url", "http://127.0.0.1:9", "--price", "1,2"]
        assert main([*words, *(model if target.startswith("prompt:") else [])]) == 2, target
    assert (server.json("GET", "/api/datasets"), server.json("GET", "/api/experiments")) == before


def test_traces_that_are_named_are_asked_again_and_those_that_are_not_there_named(
    server: Server, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (app / "said.jsonl").write_text("")
    words = ["replay", "--target", "outputs:said.jsonl", "--server", server.url]
    known = server.json("GET", "/api/traces?since=2d&limit=1")["traces"][0]["trace_id"]
    assert main([*words, "--trace", "ab" * 16]) == 2
    assert f"there is no trace {'ab' * 16}" in capsys.readouterr().err
    assert main([*words, "--trace", known, "--where", "cost > 1"]) == 2
    assert "leave out where" in capsys.readouterr().err
    assert main([*words, "--trace", known, "--trace", "ab" * 16]) == 0
    told = capsys.readouterr()
    assert f"--trace {'ab' * 16}: there is no such trace" in told.err
    assert "recorded: chosen traces: 1 case" in told.out


def test_the_server_tells_where_a_model_answers_and_never_its_key(server: Server) -> None:
    found = server.json("GET", "/api/models?model=openai:gpt-4o-mini")
    assert found["key_env"] == "OPENAI_API_KEY" and found["price"]["input"] > 0 and "key" not in found
    status, _, answer = server.call("GET", "/api/models?model=anthropic:claude-x")
    assert status == 400 and b"--base-url" in answer
    assert server.call("GET", "/api/models?model=nobody:x")[0] == 404
