"""The command line: exit statuses, words instead of tracebacks, files in and tables out."""

import argparse
import asyncio
import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Fake
from watchkeeper.__main__ import main as program
from watchkeeper.cli.client import Client, running_on
from watchkeeper.cli.main import main, parser
from watchkeeper.cli.output import Progress, as_csv, harmless, shown, table
from watchkeeper.cli.serving import OneLine
from watchkeeper.config.adapters import rule_of, rules_of
from watchkeeper.config.load import load
from watchkeeper.config.models import Monitor
from watchkeeper.server.listen import stoppable
from watchkeeper.store import snapshot
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records
from watchkeeper.store.sandbox import prepare

GOOD = "monitors: [{name: a, condition: x < 1, owner: o, runbook: r}]"


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "serve" in capsys.readouterr().out
    assert main(["--version"]) == 0
    with pytest.raises(SystemExit) as caught:
        main(["sevre"])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as fine:
        main(["serve", "--help"])
    assert fine.value.code == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("gat", "watchkeeper: COMMAND: there is no 'gat'; did you mean 'gate'? allowed: serve, "),
        (
            "gate --datset x --target y",
            "watchkeeper gate: there is no option '--datset'; did you mean '--dataset'?",
        ),
        ("gate --dataset x", "watchkeeper gate: also needed: --target"),
        ("gate --dataset x --target y --timeout 1m", "watchkeeper gate: --timeout: takes a number, not '1m'"),
        ("serve --port=http", "watchkeeper serve: --port: takes a whole number, not 'http'"),
        (
            "keys create ci --role viewr",
            "watchkeeper keys create: --role: there is no 'viewr'; did you mean 'viewer'?",
        ),
        ("sql select 1", "watchkeeper sql: more than it takes: '1'; quote what is one argument"),
        ("dataset list --json", "watchkeeper dataset list: there is no option '--json'"),
    ],
)
def test_what_it_cannot_understand_is_said_in_two_lines(
    typed: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(typed.split())
    lines = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert lines[0].startswith(said) and len(lines) == 2
    assert lines[1] == f"  '{said.partition(':')[0]} --help' shows what there is"


@pytest.mark.parametrize("typed", ["report weekly", "incident export x", "signal export", "export"])
def test_a_file_to_write_is_named_alike_everywhere(typed: str) -> None:
    assert str(parser().parse_args([*typed.split(), "-o", "x.md"]).output) == "x.md"


def test_a_statement_that_begins_with_a_comment_is_no_option() -> None:
    assert parser().parse_args(["sql", "-- all of them\nselect 1"]).query.endswith("select 1")


def test_every_argument_of_every_command_says_what_it_is() -> None:
    def unsaid(one: argparse.ArgumentParser) -> list[str]:
        found: list[str] = []
        for action in one._actions:
            if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
                found += [line for inner in action.choices.values() for line in unsaid(inner)]
            elif not action.help:
                found.append(f"{one.prog} {action.dest}")
        return found

    assert unsaid(parser()) == []


def test_it_checks_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD)
    assert main(["check", str(file)]) == 0
    assert "1 monitor," in capsys.readouterr().out
    file.write_text("monitors: [{nam: a}]")
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr()
    assert f"{file}:1:13: monitors[0].nam: unknown key (did you mean 'name'?" in said.err and said.out == ""
    assert main(["check", str(file), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["problems"][0]["line"] == 1
    assert main(["check", "none.yaml"]) == 2
    assert main(["check", "--schema"]) == 0


def test_it_does_not_serve_a_bad_configuration_or_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("watchkeeper.compose")
    file = tmp_path / "w.yaml"
    file.write_text("servr: {}")
    assert main(["serve", "--data-dir", str(tmp_path / "d"), "--config", str(file)]) == 2
    assert "w.yaml:1:1: servr: unknown key" in capsys.readouterr().err
    assert main(["serve", "--data-dir", str(tmp_path / "d"), "--no-auth", "--host", "0.0.0.0"]) == 2
    assert "loopback only" in capsys.readouterr().err
    assert main(["serve", "--data-dir", str(tmp_path / "d"), "--port", "99999"]) == 2
    assert not (tmp_path / "d").exists()


def test_it_says_that_no_server_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sql", "select 1", "--server", "http://127.0.0.1:9"]) == 2
    assert "start one with 'watchkeeper serve'" in capsys.readouterr().err
    assert main(["sql", "select 1", "--server", "ftp://x"]) == 2
    assert main(["sql", " "]) == 2


@pytest.mark.parametrize(
    "command",
    [["sql", "select 1"], ["signal", "list"], ["keys", "create", "ci"], ["export"], ["dataset", "list"]],
)
def test_another_service_at_the_address_is_called_that(
    fake: Fake, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.ours = False
    fake.json(200, {"status": "ok"})
    assert main([*command, "--server", fake.url]) == 2
    assert f"what answers at {fake.url} is not Watchkeeper; check --server" in capsys.readouterr().err
    fake.json(404, {"detail": "Not Found"})
    assert main([*command, "--server", fake.url]) == 2
    assert f"{fake.url} answered 404, and not as Watchkeeper does" in capsys.readouterr().err


def test_what_the_command_line_says_counts_before_the_environment(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("watchkeeper.cli.client.running_on", lambda _: (fake.url, "wk_local"))
    monkeypatch.setenv("WATCHKEEPER_API_KEY", "wk_elsewhere")
    monkeypatch.setenv("WATCHKEEPER_ENDPOINT", "http://127.0.0.1:9")
    assert main(["dataset", "list", "--data-dir", "d"]) == 0, capsys.readouterr().err
    assert main(["dataset", "list", "--server", fake.url]) == 0
    assert main(["dataset", "list", "--data-dir", "d", "--api-key", "wk_said"]) == 0
    monkeypatch.setenv("WATCHKEEPER_ENDPOINT", f"{fake.url}/")
    assert main(["dataset", "list", "--data-dir", "d"]) == 0
    sent = [headers["authorization"].removeprefix("Bearer wk_") for *_, headers in fake.asked]
    assert sent == ["local", "elsewhere", "said", "elsewhere"], "a key goes to no server but its own"
    monkeypatch.setattr("watchkeeper.cli.client.running_on", lambda _: None)
    assert main(["dataset", "list", "--data-dir", "d"]) == 2
    assert "no server runs on d" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--server", "http://[::1"], "write an address such as"),
        (["--server", "http://a b/"], "write an address such as"),
        (["--server", "http://"], "write an address such as"),
        (["--server", "http://127.0.0.1:99999"], "write an address such as"),
        (["--api-key", "wk_a\nb"], "WATCHKEEPER_API_KEY holds a character that cannot be sent"),
        (["--project", "a\rb"], "--project holds a character that cannot be sent"),
    ],
)
def test_addresses_and_keys_that_cannot_be_are_said(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sql", "select 1", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_variable_set_to_nothing_and_a_key_with_its_line_break_are_no_fault(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("watchkeeper.cli.client.running_on", lambda _: (fake.url, "wk_found"))
    fake.json(200, {"columns": ["1"], "rows": [[1]], "truncated": False})
    assert main(["sql", "select 1", "--server", "", "--api-key", ""]) == 0
    fake.json(200, {"columns": ["1"], "rows": [[1]], "truncated": False})
    assert main(["sql", "select 1", "--server", fake.url, "--api-key", "wk_x\r\n"]) == 0
    assert [headers["authorization"] for *_, headers in fake.asked] == ["Bearer wk_found", "Bearer wk_x"]
    capsys.readouterr()


def test_what_is_closed_gets_nothing_that_is_meant_for_it(fake: Fake, tmp_path: Path) -> None:
    fake.json(200, {"columns": ["1"], "rows": [[1]], "truncated": False})
    command = f'exec "{sys.executable}" -m watchkeeper sql "select 1" --server {fake.url} 2>&-'
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.decode().splitlines() == ["1", "─", "1"]


def test_a_place_that_cannot_be_written_is_found_before_the_server_copies_anything(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("watchkeeper.cli.backup.running_on", lambda _: (fake.url, "k"))
    (tmp_path / "file").write_text("x")
    assert main(["backup", str(tmp_path / "file" / "sub" / "b")]) == 2
    assert "nothing was backed up" in capsys.readouterr().err and fake.asked == []


def test_it_prints_answers_as_table_csv_and_json(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"columns": ["name", "n"], "rows": [["=cmd()", 1], ["\x1b[31mred\nline", 22]], "truncated": True}
    for projects in (["q"], ["p"], ["p"]):
        fake.json(200, answer)
        fake.json(200, projects)
    arguments = ["sql", "select 1", "--server", fake.url, "--project", "p", "--api-key", "wk_x"]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out and said.out.splitlines()[2].endswith("  1") and "more rows" in said.err
    assert "there is no project 'p' yet: nothing was ever sent to it; there are q" in said.err
    assert main([*arguments, "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert "'=cmd()" in said.out and "no project" not in said.err
    assert main([*arguments, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {"name": "=cmd()", "n": 1}
    method, path, body, headers = fake.asked[0]
    assert (method, path, json.loads(body)) == ("POST", "/api/sql", {"query": "select 1"})
    assert headers["authorization"] == "Bearer wk_x" and headers["x-watchkeeper-project"] == "p"


def test_it_passes_on_the_server_s_own_words(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake.json(400, {"error": "DROP is not allowed", "hint": "write a SELECT"})
    assert main(["sql", "drop", "--server", fake.url]) == 2
    assert "DROP is not allowed\n  write a SELECT" in capsys.readouterr().err
    for hint, told in (
        ("GET /api/experiments lists them", "'watchkeeper experiment list' lists them"),
        ("'duplicates': skip leaves them out", "--duplicates skip leaves them out"),
        ("GET /api/elsewhere lists them", ""),
    ):
        fake.json(404, {"error": "not there", "hint": hint})
        assert main(["experiment", "list", "--server", fake.url]) == 2
        assert capsys.readouterr().err.endswith(f"not there\n  {told}\n" if told else "not there\n")
    fake.json(401, {"error": "no key", "hint": ""})
    assert main(["sql", "select 1", "--server", fake.url]) == 2
    assert "WATCHKEEPER_API_KEY" in capsys.readouterr().err
    fake.answers.append((200, {}, b"<html>"))
    assert main(["sql", "select 1", "--server", fake.url]) == 2
    assert "does not answer like Watchkeeper" in capsys.readouterr().err


def made_data(data_dir: Path) -> Path:
    """A data directory as a server leaves it, without columns."""
    data_dir.mkdir(mode=0o700)
    records = Records(migrate.url_of(data_dir))
    migrate.upgrade(records)
    records.close()
    return data_dir


@pytest.mark.parametrize("command", [["keys", "create", "ci"], ["keys", "list"], ["login-link"]])
def test_a_mistyped_data_directory_is_refused_and_not_made(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--data-dir", str(tmp_path / "dta")]) == 2
    assert "is not a data directory of Watchkeeper" in capsys.readouterr().err
    assert not (tmp_path / "dta").exists()


def test_it_makes_lists_and_revokes_keys_on_a_stopped_server_s_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-dir", str(made_data(tmp_path / "data"))]
    assert main(["keys", "create", "ci", "--role", "editor", "--expires-in-days", "3", *where]) == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("wk_")
    assert main(["keys", "list", *where]) == 0
    listed = capsys.readouterr().out
    assert key not in listed and "editor" in listed and "active" in listed
    head, _, row = listed.splitlines()[:3]
    assert row[head.index("expires") :].startswith("20"), "when a key stops working is told before it does"
    assert main(["keys", "revoke", key.split("_")[1], *where]) == 0
    assert main(["keys", "revoke", key.split("_")[1], *where]) == 2
    assert main(["keys", "create", " ", *where]) == 2
    assert main(["login-link", *where]) == 0
    assert "/login?token=" in capsys.readouterr().out
    assert main(["login-link", "--email", "x@y.z", *where]) == 2
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0


def test_it_finds_no_server_where_none_runs(tmp_path: Path) -> None:
    assert running_on(tmp_path) is None
    (tmp_path / "watchkeeper.lock").write_text("{}")
    (tmp_path / "local.json").write_text('{"url": "http://x", "key": "k", "pid": 1}')
    assert running_on(tmp_path) is None, "a killed server leaves the file, not the lock"


def test_a_key_that_would_never_expire_by_mistake_is_refused(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for where in (["--server", fake.url], ["--data-dir", str(made_data(tmp_path / "data"))]):
        for days in ("0", "-1", "9999"):
            assert main(["keys", "create", "ci", "--expires-in-days", days, *where]) == 2
            assert "from 1 to 3650" in capsys.readouterr().err
    assert fake.asked == []


def test_an_export_that_ends_before_its_length_is_not_whole(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.answers = [(200, {"content-length": "100", "connection": "close"}, b'{"a":1}\n')]
    assert main(["export", "-o", str(tmp_path / "x.jsonl"), "--server", fake.url]) == 2
    assert "cut the answer off" in capsys.readouterr().err and not (tmp_path / "x.jsonl").exists()


def test_an_export_to_a_suffix_that_says_no_format_is_refused(
    fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "-o", "t.xlsx", "--server", fake.url]) == 2
    assert ".xlsx says no format" in capsys.readouterr().err and fake.asked == []
    assert main(["export", "-o", "t.xlsx", "--format", "csv", "--server", fake.url]) == 0


def test_it_never_shows_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(args: Any) -> int:
        raise RuntimeError("boom")

    monkeypatch.setattr("watchkeeper.cli.sql.main", broken)
    assert main(["sql", "select 1"]) == 2
    said = capsys.readouterr().err
    assert "a fault of ours: RuntimeError: boom" in said and "Traceback" not in said
    monkeypatch.setenv("WATCHKEEPER_DEBUG", "1")
    with pytest.raises(RuntimeError):
        main(["sql", "select 1"])


def test_it_asks_nobody_when_a_report_could_not_be_written(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = str(tmp_path / "missing" / "gate.xml")
    asked = ["gate", "--dataset", "g", "--target", "a:b", "--server", fake.url]
    assert main([*asked, "--junit", where]) == 2
    assert "--junit" in capsys.readouterr().err and fake.asked == []


def test_it_keeps_terminals_and_spreadsheets_safe() -> None:
    assert shown("a\x1b[2Jb\nc") == "a [2Jb c" and len(shown("x" * 500)) == 60
    for risky in ("=1", "+1", "-1", "@x", "\tx", "＝1"):
        assert str(harmless(risky)).startswith("'")
    assert (harmless("=1"), harmless("'=1"), harmless("'tis")) == ("'=1", "''=1", "'tis")
    assert harmless(-1) == -1 and harmless({"a": 1}) == '{"a": 1}'
    out = io.StringIO()
    table(["名前", "n"], [["日本", 1], ["x", 10]], out)
    lines = out.getvalue().splitlines()
    assert lines[2].endswith(" 1") and lines[3].endswith("10")
    text = io.StringIO()
    as_csv(["a"], [["=x"], [None]], text)
    assert text.getvalue() == 'a\n\'=x\n""\n'


def test_it_backs_up_and_restores_a_stopped_server_s_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, saved, again = made_data(tmp_path / "data"), tmp_path / "saved", tmp_path / "again"
    assert main(["keys", "create", "ci", "--data-dir", str(data)]) == 0
    (data / "columns").mkdir()
    (data / "columns" / "part.bin").write_bytes(b"x" * 3_000_000)
    assert main(["backup", str(saved), "--data-dir", str(data)]) == 0
    assert main(["backup", str(saved), "--data-dir", str(data)]) == 2
    assert main(["restore", str(saved), "--data-dir", str(again)]) == 0
    assert (again / "columns" / "part.bin").read_bytes() == b"x" * 3_000_000
    assert main(["keys", "list", "--data-dir", str(again)]) == 0
    assert "ci" in capsys.readouterr().out
    assert main(["restore", str(saved), "--data-dir", str(again)]) == 2
    (saved / "columns" / "part.bin").write_bytes(b"y" * 3_000_000)
    assert main(["restore", str(saved), "--data-dir", str(tmp_path / "third")]) == 2
    assert "damaged" in capsys.readouterr().err and not (tmp_path / "third").exists()
    (saved / "manifest.json").write_text(json.dumps({"format": 1, "files": {"../data/records.db": "0"}}))
    assert main(["restore", str(saved), "--data-dir", str(tmp_path / "third")]) == 2
    assert "outside the backup" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "none"), "--data-dir", str(tmp_path / "third")]) == 2
    assert main(["backup", str(tmp_path / "b"), "--data-dir", str(tmp_path / "none")]) == 2


def test_a_backup_or_restore_that_is_stopped_leaves_nothing_and_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, saved, again = made_data(tmp_path / "data"), tmp_path / "saved", tmp_path / "again"

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(snapshot, "links", stopped)
        main(["backup", str(saved), "--data-dir", str(data)])
    assert [p.name for p in tmp_path.iterdir()] == ["data"]
    assert main(["backup", str(saved), "--data-dir", str(data)]) == 0
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("watchkeeper.cli.backup.make_links", stopped)
        main(["restore", str(saved), "--data-dir", str(again)])
    assert not again.exists()
    (again / "restoring.partial").mkdir(parents=True)
    (again / "restoring.partial" / "records.db").write_text("of one that was killed")
    assert main(["restore", str(saved), "--data-dir", str(again)]) == 0
    assert sorted(p.name for p in again.iterdir()) == sorted(
        p.name for p in data.iterdir() if p.name != "watchkeeper.lock"
    )


def test_an_answer_that_cannot_be_written_is_said(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.json(200, {"columns": ["a"], "rows": [[1]], "truncated": False})
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert main(["sql", "select 1", "--server", fake.url]) == 2
        monkeypatch.undo()
    assert "cannot write its answer: No space left" in capsys.readouterr().err


def test_a_backup_from_before_links_were_kept_gets_them_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, again = tmp_path / "saved", tmp_path / "again"
    table = "550e4f3b-a092-4d6e-8bd7-c2447c2644ba"
    definition = "columns/store/68c/68cf7ffa-f450-453b-8919-b1f917069f99/traces.sql"
    (saved / definition).parent.mkdir(parents=True)
    (saved / definition).write_text(f"ATTACH TABLE _ UUID '{table}'\n(\n")
    sums = {definition: hashlib.sha256((saved / definition).read_bytes()).hexdigest()}
    (saved / "manifest.json").write_text(json.dumps({"format": 1, "files": sums}))
    assert main(["restore", str(saved), "--data-dir", str(again)]) == 0
    assert "made again" in capsys.readouterr().out
    assert (again / "columns/metadata/default/traces.sql").is_file()
    assert os.readlink(again / "columns/data/default/traces") == f"../../store/550/{table}"


TESTED = """
monitors:
  - name: low
    condition: share(relevance < 7) > 5%
    window: 15m
    owner: o
    runbook: r
    tests:
      - {{series: "8.2 x20, 6.5 x10, 8.2 x20", expect: {expect}}}
"""


@pytest.mark.parametrize(
    ("expect", "code", "words"),
    [
        ("{firing_at: 21}", 0, "1 of 1 tests passed"),
        ("{firing_by: 25, resolved_at: 33}", 0, "ok"),
        ("{firing_at: 22}", 1, "expected firing at 22, but it fired at 21"),
        ("{never: firing}", 1, "expected never firing, but it fired at 21"),
        ("{firing: 3}", 2, "expect knows firing_at, firing_by"),
    ],
)
def test_it_runs_the_monitors_own_tests(
    expect: str, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(TESTED.format(expect=expect))
    assert main(["test", str(file)]) == code
    said = capsys.readouterr()
    assert words in said.out + said.err


CHECKED = """scorecards:
  - name: s
    metrics:
      - name: ids
        type: exact_ids
        pattern: 'TCK-[0-9]{{6}}'
        tests: [{{input: "TCK-123456?", output: "TCK-123457", expect: {expect}}}]
"""


@pytest.mark.parametrize(
    ("expect", "code", "words"),
    [
        ("fail", 0, "1 of 1 tests passed"),
        ("{passed: false, reason: TCK-123457}", 0, "ok   ids: test 1"),
        ("pass", 1, "expected pass, got value 0.0, passed False"),
        ("{at_least: 0.5}", 1, "0 of 1 tests passed"),
        ("{shape: 3}", 2, "shape"),
    ],
)
def test_it_runs_the_checks_own_tests(
    expect: str, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(CHECKED.format(expect=expect))
    assert main(["test", str(file)]) == code
    said = capsys.readouterr()
    assert words in said.out + said.err


def test_it_says_which_series_it_does_not_understand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(TESTED.format(expect="{never: firing}").replace("8.2 x20, 6.5", "high x20, 6.5"))
    assert main(["test", str(file)]) == 2
    assert "'high x20', is not 'value' or 'value x times'" in capsys.readouterr().err
    file.write_text(GOOD)
    assert main(["test", str(file)]) == 2


def test_it_plans_from_the_traffic_there_is(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.yaml"
    judge = "{name: rel, type: llm_judge, model: 'openai:m', prompt: How good?, unit_cost: 0.01 USD}"
    file.write_text(
        "scorecards: [{name: s, where: \"model = 'm' and name like 'a%'\", sample: {rate: 10%, always: [error], budget: 5 USD/day}, metrics: ["
        + judge
        + "]}]"
    )
    fake.json(200, [])
    fake.json(200, {"columns": ["e", "n"], "rows": [[0, 63_000], [1, 700]], "truncated": False})
    assert main(["plan", str(file), "--server", fake.url]) == 0
    asked = prepare(json.loads(fake.asked[-1][2])["query"], ["rel"]).sql
    assert "\"models\"[1], '') = 'm' AND \"root_name\" LIKE 'a%'" in asked
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    # 9,100 traces a day: 100 with errors and 10 % of the rest would be 1,000, of which 5 USD buy 500.
    assert ["s", "rel", "9,100", "500", "$5.00", "$1,825"] in [line[:6] for line in lines]
    assert ["errors", "100.0%", "100", "$1.00"] in lines
    assert ["everything", "else", "4.4%", "400", "$4.00"] in lines


@pytest.mark.parametrize(
    ("judge", "paid", "usd"),
    [
        # What its own judgements cost, those of another model not.
        ("openai:gpt-4o-mini", [["rel", "openai:gpt-4o", 9.0], ["rel", "openai:gpt-4o-mini", 0.02]], "$2.00"),
        # None yet: 2,000 tokens of texts and 267 of instructions at 0.15 USD a million, 200 of an answer at 0.60.
        ("openai:gpt-4o-mini", [["other", "openai:gpt-4o-mini", 0.5]], "$0.046"),
        ("acme:nobody-knows", [], "unknown"),
    ],
)
def test_a_judge_whose_cost_nobody_said_is_planned_with_what_it_cost_or_with_the_price_table(
    judge: str, paid: list[Any], usd: str, fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(
        "providers: [{name: acme, base_url: 'https://acme.example/v1'}]\n"
        f"scorecards: [{{name: s, sample: {{rate: 10%}}, metrics: [{{name: rel, type: llm_judge, model: '{judge}', prompt: Good?}}]}}]"
    )
    fake.json(200, [])
    fake.json(200, {"rows": [[0, 1_000]]})
    fake.json(200, {"rows": paid})
    fake.json(200, {"rows": [[6_000.0, 2_000.5]]})
    assert main(["plan", str(file), "--server", fake.url, "--days", "1"]) == 0
    said = capsys.readouterr()
    assert ["s", "rel", "1,000", "100", usd] in [line.split()[:5] for line in said.out.splitlines()]
    assert ("set its unit_cost" in said.err) == (usd == "unknown")
    for _, _, body, *_ in fake.asked[1:]:
        assert prepare(json.loads(body)["query"], ["rel"]).sql


def test_a_plan_counts_each_stratum_with_its_own_share_and_leaves_none_out(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.yaml"
    judge = "{name: rel, type: llm_judge, model: 'openai:m', prompt: How good?, unit_cost: 0.01 USD}"
    file.write_text(
        "scorecards: [{name: s, sample: {rate: 1%, strata: {model: {dear: 50%}}, always: [error], budget: 1.3 USD/day},"
        f" metrics: [{judge}]}}]"
    )
    answer = {
        "columns": ["m", "e", "n"],
        "rows": [["dear", 0, 700], ["cheap", 0, 63_000], ["cheap", 1, 70]],
        "truncated": False,
    }
    fake.json(200, [])
    fake.json(200, answer)
    assert main(["plan", str(file), "--server", fake.url, "--days", "7"]) == 0
    asked = json.loads(fake.asked[-1][2])["query"]
    assert prepare(asked, ["rel"]).sql
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    # 50 of 100, 90 of 9,000 and all 10 errors: 150, of which 1.30 USD buy 130.
    assert ["s", "rel", "9,110", "130", "$1.30", "$474.50"] in [line[:6] for line in lines]
    shares = {line[0] + line[1]: line for line in lines if line[:1] in (["errors"], ["model"])}
    assert shares["errors100.0%"][2] == "10"
    assert float(shares["modeldear"][3]) >= 20 and float(shares["modelcheap"][3]) > 20


def test_it_backtests_on_the_server(fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(TESTED.format(expect="{never: firing}"))
    alert = {
        "fired": "2026-01-01T00:00:00.000Z", "resolved": None, "severity": "warn", "monitor": "low",
        "cohort": {"model": "m"}, "summary": "worse",
    }  # fmt: skip
    fake.json(200, {"since": "a", "until": "b", "alerts": [alert]})
    assert main(["backtest", str(file), "--server", fake.url, "--since", "3d"]) == 0
    assert "low  (model=m)  until still firing" in capsys.readouterr().out
    sent = json.loads(fake.asked[0][2])
    assert (
        sent["since"] == "3d"
        and sent["monitors"][0]["window"] == "15m"
        and "tests" not in sent["monitors"][0]
    )
    assert main(["backtest", str(file), "--server", fake.url, "--monitor", "hig"]) == 2


def test_a_backtest_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(GOOD)
    shown, seen = threading.Event(), list[int]()

    def call(_: Client, method: str, path: str, body: Any = None) -> Any:
        assert path == "/api/backtest"
        if method == "GET":
            return {"share": 0.25}
        assert shown.wait(60), "the bar is drawn while the answer is waited for"
        return {"since": "a", "until": "b", "alerts": []}

    def at(_: Progress, done: int, note: str = "") -> None:
        seen.append(done)
        shown.set()

    monkeypatch.setattr(Client, "call", call)
    monkeypatch.setattr(Progress, "at", at)
    monkeypatch.setattr("watchkeeper.cli.monitors.POLL_S", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["backtest", str(file)]) == 0
    assert set(seen) == {250}


def test_monitors_of_packs_and_objectives_are_backtested_too(
    fake: Fake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(
        "packs: [{name: errors, owner: o, runbook: r, by: [model]}]\n"
        "objectives: [{name: grounded, good: groundedness >= 0.8, target: 95%, owner: o, runbook: r}]\n"
    )
    assert main(["check", str(file)]) == 0
    assert "6 monitors (3 of packs, 3 of objectives)" in capsys.readouterr().out
    fake.json(200, {"since": "a", "until": "b", "alerts": []})
    assert main(["backtest", str(file), "--server", fake.url]) == 0
    sent = [Monitor.model_validate_json(json.dumps(m)) for m in json.loads(fake.asked[0][2])["monitors"]]
    assert [rule_of(m) for m in sent] == rules_of(load(file).config)


@pytest.mark.parametrize(("command", "code"), [("serve", 0), ("import", 130)])
def test_a_signal_ends_a_command_with_a_line(
    command: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("sys.argv", ["watchkeeper", command])
    monkeypatch.setattr("watchkeeper.cli.main.main", lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert program() == code
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == f"watchkeeper {command}: stopped\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_a_server_is_ready_undoes_what_was_begun(number: signal.Signals) -> None:
    undone: list[bool] = []

    async def starting() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            undone.append(True)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(stoppable(starting()))
    assert undone == [True]


def test_a_record_of_the_log_is_one_line_whatever_others_wrote_into_it() -> None:
    record = logging.makeLogRecord({"msg": "said %s", "args": ("a\nb\x1b[31m",)})
    assert OneLine("%(message)s").format(record) == r"said a\x0ab\x1b[31m"
