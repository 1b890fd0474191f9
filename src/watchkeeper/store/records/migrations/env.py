"""Alembic's entry point: it runs on the connection `migrate.upgrade` hands over, inside its transaction."""

from alembic import context

from watchkeeper.store.records.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
