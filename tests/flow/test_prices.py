"""A price is corrected: what is stored gets the new cost, its version, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server
from watchkeeper.cli.main import main

START = 1_795_238_000_000_000_000
COSTS = "select trace_id, cost, pricing_version, spans, input_tokens, root_name from traces order by trace_id"


def call(n: int, model: str, tokens: int | None = 1000) -> dict[str, Any]:
    values: dict[str, Any] = {
        "gen_ai.operation.name": {"stringValue": "chat"}, "gen_ai.request.model": {"stringValue": model},
        "gen_ai.provider.name": {"stringValue": "openai"}, "gen_ai.usage.cost": {"doubleValue": 9.0},
    }  # fmt: skip
    if tokens is not None:
        values |= {
            "gen_ai.usage.input_tokens": {"intValue": tokens},
            "gen_ai.usage.output_tokens": {"intValue": 10},
        }
    return {
        "traceId": f"{n + 1:032x}", "spanId": f"{n + 1:016x}", "name": f"chat {model}",
        "startTimeUnixNano": str(START + n), "endTimeUnixNano": str(START + n + 10**9),
        "attributes": [{"key": k, "value": v} for k, v in values.items()],
    }  # fmt: skip


def priced(folder: Path, dollars: float) -> None:
    (folder / "w.yaml").write_text(
        f"price: [{{provider: openai, model: house-model, input: {dollars}, output: 0}}]\n"
        if dollars
        else "{}\n"
    )


def test_costs_are_made_again_once_a_price_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    priced(tmp_path, 1.0)
    server = Server(tmp_path / "data", "--config", str(tmp_path / "w.yaml"))
    with server:
        spans = [
            *(call(n, "house-model") for n in range(120)),
            call(120, "nobody-knows"),
            call(121, "house-model", None),
        ]
        body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
        assert server.call("POST", "/v1/traces", body)[0] == 200
        before = server.eventually(COSTS, lambda rows: len(rows) == 122)
        assert {r["cost"] for r in before} == {0.001, None}
        base = ["--server", server.url]
        assert main(["recompute-cost", *base]) == 0
        told = capsys.readouterr().out
        assert "0 traces priced again, 2 cannot be priced" in told
        assert "nobody-knows" in told and "no price" in told and "no token counts" in told
    priced(tmp_path, 3.0)
    with server:
        assert server.sql("select count() as n from traces where cost = 0.001") == [{"n": 120}]
        assert main(["recompute-cost", *base]) == 0
        assert "120 traces priced again, 2 cannot be priced" in capsys.readouterr().out
        after = server.sql(COSTS)
        assert {r["cost"] for r in after} == {0.003, None}
        assert len({r["pricing_version"] for r in after if r["cost"]}) == 1
        assert {r["pricing_version"] for r in before} & {r["pricing_version"] for r in after} == {None}
        unchanged = ("trace_id", "spans", "input_tokens", "root_name")
        assert [[r[k] for k in unchanged] for r in after] == [[r[k] for k in unchanged] for r in before]
        spans_now = server.sql("select cost, count() as n from spans group by cost order by cost")
        assert {(r["cost"], r["n"]) for r in spans_now} == {(0.003, 120), (None, 2)}
        one = server.json("GET", f"/api/traces/{1:032x}")
        assert one["spans"][0]["llm"]["cost"] == 0.003 and one["spans"][0]["llm"]["cost_client"] == 9.0
        assert main(["recompute-cost", *base]) == 0
        assert "0 traces priced again" in capsys.readouterr().out
        lines = server.json("GET", "/api/audit?limit=50")["lines"]
        assert sum(line["action"] == "prices.recompute" for line in lines) == 3
        status, _, answer = server.call("POST", "/api/prices/recompute", {"since": "1h", "until": "2h"})
        assert status == 400 and b"not later than since" in answer
