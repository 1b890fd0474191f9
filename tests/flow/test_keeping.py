"""Storage sampling end to end: what is not kept leaves the store, never comes back, and biases nothing."""

from pathlib import Path
from typing import Any

from tests.flow.sending import call, hex_id, request
from tests.serving import Server
from tests.waiting import until

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
