"""The JSON API: input validated, other projects invisible, deeds audited."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.server.doubles import NOW, Rig, rig
from watchkeeper.config.base import form_in_words
from watchkeeper.config.models import Config
from watchkeeper.model.alert import Alert
from watchkeeper.model.review import ReviewItem
from watchkeeper.model.score import Score
from watchkeeper.model.span import RawSpan
from watchkeeper.model.times import MINUTE
from watchkeeper.pipeline.sharing import Busy
from watchkeeper.server.answers import iso, to_json
from watchkeeper.server.api.feedback import Feedback, judged
from watchkeeper.server.api.shapes import literal, moment_ns, period
from watchkeeper.server.api.traces import cursor_of, read_cursor
from watchkeeper.server.openapi import document
from watchkeeper.server.routing import HttpError
from watchkeeper.store.columns import QueryRefused, Table
from watchkeeper.store.records import alerts, audit, reviews

TRACE = "ab" * 16


@pytest.fixture
def served(tmp_path: Path) -> Rig:
    return rig(tmp_path)


def raw_span() -> RawSpan:
    return RawSpan(
        TRACE, "cd" * 8, None, "chat", "client", NOW, NOW + 10**9, "ok", None,
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3}, [], [], {},
    )  # fmt: skip


async def test_it_gives_a_trace_in_the_documented_shape_and_notes_who_opened_it(served: Rig) -> None:
    served.columns.traces[("default", TRACE)] = ([raw_span()], [])
    served.columns.scores.append(Score("default", TRACE, "", "relevance", "1", "check", NOW, NOW, value=7.5))
    async with served.client(served.key("viewer")) as client:
        answer = await client.get(f"/api/traces/{TRACE.upper()}")
    shown = answer.json()
    assert {
        "trace_id", "time", "duration_ms", "session_id", "user_id", "scenario", "complete", "error_class", "usage",
        "spans", "scores",
    } <= shown.keys()  # fmt: skip
    assert (
        shown["duration_ms"] == 1000.0 and shown["time"].endswith("Z") and shown["scores"][0]["value"] == 7.5
    )
    call = shown["spans"][0]
    assert (
        call["kind"] == "llm"
        and call["llm"]["request_model"] == "m"
        and call["llm"]["usage"]["input_tokens"] == 3
    )
    assert call["tool"] is None and call["retrieval"] is None and call["error"] is None
    lines = served.services.records.read_now(lambda c: audit.latest(c, "default"))
    assert (lines[0]["action"], lines[0]["target"]) == ("trace.open", TRACE)


async def test_it_knows_nothing_of_the_other_projects(served: Rig) -> None:
    served.columns.traces[("theirs", TRACE)] = ([raw_span()], [])
    alert = Alert("al1", "theirs", "m", {}, "firing", "page", "o", "r", "c", NOW)
    item = ReviewItem("rev1", "theirs", TRACE, "why", "x", 1.0, NOW)
    records = served.services.records
    records.write_now(lambda c: alerts.save(c, alert))
    records.write_now(lambda c: reviews.add(c, item))
    silence = records.write_now(
        lambda c: alerts.add_silence(c, "theirs", {"monitor": "m"}, NOW, NOW + 10**12, "me")
    )
    key_id = served.key("viewer", "theirs").split("_")[1]
    label = {"verdict": "bad"}
    async with served.client(served.key("admin")) as client:
        for method, path, body in (
            ("GET", f"/api/traces/{TRACE}", None),
            ("GET", "/api/alerts/al1", None),
            ("POST", "/api/alerts/al1/ack", None),
            ("DELETE", "/api/alerts/al1/ack", None),
            ("GET", "/api/reviews/rev1", None),
            ("POST", "/api/reviews/rev1/label", label),
            ("POST", "/api/datasets/d/promote", {"trace_id": TRACE}),
            ("DELETE", f"/api/silences/{silence.id}", None),
            ("DELETE", f"/api/keys/{key_id}", None),
            ("GET", "/api/datasets/d", None),
            ("GET", "/api/experiments/e", None),
            ("GET", "/api/incidents/i", None),
        ):
            answer = await client.request(method, path, json=body)
            assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
        for path in (
            "/api/alerts",
            "/api/reviews",
            "/api/silences",
            "/api/signals",
            "/api/datasets",
            "/api/experiments",
            "/api/incidents",
        ):
            assert (await client.get(path)).json() == [], path
        assert (await client.get("/api/reviews/counts")).json() == {}
        assert all(k["project"] == "default" for k in (await client.get("/api/keys")).json())
        assert all(line["project"] == "default" for line in (await client.get("/api/audit")).json()["lines"])
    async with served.client(served.key("viewer", "theirs")) as client:
        assert (await client.get("/api/alerts/al1")).status_code == 200


async def test_it_asks_the_store_only_for_the_caller_s_project(served: Rig) -> None:
    async with served.client(served.key("viewer", "mine")) as client:
        await client.post("/api/sql", json={"query": "select 1"})
        await client.get("/api/series")
        await client.get("/api/coverage")
        await client.get("/api/deploys")
    assert {project for project, _ in served.columns.statements} == {"mine"}


async def test_it_answers_sql_with_columns_rows_and_hints(served: Rig) -> None:
    def answer(query: str) -> Table:
        if "drop" in query:
            raise QueryRefused("DROP is not allowed", "write a SELECT")
        return Table(["a", "t"], [[2**70, datetime(2026, 1, 1, tzinfo=UTC)], [float("nan"), None]], True)

    served.columns.answer = answer
    async with served.client(served.key("viewer")) as client:
        good = (await client.post("/api/sql", json={"query": "select 1"})).json()
        assert good["columns"] == ["a", "t"] and good["truncated"] is True
        assert good["rows"] == [[str(2**70), "2026-01-01T00:00:00Z"], [None, None]]
        bad = await client.post("/api/sql", json={"query": "drop table x"})
        assert bad.status_code == 400 and bad.json() == {
            "error": "DROP is not allowed",
            "hint": "write a SELECT",
        }
        for body in (
            {},
            {"query": ""},
            {"query": 1},
            {"query": "x" * 20_001},
            {"query": "x", "extra": 1},
            [],
            "x",
        ):
            wrong = await client.post("/api/sql", json=body)
            assert wrong.status_code == 400 and set(wrong.json()) == {"error", "hint"}, body
    lines = served.services.records.read_now(lambda c: audit.latest(c, "default"))
    assert [line["target"] for line in lines if line["action"] == "sql"][-1] == "select 1"


@pytest.mark.parametrize(
    ("given_rating", "name", "expected"),
    [
        ("up", None, ("thumbs", 1.0, "up", True)),
        (False, None, ("thumbs", 0.0, "down", False)),
        (5, None, ("user_rating", 5.0, None, True)),
        (2, None, ("user_rating", 2.0, None, False)),
        (3, None, ("user_rating", 3.0, None, None)),
        (0.4, "edit_distance", ("edit_distance", 0.4, None, None)),
        (None, "escalated", ("escalated", 1.0, None, False)),
        (False, "escalated", ("escalated", 0.0, "no", True)),
        (True, "task_completed", ("task_completed", 1.0, "yes", True)),
        (False, "deflected", ("deflected", 0.0, "no", False)),
        (None, "copy", ("copy", 1.0, None, None)),
        (12.5, "minutes_to_resolution", ("minutes_to_resolution", 12.5, None, None)),
    ],
)
def test_it_understands_thumbs_stars_and_events(given_rating: Any, name: str | None, expected: Any) -> None:
    assert judged(Feedback(trace_id=TRACE, rating=given_rating, name=name)) == expected


async def test_it_takes_feedback_and_external_scores_also_before_the_trace(served: Rig) -> None:
    told: list[Any] = []

    async def on_scores(scores: Any) -> None:
        told.extend(scores)

    served.services.on_scores = on_scores
    served.services.redact = lambda text: text.replace("AKIAIOSFODNN7EXAMPLE", "[SECRET]")
    async with served.client(served.key("ingest")) as client:
        made = await client.post(
            "/api/feedback",
            json={"trace_id": TRACE, "rating": "down", "comment": "wrong", "source": "widget"},
        )
        assert made.status_code == 201 and made.json()["passed"] is False
        score = {"trace_id": TRACE, "span_id": "cd" * 8, "scorer": "my.eval", "value": 0.3, "reason": "r"}
        for name in ("my.eval", "Correctness [GEval]", "Größe"):
            assert (await client.post("/api/scores", json={**score, "scorer": name})).status_code == 201
        for wrong in (
            {"trace_id": TRACE}, {"trace_id": "xyz", "rating": 1}, {"trace_id": TRACE, "rating": "meh"},
            {"trace_id": TRACE, "rating": 1, "name": 'a "b'}, {"rating": 1},
            {"trace_id": TRACE, "rating": 1, "source": "a\nb"},
        ):  # fmt: skip
            assert (await client.post("/api/feedback", json=wrong)).status_code == 400, wrong
        for wrong in (
            {**score, "value": None},
            {**score, "scorer": 'x"; drop'},
            {**score, "scorer": "AKIAIOSFODNN7EXAMPLE"},
            {**score, "value": 1e300},
            {**score, "span_id": "1"},
        ):
            assert (await client.post("/api/scores", json=wrong)).status_code == 400, wrong
        nan = b'{"trace_id":"' + TRACE.encode() + b'","scorer":"a","value":NaN}'
        assert (
            await client.post("/api/scores", content=nan, headers={"content-type": "application/json"})
        ).status_code == 400
    assert [(s.scorer, s.source, s.value, s.author) for s in served.columns.scores] == [
        ("thumbs", "user", 0.0, "widget"),
        *((n, "external", 0.3, "key:ingest of default") for n in ("my.eval", "Correctness [GEval]", "Größe")),
    ]
    assert told == served.columns.scores


async def test_a_correction_is_compared_with_the_answer_and_redacted(served: Rig) -> None:
    answer = "Tap Orders, then Return."
    asked: list[str] = []

    def found(query: str) -> Table:
        asked.append(query)
        if TRACE not in query:
            return Table([], [])
        return Table(
            ["time", "session_id", "output_text"], [[datetime(2026, 1, 1, tzinfo=UTC), "s1", answer]]
        )

    served.columns.answer = found
    step_span = raw_span()
    step_span.attributes["gen_ai.output.messages"] = (
        '[{"role": "assistant", "parts": [{"type": "text", "content": "Tap Orders."}]}]'
    )
    served.columns.traces[("default", TRACE)] = ([step_span], [])
    served.services.redact = lambda text: text.replace("ann@example.com", "[EMAIL]")
    given = {
        "trace_id": TRACE,
        "correction": "Tap Orders, then Refund. ann@example.com",
        "comment": "ann@example.com",
    }
    early = "ef" * 16
    async with served.client(served.key("ingest")) as client:
        first = (await client.post("/api/feedback", json={**given, "rating": "down"})).json()
        step = await client.post(
            "/api/feedback", json={**given, "correction": "Tap Orders.", "span_id": "cd" * 8}
        )
        later = await client.post("/api/feedback", json={"trace_id": early, "correction": "x y"})
    thumbs, correction, of_step, pending = served.columns.scores
    assert first == {
        "scorer": "thumbs",
        "value": 0.0,
        "label": "down",
        "passed": False,
        "edit_distance": correction.value,
    }
    assert thumbs.reason == "[EMAIL]" and correction.reason == "Tap Orders, then Refund. [EMAIL]"
    assert (correction.scorer, correction.session_id, correction.passed) == ("correction", "s1", None)
    assert correction.value == pytest.approx(4 / 9, abs=1e-3)
    assert (step.json()["value"], of_step.span_id) == (0.0, "cd" * 8)
    assert later.json()["edit_distance"] is None and pending.value is None and pending.reason == "x y"


async def test_it_lists_traces_by_page(served: Rig) -> None:
    served.columns.rows = [
        {"project": "default", "trace_id": f"{n:032x}", "time": datetime(2026, 1, 1, 0, 0, n, tzinfo=UTC)}
        for n in range(5)
    ]
    async with served.client(served.key("viewer")) as client:
        page = (
            await client.get("/api/traces", params={"limit": 2, "since": "24h", "where": "cost > 1"})
        ).json()
        assert len(page["traces"]) == 2 and page["next"]
        await client.get("/api/traces", params={"cursor": page["next"]})
        for wrong in (
            {"limit": 0},
            {"limit": "x"},
            {"since": "yesterday"},
            {"cursor": "!!"},
            {"sort": "x"},
            {"until": "9" * 25},
        ):
            answer = await client.get("/api/traces", params=wrong)
            assert answer.status_code == 400 and answer.json()["hint"], wrong
        assert (await client.get("/api/traces?limit=1&limit=2")).status_code == 400
    first, second = served.columns.asked
    assert first.since_ns == NOW - 86_400 * 10**9 and first.where == "cost > 1" and first.limit == 3
    assert (
        second.before
        == read_cursor(page["next"])
        == (int(datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC).timestamp()) * 10**9, f"{1:032x}")
    )


@given(st.integers(0, 2**63 - 1), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_it_reads_back_every_cursor(time_ns: int, trace_id: str) -> None:
    assert read_cursor(cursor_of(time_ns, trace_id)) == (time_ns, trace_id)


@given(st.text(max_size=200))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_it_refuses_nonsense_cursors_and_times_in_words(text: str) -> None:
    for read in (lambda: read_cursor(text), lambda: moment_ns(text, NOW)):
        try:
            read()
        except HttpError as error:
            assert error.status == 400 and error.error


def test_it_understands_times_as_people_write_them() -> None:
    assert moment_ns("2026-11-21T10:00:00Z", NOW) == moment_ns("2026-11-21T10:00:00", NOW)
    assert moment_ns("2026-11-21T12:00:00+02:00", NOW) == moment_ns("2026-11-21T10:00:00Z", NOW)
    for zoned in ("2026-11-21T12:00:00 02:00", "2026-11-21T12:00:00.000 02:00", "2026-11-21 12:00 02:00"):
        assert moment_ns(zoned, NOW) == moment_ns("2026-11-21T10:00:00Z", NOW)
    assert moment_ns("2026-11-21 10:00", NOW) == moment_ns("2026-11-21T10:00:00Z", NOW)
    assert moment_ns("15m", NOW) == NOW - 900 * 10**9
    assert moment_ns("999999999999d", NOW) == 0
    assert moment_ns(str(NOW), 0) == NOW
    assert literal("a'b\\") == "'a\\'b\\\\'"


async def test_it_saves_lists_and_deletes_views_of_the_trace_list(served: Rig) -> None:
    asked = {"name": "refunds that failed", "query": "q=refund&page=3&where=errors > 0"}
    async with served.client(served.key("viewer")) as client:
        assert (await client.post("/api/views", json=asked)).status_code == 403
    async with served.client(served.key("editor")) as client:
        made = (await client.post("/api/views", json=asked)).json()
        assert (await client.post("/api/views", json={**asked, "query": "q=refunds"})).json() == made
        (view,) = (await client.get("/api/views")).json()
        assert (view["id"], view["name"], view["query"]) == (made["id"], asked["name"], "q=refunds")
        assert (await client.post("/api/views", json={**asked, "name": " "})).status_code == 400
    async with served.client(served.key("editor", "theirs")) as client:
        assert (await client.get("/api/views")).json() == []
        assert (await client.delete(f"/api/views/{made['id']}")).status_code == 404
    async with served.client(served.key("editor")) as client:
        assert (await client.delete(f"/api/views/{made['id']}")).status_code == 200
        assert (await client.get("/api/views")).json() == []


async def test_it_marks_deploys(served: Rig) -> None:
    async with served.client(served.key("editor")) as client:
        made = await client.post(
            "/api/deploys", json={"name": "app", "version": "2", "time": "2026-11-20T00:00:00Z"}
        )
        assert made.status_code == 201 and made.json()["time"] == "2026-11-20T00:00:00.000Z"
        assert (
            await client.post("/api/deploys", json={"name": "app", "version": "3", "time": "2099-01-01"})
        ).status_code == 400
        assert (await client.post("/api/deploys", json={"name": "app"})).status_code == 400
        # A pipeline that had no answer tells again.
        for minute, version in enumerate(("4", "4", "5", "4", "4")):
            served.services.clock = lambda minute=minute: NOW + minute * MINUTE
            told = await client.post("/api/deploys", json={"name": "again", "version": version})
            assert told.status_code == 201
    marks = {(d.name, d.version, (d.time_ns - NOW) // MINUTE) for d in served.columns.deploys}
    assert {m[1:] for m in marks if m[0] == "again"} == {("4", 0), ("5", 2), ("4", 3)}
    assert [v for n, v, _ in marks if n == "app"] == ["2"]


async def test_it_labels_undoes_and_groups_what_people_found(served: Rig) -> None:
    records = served.services.records
    records.write_now(
        lambda c: reviews.add(c, ReviewItem("rev1", "default", TRACE, "low", "low_score", 5.0, NOW))
    )
    async with served.client(served.key("reviewer")) as client:
        body = {"verdict": "bad", "taxonomy": "no steps", "severity": "high", "expected_output": "do this"}
        assert (
            await client.post("/api/reviews/rev1/label", json={**body, "verdict": "ugly"})
        ).status_code == 400
        assert (await client.post("/api/reviews/rev1/label", json=body)).status_code == 201
        (signal,) = (await client.get("/api/signals")).json()
        assert signal["name"] == "no steps" and signal["count"] == 1 and signal["representative"] == TRACE
        assert (await client.post("/api/reviews/undo")).json()["item"]["id"] == "rev1"
        assert (await client.get("/api/signals")).json() == []


async def test_it_makes_datasets_versions_and_cases(served: Rig) -> None:
    served.columns.traces[("default", TRACE)] = ([raw_span()], [])
    async with served.client(served.key("editor")) as client:
        assert (await client.post("/api/datasets", json={"name": "golden"})).status_code == 201
        assert (await client.post("/api/datasets", json={"name": "golden"})).status_code == 409
        assert (await client.get("/api/datasets/golden")).json()["cases"] == []
        cases = {"add": [{"id": "c1", "input": {"text": "hi"}, "expected": "hello"}], "note": "first"}
        assert (await client.post("/api/datasets/golden/cases", json=cases)).json()["version"] == 1
        promoted = await client.post("/api/datasets/golden/promote", json={"trace_id": TRACE, "force": True})
        assert promoted.status_code == 201 and promoted.json()["version"] == 2
        assert promoted.json()["moved"] == []
        assert len((await client.get("/api/datasets/golden", params={"version": 1})).json()["cases"]) == 1
        absent = await client.get("/api/datasets/golden", params={"version": 9})
        told = {"error": "the dataset 'golden' has no version 9", "hint": "its newest is 2"}
        assert (absent.status_code, absent.json()) == (404, told)
        assert len((await client.get("/api/datasets/golden/versions")).json()) == 2
        assert (await client.post("/api/datasets/golden/cases", json={})).status_code == 400
        gone = await client.post("/api/datasets/golden/cases", json={"remove": ["c1", "c7"]})
        assert gone.status_code == 404 and gone.json()["error"] == "dataset golden has no case c7"
        assert len((await client.get("/api/datasets/golden/versions")).json()) == 2
        assert (await client.post("/api/datasets/..%2Fx/cases", json=cases)).status_code in (400, 404)


async def test_a_name_may_hold_a_slash(served: Rig) -> None:
    asked = {"add": [{"id": "c1", "input": {"text": "hi"}, "must_pass": []}]}
    async with served.client(served.key("editor")) as client:
        assert (await client.post("/api/datasets/golden/cases", json=asked)).status_code == 201
        refused = await client.post("/api/datasets/team%2fgolden/cases", json=asked)
        assert refused.status_code == 400 and refused.json()["error"] == "'team/golden' cannot name a dataset"
        absent = (await client.get("/api/datasets/team%2Fgolden?version=2")).json()
        assert absent == {"error": "there is no dataset 'team/golden'", "hint": "there are: golden"}
        for more in ("", "/compare?against=feature%2Fx"):
            said = (await client.get(f"/api/experiments/feature%2Fx{more}")).json()["error"]
            assert said.startswith("there is no experiment") and "feature/x" in said, said
        said = (await client.get("/api/experiments/feature/x")).json()["error"]
        assert said == "there is nothing at /api/experiments/feature/x"


async def test_it_says_which_cases_leave_their_split(served: Rig) -> None:
    served.columns.traces[("default", TRACE)] = ([raw_span()], [])
    async with served.client(served.key("editor")) as client:

        async def promoted(**more: Any) -> list[dict[str, str]]:
            body = {"trace_id": TRACE, "force": True, **more}
            made = (await client.post("/api/datasets/d/promote", json=body)).json()
            found = (await client.get("/api/datasets/d")).json()["cases"]
            assert [(c["id"], c["split"]) for c in found] == [
                (made["case_id"], more.get("split", "regression"))
            ]
            return made["moved"]

        replays = await client.post("/api/datasets/replay/promote", json={"trace_id": TRACE})
        assert replays.status_code == 409 and "anew" in replays.json()["error"]
        assert await promoted(split="golden") == [] == await promoted(split="golden")
        (moved,) = await promoted()
        assert (moved["was"], moved["split"]) == ("golden", "regression")
        case = {"id": moved["case_id"], "input": "hi", "split": "holdout"}
        new = {"id": "n", "input": "Where does the night train stop?"}
        made = (await client.post("/api/datasets/d/cases", json={"add": [case, new]})).json()
        assert made["moved"] == [{"case_id": moved["case_id"], "was": "regression", "split": "holdout"}]


async def test_it_silences_for_a_while_and_ends_it(served: Rig) -> None:
    async with served.client(served.key("editor")) as client:
        made = await client.post("/api/silences", json={"matchers": {"monitor": "m"}, "duration": "2h"})
        assert made.status_code == 201
        for wrong in ({"matchers": {}, "duration": "2h"}, {"matchers": {"a": "b"}}, {"matchers": {"a": "b"}, "duration": "400d"},
                      {"matchers": {"a": "b"}, "duration": "2 parsecs"}, {"matchers": {"a": "b"}, "ends": "24h"}):  # fmt: skip
            assert (await client.post("/api/silences", json=wrong)).status_code == 400, wrong
        silence_id = made.json()["id"]
        assert (await client.delete(f"/api/silences/{silence_id}")).status_code == 200
        assert (await client.delete(f"/api/silences/{silence_id}")).status_code == 404


async def test_it_acknowledges_and_silences_an_alert(served: Rig) -> None:
    alert = Alert("al1", "default", "m", {"model": "x"}, "firing", "page", "o", "r", "c", NOW)
    served.services.records.write_now(lambda c: alerts.save(c, alert))
    async with served.client(served.key("editor")) as client:
        taken = (await client.post("/api/alerts/al1/ack")).json()
        assert taken["acknowledged_by"] == "key:editor of default" and taken["acknowledged"]
        assert (await client.delete("/api/alerts/al1/ack")).json()["acknowledged_by"] is None
        made = await client.post("/api/alerts/al1/silence", json={"duration": "1h"})
        assert made.status_code == 201 and made.json()["matchers"] == {"monitor": "m", "model": "x"}
        assert (await client.post("/api/alerts/al1/silence", json={"duration": "x"})).status_code == 400
        assert [a["id"] for a in (await client.get("/api/alerts", params={"state": "open"})).json()] == [
            "al1"
        ]
        assert (await client.get("/api/alerts", params={"state": "resolved"})).json() == []
        assert (await client.get("/api/alerts", params={"state": "burning"})).status_code == 400


async def test_it_shows_a_new_key_once_and_lets_project_admins_rule_only_their_project(served: Rig) -> None:
    async with served.client(served.key("admin", "mine")) as client:
        made = (await client.post("/api/keys", json={"name": "ci", "role": "ingest"})).json()
        assert made["key"].startswith("wk_") and made["project"] == "mine"
        listed = (await client.get("/api/keys")).json()
        assert made["key"] not in str(listed) and made["id"] in str(listed)
        for project in ("*", "theirs"):
            assert (await client.post("/api/keys", json={"name": "x", "project": project})).status_code == 403
        assert (await client.post("/api/keys", json={"name": "x", "role": "root"})).status_code == 400
        assert (await client.delete(f"/api/keys/{made['id']}")).status_code == 200
        async with served.client(made["key"]) as other:
            assert (
                await other.post("/v1/traces", content=b"{}", headers={"content-type": "application/json"})
            ).status_code == 401


async def test_what_may_be_said_in_the_address_of_a_change_may_stand_in_its_body(served: Rig) -> None:
    for name, source, priority in (("rev1", "low_score", 5.0), ("rev2", "calibration:quality", 3.0)):
        item = ReviewItem(name, "default", f"{TRACE[:-1]}{name[-1]}", "read", source, priority, NOW)
        served.services.records.write_now(lambda c, i=item: reviews.add(c, i))
    async with served.client(served.key("reviewer")) as client:
        path, wanted = "/api/reviews/next", {"source": "calibration:quality"}
        # It was passed over, and the reviewer got the most urgent item of all.
        assert (await client.post(path, json=wanted)).json()["item"]["id"] == "rev2"
        assert (await client.post(path, params=wanted)).json()["item"]["id"] == "rev2"
        assert (await client.post(path, json={"sauce": "low_score"})).status_code == 400
        assert (await client.post(path, json={})).status_code == 200


async def test_it_does_not_let_a_project_s_admin_become_the_server_s(served: Rig) -> None:
    served.session("admin", "*", "root@example.com")
    served.session("viewer", "mine", "v@example.com")
    people = served.services.records.read_now(
        lambda c: __import__("watchkeeper.store.records.access", fromlist=["x"]).list_users(c)
    )
    ids = {p["email"]: p["id"] for p in people}
    async with served.client(served.key("admin", "mine")) as client:
        listed = {p["email"] for p in (await client.get("/api/users")).json()}
        assert "root@example.com" in listed
        for method, more in (("POST", "/login"), ("PUT", "/role")):
            path = f"/api/users/{ids['root@example.com']}{more}"
            answer = await client.request(method, path, json={"role": None})
            assert answer.status_code == 403
            # Who is listed is not said to be unknown.
            told = answer.json()
            assert "root@example.com has a role in every project" in told["error"] and "mine" in told["error"]
            assert "--all-projects" in told["hint"]
        assert (await client.delete(f"/api/users/{ids['v@example.com']}")).status_code == 403
        assert (await client.post(f"/api/users/{ids['v@example.com']}/login")).status_code == 200
        changed = await client.put(f"/api/users/{ids['v@example.com']}/role", json={"role": "editor"})
        assert changed.status_code == 200
    lines = served.services.records.read_now(lambda c: audit.latest(c, "mine"))
    role = next(line for line in lines if line["action"] == "user.role")
    assert role["detail"] == {"before": "viewer", "after": "editor"}
    async with served.client(served.key("admin", "*")) as client:
        gone = await client.delete(
            f"/api/users/{ids['v@example.com']}", headers={"x-watchkeeper-project": "mine"}
        )
        assert gone.status_code == 200
    last = served.services.records.read_now(lambda c: audit.latest(c, "mine"))[0]
    assert last["action"] == "user.disable" and last["detail"] == {"before": {"mine": "editor"}, "after": {}}


async def test_the_audit_log_says_which_configuration_was_in_use_before_and_after(
    served: Rig, tmp_path: Path
) -> None:
    path = tmp_path / "monitoring.yaml"
    path.write_text("taxonomy: []\n")
    served.services.config.path = path
    async with served.client(served.key("admin", "*")) as client:
        assert (await client.post("/api/config/reload")).status_code == 200
        path.write_text("nonsense: true\n")
        assert (await client.post("/api/config/reload")).status_code == 400
    lines = served.services.records.read_now(lambda c: audit.latest(c, None))
    reloads = [(x["target"], x["detail"]) for x in lines if x["action"] == "config.reload"]
    assert reloads == [("rejected", {"before": 2, "after": 2}), ("in use", {"before": 1, "after": 2})]


async def test_it_describes_every_json_route_in_openapi(served: Rig) -> None:
    described = document(served.app.routes)
    assert document(served.app.routes) is described
    shown = {(m.upper(), p) for p, methods in described["paths"].items() for m in methods}
    assert {(r.method, r.path) for r in served.app.routes if r.kind == "json"} == shown
    for methods in described["paths"].values():
        for method, operation in methods.items():
            assert operation["summary"] and operation["x-permission"]
            assert "503" in operation["responses"] and ("409" in operation["responses"]) == (method != "get")
    async with served.client(served.key("viewer")) as client:
        page = (await client.get("/api/docs")).text
        assert (
            "/api/traces/{trace_id}" in page
            and "<script" not in page
            and "style=" not in page
            and "//cdn" not in page
        )


async def test_it_counts_what_it_answers(served: Rig) -> None:
    async with served.client(served.key("viewer")) as client:
        await client.get("/api/alerts")
        text = (await client.get("/metrics")).text
    assert 'watchkeeper_http_requests_total{route="GET /api/alerts",status="200"} 1' in text
    assert "# TYPE watchkeeper_http_requests_total counter" in text


async def test_it_shows_queues_stores_and_what_cannot_be_read(served: Rig) -> None:
    async with served.client(served.key("viewer")) as client:
        text = (await client.get("/metrics")).text
        assert (
            'watchkeeper_jobs{status="due"} 0' in text and 'watchkeeper_store_rows{table="spans"} 3' in text
        )
        assert (await client.get("/readyz")).json() == {"status": "ready", "problems": []}
        served.columns.broken = True
        text = (await client.get("/metrics")).text
        assert "watchkeeper_store_rows" not in text and 'watchkeeper_jobs{status="due"} 0' in text
        assert 'watchkeeper_errors_total{route="metrics"} 1' in (await client.get("/metrics")).text
        unready = await client.get("/readyz")
        assert unready.status_code == 503 and unready.json()["problems"] == ["columns"]
        assert unready.headers["retry-after"] == "5"


async def test_a_server_that_takes_nothing_is_not_ready_and_answers_what_is_read(served: Rig) -> None:
    served.ingest.closed = Busy("the disk is nearly full", 5)
    async with served.client(served.key("viewer")) as client:
        unready = await client.get("/readyz")
        assert unready.status_code == 503 and unready.json()["problems"] == ["ingest"]
        assert (await client.get("/api/alerts")).status_code == 200


def test_it_says_in_json_what_json_cannot_hold() -> None:
    assert to_json({"a": "\ud800", "b": float("inf"), "c": 2**80, 4: {1}, "d": b"x"}) == (
        b'{"a":"\xef\xbf\xbd","b":null,"c":"1208925819614629174706176","4":[1],"d":"x"}'
    )
    assert iso(2**63 - 1) == "2262-04-11T23:47:16.854Z" and iso(None) is None


@pytest.mark.parametrize(
    ("path", "body", "error", "hint"),
    [
        ("feedback", {"trace_id": TRACE, "rating": "meh"},
         "rating: must be 'up' or 'down', or true or false, or a number", ""),
        ("feedback", {"trace_id": TRACE, "rating": 1e300}, "rating: must be at most 1000000000000000", ""),
        ("feedback", {"trace_id": TRACE, "rating": 1, "name": 5}, "name: must be a text", ""),
        ("feedback", [], "the body must be an object", ""),
        ("scores", {"trace_id": TRACE, "scorer": "x", "value": "high"}, "value: must be a number", ""),
        ("scores", {"trace_id": TRACE, "scorer": "x", "value": 1, "passed": 3}, "passed: must be true or false", ""),
        ("guard", {"guard": "", "input": "x"}, "guard: ", ""),
        ("guard", {"guard": "default", "input": {"a": 1}}, "input: must be a text", ""),
        ("feedback", {"trace_id": TRACE}, "give a rating, a comment, a correction, or the name of what happened", ""),
        ("feedback", {"trace_id": "0" * 32, "rating": "up"}, "trace_id: an id of zeros stands for none", ""),
        ("scores", {"trace_id": TRACE, "scorer": "x", "value": 1, "valeu": 2}, "valeu: is not known here",
         "allowed: trace_id, span_id, scorer, value"),
        ("scores", {"valeu": 2}, "trace_id: is required", "scorer: is required; valeu: is not known here"),
    ],
)  # fmt: skip
async def test_it_says_what_is_wrong_with_a_body_in_words(
    served: Rig, path: str, body: Any, error: str, hint: str
) -> None:
    async with served.client(served.key("ingest")) as client:
        answer = await client.post(f"/api/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error) and answer.json()["hint"].startswith(hint)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 5000])
async def test_it_says_that_a_body_is_not_json(served: Rig, body: bytes) -> None:
    async with served.client(served.key("ingest")) as client:
        answer = await client.post("/api/feedback", content=body)
    assert answer.status_code == 400 and answer.json()["error"].startswith("the body is not JSON: ")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("alerts?state=nope", "state: must be 'ok', 'pending', 'firing', "),
        ("deploys?limit=x", "limit: must be a whole number"),
        ("deploys?limit=0", "limit: must be at least 1"),
        ("traces?limit=9999", "limit: must be at most 500"),
        ("traces?since=" + "1" * 50, "since: must have at most 40 characters"),
    ],
)
async def test_it_says_what_a_parameter_may_be(served: Rig, asked: str, said: str) -> None:
    async with served.client(served.key("viewer")) as client:
        answer = await client.get(f"/api/{asked}")
    assert answer.status_code == 400 and answer.json()["error"].startswith(said)


async def test_it_says_which_parameters_a_list_takes(served: Rig) -> None:
    async with served.client(served.key("viewer")) as client:
        answer = await client.get("/api/traces?scenario=support")
    assert answer.status_code == 400 and answer.json()["error"] == "scenario: is not known here"
    assert {"where", "since", "cursor"} <= set(answer.json()["hint"].removeprefix("allowed: ").split(", "))


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/api/series?metric=a%22b", None, "metric: takes a name of up to 255 characters in one line, without double quotes, backticks and backslashes"),
        ("POST", "/api/scores", {"trace_id": "xyz", "scorer": "s", "value": 1}, "trace_id: takes 32 hexadecimal digits"),
        ("POST", "/api/deploys", {"name": "a\nb"}, "name: takes one line without control characters"),
    ],
)  # fmt: skip
async def test_what_a_text_may_be_is_said_in_words(
    served: Rig, method: str, path: str, body: Any, said: str
) -> None:
    async with served.client(served.key("admin")) as client:
        answer = await client.request(method, path, json=body)
    assert answer.status_code == 400 and answer.json()["error"] == said, answer.text


def test_every_form_of_a_text_has_its_words(served: Rig) -> None:
    shown = json.dumps(document(served.app.routes)) + json.dumps(Config.model_json_schema())
    patterns = {json.loads(f'"{p}"') for p in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', shown)}
    assert len(patterns) > 8
    # Amounts are read by rules of their own, which say what they take.
    for pattern in (p for p in patterns if not p.startswith("^[0-9]+")):
        assert form_in_words({"type": "string_pattern_mismatch", "ctx": {"pattern": pattern}})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        *(("GET", f"{path}?since=1h&until=2h", None) for path in (
            "/api/series", "/api/traces", "/api/export", "/api/export/traces", "/api/scorers", "/api/prices/unknown",
        )),
        ("GET", "/api/traces?since=2026-01-02&until=2026-01-02", None),
        ("POST", "/api/replays", {"since": "1h", "until": "2h"}),
    ],
)  # fmt: skip
async def test_a_period_that_ends_before_it_begins_is_no_empty_one(
    served: Rig, method: str, path: str, body: Any
) -> None:
    with pytest.raises(HttpError, match="until: '2h' is not later than since, '1h'"):
        period("1h", "2h", NOW)
    assert period(None, "2h", NOW)[0] is None
    async with served.client(served.key("admin")) as client:
        answer = await client.request(method, path, json=body)
    assert answer.status_code in (400, 503), answer.text
    assert answer.status_code == 503 or "is not later than since" in answer.json()["error"]


async def test_a_list_as_long_as_its_limit_says_so(served: Rig) -> None:
    served.columns.answer = lambda query: Table(["metric", "version"], [["cost", ""], ["cost", ""]])
    async with served.client(served.key("viewer")) as client:
        assert (await client.get("/api/series?cohort=modl%3Dm")).status_code == 400
        cut = await client.get("/api/series?limit=2")
        whole = await client.get("/api/series?limit=3")
    assert cut.headers["x-watchkeeper-limited"] == "2" and len(cut.json()) == 2
    assert "x-watchkeeper-limited" not in whole.headers


async def test_an_address_that_is_none_is_told_what_one_looks_like(served: Rig) -> None:
    async with served.client(served.key("admin")) as client:
        answer = await client.post("/api/users", json={"email": "ann", "role": "viewer"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "email: 'ann' is not an address", "hint": "write it as ann@example.com"}
