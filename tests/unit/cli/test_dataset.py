"""Cases in and out of files: what goes in comes out, and what is no case is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server
from watchkeeper.cli.dataset import usable, write_parquet
from watchkeeper.cli.main import main
from watchkeeper.testing.cases import CasesError, read_cases
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
    assert usable(tmp_path / "c.parquet", "holdout")[0][0][1]["split"] == "holdout"


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    case = {"id": "a", "input": "one", "output": "two"}
    file = tmp_path / "c.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps({"id": "a", "input": "one"}).encode() + b"\r\n")
    assert read_cases(file)[0]["id"] == "a"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(case).encode())
    assert read_outputs(str(file), [{"id": "a", "input": "one"}])[0]["output"] == "two"


def test_a_table_that_is_not_there_is_not_called_something_else(tmp_path: Path) -> None:
    with pytest.raises(CasesError, match=r"cannot read .*none.parquet: there is no file"):
        read_cases(tmp_path / "none.parquet")


def test_a_line_of_a_file_ends_where_json_lines_end_and_nowhere_else(tmp_path: Path) -> None:
    odd = {"id": "a", "input": "one\u2028two\x85three\x0bfour"}
    (tmp_path / "c.jsonl").write_text(
        json.dumps(odd, ensure_ascii=False) + "\r\n" + json.dumps({**odd, "id": "b"}) + "\n"
    )
    assert [c["input"] for c in read_cases(tmp_path / "c.jsonl")] == [odd["input"]] * 2
    with pytest.raises(CasesError, match=":2 is not JSON"):
        (tmp_path / "c.jsonl").write_text(json.dumps(odd, ensure_ascii=False) + "\n{")
        read_cases(tmp_path / "c.jsonl")


def test_one_case_may_be_written_over_several_lines(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps({"id": "a", "input": {"text": "Why?"}}, indent=1) + "\n")
    assert read_cases(tmp_path / "c.json") == [{"id": "a", "input": {"text": "Why?"}}]


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


TABLES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    # Langfuse: cells of JSON, times and ids of its own; an archived item.
    "langfuse": (
        'id,datasetId,input,expectedOutput,metadata,sourceTraceId,status,createdAt\n'
        'i1,d,"{""question"":""Why?"",""country"":""no""}","""So.""","{""a"":1}",0b646453-8a46-333d-928a-212ac07e8b8e,ACTIVE,2026\n'
        "i2,d,gone,,,,ARCHIVED,2026\n"
        'i3,d,"two\nlines",null,,,ACTIVE,2026\n',
        [
            {"id": "i1", "input": {"text": "Why?"}, "context": {"inputs": {"question": "Why?", "country": "no"}, "metadata": {"a": 1}},
             "expected": "So.", "trace_id": "0b6464538a46333d928a212ac07e8b8e"},
            {"id": "i3", "input": {"text": "two\nlines"}},
        ],
    ),
    # LangSmith: a column for each value, also of a conversation; a byte order mark.
    "langsmith": (
        "\ufeffid,inputs.question,inputs.user.country,outputs.answer,metadata.dataset_split\r\ns1,Why?,no,\"So, then.\",base\r\n"
        ",,,,\r\n",
        [{"id": "s1", "input": {"text": "Why?"}, "expected": "So, then.",
          "context": {"inputs": {"question": "Why?", "user": {"country": "no"}}, "metadata": {"dataset_split": "base"}}}],
    ),
    "phoenix": (
        "example_id,input_question,output_answer,metadata_topic\np1,Why?,So.,db\n",
        [{"id": "p1", "input": {"text": "Why?"}, "expected": "So.", "context": {"inputs": {"question": "Why?"}, "metadata": {"topic": "db"}}}],
    ),
    # A dataframe of its own: an index, and objects as Python prints them.
    "dataframe": (
        ",example_id,input,output,metadata\n0,p1,{'question': \"What's up?\"},{'answer': 'So.'},{}\n",
        [{"id": "p1", "input": {"text": "What's up?"}, "expected": "So.", "context": {"inputs": {"question": "What's up?"}}}],
    ),
    # Braintrust, saved by a spreadsheet with semicolons.
    "braintrust": (
        'id;_xact_id;input;expected;tags;metadata;is_root\nb1;7;"""Why?""";"""So.""";"[""x""]";"{""level"":1}";true\n',
        [{"id": "b1", "input": {"text": "Why?"}, "expected": "So.", "context": {"metadata": {"tags": ["x"], "level": 1}}}],
    ),
    "evals": (
        'id,input,ideal,difficulty\ne1,"[{""role"": ""user"", ""content"": ""Why?""}]",So.,easy\n',
        [{"id": "e1", "input": {"text": "Why?", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Why?"}]}]},
          "expected": "So.", "context": {"metadata": {"difficulty": "easy"}}}],
    ),
    # Somebody's own, with what was answered beside what should be, and fields of a case.
    "own": (
        "ID,Question,Expected Output,Answer,split,labels,Notes\nq1,Why?,So.,No.,golden,\"a, b\",look\n",
        [{"id": "q1", "input": {"text": "Why?"}, "expected": "So.", "actual": "No.", "split": "golden", "labels": ["a", "b"],
          "context": {"metadata": {"notes": "look"}}}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("product", TABLES)
def test_datasets_of_other_products_are_read_as_csv(
    tmp_path: Path, product: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, found = TABLES[product]
    (tmp_path / "c.csv").write_text(text, newline="")
    assert read_cases(tmp_path / "c.csv") == found
    assert main(["import", str(tmp_path / "c.csv"), "--server", "http://127.0.0.1:1"]) == 2
    assert "watchkeeper dataset import" in capsys.readouterr().err


def test_rows_of_braintrust_and_samples_of_evals_are_cases(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Why?"}]
    asked = {"text": "Why?", "messages": [{"role": "user", "parts": [{"type": "text", "text": "Why?"}]}]}
    lines: list[dict[str, Any]] = [
        {"id": "b", "_xact_id": "1", "input": "Why?", "expected": {"answer": "So."}, "metadata": None, "created": "2026"},
        {"id": "e", "input": talk, "ideal": ["So."]},
        {"item": {"id": "i", "question": "Why?", "reference": "So.", "topic": "x"}},
        {"id": "m", "messages": [*talk, {"role": "assistant", "content": "So."}]},
    ]  # fmt: skip
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_cases(tmp_path / "c.jsonl") == [
        {"id": "b", "input": {"text": "Why?"}, "expected": "So."},
        {"id": "e", "input": asked, "expected": "So."},
        {
            "id": "i",
            "input": {"text": "Why?"},
            "expected": "So.",
            "context": {"metadata": {"topic": "x"}},
        },
        {"id": "m", "input": asked, "expected": "So."},
    ]


def test_a_record_that_is_no_case_costs_the_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a server would refuse is left out beforehand: it would refuse all that are sent together."""
    table = b"id,input,expected\na,Where does the night train stop?,x\nb,,x\nc,q,x,more\nd,caf\xe9,x\ne,Which key opens the cellar?,x\n"
    (tmp_path / "c.csv").write_bytes(table)
    good = [
        {"id": "a", "input": "Where does the night train stop?"},
        {"id": "e", "input": "Which key opens?"},
    ]
    bad: list[tuple[dict[str, Any], str]] = [
        ({"id": "x" * 256}, "id: takes one line"), ({"split": "goldn"}, "split: goldn"), ({"labels": "x"}, "labels: write a list"),
        ({"labels": [1]}, "labels: 1 is not a text"), ({"trace_id": "12"}, "trace_id: takes 32"), ({"must_pass": ["a b"]}, "must_pass: a b"),
        ({"context": []}, "context: write an object"), ({"expected": "x" * 200_001}, "expected: it has more"),
        ({"input": "\ud800"}, "half a character"), ({"owner": 7}, "owner: 7 is not a text"),
    ]  # fmt: skip
    with Server(tmp_path / "data") as server:
        where = ["--server", server.url]
        assert main(["dataset", "import", "shop", str(tmp_path / "c.csv"), *where]) == 2
        told = capsys.readouterr()
        assert "shop v1: 2 cases" in told.out and "3 records of" in told.err
        for line, said in ((3, "asks nothing"), (4, "more cells"), (5, "not UTF-8")):
            assert f"c.csv:{line}" in told.err and said in told.err
        made = [{"id": f"n{i}", "input": f"number {i}", **fault} for i, (fault, _) in enumerate(bad)]
        lines = [good[0], *made, good[1]]
        (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n{")
        assert main(["dataset", "import", "other", str(tmp_path / "c.jsonl"), *where]) == 2
        told = capsys.readouterr()
        assert "other v1: 2 cases" in told.out and f"{len(bad) + 1} records of" in told.err
        for number, (_, said) in enumerate(bad, start=2):
            assert f"c.jsonl:{number}: " in told.err and said in told.err
        for case in made:
            status, _, _ = server.call("POST", "/api/datasets/other/cases", {"add": [case]})
            assert status >= 400, case
        assert main(["dataset", "import", "other", str(tmp_path / "c.csv"), "--split", "golden", *where]) == 2
        # What a trace had answered is as long as it was.
        assert server.json(
            "POST", "/api/datasets/long/cases", {"add": [{**good[0], "actual": "x" * 200_000}]}
        )


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
    with pytest.raises(CasesError, match=said):
        read_cases(tmp_path / "c.jsonl")
    (tmp_path / "c.parquet").write_text(line)
    with pytest.raises(CasesError, match="not a Parquet file"):
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
        out = tmp_path / "out.jsonl"
        assert main(["dataset", "export", "shop", str(out), "--split", "goldn", *where]) == 2
        assert "has no case of split goldn; it has golden, regression" in capsys.readouterr().err
        assert not out.exists()
        assert main(["dataset", "diff", "shop@1", "shop@2", *where]) == 0
        assert "C b  regression" in (said := capsys.readouterr().out) and "expected:  → By post." in said
        assert main(["dataset", "import", "moves", str(tmp_path / "c.jsonl"), *where]) == 0
        assert "moved" not in capsys.readouterr().out
        assert (
            main(["dataset", "import", "moves", str(tmp_path / "c.jsonl"), "--split", "holdout", *where]) == 0
        )
        assert "moved a from golden to holdout" in capsys.readouterr().out
        # What is called a table would be read as one.
        assert main(["dataset", "export", "shop", str(tmp_path / "out.csv"), *where]) == 2
        assert ".jsonl or .parquet" in capsys.readouterr().err and not (tmp_path / "out.csv").exists()
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
