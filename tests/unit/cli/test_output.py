import io
import urllib.error
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Fake
from watchkeeper.cli.client import Client
from watchkeeper.cli.errors import CliError
from watchkeeper.cli.main import main
from watchkeeper.cli.output import Progress, hand_over, share, write_text, written
from watchkeeper.model.numerals import counted, dollars, figure, natural


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


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target, link = tmp_path / "out.md", tmp_path / "link.md"
    target.write_text("before")
    link.symlink_to(target)
    with pytest.raises(KeyboardInterrupt), written(link) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert target.read_text() == "before"
    write_text(link, "after")
    assert link.is_symlink() and target.read_text() == "after"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.md", "out.md"]
    write_text("/dev/null", "x")
    assert not Path("/dev/null").is_file()


def test_a_bar_stays_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(said, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", said)
    monkeypatch.setenv("COLUMNS", "60")
    Progress(10, "importing").at(3, "a-file-with-a-long-name-" * 4)
    line = said.getvalue().removeprefix("\r\x1b[K")
    assert len(line) == 59 and " 30 % a-file" in line


def test_an_export_shows_how_much_it_has_written(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(said, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", said)
    fake.answers = [(200, {"content-length": "70000"}, b"x" * 70_000)]
    assert main(["export", "-o", str(tmp_path / "a.jsonl"), "--server", fake.url]) == 0
    shows = said.getvalue().split("\r\x1b[K")
    assert "  exporting 70,000 bytes" in shows
    assert shows[-1] == f"wrote 70,000 bytes to {tmp_path / 'a.jsonl'}\n"


def test_a_share_is_said_with_its_interval_and_an_absent_one_is_unknown() -> None:
    found = {"value": 0.842, "low": 0.793, "high": 0.8834, "n": 260}
    assert share(found) == "84.2 % (79.3 to 88.3 %, n 260)"
    assert share(None) == "unknown"


def test_an_answer_that_takes_too_long_is_told_from_a_server_that_is_not_there() -> None:
    client = Client("http://127.0.0.1:1", {})
    late = str(client._nobody(TimeoutError("timed out")))
    assert "did not answer within 10 minutes" in late and "start one" not in late
    gone = str(client._nobody(urllib.error.URLError(ConnectionRefusedError("refused"))))
    assert "no Watchkeeper answers" in gone and "refused" in gone


def test_numbers_have_no_exponent_and_one_of_a_thing_no_plural() -> None:
    assert [figure(x) for x in (0.0000962, 8.25, 999.7, 1370.4, 2.5e6)] == [
        "0.0000962",
        "8.25",
        "1,000",
        "1,370",
        "2,500,000",
    ]
    assert (figure(0.5, sign=True), figure(-1370.0, sign=True)) == ("+0.5", "-1,370")
    assert (counted(1, "case"), counted(0, "case"), counted(2000, "case")) == (
        "1 case",
        "0 cases",
        "2,000 cases",
    )


def test_costs_of_any_size_are_written_by_one_rule() -> None:
    made = [dollars(x) for x in (1204.4, 3.4, 0.1, 0.0123, 0.00041, -0.5, 0.0)]
    assert made == ["$1,204", "$3.40", "$0.10", "$0.012", "$0.00041", "-$0.50", "$0"]
    assert dollars(0.00009573, 0.0000007) == "$0.0000957"


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["errors-1", "errors-10", "errors-2", "errors", "2.0", "10", "é3", "é²"]
    assert sorted(names, key=natural) == [
        "2.0",
        "10",
        "errors",
        "errors-1",
        "errors-2",
        "errors-10",
        "é3",
        "é²",
    ]
