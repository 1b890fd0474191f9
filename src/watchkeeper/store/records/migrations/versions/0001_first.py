"""The first schema."""

from alembic import op

from watchkeeper.store.records.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table that is not there yet."""
    metadata.create_all(op.get_bind())
