"""Cases in and out of files: what goes in comes out, and what is no case is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server
from watchkeeper.cli.dataset import read_cases, write_parquet
from watchkeeper.cli.errors import CliError
from watchkeeper.cli.main import main
from watchkeeper.testing.targets.running import read_outputs

CASES: list[dict[str, Any]] = [
    {
        "id": "a", "input": {"text": "When does the shop open on public holidays?", "messages": []}, "context": {"documents": [{"id": "1"}]},
        "expected": "At nine – “always”.", "labels": ["x", "y"], "split": "golden", "must_pass": ["json_valid"], "owner": None,
    },
    {"id": "b", "input": "How can I return a broken phone?", "labels": []},
]  # fmt: skip


def test_parquet_gives_back_what_was_written(tmp_path: Path) -> None:
    write_parquet(CASES, tmp_path / "c.parquet")
    first, second = read_cases(tmp_path / "c.parquet")
    assert first == {k: v for k, v in CASES[0].items() if v is not None}
    assert second["input"] == "How can I return a broken phone?" and second["id"] == "b"
    assert read_cases(tmp_path / "c.parquet", "holdout")[0]["split"] == "holdout"


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    case = {"id": "a", "input": "one", "output": "two"}
    file = tmp_path / "c.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({"id": "a", "input": "one"}).encode() + b"\r\n")
    assert read_cases(file)[0]["id"] == "a"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(case).encode())
    assert read_outputs(str(file), [{"id": "a", "input": "one"}])[0]["output"] == "two"


def test_a_table_that_is_not_there_is_not_called_something_else(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"cannot read .*none.parquet: there is no file"):
        read_cases(tmp_path / "none.parquet")


def test_a_line_of_a_file_ends_where_json_lines_end_and_nowhere_else(tmp_path: Path) -> None:
    odd = {"id": "a", "input": "one\u2028two\x85three\x0bfour"}
    (tmp_path / "c.jsonl").write_text(
        json.dumps(odd, ensure_ascii=False) + "\r\n" + json.dumps({**odd, "id": "b"}) + "\n"
    )
    assert [c["input"] for c in read_cases(tmp_path / "c.jsonl")] == [odd["input"]] * 2
    with pytest.raises(CliError, match=":2 is not JSON"):
        (tmp_path / "c.jsonl").write_text(json.dumps(odd, ensure_ascii=False) + "\n{")
        read_cases(tmp_path / "c.jsonl")


def _item(**more: Any) -> dict[str, Any]:
    item = {"id": "i1", "datasetId": "d", "datasetName": "qa", "input": {"question": "Why?", "country": "no"}, "expectedOutput": "So.",
            "metadata": {"a": 1}, "sourceTraceId": None, "sourceObservationId": None, "status": "ACTIVE"}  # fmt: skip
    return {**item, **more}


def test_examples_of_other_products_are_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Why?"}]
    parts = [{"role": m["role"], "parts": [{"type": "text", "text": m["content"]}]} for m in talk]
    trace = "0b646453-8a46-333d-928a-212ac07e8b8e"
    langfuse = [_item(sourceTraceId=trace), _item(id="gone", status="ARCHIVED"),
                _item(id="i2", input=talk, expectedOutput={"role": "assistant", "content": "So."}, metadata=None)]  # fmt: skip
    langsmith = {
        "id": "s1",
        "dataset_id": "d",
        "inputs": {"messages": talk},
        "outputs": {"answer": "So.", "n": 1},
        "metadata": {},
    }
    phoenix = {
        "id": "p1",
        "node_id": "n",
        "input": {"q": "Why?"},
        "output": {"label": 3},
        "metadata": {},
        "updated_at": "2026",
    }
    asked = {"question": "Why?", "country": "no"}
    wanted = [
        {"id": "i1", "input": {"text": "Why?"}, "context": {"inputs": asked, "metadata": {"a": 1}}, "expected": "So.",
         "trace_id": trace.replace("-", "")},
        {"id": "i2", "input": {"text": "Why?", "messages": parts}, "expected": "So."},
        {"id": "s1", "input": {"text": "Why?", "messages": parts}, "context": {"inputs": {"messages": talk}}, "expected": "So."},
        {"id": "p1", "input": {"text": "Why?"}, "context": {"inputs": {"q": "Why?"}}, "expected": "3"},
    ]  # fmt: skip
    file = tmp_path / "x.json"
    for document, found in (
        ({"data": langfuse, "meta": {"page": 1}}, wanted[:2]),
        ([langsmith], wanted[2:3]),
        ({"data": {"dataset_id": "d", "version_id": "v", "examples": [phoenix]}}, wanted[3:]),
    ):
        file.write_text(json.dumps(document, indent=1))
        assert read_cases(file) == found
    lines = [*langfuse, langsmith, phoenix]
    file.write_text("\n".join(map(json.dumps, lines)))
    assert read_cases(file) == wanted
    # Who looks for them among traces is told where they belong.
    assert main(["import", str(file), "--server", "http://127.0.0.1:1"]) == 2
    assert "watchkeeper dataset import" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", ":1 is not JSON"), ('{"id": "x"}', ":1 is no case"), ('{"id": "x", "input": 1, "colour": 2}', "colour is not a field"),
        ("", "holds no case"), ("[1]", "is no case"), ('{"id": 1, "input": "x"}', ':1: the id of a case is a text: write "1"'),
        ('{"id": "x", "input": 1}\n{"id": "x", "input": 1}', ":2: the case x stands in the file twice"),
    ],
)  # fmt: skip
def test_a_file_that_holds_something_else_says_where(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "c.jsonl").write_text(line)
    with pytest.raises(CliError, match=said):
        read_cases(tmp_path / "c.jsonl")
    (tmp_path / "c.parquet").write_text(line)
    with pytest.raises(CliError, match="not a Parquet file"):
        read_cases(tmp_path / "c.parquet")


def test_versions_go_in_out_and_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(tmp_path / "data") as server:
        where = ["--server", server.url]
        (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(c) for c in CASES))
        assert main(["dataset", "import", "shop", str(tmp_path / "c.jsonl"), *where]) == 0
        again = [
            {"id": "c", "input": "how can I return a broken phone"},
            {**CASES[1], "expected": "By post."},
        ]
        (tmp_path / "d.jsonl").write_text("\n".join(json.dumps(c) for c in again))
        assert main(["dataset", "import", "shop", str(tmp_path / "d.jsonl"), *where]) == 2
        assert "c asks what b" in capsys.readouterr().err
        assert (
            main(["dataset", "import", "shop", str(tmp_path / "d.jsonl"), "--duplicates", "skip", *where])
            == 0
        )
        assert "left out" in capsys.readouterr().out
        assert main(["dataset", "diff", "shop@1", "shop@2", *where]) == 0
        assert "C b  regression" in (said := capsys.readouterr().out) and "expected:  → By post." in said
        out = tmp_path / "out.parquet"
        assert main(["dataset", "export", "shop@1", str(out), "--split", "golden", *where]) == 0
        assert [c["id"] for c in read_cases(out)] == ["a"]
        assert (
            main(["dataset", "list", *where]) == 0 and main(["dataset", "export", "shop", "-", *where]) == 0
        )
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["expected"] == "By post."
        health = server.json("GET", "/api/datasets/shop/health")
        assert health["splits"] == {"golden": 1, "regression": 1} and health["leaking"] == 0
        assert health["refresh"]["state"] == "young" and health["without_trace"] == 2
        status, _, answer = server.call(
            "POST", "/api/datasets/shop/cases", {"add": [{"id": "z", "input": "q", "split": "goldn"}]}
        )
        assert status in (400, 422) and b"split" in answer
