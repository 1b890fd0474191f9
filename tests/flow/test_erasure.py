"""A user is erased from a running server: nothing of theirs is left, nothing comes back, and the receipt says so.

`WATCHKEEPER_CHAOS=full` makes it 20 erasures during which the server is killed.
"""

import json
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import new_seed, progress, sized
from tests.flow.sending import call, hex_id, request
from tests.serving import Server
from watchkeeper.cli.main import main

KILLS = sized(3, 20)
SECRET = "zebracrossing7391"
GONE, KEPT, LATER = (hex_id("erasure", n) for n in ("gone", "kept", "later"))
USER = "ann.4711"


def files_holding(folder: Path, needle: str) -> list[str]:
    found: list[str] = []
    # The engine removes files and folders meanwhile: this walk passes over what is gone.
    for where, _, names in os.walk(folder):
        for path in (Path(where, name) for name in names):
            try:
                if path.is_file() and needle.encode() in path.read_bytes():
                    found.append(str(path.relative_to(folder)))
            except FileNotFoundError:
                continue
    return found


def sent(trace_id: str, user: str, answer: str, span_id: str = "") -> bytes:
    span = call(
        trace_id,
        span_id or hex_id(trace_id, "span", digits=16),
        f"what about {answer}?",
        answer,
        user__id=user,
    )
    return request([span], service__name="bot")


def settled(server: Server, reason: str) -> int:
    lines = server.call("GET", "/metrics")[2].decode().splitlines()
    wanted = [
        x for x in lines if x.startswith("watchkeeper_ingest_settled_total") and f'reason="{reason}"' in x
    ]
    return int(sum(float(x.rsplit(" ", 1)[1]) for x in wanted))


def derive(server: Server) -> None:
    """Everything that can be made of a trace: review, label, case, experiment, score, calibration."""
    for trace_id, word in ((GONE, SECRET), (KEPT, "harmless")):
        server.json("POST", "/api/reviews", {"trace_id": trace_id, "reason": f"look at {word}"})
        items = server.json("GET", "/api/reviews")
        item = next(i for i in items if i["trace_id"] == trace_id)
        said = {"verdict": "bad", "comment": f"wrong about {word}", "expected_output": f"better {word}"}
        server.json("POST", f"/api/reviews/{item['id']}/label", said)
        server.json("POST", "/api/datasets/regressions/promote", {"trace_id": trace_id, "force": True})
        score = {"trace_id": trace_id, "scorer": "house", "value": 0.1, "reason": f"it said {word}"}
        server.json("POST", "/api/scores", score)
    cases = server.json("GET", "/api/datasets/regressions")["cases"]
    answers = [{"case_id": c["id"], "output": f"again {SECRET}"} for c in cases if c["trace_id"] == GONE]
    answers += [{"case_id": c["id"], "output": "again harmless"} for c in cases if c["trace_id"] == KEPT]
    server.json("POST", "/api/experiments", {"dataset": "regressions", "target": "t", "answers": answers})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("erasure")


