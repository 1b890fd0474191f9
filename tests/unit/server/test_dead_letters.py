"""What was given up is listed with its reason and tried again, by whoever may, of their own project only."""

from pathlib import Path

import msgspec
import pytest
from sqlalchemy.engine import Connection

from tests.unit.server.doubles import NOW, Rig, rig
from watchkeeper.model.alert import Notification
from watchkeeper.pipeline.judge_jobs import JudgeWork
from watchkeeper.store.records import audit, jobs, outbox


@pytest.fixture
def served(tmp_path: Path) -> Rig:
    made = rig(tmp_path)

    def give_up(c: Connection) -> None:
        for project in ("default", "theirs"):
            work = msgspec.to_builtins(JudgeWork("ab" * 16, "", "helpful", "1", 1.0, "all", NOW, 0))
            jobs.add(c, [jobs.NewJob(f"judge:{project}", project, "judge", work, NOW)], NOW)
            jobs.claim(c, "judge", "w", NOW, 1, 10)
            assert jobs.dead(c, f"judge:{project}", "w", NOW, "no JSON at all")
            message = Notification(
                f"m-{project}", project, "a", "g", "pager", "firing", "down", "text", {}, NOW
            )
            outbox.enqueue(c, message)
            outbox.claim(c, NOW, 10)
            assert outbox.dead(c, message.id, "404 Not Found")

    made.services.records.write_now(give_up)
    return made


async def test_it_lists_what_was_given_up_and_why(served: Rig) -> None:
    async with served.client(served.key("editor")) as client:
        found = (await client.get("/api/dead-letters")).json()
    assert [(d["id"], d["kind"], d["reason"], d["attempts"]) for d in found] == [
        ("judge:default", "judgement", "no JSON at all", 1),
        ("m-default", "message", "404 Not Found", 1),
    ]
    assert found[0]["about"] == f"helpful of trace {'ab' * 16}" and found[1]["about"] == "pager: down"


async def test_one_or_all_are_tried_again_and_nobody_elses(served: Rig) -> None:
    async with served.client(served.key("editor")) as client:
        assert (await client.post("/api/dead-letters/retry", json={"id": "m-theirs"})).status_code == 404
        assert (await client.post("/api/dead-letters/retry", json={"id": "m-default"})).json() == {
            "retried": 1
        }
        assert (await client.post("/api/dead-letters/retry", json={})).json() == {"retried": 1}
        assert (await client.get("/api/dead-letters")).json() == []
    records, later = served.services.records, NOW + 10**9
    assert [n.id for n in records.write_now(lambda c: outbox.claim(c, later, 10))] == ["m-default"]
    assert [j.key for j in records.write_now(lambda c: jobs.claim(c, "judge", "w", later, 9, 10))] == [
        "judge:default"
    ]
    said = [line["target"] for line in records.read_now(lambda c: audit.latest(c, "default"))]
    assert said[:2] == ["all (1)", "m-default"]


async def test_who_only_looks_may_not(served: Rig) -> None:
    async with served.client(served.key("viewer")) as client:
        assert (await client.get("/api/dead-letters")).status_code == 403
        assert (await client.post("/api/dead-letters/retry", json={})).status_code == 403
