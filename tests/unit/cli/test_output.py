from pathlib import Path

import pytest

from watchkeeper.cli.errors import CliError
from watchkeeper.cli.output import hand_over, share


def test_a_text_goes_to_the_file_that_was_asked_for_or_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_over("naïve – 1 €\n", None)
    assert capsys.readouterr() == ("naïve – 1 €\n", "")
    hand_over("naïve – 1 €\n", str(tmp_path / "out.md"))
    assert capsys.readouterr() == ("", f"written to {tmp_path / 'out.md'}\n")
    assert (tmp_path / "out.md").read_bytes().decode("utf-8") == "naïve – 1 €\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"cannot write .*absent/out\.md: No such file"):
        hand_over("text", tmp_path / "absent" / "out.md")


def test_a_share_is_said_with_its_interval_and_an_absent_one_is_unknown() -> None:
    found = {"value": 0.842, "low": 0.793, "high": 0.8834, "n": 260}
    assert share(found) == "84.2 % (79.3 to 88.3 %, n 260)"
    assert share(None) == "unknown"
