"""What was done about alerts; incidents are resolved where they were closed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the ledger of actions and rename the last state of an incident."""
    op.create_table(
        "actions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("alert_id", sa.String(length=64), nullable=True),
        sa.Column("incident_id", sa.String(length=64), nullable=True),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_ns", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_actions")),
    )
    op.create_index(op.f("ix_actions_project"), "actions", ["project"], unique=False)
    op.create_index(op.f("ix_actions_alert_id"), "actions", ["alert_id"], unique=False)
    op.create_index("ix_actions_due", "actions", ["state", "next_attempt_ns"], unique=False)
    op.execute("UPDATE incidents SET status = 'resolved' WHERE status = 'closed'")
    op.execute("UPDATE timeline SET kind = 'resolved' WHERE kind = 'closed'")
