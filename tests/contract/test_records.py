"""The records on both databases: what one takes, the other takes; turns, losses of the server, wrong addresses."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.postgres import NOT_HERE, Postgres, fresh, programs
from watchkeeper.model.alert import Notification
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records import access, audit, jobs, migrate, outbox, saved_views, states
from watchkeeper.store.records.engine import BadUrl, Records
from watchkeeper.store.records.lead import Lead

NOW = 1_795_238_000 * 10**9


def a_message(number: int) -> Notification:
    return Notification(f"n{number}", "p", "a1", f"g{number}", "slack", "firing", "s", "t", {}, NOW)


@pytest.fixture
def two(postgres_url: str) -> Iterator[tuple[Records, Records]]:
    """The records as two processes have them."""
    made = Records(postgres_url), Records(postgres_url)
    yield made
    for one in made:
        one.close()


def test_it_migrates_an_empty_database_and_does_nothing_again(postgres_server: str) -> None:
    made = Records(fresh(postgres_server))
    assert migrate.upgrade(made) == (None, migrate.latest())
    assert migrate.upgrade(made) == (migrate.latest(), migrate.latest())
    made.close()


def test_processes_that_start_at_once_migrate_once(postgres_server: str) -> None:
    url = fresh(postgres_server)
    found: list[tuple[str | None, str]] = []

    def start() -> None:
        mine = Records(url)
        found.append(migrate.upgrade(mine))
        mine.close()

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(before is None for before, _ in found) == [False, False, True]


def test_text_and_numbers_are_stored_whatever_they_are(records: Records) -> None:
    long, odd = "x" * 5000, "nul \x00 and \u00dcn\u00efcode"

    def work(c: sa.Connection) -> None:
        saved_views.put(c, "p", long, "q=1", "me", NOW)
        states.put(c, "p", "normal", "key", {"text": odd, "lone": "\ud800", "big": 2**70}, NOW)
        states.put(c, "p", "normal", "odd", {"low": float("nan"), "high": [float("inf")]}, NOW)
        audit.record(
            c, project="p", now_ns=NOW, actor="me", source="s", action="a", target=odd, detail={"x": odd}
        )

    records.write_now(work)
    assert [v.name for v in records.read_now(lambda c: saved_views.listing(c, "p"))] == [long]
    kept = records.read_now(lambda c: states.get(c, "p", "normal", "key"))
    assert kept == {"text": odd, "lone": "\ud800", "big": 2**70}
    assert records.read_now(lambda c: states.get(c, "p", "normal", "odd")) is not None
    assert records.read_now(audit.verify) is None, "what was stored is what the chain was made of"


def test_a_name_with_characters_a_database_lacks_is_found_again(two: tuple[Records, Records]) -> None:
    one, other = two
    one.write_now(lambda c: states.put(c, "p", "kind", "a\x00b", {"n": 1}, NOW))
    assert other.read_now(lambda c: states.get(c, "p", "kind", "a\x00b")) == {"n": 1}


def test_two_processes_never_get_the_same_job_or_message(two: tuple[Records, Records]) -> None:
    one, other = two
    one.write_now(lambda c: jobs.add(c, [jobs.NewJob(f"j{i}", "p", "judge", {}, 0) for i in range(60)], NOW))
    one.write_now(lambda c: [outbox.enqueue(c, a_message(i)) for i in range(20)])
    taken: list[str] = []
    sent: list[str] = []

    def work(mine: Records, name: str) -> None:
        while got := mine.write_now(lambda c: jobs.claim(c, "judge", name, NOW, 7, 10**12)):
            taken.extend(j.key for j in got)
        while told := mine.write_now(lambda c: outbox.claim(c, NOW, 10**12, 3)):
            sent.extend(n.id for n in told)

    threads = [
        threading.Thread(target=work, args=(r, f"w{i}")) for i, r in enumerate((one, other, one, other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 60
    assert len(sent) == len(set(sent)) == 20


def test_writers_of_two_processes_lose_nothing_of_each_other(two: tuple[Records, Records]) -> None:
    def count(c: sa.Connection) -> None:
        before = states.get(c, "p", "counter", "n") or {"n": 0}
        states.put(c, "p", "counter", "n", {"n": before["n"] + 1}, NOW)
        audit.record(c, project="p", now_ns=NOW, actor="me", source="s", action="a", target="t")

    def work(mine: Records) -> None:
        for _ in range(25):
            mine.write_now(count)

    threads = [threading.Thread(target=work, args=(r,)) for r in two]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert two[0].read_now(lambda c: states.get(c, "p", "counter", "n")) == {"n": 50}
    assert two[1].read_now(audit.verify) is None


async def test_one_process_leads_until_it_ends_or_its_connection_is_cut(two: tuple[Records, Records]) -> None:
    first, second = Lead(two[0]), Lead(two[1])
    assert await first.take() and await first.holds()
    assert not await second.take()
    with two[1].engine.begin() as c:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        c.exec_driver_sql(cut)
    assert not await first.holds()
    assert await second.take()
    await second.give_up()
    assert await first.take()
    await first.give_up()


def test_a_server_that_is_away_is_said_to_be_and_used_again_when_it_is_back() -> None:
    found = programs()
    if found is None:
        pytest.skip(NOT_HERE)
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-postgres-"))
    server = Postgres(folder, found).start()
    records = Records(server.url)
    try:
        migrate.upgrade(records)
        records.write_now(lambda c: states.put(c, "p", "k", "before", 1, NOW))
        server.kill()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            records.write_now(lambda c: states.put(c, "p", "k", "lost", 1, NOW))
        with pytest.raises(StoreUnavailable) as told:
            records.read_now(lambda c: states.get_all(c, "p", "k"))
        assert "s@cret" not in str(told.value) and "s%40cret" not in str(told.value)
        server.start()
        assert records.read_now(lambda c: states.get_all(c, "p", "k")) == {"before": 1}
    finally:
        records.close()
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "postgresql", "", "sqlite://"])
def test_an_address_it_cannot_use_is_refused_with_what_it_can(url: str) -> None:
    with pytest.raises(BadUrl, match="postgresql://user:password@host") as told:
        Records(url)
    assert "secret" not in str(told.value)


def test_a_wrong_password_is_said_without_showing_it(postgres_server: str) -> None:
    made = sa.make_url(postgres_server)
    wrong = Records(made.set(password="notthis").render_as_string(hide_password=False))
    with pytest.raises(StoreUnavailable, match="cannot be reached") as told:
        migrate.upgrade(wrong)
    assert "notthis" not in str(told.value)


def test_a_key_made_by_one_process_opens_the_other(two: tuple[Records, Records]) -> None:
    def make(c: sa.Connection) -> str:
        return access.create_key(
            c, project="p", name="app", role="ingest", created_by="me", now_ns=NOW, expires_ns=None
        )[1]

    text = two[0].write_now(make)
    assert two[1].read_now(lambda c: access.find_key(c, text, NOW))[0] is not None
    assert "p" in two[1].read_now(access.list_projects)
