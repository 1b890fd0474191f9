"""Bring the records database to this version's schema: all of it or nothing, whenever it is interrupted."""

from pathlib import Path

import sqlalchemy as sa

from watchkeeper.store.records.engine import Records

FILE = "records.db"
FOLDER = Path(__file__).parent / "migrations"


class NewerSchema(Exception):
    """The database was written by a newer version of Watchkeeper."""


def url_of(data_dir: Path) -> str:
    """The SQLAlchemy URL of a data directory's own records database."""
    return f"sqlite:///{data_dir / FILE}"


def latest() -> str:
    """The revision this version needs: the files of migrations begin with theirs."""
    return max(path.name.partition("_")[0] for path in (FOLDER / "versions").glob("[0-9]*.py"))


def current(connection: sa.engine.Connection) -> str | None:
    """The revision the database is at, None when it is empty."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))


def _migrate(connection: sa.engine.Connection, before: str | None) -> None:
    # Loading it takes longer than most starts have to do here: the schema is nearly always the latest.
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise NewerSchema(
            f"the records database is at schema {before}, which this version does not know; "
            "start the version that wrote it, or restore a backup taken before the upgrade"
        ) from error


def upgrade(records: Records) -> tuple[str | None, str]:
    """Run the missing migrations in one transaction; the revision before and after. Blocking.

    Raises `NewerSchema` when the database knows a revision this version does not, `StoreUnavailable` when it cannot be
    reached.
    """
    wanted = latest()
    with records.reached(), records.engine.connect() as connection:
        if records.is_sqlite:
            # Python's sqlite3 opens no transaction for DDL on its own, and half a schema is worse than none.
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            records.take_turn(connection)
        before = current(connection)
        if before != wanted:
            _migrate(connection, before)
        connection.commit()
    return before, wanted
