"""What the demo says of what it measured."""

from pathlib import Path

import pytest

from watchkeeper.cli.main import main
from watchkeeper.demo.story import uptime


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((0.001, 3500), (0.013, 2200), "all green, even faster"),
        ((0.001, 2200), (0.05, 3500), "some errors, slower"),
    ],
)
def test_an_uptime_dashboard_is_told_as_it_was(
    before: tuple[float, int], after: tuple[float, int], said: str
) -> None:
    assert uptime([{"failed": failed, "p95": p95} for failed, p95 in (before, after)]) == said


def test_a_folder_with_data_is_not_played_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records.db").touch()
    assert main(["demo", "--data-dir", str(tmp_path)]) == 2
    assert "holds data already" in capsys.readouterr().err


def test_a_port_that_cannot_be_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--port", "99999"]) == 2
    assert capsys.readouterr().err == "watchkeeper demo: port 99999: a port is 0 to 65535\n"
