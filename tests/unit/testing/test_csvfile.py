"""Rows of CSV as people write them: a quote left open costs its own row."""

import csv
import io
import time
from pathlib import Path

import pytest

from watchkeeper.testing.csvfile import rows


def read(text: str) -> list[tuple[int, dict[str, str] | str]]:
    return list(rows(io.StringIO(text, newline="")))


def lines(text: str) -> tuple[list[str], list[int]]:
    """What the good rows are called, and the lines of the others."""
    found = read(text)
    return [r["id"] for _, r in found if isinstance(r, dict)], [n for n, r in found if isinstance(r, str)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ('id,q\na,one\nb,"two\nc,three\nd,four\n', "acd", [3]),  # to the end of the file
        ('id,q\na,one\nb,"two\nc,"three"\nd,four\n', "acd", [3]),  # to the next quote
        ('id,q\na,"one\nb,"two\nc,"three\nd,four', "d", [2, 3, 4]),
        ('id,q\na,one\nb,"two', "a", [3]),  # on the last line
        ('id,q,r\na,"o\nn\ne","x\nb,two,y\n', "b", [4]),  # in the last line of a record of three
        ('id,q\na,"5" disk"\nb,"said ""hi"""\nc,"x" \n', "abc", []),  # sloppy, within its line
        ('id,q\na,"o\n\nne"\nb,""\nc,"two\n""x""\n" \nd,e"f\n', "abcd", []),  # well formed over lines
        ('id,q\na,"one\nmore of one\nb,two\n', "b", [2, 3]),  # what may be the rest of a row is no row
        ('id,"q\na,one\n', "", [1]),  # without names there are no rows
    ],
)
def test_a_quote_left_open_costs_its_own_row(text: str, end: str, good: str, bad: list[int]) -> None:
    assert lines(text.replace("\n", end)) == (list(good), bad)


def test_it_is_told_where_it_opened_and_what_to_do() -> None:
    (_, said), (_, rest) = read('id,q\na,"one\nmore\n')
    assert isinstance(said, str) and "a quote opens here" in said and "close it" in said
    assert isinstance(rest, str) and "after the quote of line 2" in rest


def test_a_spreadsheets_word_about_the_separator_is_no_row() -> None:
    assert read("sep=;\r\nid;q\r\na;one, two\r\n") == [(3, {"id": "a", "q": "one, two"})]
    assert read("sep=\t\nid\tq\na\tone\n") == [(3, {"id": "a", "q": "one"})]


def test_a_file_in_another_encoding_is_told_to_be_that(tmp_path: Path) -> None:
    for encoding in ("utf-16", "cp1252"):
        (tmp_path / "c.csv").write_text("id,größe\na,one\n", encoding=encoding)
        with (tmp_path / "c.csv").open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
            ((line, said),) = rows(text)
        assert line == 1 and isinstance(said, str) and "not UTF-8" in said


def test_whatever_a_writer_writes_is_read() -> None:
    cells = [
        'say "hi"',
        "two\nlines",
        "a\r\nb",
        "x,y",
        '"',
        '""',
        "\n",
        ",",
        "é",
        " ",
        "'",
        'end"',
        '"begin',
        "\t;",
    ]
    made = io.StringIO(newline="")
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(["id", "a", "b"])
    writer.writerows([f"{i}", a, b] for i, (a, b) in enumerate((a, b) for a in cells for b in cells))
    found = [r for _, r in read(made.getvalue())]
    assert [(r["a"], r["b"]) for r in found if isinstance(r, dict)] == [(a, b) for a in cells for b in cells]


def test_many_quotes_left_open_are_no_more_work_than_their_lines() -> None:
    text = "id,q\n" + "".join(f'{i},"open\n' for i in range(20_000)) + "z,end\n"
    began = time.process_time()
    good, bad = lines(text)
    assert (good, len(bad)) == (["z"], 20_000) and time.process_time() - began < 5
