"""What the server says of a field is told of what somebody typed."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.serving import Server
from watchkeeper.cli.main import main

LONG = "x" * 30_000
ID = "ab" * 16


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with Server(tmp_path_factory.mktemp("faults") / "data") as server:
        yield server.url


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["calibrate", "groundedness", "--draw", "0"], "--draw 0: must be at least 2"),
        (["calibrate", "groundedness", "--draw", "9", "--days", "0"], "--days 0: must be at least"),
        (["calibrate", "groundedness", "--cut", "nan"], "--cut nan: must be a finite number"),
        (["calibrate", "groundedness", "--dataset", "x y"], "--dataset x y: takes up to 100 letters"),
        (["calibrate", "groundedness", "--dataset", "x@0"], "x@0: the version after @ is a number from 1"),
        (["train", "--examples", "0"], "--examples 0: must be"),
        (["train", "x y"], "name x y: takes up to 100 letters"),
        (["backfill", "groundedness", "--limit", "0"], "--limit 0: must be"),
        (["backfill", "groundedness", "--since", "noon"], "--since: 'noon' is not a time"),
        (["backfill", "groundedness", "--until", "2d", "--since", "1d"], "--until: '2d' is not later than since"),
        (["backfill", "groundedness", "--where", "x ="], "--where x =: this is not a condition"),
        (["export", "--where", "x ="], "this is not a condition"),
        (["signal", "act", "s", "--cases", "0"], "--cases 0: must be"),
        (["signal", "change", "s", "--severity", "dire"], "--severity dire: must be 'low'"),
        (["erase", "--user", ""], "--user: must have at least 1 character"),
        (["dead-letters", "--retry", LONG], "--retry: must have at most"),
        (["replay", "--trace", ID, "--trace", "ab", "--target", "command: cat"], "--trace ab: takes 32 hexadecimal"),
        (["replay", "--text", LONG, "--target", "command: cat"], "--text: must have at most"),
        (["taxonomy", "merge", "a", "b", "--into", ""], "--into: must have"),
        (["dataset", "export", "x@0", "-"], "x@0: the version after @ is a number from 1"),
    ],
)  # fmt: skip
def test_a_fault_is_told_of_what_was_typed(
    url: str, capsys: pytest.CaptureFixture[str], command: list[str], said: str
) -> None:
    assert main([*command, "--server", url]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "/api/" not in told and "should" not in told


def test_faults_beside_the_first_are_told_so_too(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.jsonl").write_text(json.dumps({"id": "a", "input": "Why?"}))
    where = [str(tmp_path / "c.jsonl"), "--server", url]
    assert main(["dataset", "import", "x", *where, "--note", LONG]) == 2
    assert "--note: must have at most 20000 characters" in capsys.readouterr().err
    assert (
        main(["calibrate", "groundedness", "--draw", "0", "--days", "0", "--cut", "inf", "--server", url])
        == 2
    )
    told = capsys.readouterr().err
    assert "--draw 0: " in told and "--days 0: " in told and "--cut inf: " in told
