"""The records' schema: what a start does when there is nothing to migrate."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records


def test_the_latest_revision_is_the_one_the_migrations_end_in() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    assert migrate.latest() == ScriptDirectory.from_config(config).get_current_head()


def test_a_start_on_the_latest_schema_does_without_what_migrates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records(migrate.url_of(tmp_path))
    assert migrate.upgrade(records) == (None, migrate.latest())

    def refused(*_: object) -> None:
        raise AssertionError("there is nothing to migrate")

    monkeypatch.setattr(migrate, "_migrate", refused)
    assert migrate.upgrade(records) == (migrate.latest(), migrate.latest())
    records.close()


def test_a_schema_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    records = Records(migrate.url_of(tmp_path))
    migrate.upgrade(records)
    with records.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(migrate.NewerSchema, match="at schema 9999"):
        migrate.upgrade(records)
    records.close()
