"""`pytest --watchkeeper` as users run it: in processes of its own, and against a server."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.serving import Server

TESTS = """
import pytest

def good(text):
    return {"output": "Paris is the capital of that country.", "finish_reason": "stop"}

@pytest.mark.watchkeeper(dataset="%s")
def test_capitals(watchkeeper_case, watchkeeper_judge):
    watchkeeper_judge(good)
"""


def ran(folder: Path, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    plugins = ["-p", "watchkeeper", *(["-p", "xdist"] if "-n" in options else [])]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *plugins,
        "--watchkeeper",
        *options,
    ]
    given = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **(env or {})}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)


def cases(n: int) -> list[dict[str, object]]:
    return [{"id": f"c{i}", "input": {"text": f"What is the capital of country {i}?"}} for i in range(n)]


def test_workers_of_xdist_are_judged_together(tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_text("\n".join(json.dumps(c) for c in cases(62)))
    (tmp_path / "test_app.py").write_text(TESTS % "golden.jsonl")
    found = ran(tmp_path, "-n", "2")
    assert found.returncode == 0 and "62 passed" in found.stdout and "0 of 62 failed" in found.stdout, (
        found.stdout
    )


def test_a_dataset_of_a_server_is_judged_there_and_stored(tmp_path: Path) -> None:
    (tmp_path / "test_app.py").write_text(TESTS % "capitals")
    with Server(tmp_path / "data") as server:
        server.json("POST", "/api/datasets/capitals/cases", {"add": cases(3), "duplicates": "keep"})
        found = ran(tmp_path, "--watchkeeper-save", "from-pytest", env={"WATCHKEEPER_ENDPOINT": server.url})
        assert "3 passed" in found.stdout and "NOT ENOUGH EVIDENCE" in found.stdout, (
            found.stdout + found.stderr
        )
        stored = server.json("GET", "/api/experiments/from-pytest")
        assert stored["n_cases"] == 3 and stored["id"] in found.stdout
        missing = ran(tmp_path, env={"WATCHKEEPER_ENDPOINT": server.url, "WATCHKEEPER_PROJECT": "other"})
        assert missing.returncode == 2 and "no dataset" in missing.stdout
