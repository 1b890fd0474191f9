"""Compiled sets are kept between processes, and what is kept can be missing, damaged or somebody else's."""

import os
from pathlib import Path

import pytest

from watchkeeper import patterns
from watchkeeper.patterns import KEPT, PatternSet

hyperscan = pytest.importorskip("hyperscan", reason="no wheel of hyperscan for this machine")
SOME = ("order \\d+", "über", "refund")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "watchkeeper" / "patterns"


def never(_self: object, *_args: object) -> object:
    raise AssertionError("compiled again")


def test_a_set_is_compiled_once_and_read_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PatternSet(SOME).ids("Refund of order 12") == [0, 2]
    # One for ASCII texts, one for all.
    assert len(list(folder.iterdir())) == 2
    monkeypatch.setattr(PatternSet, "_build", never)
    assert PatternSet(SOME).ids("Refund of order 12, ÜBER") == PatternSet(SOME, "re").ids(
        "Refund of order 12, über"
    )
    with pytest.raises(AssertionError, match="compiled again"):
        PatternSet(SOME, ignore_case=False)


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "garbage"])
def test_a_damaged_set_is_compiled_again(folder: Path, damage: str) -> None:
    PatternSet(SOME[::2])
    (kept,) = folder.iterdir()
    data = kept.read_bytes()
    middle = len(data) // 2
    kept.write_bytes({
        "cut": data[:middle], "changed": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
        "empty": b"", "garbage": b"\xff" * 5000,
    }[damage])  # fmt: skip
    assert PatternSet(SOME[::2]).ids("order 1") == [0]
    assert kept.read_bytes() == data


def test_only_a_folder_that_nobody_else_writes_is_used(folder: Path) -> None:
    PatternSet(SOME)
    os.chmod(folder, 0o777)
    assert patterns.kept_sets() is None
    assert PatternSet(SOME).ids("order 1") == [0]


def test_without_a_folder_sets_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert PatternSet(SOME).ids("order 1") == [0]


def test_the_oldest_sets_go(folder: Path) -> None:
    for n in range(KEPT + 3):
        PatternSet([f"pattern {n}"])
    assert len(list(folder.iterdir())) == KEPT


def test_a_pattern_that_does_not_compile_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"pattern '\(open'"):
        PatternSet(["fine", "(open"])
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "text", ["cafe", "café", "caf", "a ey", "x: 1", "x： 1", "ÿ", "strasse", "STRASSE", "Straße"]
)
def test_letters_beyond_ascii_are_told_apart_in_every_text(text: str) -> None:
    some = ("café", "[eé]y?", "é?x[:：] ", "straß?s?se", "[^a-zé]{3}", "ÿ")
    for ignore_case in (True, False):
        assert PatternSet(some, ignore_case=ignore_case).ids(text) == PatternSet(some, "re", ignore_case).ids(
            text
        )
