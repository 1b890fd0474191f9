"""Gate targets: whatever the target does, every case has an answer or an error."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fake_openai import FakeOpenAI
from watchkeeper.testing.recording import NotRecorded, Recording
from watchkeeper.testing.targets import How, Model, TargetError, Transient, load_function, run
from watchkeeper.testing.targets.answers import answer_of
from watchkeeper.testing.targets.prompt import fill, find_model, messages_of, parse
from watchkeeper.testing.targets.running import Finished

CASES = [{"id": f"c{i}", "input": {"text": f"question {i}"}} for i in range(5)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
    answers = await run(f"{__name__}:echo", CASES, How(repeats=2))
    assert [a["output"] for a in answers[:5]] == [f"about question {i}" for i in range(5)]
    assert [a["repeat"] for a in answers] == [0] * 5 + [1] * 5


async def test_a_function_may_ask_for_the_whole_case_and_return_more_than_text() -> None:
    (first, *_) = await run(whole, CASES)
    assert first["output"] == "c0" and first["usage"] == {"input_tokens": 3} and "secret" not in first


async def test_what_raises_or_returns_nonsense_is_an_error_of_that_case_alone() -> None:
    answers = await run(broken, CASES)
    assert answers[2]["error"] == "ValueError: no such product"
    assert "returned int" in answers[0]["error"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"tool_calls": "search"}, "tool_calls 'search', not a list of objects"),
        ({"documents": ["d1"]}, "not a list of objects"),
        ({"documents": [{"id": object()}]}, "no JSON"),
        ({"usage": 5}, "usage 5, not an object"),
        ({"cost": float("nan")}, "cost nan, not a number"),
        ({"error": ValueError("x")}, "not text"),
    ],
)
def test_what_the_server_could_not_take_is_an_error_of_that_case_and_not_of_the_run(
    more: dict[str, object], said: str
) -> None:
    assert said in answer_of(CASES[0], {"output": "a", **more}, None)["error"]


def test_a_providers_usage_is_taken_as_it_is() -> None:
    usage = {"input_tokens": 3.0, "output_tokens": 2, "details": {"cached": 1}}
    assert answer_of(CASES[0], {"output": "a", "usage": usage}, None)["usage"] == {
        "input_tokens": 3,
        "output_tokens": 2,
    }


async def test_a_case_that_hangs_is_given_up() -> None:
    answers = await run(slow, CASES, How(timeout=0.2))
    assert [("error" in a) for a in answers] == [False, False, False, True, False]


def leaves(text: str) -> str:
    if "1" in text:
        os._exit(0)
    if "2" in text:
        sys.exit(0)
    return text


async def leaves_soon(text: str) -> str:
    await asyncio.sleep(0)
    return leaves(text)


@pytest.mark.parametrize("target", [leaves, leaves_soon])
async def test_a_target_that_ends_the_program_ends_only_its_answer(target: Callable[[str], object]) -> None:
    before = os._exit
    answers = await run(target, CASES)
    assert ["error" in a for a in answers] == [False, True, True, False, False]
    assert "os._exit(0)" in answers[1]["error"] and "SystemExit(0)" in answers[2]["error"]
    assert os._exit is before


async def test_what_a_target_forks_may_end_as_it_likes() -> None:
    def forks(_: str) -> str:
        child = os.fork()
        if child == 0:
            os._exit(7)
        return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    (answer,) = await run(forks, CASES[:1])
    assert answer["output"] == "7"


@pytest.mark.parametrize(
    ("code", "words"), [("1/0", "ZeroDivisionError"), ("import sys; sys.exit(0)", "SystemExit")]
)
async def test_a_target_that_cannot_be_imported_is_said(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad_target.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TargetError, match=f"importing it raised {words}"):
        await run("bad_target:answer", CASES)


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


async def test_half_a_character_in_an_answer_becomes_a_mark() -> None:
    answers = await run(
        lambda text: {"output": f"{text} \ud83d", "documents": [{"content": "\udc00"}]}, CASES[:1]
    )
    assert answers[0]["output"] == "question 0 ?" and answers[0]["documents"] == [{"content": "?"}]
    json.dumps(answers, ensure_ascii=False).encode()


async def test_a_command_that_prints_something_else_is_not_told_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "noise.py"
    script.write_text("for n in range(500): print('noise', n)\nprint('[' * 100_000)\n")
    answers = await run(f"command: {sys.executable} {script}", CASES[:2], How(retries=0))
    assert all("without answering" in a["error"] for a in answers)
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 20 and told[-1].endswith("more of them are not told")


async def test_of_a_line_that_is_no_answer_it_is_said_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "careless.py"
    lines = ['{"output": "größer"}', "Loading\\x1b[31m", '{"id": 99, "output": ""}']
    script.write_text("\n".join(f"print({line!r})" for line in lines).replace("\\\\", "\\"), encoding="utf-8")
    await run(f"command: {sys.executable} {script}", CASES[:1], How(retries=0))
    told = capsys.readouterr().err.splitlines()
    assert 'without the id of a case: {"output": "größer"}' in told[0]
    assert told[1].endswith("no JSON: Loading [31m") and "without the id of a case" in told[2]


async def test_a_command_with_an_open_quote_is_named() -> None:
    with pytest.raises(TargetError, match="cannot be read as a command"):
        await run("command: echo 'x", CASES)


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
            self.send_header("content-type", "application/json" if case["id"] != "c2" else "text/html")
            self.send_header("content-length", str(len(body) + (case["id"] == "c3")))
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
    answers = await run(endpoint, CASES, How(backoff=0.0))
    assert "(after 3 attempts)" in answers[1]["error"]
    assert answers[0]["output"] == "0 noitseuq" and "500" in answers[1]["error"]
    assert answers[2]["output"] == "2 noitseuq", "a framework that calls everything HTML"
    assert "cut off" in answers[3]["error"] and "(after 3 attempts)" in answers[3]["error"]
    assert all(a["latency_ms"] >= 0 for a in answers if "error" not in a)


@pytest.mark.parametrize(
    ("returned", "fails"),
    [
        ({"output": None}, True),
        ({"output": ""}, False),
        ({"output": None, "tool_calls": [{"name": "lookup"}]}, False),
        ({"output": None, "finish_reason": "content_filter"}, False),
    ],
)
def test_an_answer_that_is_none_is_no_answer(returned: dict[str, Any], fails: bool) -> None:
    assert ("error" in answer_of(CASES[0], returned, None)) is fails


async def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    await run(f"{__name__}:echo", CASES, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (5, 5)


async def test_a_thread_that_never_returns_does_not_hold_the_others_or_the_end_of_the_program() -> None:
    gate = threading.Event()

    def hangs(text: str) -> str:
        if "1" in text:
            gate.wait(60)
        return text

    answers = await run(hangs, CASES, How(timeout=0.3, concurrency=2))
    gate.set()
    assert [("error" in a) for a in answers] == [False, True, False, False, False]


async def test_what_may_pass_is_tried_again_and_a_wrong_answer_never() -> None:
    tries: dict[str, int] = {}

    def shaky(text: str) -> str:
        tries[text] = tries.get(text, 0) + 1
        if text.endswith("0") and tries[text] < 3:
            raise Transient("HTTP 503", after_s=0.0)
        if text.endswith("1"):
            raise ConnectionResetError("cut")
        if text.endswith("2"):
            raise KeyError("a fault of the application")
        return text

    answers = await run(shaky, CASES, How(retries=2, backoff=0.0))
    assert answers[0]["output"] == "question 0" and answers[0]["attempts"] == 3
    assert answers[1]["error"] == "cut (after 3 attempts)"
    assert tries["question 2"] == 1 and "KeyError" in answers[2]["error"]


async def test_the_cost_cap_stops_before_it_is_passed_and_no_case_is_lost() -> None:
    asked: list[str] = []

    def dear(text: str) -> dict[str, object]:
        asked.append(text)
        return {"output": text, "cost": 0.4}

    answers = await run(dear, CASES * 1, How(max_cost=1.0, concurrency=4))
    assert len(asked) == 2 and len(answers) == 5
    left = [a for a in answers if "error" in a]
    assert len(left) == 3 and all(a["excused"] and "cost cap of $1" in a["error"] for a in left)


async def test_a_target_that_tells_no_cost_cannot_keep_a_cap() -> None:
    answers = await run(echo, CASES, How(max_cost=1.0))
    assert sum("reports no cost" in a.get("error", "") for a in answers) == 4


def test_a_killed_run_continues_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, signal\n"
        "def answer(text):\n"
        "    with open('asked', 'a') as file: file.write(text + '\\n')\n"
        "    if text == 'question 3' and not os.path.exists('killed'):\n"
        "        open('killed', 'w').close(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return text\n"
    )
    (tmp_path / "main.py").write_text(
        "import asyncio\nfrom watchkeeper.testing.targets import How, run\n"
        "cases = [{'id': f'c{i}', 'input': f'question {i}'} for i in range(5)]\n"
        "found = asyncio.run(run('app:answer', cases, How(concurrency=1)))\n"
        "print(found.remembered, [a['output'] for a in found])\nfound.stored()\n"
    )
    ran = [
        subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
        for _ in range(3)
    ]
    assert ran[0].returncode == -signal.SIGKILL
    assert ran[1].stdout.startswith("3 ['question 0', 'question 1'"), ran[1].stderr
    assert (tmp_path / "asked").read_text().split("\n")[3:6] == ["question 3", "question 3", "question 4"]
    assert ran[2].stdout.startswith("0 "), "once stored, nothing of the run is left"


async def test_a_cache_never_asks_the_same_twice_unless_the_case_the_repeat_or_the_version_is_another(
    tmp_path: Path,
) -> None:
    asked: list[str] = []

    def counted(text: str) -> str:
        asked.append(text)
        return text

    async def ran(cases: list[dict[str, object]], **more: object) -> Finished:
        found = await run(counted, cases, How(cache=tmp_path / "answers.sqlite", **more))  # type: ignore[arg-type]
        found.stored()
        return found

    await ran(CASES)
    assert (await ran(CASES)).remembered == 5 and len(asked) == 5
    changed = [{**CASES[0], "input": {"text": "another question"}}, *CASES[1:]]
    assert (await ran(changed)).remembered == 4
    assert (await ran(CASES, repeats=2)).remembered == 5
    assert (await ran(CASES, version="commit 2")).remembered == 0
    assert (await ran(CASES, fresh=True)).remembered == 0


async def test_failures_are_not_remembered(tmp_path: Path) -> None:
    how = How(cache=tmp_path / "answers.sqlite")
    await run(broken, CASES, how)
    assert (await run(broken, CASES, how)).remembered == 0


async def test_a_command_that_dies_is_started_again_for_what_it_left(tmp_path: Path) -> None:
    script = tmp_path / "target.py"
    script.write_text(
        "import sys, json\n"
        "for i, line in enumerate(sys.stdin):\n"
        "    if i == 2: sys.exit(9)\n"
        "    print(json.dumps({'id': json.loads(line)['id'], 'output': 'ok'}), flush=True)\n"
    )
    answers = await run(f"command: {sys.executable} {script}", CASES, How(retries=2))
    assert [a.get("output") for a in answers] == ["ok"] * 5
    answers = await run(f"command: {sys.executable} {script}", CASES, How(retries=0, fresh=True))
    assert "status 9" in answers[4]["error"] and answers[1]["output"] == "ok"


async def test_a_command_is_stopped_at_the_cost_cap(tmp_path: Path) -> None:
    script = tmp_path / "target.py"
    script.write_text(
        "import sys, json\n"
        "for line in sys.stdin:\n"
        "    print(json.dumps({'id': json.loads(line)['id'], 'output': 'ok', 'cost': 0.5}), flush=True)\n"
    )
    answers = await run(f"command: {sys.executable} {script}", CASES, How(max_cost=1.0))
    assert sum("output" in a for a in answers) == 2 and sum(a.get("excused", False) for a in answers) == 3


async def test_stored_outputs_that_are_no_json_lines_are_named_by_line(tmp_path: Path) -> None:
    stored = tmp_path / "o.jsonl"
    stored.write_text('{"id": "c0", "output": "x"}\n\nnot json\n')
    with pytest.raises(TargetError, match="line 3"):
        await run(f"outputs:{stored}", CASES)


async def test_stored_outputs_may_hold_repeats(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("\n".join(json.dumps({"id": "c0", "output": str(i)}) for i in range(3)))
    answers = await run(f"outputs:{file}", CASES[:1])
    assert [(a["output"], a["repeat"]) for a in answers] == [("0", 0), ("1", 1), ("2", 2)]


PROMPT = "[system]\nYou answer for {{context.shop}}.\n[user]\nQuestion: {{input}}\n"


def test_a_template_has_no_logic_and_says_what_a_case_lacks() -> None:
    case = {
        "id": "c",
        "input": {"text": "When?"},
        "context": {"shop": "Acme", "documents": [{"content": "Monday"}]},
    }
    assert messages_of(parse(PROMPT), case) == [
        {"role": "system", "content": "You answer for Acme."},
        {"role": "user", "content": "Question: When?"},
    ]
    assert fill("{{context.documents.0.content}} {% if x %}", case) == "Monday {% if x %}"
    assert parse("Be brief.") == [("system", "Be brief."), ("user", "{{input}}")]


def test_a_recorded_conversation_is_sent_as_it_was() -> None:
    parts = [{"type": "text", "text": "Hello"}]
    call = [{"type": "tool_call", "id": "1", "name": "lookup", "arguments": {"a": 1}}]
    result = [{"type": "tool_result", "id": "1", "result": {"b": 2}}]
    messages = [
        {"role": "user", "parts": parts},
        {"role": "assistant", "parts": call},
        {"role": "tool", "parts": result},
    ]
    made = messages_of(
        parse("[system]\nS\n[messages]"), {"id": "c", "input": "Hello", "context": {"messages": messages}}
    )
    assert [m["role"] for m in made] == ["system", "user", "assistant", "tool"]
    assert made[2]["tool_calls"][0]["function"] == {"name": "lookup", "arguments": '{"a": 1}'}
    assert made[3]["content"] == '{"b": 2}' and made[3]["tool_call_id"] == "1"


@pytest.fixture
def prompt(tmp_path: Path) -> str:
    (tmp_path / "p.txt").write_text("Be brief.\n")
    return f"prompt:{tmp_path / 'p.txt'}"


async def test_a_prompt_and_a_model_answer_with_cost_usage_and_tokens(prompt: str) -> None:
    with FakeOpenAI() as fake:
        model = Model("small", fake.url, price=(1.0, 2.0))
        answers = await run(prompt, CASES[:2], How(model=model))
        assert answers[0]["output"] == "Paris is the capital of France."
        assert answers[0]["usage"] == {"input_tokens": 31, "output_tokens": 12}
        assert answers[0]["cost"] == pytest.approx(55e-6)
        assert fake.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}
        failing = [{"id": "x", "input": "fail 429 please"}, {"id": "y", "input": "fail 400 please"}]
        x, y = await run(prompt, failing, How(model=model, backoff=0.0))
        assert "429" in x["error"] and "3 attempts" in x["error"]
        assert "400" in y["error"] and "attempts" not in y["error"]


def tool_case(arguments: object) -> dict[str, object]:
    tool = {"name": "lookup", "arguments": arguments, "result": {"capital": "Paris"}}
    definition = {"name": "lookup", "parameters": {"type": "object"}}
    return {
        "id": "t",
        "input": "Capital?",
        "context": {"tools": [definition], "steps": [{"name": "lookup", "tool": tool}]},
    }


async def test_tools_are_answered_from_the_recording_and_nothing_is_invented(prompt: str) -> None:
    with FakeOpenAI() as fake:
        first = fake.answer
        fake.answer = lambda body: first(
            {**body, "tools": None} if body["messages"][-1]["role"] == "tool" else body
        )  # type: ignore[method-assign]
        model = Model("small", fake.url, price=(1.0, 2.0))
        (answer,) = await run(prompt, [tool_case({"city": "Paris"})], How(model=model))
        assert answer["output"].startswith("Paris") and answer["tool_calls"][0]["result"] == {
            "capital": "Paris"
        }
        assert json.loads(fake.requests[-1]["messages"][-1]["content"]) == {"capital": "Paris"}
        (other,) = await run(prompt, [tool_case({"city": "Rome"})], How(model=model))
    assert other["excused"] and 'no lookup({"city": "Paris"})' in other["error"] and "Rome" in other["error"]


def test_a_recording_gives_repeated_calls_in_their_order() -> None:
    steps = [
        {"name": "f", "tool": {"name": "f", "arguments": '{"a":1}', "result": r}} for r in ("one", "two")
    ]
    recording = Recording({"context": {"steps": steps}})
    assert [recording.call("f", {"a": 1}) for _ in range(3)] == ["one", "two", "two"]
    with pytest.raises(NotRecorded, match="recorded were f"):
        recording.call("g", {})


def test_a_model_is_found_by_the_servers_configuration_with_this_process_s_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"base_url": "http://h/v1", "key_env": "SOME_KEY", "price": {"input": 1, "output": 2}}
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(TargetError, match="SOME_KEY is not set"):
        find_model("acme:m", None, None, None, None, None, lambda _n: known)
    monkeypatch.setenv("SOME_KEY", "s3cret")
    found = find_model("acme:m", None, None, None, None, None, lambda _n: known)
    assert (found.name, found.base_url, found.price) == ("m", "http://h/v1", (1.0, 2.0))
    assert "s3cret" not in repr(found)
    with pytest.raises(TargetError, match="INPUT,OUTPUT"):
        find_model("m", "http://h", None, "cheap", None, None, lambda _n: {})


async def test_a_cap_needs_a_price(prompt: str) -> None:
    with pytest.raises(TargetError, match="price of m is unknown"):
        await run(prompt, CASES, How(model=Model("m"), max_cost=1.0))