def test_erasing_a_user_reaches_what_was_made_of_their_traces(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(folder / "data")
    with server:
        for trace_id, user, word in ((GONE, USER, SECRET), (KEPT, "bob", "harmless")):
            assert server.call("POST", "/v1/traces", raw=sent(trace_id, user, word))[0] == 200
        server.eventually("select trace_id from traces", lambda rows: len(rows) == 2)
        derive(server)
        before = files_holding(folder / "data", SECRET)
        assert any(name.startswith("records.db") for name in before), "the control: before, it is there"
        assert any(name.startswith("columns") for name in before), before

        arguments = ["erase", "--server", server.url, "--user", USER]
        assert main(arguments) == 0
        assert "1 trace would go" in capsys.readouterr().out
        assert len(server.sql("select trace_id from traces")) == 2, "counting erases nothing"
        assert main([*arguments, "--yes", "--json"]) == 0
        receipt = json.loads(capsys.readouterr().out)

        assert receipt["traces"] == 1 and receipt["state"] == "sweeping"
        assert USER not in json.dumps(receipt) and GONE not in json.dumps(receipt)
        assert {k for k, n in receipt["columns"].items() if n} >= {"spans", "content", "traces", "scores"}
        assert receipt["records"]["review_items"] >= 1 and receipt["records"]["labels"] == 1
        assert receipt["records"]["cases"] == 1 and receipt["records"]["experiments"] == 1
        assert {r["what"] for r in receipt["remains"]} >= {"backups", "aggregates"}

        assert [r["trace_id"] for r in server.sql("select trace_id from traces")] == [KEPT]
        assert server.call("GET", f"/api/traces/{GONE}")[0] == 404
        dataset = server.json("GET", "/api/datasets/regressions")
        assert [c["trace_id"] for c in dataset["cases"]] == [KEPT]
        (run,) = server.json("GET", "/api/experiments")
        assert "harmless" in json.dumps(server.json("GET", f"/api/experiments/{run['id']}"))
        deadline = time.monotonic() + 300
        while left := files_holding(folder / "data", SECRET):
            assert time.monotonic() < deadline, left
            time.sleep(0.5)
        page = server.call("GET", "/settings/audit", headers={"accept": "text/html"})[2].decode()
        assert "Erasure" in page and "keyed hashes of the trace ids" in page
        audit: dict[str, Any] = server.json("GET", "/api/audit")
        assert any(line["action"] == "erase" for line in audit["lines"]) and audit["broken"] is None
        assert USER not in json.dumps(audit)


def test_what_was_erased_does_not_come_back_even_after_a_restart(folder: Path) -> None:
    with Server(folder / "data") as server:
        assert server.call("POST", "/v1/traces", raw=sent(GONE, USER, SECRET))[0] == 200
        more = sent(GONE, USER, SECRET, span_id=hex_id("another", digits=16))
        assert server.call("POST", "/v1/traces", raw=more)[0] == 200
        feedback = {"trace_id": GONE, "scorer": "house", "value": 0.0, "reason": SECRET}
        server.call("POST", "/api/scores", feedback)
        # Of which a review would be made.
        said = {"trace_id": GONE, "rating": "down", "comment": SECRET}
        assert server.call("POST", "/api/feedback", said)[0] == 201
        assert server.call("POST", "/v1/traces", raw=sent(LATER, USER, "new words"))[0] == 200
        server.eventually("select trace_id from traces", lambda rows: len(rows) == 2)
        assert {r["trace_id"] for r in server.sql("select trace_id from traces")} == {KEPT, LATER}
        assert server.sql(f"select count() as n from spans where trace_id = '{GONE}'") == [{"n": 0}]
        assert settled(server, "erased") == 2, "counted, so that received = stored + dropped + …"
        assert files_holding(folder / "data", SECRET) == []


def test_an_id_that_is_not_there_is_said_to_be_unknown_and_stays_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = hex_id("erasure", "strange")
    with Server(folder / "data") as server:
        assert server.call("POST", "/api/erasures", {})[0] == 400
        body = {"trace_ids": [strange], "confirm": True}
        told = server.json("POST", "/api/erasures", body)
        assert (told["traces"], told["unknown"], told["unknown_user"]) == (0, 1, False)
        assert server.call("POST", "/v1/traces", raw=sent(strange, "bob", "late"))[0] == 200
        assert settled(server, "erased") == 1
        assert told["id"] in {e["id"] for e in server.json("GET", "/api/erasures")}
        assert main(["erase", "--server", server.url, "--user", "nobody"]) == 0
        said = capsys.readouterr().out
        assert "user id nobody is unknown" in said and "0 traces would go" in said
        assert server.json("POST", "/api/erasures", {"user_id": "nobody", "confirm": True})["unknown_user"]


def test_erasures_that_are_killed_at_any_point_are_carried_out(tmp_path: Path) -> None:
    """Who asks for an erasure asks again until there is an answer; what was answered is done, whatever happens then."""
    seed = new_seed()
    chance, server = random.Random(seed), Server(tmp_path / "data").start()
    users = {f"user{n}": f"plantedword{n}x{seed}" for n in range(KILLS)}
    everybody = {**users, "stays": "harmlessword"}
    kills = 0
    try:
        for user, word in everybody.items():
            sent_ = sent(hex_id("killed", user), user, word)
            assert server.call("POST", "/v1/traces", raw=sent_)[0] == 200
        server.eventually("select count() as n from traces", lambda r: r[0]["n"] == len(everybody))
        held = [word for word in users.values() if not files_holding(tmp_path / "data", word)]
        assert not held, "the control: before, it is there"
        for user in users:
            # Killed before or after it answers, and killed after it has.
            for patient in (False, True):
                kills += 1
                with ThreadPoolExecutor(1) as one:
                    asked = one.submit(
                        server.call, "POST", "/api/erasures", {"user_id": user, "confirm": True}
                    )
                    if patient:
                        assert 200 <= asked.result()[0] < 300
                    time.sleep(chance.uniform(0.0, 1.0))
                    server.kill()
                server.start()
            progress("P2 erasures", kills // 2, len(users), f"{kills} kills, seed {seed}")
        deadline = time.monotonic() + 300  # a guard against a hang
        while left := {w: f for w in users.values() if (f := files_holding(tmp_path / "data", w))}:
            assert time.monotonic() < deadline, left
            time.sleep(0.5)
        assert len(server.sql("select trace_id from traces")) == 1
        assert server.call("GET", f"/api/traces/{hex_id('killed', 'stays')}")[0] == 200
        assert server.json("GET", "/api/audit")["broken"] is None
    finally:
        server.stop()
    print(f"P2 seed {seed}: {kills} kills during {len(users)} erasures, nothing left")
    for user, word in users.items():
        assert not files_holding(tmp_path / "data", word), user
