"""The gate's command, however its target behaves: what ends it, what it is told that means nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Fake
from watchkeeper.cli.main import main

DATASET = {"dataset": "d", "version": 1, "cases": [{"id": str(n), "input": f"q{n}"} for n in range(9)]}
JUDGED: dict[str, Any] = {"id": "e", "verdict": "pass", "metrics": [], "report": {"text": "fine"}}
TARGETS = """
import asyncio, os, signal

def answer(text): return "a"

async def ending(text):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(60)

def moving(text): os.chdir("/"); return "a"

def closing(text): os.closerange(CLOSED, 1000); return "a"
"""

AGAIN = """
import asyncio, os, signal

async def answer(text):
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        os.kill(os.getpid(), signal.SIGINT)
        raise
"""


def gate(fake: Fake, target: str, *more: str) -> list[str]:
    fake.json(200, DATASET)
    fake.json(200, [])
    return ["gate", "--dataset", "d", "--target", target, "--server", fake.url, *more]


def test_it_says_which_ignored_name_means_nothing(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "named_targets.py").write_text(TARGETS)
    asked = gate(fake, "named_targets:answer", "--ignore", "pii_leak, pii_leek", "--quiet")
    fake.json(200, [{"name": "pii_leak"}])
    fake.json(201, JUDGED)
    assert main(asked) == 0
    assert capsys.readouterr().err == "--ignore pii_leek: no scorer is called that; it changes nothing\n"


def test_a_baseline_that_is_not_there_is_told_before_anything_is_asked(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = gate(fake, "named_targets:never_asked", "--baseline", "mian")
    fake.json(404, {"error": "there is no experiment 'mian'", "hint": ""})
    assert main(asked) == 2
    assert "there is no experiment mian to compare with" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["gate"], ["experiment", "run"]])
def test_a_key_that_may_not_store_a_run_is_refused_before_anything_is_asked(
    fake: Fake, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.json(200, DATASET)
    fake.json(403, {"error": "this needs the permission editor", "hint": "your role here is viewer"})
    asked = [*command, "--dataset", "d", "--target", "named_targets:never_asked", "--server", fake.url]
    assert main(asked) == 2
    said = capsys.readouterr().err
    assert "this needs the permission editor\n  your role here is viewer" in said
    assert [path for _, path, _, _ in fake.asked] == ["/api/datasets/d", "/api/experiments/score"]


def test_a_report_stays_where_it_was_asked_for_and_is_no_folder(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "moving_targets.py").write_text(TARGETS)
    for option, words in (("--junit", "that is a folder"), ("--max-cost", "must be more than 0 dollars")):
        given = str(tmp_path) if option == "--junit" else "nan"
        assert main(["gate", "--dataset", "d", "--target", "x:y", "--server", fake.url, option, given]) == 2
        assert words in capsys.readouterr().err
    asked = gate(fake, "moving_targets:moving", "--json", "here.json", "--quiet")
    fake.json(201, JUDGED)
    assert main(asked) == 0
    monkeypatch.chdir(tmp_path)
    assert (tmp_path / "here.json").exists()


@pytest.mark.parametrize(
    "of_ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background"]
)
def test_a_sigterm_ends_it_without_a_traceback(
    fake: Fake,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    of_ctrl_c: Any,
) -> None:
    (tmp_path / "ending_targets.py").write_text(TARGETS)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    interrupt = signal.signal(signal.SIGINT, of_ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt):
            main(gate(fake, "ending_targets:ending", "--quiet"))
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
    assert capsys.readouterr().err.strip() == "the same command continues where this left off"
    assert not caplog.records


def test_a_second_ctrl_c_while_it_ends_prints_no_traceback(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "again_targets.py").write_text(AGAIN)
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", *gate(fake, "again_targets:answer", "--quiet")],
        capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.strip() == "the same command continues where this left off\nwatchkeeper gate: stopped"


@pytest.mark.parametrize("first", [0, 3])
def test_a_target_that_closes_every_file_is_bad_input_and_no_verdict(
    fake: Fake, tmp_path: Path, first: int
) -> None:
    (tmp_path / "closing_targets.py").write_text(TARGETS.replace("CLOSED", str(first)))
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", *gate(fake, "closing_targets:closing")],
        capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    # Where it closed standard error too, nothing can be said.
    assert first == 0 or done.stderr.startswith("watchkeeper gate: the target closed files of this process")


@pytest.mark.parametrize("given", ["xyz", "", "0" * 32, "\x1b[31m"])
def test_erasing_what_is_no_trace_id_is_said_in_words(
    fake: Fake, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["erase", "--trace", given, "--server", fake.url]) == 2
    said = capsys.readouterr().err
    assert "a trace id is 32 hexadecimal digits, not all zero" in said and "\x1b" not in said
    assert not fake.asked


def test_answers_that_are_the_same_leave_a_judge_nothing_to_ask(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    for pairs in (0, 1):
        planned = {"pairs": pairs, "calls": 2 * pairs, "cost": 0.001 * pairs, "pricing_version": "v"}
        fake.json(200, {"asked": False, "planned": planned})
    asked = ["experiment", "prefer", "a", "b", "--model", "openai:m", "--server", fake.url]
    assert main(asked) == 0
    assert "nothing to ask about" in capsys.readouterr().out
    assert main(asked) == 2
    assert "1 pair, 2 calls, $0.0010 at most" in capsys.readouterr().out
