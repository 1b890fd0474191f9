"""What has passed the retention of content is gone from a running server: from every table and every file, and its steps are left."""

import json
import time
from pathlib import Path

from tests.flow.sending import hex_id, request, span
from tests.flow.test_erasure import files_holding
from tests.serving import Server
from tests.waiting import until

WORD = "zebracrossing7391"
OLD, NEW = hex_id("retention", "old"), hex_id("retention", "new")
CONFIG = "server:\n  retention: {content: 1d, traces: 90d}\n"


def sent(trace_id: str, start_ns: int, word: str) -> bytes:
    """Every place in which something is said, shortly: none is cut for its length."""
    root, told = (
        hex_id(trace_id, "root", digits=16),
        [{"role": "user", "parts": [{"type": "text", "content": word}]}],
    )

    def step(name: str, **attributes: object) -> dict[str, object]:
        return span(
            trace_id, hex_id(trace_id, name, digits=16), name, parent=root, start_ns=start_ns, **attributes
        )

    whole = span(
        trace_id, root, "support", start_ns=start_ns, input__value=word, output__value=word, user_query=word, tenant="acme",
    )  # fmt: skip
    return request([
        whole,
        step("chat", gen_ai__operation__name="chat", gen_ai__request__model="gpt-4o", gen_ai__input__messages=told,
             gen_ai__output__messages=told, gen_ai__system_instructions=told[0]["parts"], gen_ai__usage__input_tokens=5),
        step("lookup", gen_ai__operation__name="execute_tool", gen_ai__tool__name="lookup",
             gen_ai__tool__call__arguments={"q": word}, gen_ai__tool__call__result=word),
        step("search", openinference__span__kind="RETRIEVER", input__value=word,
             retrieval__documents__0__document__content=word),
    ])  # fmt: skip


def test_what_was_said_goes_with_its_retention_and_the_steps_stay(tmp_path: Path) -> None:
    config, data = tmp_path / "w.yaml", tmp_path / "data"
    config.write_text(CONFIG)
    three_days_ago = time.time_ns() - 3 * 86_400 * 10**9
    said = {"body": {"stringValue": WORD}, "traceId": OLD, "timeUnixNano": str(three_days_ago)}
    with Server(data, "--config", str(config)) as server:
        assert server.call("POST", "/v1/traces", raw=sent(OLD, three_days_ago, WORD))[0] == 200
        assert server.call("POST", "/v1/traces", raw=sent(NEW, time.time_ns() - 10**10, "harmless"))[0] == 200
        logs = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [said]}]}]}).encode()
        assert server.call("POST", "/v1/logs", raw=logs)[0] == 200
        server.eventually("select trace_id from traces", lambda rows: len(rows) == 2)
        assert WORD in json.dumps(server.json("GET", f"/api/traces/{OLD}")), (
            "the control: before, it is there"
        )
        assert files_holding(data / "columns", WORD)
        deadline = time.monotonic() + 120
        while left := files_holding(data, WORD):
            assert time.monotonic() < deadline, left
            time.sleep(0.5)
        shown = server.json("GET", f"/api/traces/{OLD}")
        assert shown["content_gone"] and len(shown["spans"]) == 4 and shown["usage"]["input_tokens"] == 5
        kept = {k: v for s in shown["spans"] for k, v in s["attributes"].items()}
        assert kept["tenant"] == "acme" and "user_query" not in kept
        # Input and output are the same, which is a low score: both waited for review, and one can be read.
        until(lambda: server.json("GET", "/api/reviews/counts") == {"open": 1, "gone": 1})
        assert [i["trace_id"] for i in server.json("GET", "/api/reviews")] == [NEW]
        (closed,) = [i for i in server.json("GET", "/api/reviews?status=all") if i["trace_id"] == OLD]
        code, _, answer = server.call("POST", f"/api/reviews/{closed['id']}/label", {"verdict": "good"})
        assert code == 409 and b"nobody can judge" in answer
        page = server.call("GET", f"/review/{closed['id']}")[2].decode()
        assert "Nobody can judge it any more" in page and 'id="label-form"' not in page
        code, _, answer = server.call("POST", "/api/replays", {"trace_ids": [OLD]})
        assert code == 404 and b"has passed its retention" in answer
        fresh = server.json("GET", f"/api/traces/{NEW}")
        assert not fresh["content_gone"] and json.dumps(fresh).count("harmless") > 10
    assert not any("Traceback" in line for line in server.lines), "\n".join(server.lines[-40:])
