"""What the documentation says exists, exists."""

import argparse
import re
from pathlib import Path

import pytest

from tests.flow.campaigns import promises
from watchkeeper.cli.main import main, parser
from watchkeeper.config.models import Config

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"`(?:watchkeeper|wk) ([a-z][a-z-]*)")
YAML = re.compile(r"^```yaml\n(.*?)^```", re.M | re.S)
TARGET = re.compile(r"`make ([a-z-]+)")
SLOW = re.compile(r"^@pytest\.mark\.slow\n(?:@.*\n)*(?:async )?def (test_\w+)", re.M)


def test_there_is_a_page_per_task() -> None:
    names = {p.name for p in (ROOT / "docs").glob("*.md")}
    wanted = {"architecture.md", "clients.md", "sdk.md", "checks.md", "judges.md", "monitors.md", "alerts.md"}
    wanted |= {
        "review.md",
        "gate.md",
        "configuration.md",
        "api.md",
        "cli.md",
        "access.md",
        "privacy.md",
        "quality.md",
    }
    assert wanted <= names, sorted(wanted - names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    dead = [
        link
        for link in LINK.findall(page.read_text())
        if not link.startswith(("http://", "https://", "#", "mailto:"))
        and not (page.parent / link.split("#")[0]).exists()
    ]
    assert not dead, dead


def configurations() -> list[tuple[str, str]]:
    """The examples of a configuration: the YAML whose keys are its sections."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        for text in YAML.findall(page.read_text()):
            sections = set(re.findall(r"^(\w+):", text, re.M))
            if sections and sections <= set(Config.model_fields):
                found.append((page.name, text))
    return found


def test_every_example_of_a_configuration_has_keys_that_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = configurations()
    assert {"privacy.md", "configuration.md"} <= {name for name, _ in examples}
    for name, text in examples:
        path = tmp_path / "watchkeeper.yaml"
        path.write_text(text)
        main(["check", str(path), "--allow-missing-env"])
        said = capsys.readouterr()
        assert "unknown key" not in said.out + said.err and "is required" not in said.out + said.err, (
            name,
            said,
        )


def commands() -> list[str]:
    """The command line's commands, from its own parser."""
    (choices,) = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return list(choices.choices)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_named_exists(page: Path) -> None:
    named = set(COMMAND.findall(page.read_text()))
    assert named <= set(commands()), sorted(named - set(commands()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    made = set(TARGET.findall(page.read_text()))
    assert made <= targets, sorted(made - targets)


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    missing = [c for c in commands() if not re.search(rf"`(?:watchkeeper )?{c}\b", text)]
    assert not missing, missing


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    assert "`make test`" in (ROOT / "README.md").read_text()
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()[-1]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml"], ids=lambda p: p.name)
def test_no_page_names_a_path_of_somebodys_machine(page: Path) -> None:
    assert not re.search(r"/(?:root|home|work)/[\w.]", page.read_text())


def test_every_promise_of_reliability_names_tests_that_exist() -> None:
    named = promises((ROOT / "docs" / "reliability.md").read_text())
    assert len(named) > 30 and [p.marks for p in named if not p.tests] == []
    gone = [
        test
        for test in (t for p in named for t in p.tests)
        if not (path := ROOT / test.partition("::")[0]).exists()
        or f"def {test.partition('::')[2]}(" not in path.read_text()
    ]
    assert not gone, gone


def test_what_is_too_slow_for_every_run_is_a_promise_and_so_run_by_make_chaos() -> None:
    named = {t for p in promises((ROOT / "docs" / "reliability.md").read_text()) for t in p.tests}
    slow = {
        f"{path.relative_to(ROOT)}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in SLOW.findall(path.read_text())
    }
    assert slow and not slow - named, slow - named
