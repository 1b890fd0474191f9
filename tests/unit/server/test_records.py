"""Migrations, the audit chain, and access records below the HTTP surface."""

import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from watchkeeper.store.records import access, audit, migrate
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

NOW = 1_795_238_000 * 10**9
HOUR = 3600 * 10**9


def test_its_migrations_make_exactly_the_declared_tables(records: Records) -> None:
    with records.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == [], "tables.py changed: add a migration under store/records/migrations/versions"


def test_it_migrates_once_and_does_nothing_again(tmp_path: Path) -> None:
    made = Records(migrate.url_of(tmp_path))
    assert migrate.upgrade(made) == (None, migrate.latest())
    assert migrate.upgrade(made) == (migrate.latest(), migrate.latest())


def test_it_leaves_nothing_of_a_migration_that_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Records(migrate.url_of(tmp_path))
    calls = 0
    create = sa.schema.CreateTable.__init__

    def breaks(self: Any, *args: Any, **more: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise RuntimeError("killed")
        create(self, *args, **more)

    monkeypatch.setattr(sa.schema.CreateTable, "__init__", breaks)
    with pytest.raises(RuntimeError):
        migrate.upgrade(made)
    monkeypatch.undo()
    assert made.read_now(lambda c: sa.inspect(c).get_table_names()) == []
    migrate.upgrade(made)
    assert made.read_now(migrate.current) == migrate.latest()


def test_it_refuses_a_database_of_a_newer_version(records: Records) -> None:
    records.write_now(lambda c: c.execute(sa.text("update alembic_version set version_num = '9999'")))
    with pytest.raises(migrate.NewerSchema, match="9999"):
        migrate.upgrade(records)


def note(conn: Any, number: int, action: str = "did") -> None:
    audit.record(
        conn, project="p", now_ns=NOW + number, actor="a", source="s", action=action, target=str(number), detail={"n": number}
    )  # fmt: skip


@pytest.mark.parametrize(
    "tamper",
    [
        "update audit set target = 'other' where seq = 3",
        "update audit set detail = '{}' where seq = 3",
        "update audit set time_ns = 1 where seq = 1",
        "delete from audit where seq = 3",
        "delete from audit where seq = 6",
        "delete from audit where seq = 1",
        "update audit set seq = seq + 100 where seq = 2",
        "delete from audit",
    ],
)
def test_its_audit_chain_shows_tampering(records: Records, tamper: str) -> None:
    for number in range(6):
        records.write_now(lambda c, n=number: note(c, n))
    assert records.read_now(audit.verify) is None
    records.write_now(lambda c: c.execute(sa.text(tamper)))
    assert records.read_now(audit.verify) is not None


def test_it_writes_the_audit_line_with_the_deed_or_not_at_all(records: Records) -> None:
    def work(conn: Any) -> None:
        access.create_key(conn, project="p", name="n", role="viewer", created_by="me", now_ns=NOW)
        note(conn, 1, "key.create")
        raise RuntimeError("the process dies here")

    with pytest.raises(RuntimeError):
        records.write_now(work)
    assert records.read_now(access.list_keys) == []
    assert records.read_now(lambda c: audit.latest(c, None)) == []


def test_its_audit_chain_holds_under_concurrent_writers(records: Records) -> None:
    threads = [
        threading.Thread(target=records.write_now, args=(lambda c, n=n: note(c, n),)) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert records.read_now(audit.verify) is None
    assert len(records.read_now(lambda c: audit.latest(c, "p"))) == 20
    assert records.read_now(lambda c: audit.latest(c, "q")) == []


def test_its_keys_are_random_checksummed_and_found_by_id(records: Records) -> None:
    def make(conn: Any) -> tuple[access.Key, str]:
        return access.create_key(conn, project="p", name="n", role="viewer", created_by="me", now_ns=NOW)

    made = [records.write_now(make)[1] for _ in range(20)]
    assert len(set(made)) == 20 and all(len(text) == len("wk_") + 12 + 1 + 43 + 6 for text in made)
    for at in range(3, len(made[0])):
        other = made[0][:at] + ("x" if made[0][at] != "x" else "y") + made[0][at + 1 :]
        key, why = records.read_now(lambda c, t=other: access.find_key(c, t, NOW))
        assert key is None and why in ("malformed", "unknown")
    found, _ = records.read_now(lambda c: access.find_key(c, made[0], NOW))
    assert found is not None and made[0] not in repr(found)


@pytest.mark.parametrize(
    "change", [{"role": "root"}, {"name": " "}, {"project": "A b"}, {"project": ""}, {"expires_ns": NOW}]
)
def test_it_refuses_keys_that_make_no_sense(records: Records, change: dict[str, Any]) -> None:
    wanted = {"project": "p", "name": "n", "role": "viewer", "created_by": "me", "now_ns": NOW, **change}
    with pytest.raises(access.AccessRefused):
        records.write_now(lambda c: access.create_key(c, **wanted))


def test_its_login_links_work_once_and_not_too_late(records: Records) -> None:
    user = records.write_now(lambda c: access.create_user(c, "A@Example.com", NOW))
    records.write_now(lambda c: access.set_role(c, user, "p", "viewer"))
    late = records.write_now(lambda c: access.create_login(c, user, NOW))
    assert records.write_now(lambda c: access.log_in(c, late, NOW + access.LOGIN_LIFE_NS)) is None
    token = records.write_now(lambda c: access.create_login(c, user, NOW))
    opened = records.write_now(lambda c: access.log_in(c, token, NOW + 1))
    assert opened is not None and opened[0].roles == {"p": "viewer"} and opened[0].email == "a@example.com"
    assert records.write_now(lambda c: access.log_in(c, token, NOW + 2)) is None
    assert records.write_now(lambda c: access.log_in(c, opened[1], NOW + 2)) is None


def test_its_sessions_end_when_idle_after_a_week_and_with_the_person(records: Records) -> None:
    user = records.write_now(lambda c: access.create_user(c, "a@example.com", NOW))
    token = records.write_now(lambda c: access.create_login(c, user, NOW))
    opened = records.write_now(lambda c: access.log_in(c, token, NOW))
    assert opened is not None
    session, secret = opened

    def alive(at: int) -> bool:
        return records.read_now(lambda c: access.find_session(c, secret, at)) is not None

    assert alive(NOW + 11 * HOUR) and not alive(NOW + 12 * HOUR)
    assert not access.needs_extension(session, NOW + HOUR // 10) and access.needs_extension(
        session, NOW + HOUR
    )
    records.write_now(lambda c: access.extend_session(c, secret, NOW + 11 * HOUR))
    assert alive(NOW + 20 * HOUR)
    records.write_now(lambda c: access.extend_session(c, secret, NOW + 8 * 24 * HOUR))
    assert not alive(NOW + 8 * 24 * HOUR)
    assert alive(NOW + 30 * HOUR)
    assert records.write_now(lambda c: access.disable_user(c, user, NOW)) is True
    assert not alive(NOW + HOUR)


def test_it_forgets_tokens_that_are_over(records: Records) -> None:
    user = records.write_now(lambda c: access.create_user(c, "a@example.com", NOW))
    records.write_now(lambda c: access.create_login(c, user, NOW))
    assert records.write_now(lambda c: access.drop_expired(c, NOW)) == 0
    assert records.write_now(lambda c: access.drop_expired(c, NOW + access.LOGIN_LIFE_NS)) == 1


def test_it_takes_one_person_per_address(records: Records) -> None:
    records.write_now(lambda c: access.create_user(c, "a@example.com", NOW))
    for wrong in ("A@example.com ", "nobody", "a b@c", ""):
        with pytest.raises(access.AccessRefused):
            records.write_now(lambda c, w=wrong: access.create_user(c, w, NOW))
    before = records.write_now(
        lambda c: access.set_role(c, access.find_user(c, "a@example.com")["id"], "p", "editor")
    )  # type: ignore[index]
    assert before is None
    person = records.read_now(lambda c: access.find_user(c, "a@example.com"))
    assert person is not None and person["roles"] == {"p": "editor"}
