"""`pytest --watchkeeper` on a dataset file."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# Imported here, because a test session inside this one forgets what it was the first to import.
import watchkeeper.testing.scoring  # noqa: F401  # pyright: ignore[reportUnusedImport]
from watchkeeper.cli.dataset import write_parquet
from watchkeeper.model.review import Case
from watchkeeper.testing import judges
from watchkeeper.testing.cases import FIELDS
from watchkeeper.testing.plugin import _printable  # pyright: ignore[reportPrivateUsage]

pytest_plugins = ["pytester"]

APP = """
import itertools
ticks = itertools.count()

def good(text):
    return {"output": '{"answer": "Paris is the capital of it."}', "finish_reason": "stop"}

def truncated(text):
    return {"output": '{"answer": "The capital', "finish_reason": "length"}

def sometimes(text):
    return truncated(text) if "case 3" in text and next(ticks) % 2 else good(text)

def breaks(case):
    if case["id"] == "c2":
        raise ValueError("no such country")
    return good("")
"""
TESTS = """
import pytest
import app

@pytest.mark.watchkeeper(dataset="{dataset}"{more})
def test_support(watchkeeper_case, watchkeeper_judge):
    {body}

def test_something_else():
    assert True
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    (pytester.path / "app.py").write_text(APP)
    cases = [
        {
            "id": f"c{i}",
            "input": {"text": f"What is the capital, case {i}?"},
            "split": "golden" if i < 70 else "calibration",
        }
        for i in range(72)
    ]
    (pytester.path / "golden.jsonl").write_text("\n".join(json.dumps(c) for c in cases))
    (pytester.path / "pytest.ini").write_text("[pytest]\nwatchkeeper_config = scorers.yaml\n")
    (pytester.path / "scorers.yaml").write_text(
        "scorecards:\n- name: card\n  metrics:\n  - {name: json_valid, type: json_valid}\n  - {name: truncation, type: truncation}\n"
    )
    return pytester.path


@dataclass
class Found:
    returncode: int
    stdout: str


@pytest.fixture
def ran(pytester: pytest.Pytester, project: Path) -> Callable[..., Found]:
    def run(
        *options: str,
        body: str = "watchkeeper_judge(app.good)",
        more: str = ', split="golden"',
        dataset: str = "golden.jsonl",
    ) -> Found:
        (project / "test_app.py").write_text(TESTS.format(body=body, more=more, dataset=dataset))
        pytester.syspathinsert()
        result = pytester.runpytest_inprocess(
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-p",
            "no:xdist",
            "-p",
            "watchkeeper",
            *options,
        )
        return Found(int(result.ret), "\n".join([*result.outlines, *result.errlines]))

    return run


def test_without_the_option_marked_tests_are_skipped_and_nothing_else_changes(
    project: Path, ran: Callable[..., Found]
) -> None:
    found = ran()
    assert found.returncode == 0 and "1 passed, 1 skipped" in found.stdout, found.stdout


def test_every_case_is_a_test_and_the_session_ends_with_a_verdict(
    project: Path, ran: Callable[..., Found]
) -> None:
    found = ran("--watchkeeper", "--watchkeeper-save", "base.json", "--junitxml", "junit.xml")
    assert found.returncode == 0 and "71 passed" in found.stdout, found.stdout
    assert "watchkeeper: " in found.stdout and ": PASS" in found.stdout and "0 of 70 failed" in found.stdout
    assert (project / "junit.xml").read_text().count("<testcase") == 71
    assert "answers" not in (project / "junit.xml").read_text()
    assert len(json.loads((project / "base.json").read_text())["results"]) == 70
    again = ran(
        project,
        "--watchkeeper",
        "--watchkeeper-baseline",
        "base.json",
        body="watchkeeper_judge(app.truncated)",
    )
    assert again.returncode == 1 and ": FAIL" in again.stdout and "70 failed" in again.stdout
    assert "finish" in again.stdout or "truncat" in again.stdout


def test_flaky_cases_are_set_aside_and_say_so(project: Path, ran: Callable[..., Found]) -> None:
    found = ran(
        project,
        "--watchkeeper",
        "-rs",
        body="watchkeeper_judge(app.sometimes)",
        more=', split="golden", repeats=3',
    )
    assert "flaky, set aside" in found.stdout and "failed" not in found.stdout.splitlines()[-1]
    assert "repeated cases are flaky and set aside" in found.stdout, found.stdout


