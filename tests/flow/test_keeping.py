"""Storage sampling end to end: what is not kept leaves the store, never comes back, and biases nothing."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.flow.sending import call, hex_id, request
from tests.serving import Server
from tests.waiting import until
from watchkeeper.model.times import HOUR

N, BAD = 400, 20
ROUTINE = 0.25
CONFIG = f"""
storage: {{keep: {{routine: {ROUTINE:.0%}, slow: 60s}}}}
scorecards:
  - name: all
    metrics: [{{name: polite, type: policy, deny: [rude]}}]
"""


def asked(n: int, trace_id: str) -> dict[str, Any]:
    answer = "that was rude" if n < BAD else "here you are, your order is on its way"
    return call(trace_id, hex_id(trace_id, "s", digits=16), f"question {n}", answer)


def test_what_is_not_kept_leaves_and_the_estimates_stay_true(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(CONFIG)
    ids = [hex_id("keeping", n) for n in range(N)]
    with Server(tmp_path / "data", "--config", str(tmp_path / "w.yaml")) as server:
        made = [asked(n, trace_id) for n, trace_id in enumerate(ids)]
        for at in range(0, N, 50):
            body = request(made[at : at + 50], service__name="b")
            assert server.call("POST", "/v1/traces", raw=body)[0] == 200
        counted = 'watchkeeper_stage_total{stage="check",what="not_kept"}'

        def not_kept() -> int:
            lines = server.call("GET", "/metrics")[2].decode().splitlines()
            return next((int(float(x.rsplit(" ", 1)[1])) for x in lines if x.startswith(counted)), 0)

        rows = server.eventually(
            "select trace_id, keep_probability from traces", lambda found: len(found) + not_kept() == N
        )
        kept = {r["trace_id"]: r["keep_probability"] for r in rows}
        assert {kept[i] for i in ids[:BAD]} == {1.0}, "what failed a check is always kept"
        routine = [i for i in ids[BAD:] if i in kept]
        assert {kept[i] for i in routine} == {ROUTINE}
        assert abs(len(routine) - ROUTINE * (N - BAD)) < 5 * ((N - BAD) * ROUTINE * (1 - ROUTINE)) ** 0.5
        (found,) = server.sql(
            "select sum(1 / keep_probability) as n, sum((1 - polite) / keep_probability) / n as share, avg(1 - polite) as naive "
            "from traces"
        )
        error = ((N - BAD) * (1 - ROUTINE) / ROUTINE) ** 0.5
        assert abs(found["n"] - N) < 5 * error
        assert abs(found["share"] - BAD / N) < 0.02 < found["naive"] - BAD / N
        gone = next(i for i in ids if i not in kept)
        late = request(
            [call(gone, hex_id(gone, "late", digits=16), "again", "rude, and late")], service__name="b"
        )
        before = not_kept()
        assert server.call("POST", "/v1/traces", raw=late)[0] == 200
        until(lambda: not_kept() > before)
        assert server.sql(f"select count() as n from traces where trace_id = '{gone}'") == [{"n": 0}]


def test_a_thumbs_down_brings_its_trace_back_and_the_share_of_them_stays_true(tmp_path: Path) -> None:
    down, up = 25, 75
    (tmp_path / "w.yaml").write_text("storage: {keep: {routine: 20%, slow: 60s}}")
    ids = [hex_id("spoken", n) for n in range(down + up)]
    with Server(tmp_path / "data", "--config", str(tmp_path / "w.yaml")) as server:
        # The middle of an hour, so that all of them are one point.
        start = time.time_ns() // HOUR * HOUR - HOUR // 2
        made = [
            call(
                trace_id,
                hex_id(trace_id, "s", digits=16),
                f"question {n}",
                "your order is on its way",
                start_ns=start,
            )
            for n, trace_id in enumerate(ids)
        ]
        assert server.call("POST", "/v1/traces", raw=request(made, service__name="b"))[0] == 200
        rows = server.eventually(
            "select trace_id from traces",
            lambda found: (
                f'what="not_kept"}} {len(ids) - len(found)}\n' in server.call("GET", "/metrics")[2].decode()
            ),
        )
        drawn = {r["trace_id"] for r in rows}
        assert 0 < len(drawn & set(ids[:down])) < down, "some of either kind, by the draw"
        for n, trace_id in enumerate(ids):
            word = {"trace_id": trace_id, "rating": "down" if n < down else "up"}
            status, _, told = server.call("POST", "/api/feedback", word)
            assert status == 201, told

        def back(found: list[dict[str, Any]]) -> bool:
            return {r["trace_id"] for r in found if r["keep_probability"] == 1} == set(ids[:down])

        rows = server.eventually("select trace_id, keep_probability, output_text from traces", back)
        assert {r["trace_id"] for r in rows} == drawn | set(ids[:down])
        assert {r["output_text"] for r in rows} == {"your order is on its way"}
        (found,) = server.sql(
            "select sum(1 / keep_probability) as n, sum((1 - thumbs) / keep_probability) as bad from traces"
        )
        kept = len(drawn & set(ids[down:]))
        assert found["n"] == pytest.approx(down + kept / 0.2) and found["bad"] == pytest.approx(down)
        share = pytest.approx(kept / 0.2 / (down + kept / 0.2))
        server.eventually(
            "select mean from series where metric = 'thumbs' and cohort = ''",
            lambda found: [r["mean"] for r in found] == [share],
        )
