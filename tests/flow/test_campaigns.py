"""`make chaos`: what is asked for is run, what is not held is said, and what hangs is ended."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import share_of, sized
from tests.flow import campaigns

TABLE = """
| | what holds | test | control, size |
|---|---|---|---|
| D1 | the longest | `unit/test_a.py::test_it_holds`, `unit/test_a.py::test_it_is_skipped` | one size |
| D2, D3 | two of them | `unit/test_a.py::test_it_breaks`, `unit/test_a.py::test_it_holds` | `unit/test_a.py::test_the_control` |
"""
HERE = """
def test_it_holds(): print("D1: 3 of 3")
def test_it_breaks(): assert False
def test_the_control(): pass
def test_it_is_skipped():
    import pytest
    pytest.skip("not here")
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "docs" / "reliability.md").write_text(TABLE)
    (tmp_path / "tests" / "unit" / "test_a.py").write_text(HERE)
    monkeypatch.setattr(campaigns, "ROOT", tmp_path)
    monkeypatch.setattr(campaigns, "LOGS", tmp_path / ".chaos")
    return tmp_path


def test_one_promise_that_is_not_kept_is_said_and_the_others_are_tried_all_the_same(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert campaigns.main([]) == 1
    said = capsys.readouterr().out
    assert said.index("D2, D3: two of them") < said.index("D1: the longest"), "the longest comes last"
    assert "      FAILED tests/unit/test_a.py::test_it_breaks" in said
    assert "NOT HELD after" in said and ".chaos/D2.log" in said and "      D1: 3 of 3" in said
    assert said.splitlines()[-2:] == ["  skipped in part: 1 (D1)", "  NOT HELD: 1 (D2, D3)"]
    assert "assert False" in (repository / ".chaos" / "D2.log").read_text()


def test_one_is_run_by_its_mark_and_a_wrong_mark_is_named(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert campaigns.main(["D1", "--share", "0.1"]) == 0
    assert "1 of 1 promises tried at size 0.1" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        campaigns.main(["D9"])
    assert "no such promise: D9" in capsys.readouterr().err


def test_one_that_says_nothing_any_more_is_ended_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(campaigns, "SILENT_S", 0.05)
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )  # fmt: skip
    assert list(campaigns.lines_of(process)) == ["nothing was said for 0.05 s: ended\n"]
    assert process.wait(60) != 0


def test_sizes_are_shares_of_the_full_ones_and_never_below_the_quick_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = {}
    for said in ("", "0.01", "0.25", "full"):
        monkeypatch.setattr("tests.chaos.SHARE", share_of(said))
        made[said] = sized(8, 200)
    assert made == {"": 8, "0.01": 8, "0.25": 50, "full": 200}
