"""The GitHub action calls the command line as it is."""

import re
from pathlib import Path

import yaml

from watchkeeper.cli.gate import EXIT
from watchkeeper.cli.main import parser

ACTION = Path(__file__).resolve().parents[3] / ".github" / "actions" / "gate" / "action.yml"


def test_its_arguments_and_exit_codes_are_the_commands() -> None:
    action = yaml.safe_load(ACTION.read_text())
    (script,) = [s["run"] for s in action["runs"]["steps"] if "watchkeeper gate" in s["run"]]
    options = sorted(set(re.findall(r"(--[a-z-]+)", script)) - {"--warning"})
    args = parser().parse_args(["gate", *(x for o in options for x in (o, "x"))])
    assert args.dataset == "x" and args.baseline == "x" and args.target_version == "x"
    for verdict, code in EXIT.items():
        assert f"{code}) verdict={verdict}" in script


def test_no_input_is_written_into_a_script_where_it_could_run() -> None:
    action = yaml.safe_load(ACTION.read_text())
    assert not [s for s in action["runs"]["steps"] if "${{" in s["run"]]
    used = set(re.findall(r"inputs\.([a-z-]+)", ACTION.read_text()))
    assert used == set(action["inputs"])
