"""The durable queue: idempotent, claimed once, given back, set aside, visible."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from watchkeeper.store.records import jobs
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

LEASE = 100


@pytest.fixture
def records(records_url: str) -> Iterator[Records]:
    made = Records(records_url)
    metadata.create_all(made.engine)
    yield made
    made.close()


def new(key: str, due: int = 0, priority: int = 0, project: str = "p") -> jobs.NewJob:
    return jobs.NewJob(key, project, "judge", {"n": key}, due, priority)


def claim(records: Records, now: int, limit: int = 10, worker: str = "w1") -> list[jobs.Job]:
    return records.write_now(lambda c: jobs.claim(c, "judge", worker, now, limit, LEASE))


def test_a_key_is_one_job_however_often_it_is_added(records: Records) -> None:
    assert records.write_now(lambda c: jobs.add(c, [new("a"), new("b"), new("a")], 1)) == 2
    assert records.write_now(lambda c: jobs.add(c, [new("a"), new("c")], 2)) == 1
    taken = claim(records, 5)
    assert [j.key for j in taken] == ["a", "b", "c"] and taken[0].payload == {"n": "a"}
    for job in taken:
        records.write_now(lambda c, k=job.key: jobs.finish(c, k, "w1", 6))
    assert records.write_now(lambda c: jobs.add(c, [new("a")], 7)) == 0
    assert claim(records, 8) == []


def test_higher_priority_and_longer_due_come_first_and_the_future_waits(records: Records) -> None:
    records.write_now(
        lambda c: jobs.add(c, [new("late", 3), new("early", 1), new("risky", 4, 9), new("future", 50)], 0)
    )
    assert [j.key for j in claim(records, 10, 2)] == ["risky", "early"]
    assert [j.key for j in claim(records, 10)] == ["late"]
    assert [j.key for j in claim(records, 50)] == ["future"]


def test_a_lost_worker_gives_its_job_to_another_and_cannot_finish_it_any_more(records: Records) -> None:
    records.write_now(lambda c: jobs.add(c, [new("a")], 0))
    assert [j.attempts for j in claim(records, 1)] == [1]
    assert claim(records, 1 + LEASE - 1, worker="w2") == []
    assert [(j.worker, j.attempts) for j in claim(records, 1 + LEASE, worker="w2")] == [("w2", 2)]
    assert records.write_now(lambda c: jobs.finish(c, "a", "w1", 150)) is False
    assert records.write_now(lambda c: jobs.retry(c, "a", "w1", 150, "x", max_attempts=5)) is None
    assert records.write_now(lambda c: jobs.finish(c, "a", "w2", 150)) is True


def test_two_workers_never_get_the_same_job(records: Records) -> None:
    records.write_now(lambda c: jobs.add(c, [new(f"k{i}") for i in range(60)], 0))
    got: dict[str, list[str]] = {"w1": [], "w2": [], "w3": []}

    def work(name: str) -> None:
        while taken := claim(records, 1, 4, name):
            got[name] += [j.key for j in taken]

    threads = [threading.Thread(target=work, args=(name,)) for name in got]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    everything = [k for keys in got.values() for k in keys]
    assert len(everything) == len(set(everything)) == 60


def test_failures_use_up_attempts_and_end_as_a_visible_dead_letter_that_can_be_requeued(
    records: Records,
) -> None:
    records.write_now(lambda c: jobs.add(c, [new("bad"), new("good")], 0))
    now = 1
    for attempt in range(1, 4):
        assert "bad" in [j.key for j in claim(records, now)]
        status = records.write_now(
            lambda c, n=now: jobs.retry(c, "bad", "w1", n + 10, "poison", max_attempts=3)
        )
        assert status == ("due" if attempt < 3 else "dead")
        records.write_now(lambda c: jobs.finish(c, "good", "w1", 2))
        now += 10
    dead = records.read_now(lambda c: jobs.listed(c, project="p", status="dead"))
    assert [(j.key, j.error, j.attempts) for j in dead] == [("bad", "poison", 3)]
    depth = records.read_now(lambda c: jobs.depth(c, now))
    assert (depth.dead, depth.done, depth.waiting, depth.oldest_due_ns) == (1, 1, 0, None)
    assert records.write_now(lambda c: jobs.requeue(c, now, project="other")) == 0
    assert records.write_now(lambda c: jobs.requeue(c, now, project="p")) == 1
    assert [j.attempts for j in claim(records, now)] == [1]


def test_an_outage_gives_the_attempt_back(records: Records) -> None:
    records.write_now(lambda c: jobs.add(c, [new("a")], 0))
    for now in range(1, 30):
        (job,) = claim(records, now)
        assert job.attempts == 1
        status = records.write_now(
            lambda c, n=now: jobs.retry(c, "a", "w1", n + 1, "down", max_attempts=3, blameless=True)
        )
        assert status == "due"


def test_depth_and_age_of_the_oldest_due_job_are_known(records: Records) -> None:
    records.write_now(lambda c: jobs.add(c, [new("a", 5), new("b", 7), new("c", 99)], 0))
    depth = records.read_now(lambda c: jobs.depth(c, 10, kind="judge"))
    assert (depth.waiting, depth.due, depth.running, depth.oldest_due_ns) == (3, 2, 0, 5)
    claim(records, 10, 1)
    depth = records.read_now(lambda c: jobs.depth(c, 10, project="p"))
    assert (depth.waiting, depth.due, depth.running, depth.oldest_due_ns) == (2, 1, 1, 7)


def test_done_jobs_are_forgotten_after_their_time_and_others_are_not(records: Records) -> None:
    records.write_now(lambda c: jobs.add(c, [new("a"), new("b")], 0))
    claim(records, 1, 1)
    records.write_now(lambda c: jobs.finish(c, "a", "w1", 2))
    assert records.write_now(lambda c: jobs.prune(c, 2)) == 0
    assert records.write_now(lambda c: jobs.prune(c, 3)) == 1
    assert records.read_now(lambda c: jobs.depth(c, 5)).waiting == 1


def test_more_jobs_than_a_statement_has_variables_are_added(records: Records) -> None:
    assert records.write_now(lambda c: jobs.add(c, [new(f"k{i}") for i in range(8000)], 0)) == 8000


def test_the_first_reply_stays_and_projects_do_not_share(records: Records) -> None:
    records.write_now(lambda c: jobs.cache(c, "p", "h", {"replies": [1]}, 1))
    records.write_now(lambda c: jobs.cache(c, "p", "h", {"replies": [2]}, 2))
    assert records.read_now(lambda c: jobs.cached(c, "p", "h")) == {"replies": [1]}
    assert records.read_now(lambda c: jobs.cached(c, "q", "h")) is None


def test_charges_add_up_by_day_and_project(records: Records) -> None:
    for usd in (0.5, 0.25):
        records.write_now(lambda c, u=usd: jobs.charge(c, "p", 3, 2, u, 1))
    assert records.read_now(lambda c: jobs.spent(c, "p", 3)) == (4, 0.75)
    assert records.read_now(lambda c: jobs.spent(c, "q", 3)) == (0, 0.0)


def test_a_new_only_process_takes_over_at_once_what_a_killed_one_held(records: Records) -> None:
    records.write_now(lambda c: jobs.add(c, [new("a"), new("b")], 1))
    assert len(claim(records, 2, limit=1, worker="gone")) == 1
    assert records.write_now(jobs.release) == 1
    assert {j.key: j.attempts for j in claim(records, 3, worker="next")} == {"a": 1, "b": 1}


def test_what_waits_above_does_not_hide_what_is_due_below(records: Records) -> None:
    future = [new(f"f{i}", 50, 9) for i in range(30)]
    records.write_now(
        lambda c: jobs.add(c, [*future, new("low", 1, -1), new("plain", 2), new("high", 3, 5)], 0)
    )
    assert [j.key for j in claim(records, 10)] == ["high", "plain", "low"]


def test_no_claim_sorts_all_that_is_due(records: Records) -> None:
    if not records.is_sqlite:
        pytest.skip("with fifty rows the planner of PostgreSQL rightly uses no index")
    records.write_now(lambda c: jobs.add(c, [new(f"k{i}", i, i % 3) for i in range(50)], 0))
    plans: list[str] = []

    def explain(conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT jobs") and "lease_until_ns" not in statement:
            rows = conn.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(str(r[3]) for r in rows)

    event.listen(records.engine, "before_cursor_execute", explain)
    try:
        assert len(claim(records, 100, 20)) == 20
    finally:
        event.remove(records.engine, "before_cursor_execute", explain)
    assert plans and all("ix_jobs_order" in p for p in plans)
