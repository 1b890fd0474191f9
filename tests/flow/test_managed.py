"""What an action on a signal made outlives a restart, is seen by the command line, and gives way to a file."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flow.sending import Connection, call, hex_id, request
from tests.serving import Server
from watchkeeper.config.holder import ConfigHolder
from watchkeeper.config.load import load_text
from watchkeeper.config.managed import as_yaml, merged
from watchkeeper.config.problems import ConfigError
from watchkeeper.model.managed import Managed
from watchkeeper.store.records import managed, migrate
from watchkeeper.store.records.engine import Records

CARD = {"name": "signal-no_doses", "metrics": [{"name": "no_doses", "type": "terms", "deny": ["mg"]}]}
MONITOR = {
    "name": "no_doses-returns", "condition": "any(no_doses < 1)", "window": "1h", "no_data": "ok", "severity": "page",
    "owner": "clinic", "runbook": "/signals/sig_1",
}  # fmt: skip
ENTRY = Managed("man_1", "default", "sig_1", "ana", 5, "gives a dose", "no_doses", [CARD], [MONITOR])


def wk(server: Server, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "watchkeeper", *arguments, "--server", server.url],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_runs_after_a_restart_and_the_command_line_names_exports_and_retires_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    records = Records(migrate.url_of(data))
    migrate.upgrade(records)
    records.write_now(lambda c: managed.add(c, ENTRY))
    records.close()
    file = tmp_path / "own.yaml"
    file.write_text("taxonomy: [{name: rude, definition: Impolite.}]\n")
    with Server(data, "--config", str(file)) as server:
        connection = Connection(server.port)
        spans = [call(hex_id(n), hex_id(n, digits=16), "What now?", f"Take {n} mg.") for n in range(3)]
        assert connection.post("/v1/traces", request(spans))[0] == 200
        connection.close()
        query = "select scorer, passed from scores where scorer = 'no_doses'"
        assert [r["passed"] for r in server.eventually(query, lambda rows: len(rows) == 3)] == [False] * 3

        code, said = wk(server, "signal", "managed")
        assert code == 0 and "man_1" in said and "no_doses-returns" in said
        code, said = wk(server, "check", str(file), "--managed")
        assert code == 0 and "managed man_1 (signal sig_1): no_doses, no_doses-returns" in said
        assert "1 scorecard with 1 scorer, 1 monitor," in said
        code, said = wk(server, "plan", str(file))
        assert code == 0 and "managed man_1" in said and "1 checks and classifiers" in said
        exported = tmp_path / "from-signals.yaml"
        code, said = wk(server, "signal", "export", "--output", str(exported))
        assert code == 0 and load_text(exported.read_text()).config.monitors[0].owner == "clinic"
        code, said = wk(server, "signal", "list")
        assert code == 0 and "severity" in said
        code, said = wk(server, "signal", "act", "sig_none")
        assert code == 2 and "there is no signal" in said
        code, said = wk(server, "taxonomy", "list")
        assert code == 0 and "rude" in said and "configuration" in said
        code, said = wk(server, "taxonomy", "accept", "made_up")
        assert code == 2 and "--definition" in said
        code, said = wk(server, "taxonomy", "accept", "made up", "--definition", "Not so.")
        assert code == 0 and "made up is in use" in said
        code, said = wk(server, "taxonomy", "rename", "made up", "invented")
        assert code == 0 and "is invented now" in said
        code, said = wk(server, "taxonomy", "rename", "rude", "x")
        assert code == 2 and "is in the configuration" in said
        code, said = wk(server, "signal", "retire", "man_1")
        assert code == 0
        assert server.json("GET", "/api/managed") == []
        again = [call(hex_id("z"), hex_id("z", digits=16), "What now?", "Take 9 mg.")]
        connection = Connection(server.port)
        assert connection.post("/v1/traces", request(again))[0] == 200
        connection.close()
        server.eventually("select count() as n from traces", lambda rows: rows[0]["n"] == 4)
        assert len(server.sql(query)) == 3


def test_a_file_with_the_same_names_is_used_instead(tmp_path: Path) -> None:
    text = as_yaml([ENTRY]).replace("page", "warn")
    loaded = merged(load_text(text), [ENTRY])
    assert [m.severity for m in loaded.config.monitors] == ["warn"] and len(loaded.config.scorecards) == 1
    assert "gives a dose: from signal sig_1, accepted by ana" in text and not loaded.warnings
    del tmp_path


def broken(**change: Any) -> Managed:
    return Managed(
        "man_2", "default", "sig_2", "ana", 6, "t", "s", [], [{**MONITOR, "name": "other", **change}]
    )


@pytest.mark.parametrize(
    "change",
    [{"condition": "any(("}, {"owner": ""}, {"window": "never"}, {"surprise": 1}, {"notify": ["nobody"]}],
)
def test_one_that_does_not_fit_is_left_out_and_keeps_nothing_from_running(change: dict[str, Any]) -> None:
    routes = "routes: [{name: log, type: log, default_for: [page]}]\n"
    holder = ConfigHolder(load_text(routes).config)
    entry = broken(**change)
    with pytest.raises(ConfigError):
        holder.would_manage(entry)
    holder.manage([entry, ENTRY])
    assert [m.name for m in holder.current.monitors] == ["no_doses-returns"]
    assert any(w.key == "man_2" and "is not in use" in w.message for w in holder.warnings)
    holder.manage([])
    assert holder.current.monitors == () and not holder.warnings
