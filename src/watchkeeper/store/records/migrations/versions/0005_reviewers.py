"""Several reviewers for one item, names of failures with their history, and configuration made from signals."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables and extend items and labels."""
    op.create_table(
        "managed",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("signal_id", sa.String(length=64), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("retired_ns", sa.BigInteger(), nullable=True),
        sa.Column("retired_by", sa.String(length=255), nullable=True),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_managed")),
    )
    op.create_index(op.f("ix_managed_project"), "managed", ["project"], unique=False)
    op.create_index(op.f("ix_managed_signal_id"), "managed", ["signal_id"], unique=False)
    op.create_table(
        "review_seats",
        sa.Column("item_id", sa.String(length=64), nullable=False),
        sa.Column("reviewer", sa.String(length=255), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("item_id", "reviewer", name=op.f("pk_review_seats")),
    )
    op.create_index(op.f("ix_review_seats_project"), "review_seats", ["project"], unique=False)
    op.create_table(
        "taxonomy",
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("retired_ns", sa.BigInteger(), nullable=True),
        sa.Column("became", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("project", "name", name=op.f("pk_taxonomy")),
    )
    with op.batch_alter_table("review_items") as items:
        items.add_column(sa.Column("reviewers", sa.Integer(), nullable=False, server_default="1"))
        items.add_column(sa.Column("probability", sa.Float(), nullable=True))
        items.drop_column("reserved_until_ns")
    with op.batch_alter_table("labels") as labels:
        labels.add_column(sa.Column("role", sa.String(length=16), nullable=False, server_default="vote"))
        labels.add_column(sa.Column("replaces", sa.String(length=64), nullable=True))
        labels.add_column(sa.Column("replaced_ns", sa.BigInteger(), nullable=True))
        labels.add_column(sa.Column("relabelled_by", sa.String(length=255), nullable=True))
