"""What an action on a signal does to cases that are there already is said."""

from typing import Any

import pytest

from tests.unit.cli.conftest import Fake
from watchkeeper.cli.main import main
from watchkeeper.cli.output import moves

MOVED = [{"case_id": f"c{i}", "was": "holdout", "split": "regression"} for i in range(22)]


def test_an_action_names_the_cases_that_leave_their_split(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = {"dataset": "d", "version": 2, "cases": ["c0"], "must_pass": ["s"]}
    entry: dict[str, Any] = {"id": "man_1", "scorer": "s", "gate": gate, "monitors": [{"name": "m"}]}
    fake.json(200, {"managed": entry, "moved": MOVED[:1]})
    assert main(["signal", "act", "sig_1", "--accept", "--server", fake.url]) == 0
    assert "moved c0 from holdout to regression" in capsys.readouterr().out
    seen = {"failing": 1, "passing": 2, "proposals": [], "cases": [], "left_out": [], "chosen": None}
    fake.json(200, {**seen, "moved": MOVED[:1]})
    assert main(["signal", "act", "sig_1", "--server", fake.url]) == 0
    assert "would move c0 from holdout to regression" in capsys.readouterr().out


def test_the_list_says_what_found_each(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    share = {"value": 0.1, "low": 0.05, "high": 0.2}
    one = {
        "id": "sig_1",
        "status": "new",
        "severity": "high",
        "count": 3,
        "prevalence": share,
        "trend": "steady",
        "owner": None,
    }
    fake.json(200, [{**one, "scorer": "has_steps", "name": "<n> does not occur"}])
    assert main(["signal", "list", "--server", fake.url]) == 0
    assert "has_steps  <n> does not occur" in capsys.readouterr().out


def test_of_many_cases_that_move_the_first_are_named() -> None:
    assert len(moves(MOVED)) == 21 and moves(MOVED)[-1] == "  and moved 2 more to another split"
    assert moves([]) == []


def test_a_list_of_nothing_says_how_something_gets_there(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.json(200, {"yaml": "", "entries": []})
    assert main(["signal", "export", "--server", fake.url]) == 0
    assert capsys.readouterr().err.startswith("nothing is in force; 'watchkeeper signal act ID --accept'")
    fake.json(200, [])
    assert main(["train", "--list", "--server", fake.url]) == 0
    assert capsys.readouterr().err.startswith("none is trained yet; 'watchkeeper train NAME --judge JUDGE'")
