"""The Grafana dashboard asks for numbers that exist."""

import json
import re
from pathlib import Path
from typing import Any

from tests.serving import Server
from watchkeeper.server.metrics import HELP

DASHBOARD = Path(__file__).resolve().parents[2] / "docs" / "grafana" / "watchkeeper.json"
# Only there once something was refused, failed or could not sign in; their names are the registry's.
LATER = {"watchkeeper_refused_total", "watchkeeper_errors_total", "watchkeeper_auth_failures_total"}


def asked() -> list[str]:
    board = json.loads(DASHBOARD.read_text())
    return [t["expr"] for p in board["panels"] for t in p.get("targets", [])]


def test_every_number_on_the_dashboard_is_one_the_server_gives(tmp_path: Path) -> None:
    config = tmp_path / "w.yaml"
    config.write_text("forward: [{name: other, endpoint: 'https://forward.invalid'}]\n")
    with Server(tmp_path / "data", "--config", str(config)) as server:
        span = {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "x", "startTimeUnixNano": "1795238000000000000",
                "endTimeUnixNano": "1795238001000000000"}  # fmt: skip
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        assert server.call("POST", "/v1/traces", body)[0] == 200
        text = server.call("GET", "/metrics")[2].decode()
    given: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(watchkeeper_\w+)(?:\{([^}]*)\})? ", text, re.M):
        given.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    wanted = {name for expr in asked() for name in re.findall(r"watchkeeper_\w+", expr)}
    assert len(wanted) > 20
    assert wanted - set(given) <= LATER and set(HELP) >= LATER
    for expr in asked():
        for labels, name in re.findall(r"by \(([\w, ]+)\) \((?:rate\()?(watchkeeper_\w+)", expr):
            if name in given:
                assert set(labels.split(", ")) <= given[name], (name, labels)


def test_panels_do_not_overlap_and_have_a_source() -> None:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