def test_few_cases_are_not_enough_evidence_and_strict_makes_that_a_failure(
    project: Path, ran: Callable[..., Found]
) -> None:
    found = ran("--watchkeeper", more=', split="calibration"')
    assert found.returncode == 0 and "NOT ENOUGH EVIDENCE" in found.stdout
    assert ran("--watchkeeper", "--watchkeeper-strict", more=', split="calibration"').returncode == 1


def test_a_target_that_breaks_on_one_case_fails_that_case(project: Path, ran: Callable[..., Found]) -> None:
    found = ran("--watchkeeper", body="watchkeeper_judge(app.breaks)")
    assert (
        "the target failed: ValueError: no such country" in found.stdout
        and "1 failed, 70 passed" in found.stdout
    )
    found = ran("--watchkeeper", body="watchkeeper_judge(app.breaks(watchkeeper_case))")
    assert "the target failed on 1 case;" in found.stdout and "1 failed, 70 passed" in found.stdout


def test_cases_that_were_not_run_are_no_failure_and_no_pass(project: Path, ran: Callable[..., Found]) -> None:
    found = ran("--watchkeeper", "-k", "c1 or c2")
    assert (
        found.returncode == 0 and "not run in this session" in found.stdout and "NOT ENOUGH" in found.stdout
    )


def test_the_target_may_stand_in_the_marker_and_an_answer_may_be_a_text(
    project: Path, ran: Callable[..., Found]
) -> None:
    found = ran(
        project, "--watchkeeper", body="watchkeeper_judge()", more=', target="app:good", split="golden"'
    )
    assert ": PASS" in found.stdout, found.stdout
    found = ran("--watchkeeper", body='watchkeeper_judge("The capital of it is Paris.")')
    assert ": PASS" in found.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (', splitt="golden"', "splitt is not known here"),
        (', split="nothing"', "has no cases of split nothing"),
    ],
)
def test_a_wrong_marker_is_refused_in_words(ran: Callable[..., Found], more: str, said: str) -> None:
    found = ran("--watchkeeper", more=more)
    assert found.returncode in (2, 4) and said in found.stdout


def test_a_faulty_dataset_names_its_line(project: Path, ran: Callable[..., Found]) -> None:
    with open(project / "golden.jsonl", "a") as file:
        file.write('\n{"id": "x"}')
    found = ran("--watchkeeper")
    assert "golden.jsonl:73 is no case; it needs id and input" in found.stdout


def test_a_table_of_another_product_is_a_dataset_too(project: Path, ran: Callable[..., Found]) -> None:
    rows = [f"case {i},What is the capital of number {i}?,x\n" for i in range(70)]
    (project / "golden.csv").write_text("id,inputs.question,outputs.answer\n" + "".join(rows))
    found = ran("--watchkeeper", dataset="golden.csv", more="")
    assert found.returncode == 0 and "golden.csv: PASS" in found.stdout and "71 passed" in found.stdout


def test_importing_it_needs_pytest_and_the_standard_library_only(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import watchkeeper.testing.plugin, watchkeeper.testing.recording\n"
        "from watchkeeper.cli.main import parser; parser()\n"
        "heavy = {'msgspec', 'numpy', 'scipy', 'sqlalchemy', 'pydantic', 'starlette', 'opentelemetry'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_a_file_of_cases_is_read_as_the_dataset_command_reads_it(tmp_path: Path) -> None:
    assert frozenset(Case.__struct_fields__) == frozenset(FIELDS)
    case = json.dumps({"id": "a", "input": "x"})
    (tmp_path / "d.jsonl").write_text(f"{case}\n{case}")
    with pytest.raises(judges.JudgeError, match=r"d.jsonl:2: the case a stands in the file twice"):
        judges.Local(tmp_path / "d.jsonl", None, {}, None, None)
    write_parquet([{"id": "a", "input": {"text": "x"}, "context": {"k": 1}}], tmp_path / "d.parquet")
    assert judges.Local(tmp_path / "d.parquet", None, {}, None, None).cases[0]["context"] == {"k": 1}


def test_what_a_target_says_cannot_steer_a_terminal() -> None:
    assert _printable("a\x1b[31mb\x00\nc ü") == "a\ufffd[31mb\ufffd\nc ü"


def test_a_test_without_the_marker_is_told_of_it(project: Path, ran: Callable[..., Found]) -> None:
    (project / "test_bare.py").write_text("def test_bare(watchkeeper_case): pass")
    assert "needs the marker: @pytest.mark.watchkeeper" in ran("test_bare.py").stdout
