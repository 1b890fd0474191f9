"""Jobs are found in the order in which they are taken, however many are due."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Replace the index: what is due was sorted whole for every claim."""
    op.create_index("ix_jobs_order", "jobs", ["kind", "status", "priority", "due_ns", "key"], unique=False)
    op.drop_index("ix_jobs_claim", table_name="jobs")
