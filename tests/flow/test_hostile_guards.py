"""Inline checks that users bring and that hang, spin, hold the interpreter, eat memory, die or answer nonsense (G2): the guard
answers in its budget, says what it skipped, and nobody else notices.

`WATCHKEEPER_CHAOS=full` makes it 2,000 requests and measures the answers' times.
"""

import json
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.chaos import FULL, progress, sized
from tests.serving import Server

BUDGET_S = 0.05
HOSTILE = """
import os, re, time

def hang(subject): time.sleep(60)
def spin(subject):
    while True: pass
def hold(subject): return re.search("(a+)+$", "a" * 40 + "!") is None
def eat(subject):
    kept = []
    while True: kept.append(bytearray(64 << 20))
def die(subject): os.kill(os.getpid(), 9)
def throw(subject): raise SystemExit("no")
def nonsense(subject): return object()
def good(subject): return "forbidden" not in (subject.output_text or "")
"""
NAMES = ("hang", "spin", "hold", "eat", "die", "throw", "nonsense")
EACH = sized(2, 285)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "hostile_checks.py").write_text(HOSTILE)
    guard = '  - {{name: {0}, fail: {1}, output: [{{name: {2}, type: custom, function: "hostile_checks:{2}", timeout_s: 1}}]}}\n'
    lines = [guard.format(n, "open", n) for n in (*NAMES, "good")] + [
        guard.format("strict", "closed", "hang")
    ]
    config = folder / "watchkeeper.yaml"
    config.write_text("guards:\n" + "".join(lines))
    path = f"{folder}:{Path.cwd() / 'src'}"
    with Server(folder / "data", "--config", str(config), env={"PYTHONPATH": path}) as running:
        yield running


def ask(server: Server, guard: str, output: str = "an answer") -> tuple[dict[str, object], float]:
    began = time.monotonic()
    status, _, body = server.call("POST", "/api/guard", {"guard": guard, "output": output})
    assert status == 200, body
    return json.loads(body), time.monotonic() - began


def test_a_hostile_check_is_skipped_with_its_reason_and_nobody_else_waits(server: Server) -> None:
    others: list[float] = []
    done = threading.Event()

    def beside() -> None:
        while not done.is_set():
            said, took = ask(server, "default", "write to ann@example.com")
            assert said["verdict"] == "redact" or said["skipped"]
            others.append(took)
            time.sleep(0.02)

    times: list[float] = []
    with ThreadPoolExecutor(1) as one:
        neighbour = one.submit(beside)
        try:
            for name in NAMES:
                for number in range(EACH):
                    said, took = ask(server, name)
                    assert said["verdict"] == "pass" and said["skipped"], (name, said)
                    times.append(took)
                    progress(f"G2 {name}", number + 1, EACH)
                assert server.call("GET", "/healthz")[0] == 200
        finally:
            done.set()
        neighbour.result()
    cut = statistics.quantiles(times, n=100)
    print(f"G2: {len(times)} hostile answers: median {cut[49] * 1e3:.0f} ms, p99 {cut[98] * 1e3:.0f} ms; "
          f"{len(others)} others: median {statistics.median(others) * 1e3:.0f} ms")  # fmt: skip
    if FULL:
        # A machine that is busy answers an ordinary guard late as well.
        assert cut[49] <= BUDGET_S + max(0.010, statistics.median(others))


def test_failing_closed_is_a_block(server: Server) -> None:
    said, _ = ask(server, "strict")
    assert said["verdict"] == "block" and said["skipped"]


def test_the_control_a_well_behaved_function_is_not_skipped(server: Server) -> None:
    deadline = time.monotonic() + 60  # its process needs a moment beside the hostile ones
    while (said := ask(server, "good", "forbidden fruit")[0])["skipped"]:
        assert time.monotonic() < deadline, said
        time.sleep(0.2)
    assert said["verdict"] == "block" and ask(server, "good")[0]["verdict"] == "pass"
