"""A client's own instruments: sent as OTLP metrics, asked in SQL, counted when they are none of ours."""

import json
from pathlib import Path
from typing import Any

from tests.serving import Server

NOW = "1795238000000000000"


def point(**more: Any) -> dict[str, Any]:
    told = {"gen_ai.token.type": "input", "user.email": "ann@example.com"}
    return {
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in told.items()],
        "startTimeUnixNano": NOW, "timeUnixNano": NOW, **more,
    }  # fmt: skip


def test_token_duration_and_cost_instruments_can_be_asked(tmp_path: Path) -> None:
    usage = {"name": "gen_ai.client.token.usage", "unit": "{token}",
             "histogram": {"aggregationTemporality": 2, "dataPoints": [point(count="3", sum=42.0)]}}  # fmt: skip
    cost = {"name": "claude_code.cost.usage", "unit": "USD",
            "sum": {"aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [point(asDouble=0.25)]}}  # fmt: skip
    other = {"name": "process.open_files", "gauge": {"dataPoints": [point(asInt="7")]}}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "bot"}}]}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [usage, cost, other]}]}]}
    with Server(tmp_path / "data") as server:
        for _ in range(2):
            status, _, answer = server.call("POST", "/v1/metrics", body)
            assert status == 200 and json.loads(answer) == {}
        rows = server.sql("select name, unit, value, n, attributes from measurements order by name")
        assert [(r["name"], r["unit"], r["value"], r["n"]) for r in rows] == [
            ("claude_code.cost.usage", "USD", 0.25, 1),
            ("gen_ai.client.token.usage", "{token}", 42.0, 3),
        ]
        assert rows[0]["attributes"]["service.name"] == "bot" and "ann@example.com" not in str(rows)
        metrics = server.call("GET", "/metrics")[2].decode()
        assert 'outcome="dropped",project="default",reason="other_instrument",signal="metrics"} 2' in metrics
