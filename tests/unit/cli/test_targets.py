"""Gate targets: whatever the target does, every case has an answer or an error."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from watchkeeper.cli.targets import TargetError, load_function, run, run_function

CASES = [{"id": f"c{i}", "input": {"text": f"question {i}"}} for i in range(5)]


def echo(text: str) -> str:
    return f"about {text}"


async def slow(text: str) -> str:
    await asyncio.sleep(5 if "3" in text else 0)
    return text


def whole(case: dict[str, object]) -> dict[str, object]:
    return {"output": case["id"], "usage": {"input_tokens": 3}, "secret": "left out"}


def broken(text: str) -> object:
    if "2" in text:
        raise ValueError("no such product")
    return 7


async def test_a_function_answers_every_case_and_counts_repeats() -> None:
    answers = await run(f"{__name__}:echo", CASES, repeats=2)
    assert [a["output"] for a in answers[:5]] == [f"about question {i}" for i in range(5)]
    assert [a["repeat"] for a in answers] == [0] * 5 + [1] * 5


async def test_a_function_may_ask_for_the_whole_case_and_return_more_than_text() -> None:
    (first, *_) = await run_function(whole, CASES, 2, 5, lambda _d, _a: None)
    assert first["output"] == "c0" and first["usage"] == {"input_tokens": 3} and "secret" not in first


async def test_what_raises_or_returns_nonsense_is_an_error_of_that_case_alone() -> None:
    answers = await run_function(broken, CASES, 2, 5, lambda _d, _a: None)
    assert answers[2]["error"] == "ValueError: no such product"
    assert "returned int" in answers[0]["error"]


async def test_a_case_that_hangs_is_given_up() -> None:
    answers = await run_function(slow, CASES, 5, 0.2, lambda _d, _a: None)
    assert [("error" in a) for a in answers] == [False, False, False, True, False]


async def test_a_command_is_started_once_and_may_answer_in_any_order(tmp_path: Path) -> None:
    script = tmp_path / "target.py"
    script.write_text(
        "import sys, json\n"
        "rows = [json.loads(l) for l in sys.stdin]\n"
        "print('starting up')\n"
        "for r in reversed(rows[1:]):\n"
        "    print(json.dumps({'id': r['id'], 'output': r['text'].upper()}))\n"
    )
    answers = await run(f"command: {sys.executable} {script}", CASES)
    assert answers[1]["output"] == "QUESTION 1" and answers[4]["output"] == "QUESTION 4"
    assert "without answering" in answers[0]["error"]


async def test_a_command_that_does_not_exist_says_so() -> None:
    with pytest.raises(TargetError, match="cannot start"):
        await run("command: no-such-program-here", CASES)


def test_a_function_that_does_not_exist_says_what_a_target_may_be() -> None:
    with pytest.raises(TargetError, match="module:function"):
        load_function("no_such_module:answer")
    with pytest.raises(TargetError, match="not a function"):
        load_function("sys:maxsize")


async def test_stored_outputs_are_matched_by_id(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("\n".join(json.dumps({"id": f"c{i}", "output": str(i)}) for i in range(3)))
    answers = await run(f"outputs:{file}", CASES)
    assert answers[2]["output"] == "2" and answers[3]["error"] == "no stored output"
    file.write_text("{not json")
    with pytest.raises(TargetError, match="not JSON lines"):
        await run(f"outputs:{file}", CASES)


@pytest.fixture
def endpoint() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            case = json.loads(self.rfile.read(int(self.headers["content-length"])))
            failing = case["id"] == "c1"
            body = json.dumps({"output": case["text"][::-1]}).encode()
            self.send_response(500 if failing else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


async def test_an_endpoint_is_asked_and_its_errors_belong_to_the_case(endpoint: str) -> None:
    answers = await run(endpoint, CASES)
    assert answers[0]["output"] == "0 noitseuq" and "500" in answers[1]["error"]
    assert all(a["latency_ms"] >= 0 for a in answers if "error" not in a)


async def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    await run(f"{__name__}:echo", CASES, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)
