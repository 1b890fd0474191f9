"""Every table of the records database. Times are integer nanoseconds UTC; JSON columns hold plain data."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


@compiles(sa.String, "postgresql")
def _without_length(_type: sa.String, _compiler: Any, **_more: Any) -> str:
    """Lengths here say what to expect, not what is allowed: SQLite never held anybody to them, and a release whose name is
    longer than somebody thought must not keep PostgreSQL from storing an alert."""
    return "TEXT"


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.String(64), primary_key=True)


def _project() -> sa.Column[str]:
    return sa.Column("project", sa.String(64), nullable=False, index=True)


def _ns(name: str, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=nullable)


projects = sa.Table(
    "projects", metadata, sa.Column("name", sa.String(64), primary_key=True), _ns("created_ns")
)

users = sa.Table(
    "users",
    metadata,
    _id(),
    sa.Column("email", sa.String(255), nullable=False, unique=True),
    sa.Column("password_hash", sa.String(255)),
    _ns("created_ns"),
    _ns("disabled_ns", nullable=True),
)

# role: ingest, viewer, reviewer, editor, admin; project "*" means every project.
memberships = sa.Table(
    "memberships",
    metadata,
    sa.Column("user_id", sa.String(64), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    _id(),
    _project(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("hint", sa.String(16), nullable=False),
    sa.Column("created_by", sa.String(255), nullable=False),
    _ns("created_ns"),
    _ns("expires_ns", nullable=True),
    _ns("revoked_ns", nullable=True),
    _ns("last_used_ns", nullable=True),
)

# kind: login (one-time link) or session (cookie); only the hash of the token is kept.
tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("user_id", sa.String(64), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    _ns("created_ns"),
    _ns("expires_ns"),
    _ns("used_ns", nullable=True),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    _project(),
    _ns("time_ns"),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

# The durable queue. `key` is the idempotent id: adding the same key twice is one job.
# status: due, running, done, dead. A claim is a conditional update of (status, lease_until_ns).
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("key", sa.String(255), primary_key=True),
    _project(),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False, default=0),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    _ns("created_ns"),
    _ns("due_ns"),
    _ns("lease_until_ns", nullable=True),
    sa.Column("worker", sa.String(64)),
    sa.Column("error", sa.Text),
    _ns("finished_ns", nullable=True),
    sa.Index("ix_jobs_order", "kind", "status", "priority", "due_ns", "key"),
)

# Judge replies by content hash: identical inputs are asked once. Keyed by project, so nothing crosses tenants.
judge_cache = sa.Table(
    "judge_cache",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("reply", sa.JSON, nullable=False),
    _ns("created_ns"),
)

# Frozen baselines, detector states and other watch bookkeeping: one JSON document per (project, kind, key).
states = sa.Table(
    "states",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(512), primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
    _ns("updated_ns"),
)

alerts = sa.Table(
    "alerts",
    metadata,
    _id(),
    _project(),
    sa.Column("monitor", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    _ns("since_ns"),
    _ns("updated_ns"),
    sa.Column("document", sa.JSON, nullable=False),
)

silences = sa.Table(
    "silences",
    metadata,
    _id(),
    _project(),
    sa.Column("matchers", sa.JSON, nullable=False),
    _ns("starts_ns"),
    _ns("ends_ns"),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
)

notifications = sa.Table(
    "notifications",
    metadata,
    _id(),
    _project(),
    sa.Column("alert_id", sa.String(64), nullable=False, index=True),
    sa.Column("dedup_key", sa.String(128), nullable=False),
    sa.Column("route", sa.String(255), nullable=False),
    sa.Column("event", sa.String(32), nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    _ns("created_ns"),
    _ns("next_attempt_ns"),
    _ns("delivered_ns", nullable=True),
    sa.Column("error", sa.Text),
    sa.Index("ix_notifications_due", "status", "next_attempt_ns"),
)

incidents = sa.Table(
    "incidents",
    metadata,
    _id(),
    _project(),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("owner", sa.String(255), nullable=False),
    _ns("opened_ns"),
    _ns("closed_ns", nullable=True),
    sa.Column("document", sa.JSON, nullable=False),
)

timeline = sa.Table(
    "timeline",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    _project(),
    sa.Column("incident_id", sa.String(64), nullable=False, index=True),
    _ns("time_ns"),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
)

# What was done about alerts and incidents, by the configuration or by people; the id is a function of what and for which
# alert, so that nothing is done twice for one alert. state: due, done, failed, undone, dry.
actions = sa.Table(
    "actions",
    metadata,
    _id(),
    _project(),
    sa.Column("alert_id", sa.String(64), index=True),
    sa.Column("incident_id", sa.String(64)),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    _ns("created_ns"),
    _ns("next_attempt_ns"),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Index("ix_actions_due", "state", "next_attempt_ns"),
)

# status: open, disputed (its reviewers disagree), done, displaced, gone (what was to be read). `assigned_to` is who should read it, None for anybody.
review_items = sa.Table(
    "review_items",
    metadata,
    _id(),
    _project(),
    sa.Column("trace_id", sa.String(64), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("source", sa.String(64), nullable=False),
    sa.Column("scorer", sa.String(255)),
    sa.Column("alert_id", sa.String(64)),
    sa.Column("priority", sa.Float, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("assigned_to", sa.String(255)),
    _ns("created_ns"),
    sa.Column("reviewers", sa.Integer, nullable=False, server_default="1"),
    sa.Column("probability", sa.Float),
    sa.UniqueConstraint("project", "trace_id", "source"),
    sa.Index("ix_review_queue", "project", "status", "priority"),
)

labels = sa.Table(
    "labels",
    metadata,
    _id(),
    _project(),
    sa.Column("item_id", sa.String(64), nullable=False, index=True),
    sa.Column("trace_id", sa.String(64), nullable=False, index=True),
    sa.Column("author", sa.String(255), nullable=False),
    _ns("time_ns"),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("taxonomy", sa.String(255)),
    sa.Column("severity", sa.String(16)),
    sa.Column("expected_output", sa.Text),
    sa.Column("comment", sa.Text),
    _ns("undone_ns", nullable=True),
    sa.Column("role", sa.String(16), nullable=False, server_default="vote"),
    sa.Column("replaces", sa.String(64)),
    _ns("replaced_ns", nullable=True),
    sa.Column("relabelled_by", sa.String(255)),
)

# Who is reading an item now: several people may, when it wants several independent labels.
review_seats = sa.Table(
    "review_seats",
    metadata,
    sa.Column("item_id", sa.String(64), primary_key=True),
    sa.Column("reviewer", sa.String(255), primary_key=True),
    _project(),
    _ns("until_ns"),
)

# Names of failures that people accepted. A retired name says what it `became` when it was merged or renamed.
taxonomy = sa.Table(
    "taxonomy",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("definition", sa.Text, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    _ns("created_ns"),
    _ns("retired_ns", nullable=True),
    sa.Column("became", sa.String(255)),
)

# Configuration that was made from a signal and not yet written into a file; `document` is a `Managed`.
managed = sa.Table(
    "managed",
    metadata,
    _id(),
    _project(),
    sa.Column("signal_id", sa.String(64), nullable=False, index=True),
    sa.Column("author", sa.String(255), nullable=False),
    _ns("created_ns"),
    _ns("retired_ns", nullable=True),
    sa.Column("retired_by", sa.String(255)),
    sa.Column("document", sa.JSON, nullable=False),
)

datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("description", sa.Text, nullable=False, default=""),
    _ns("created_ns"),
)

dataset_versions = sa.Table(
    "dataset_versions",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("dataset", sa.String(255), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    _ns("created_ns"),
    sa.Column("author", sa.String(255), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("case_hashes", sa.JSON, nullable=False),
)

# Cases are stored once by content hash and shared between versions.
cases = sa.Table(
    "cases",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("case_id", sa.String(64), nullable=False, index=True),
    sa.Column("trace_id", sa.String(64), index=True),
    sa.Column("document", sa.JSON, nullable=False),
)

experiments = sa.Table(
    "experiments",
    metadata,
    _id(),
    _project(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("dataset", sa.String(255), nullable=False),
    sa.Column("dataset_version", sa.Integer, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("verdict", sa.String(32)),
    _ns("created_ns"),
    _ns("finished_ns", nullable=True),
    sa.Column("document", sa.JSON, nullable=False),
)

# A kind of failure; `document` is the whole `Signal`.
signals = sa.Table(
    "signals",
    metadata,
    _id(),
    _project(),
    sa.Column("state", sa.String(16), nullable=False),
    _ns("last_ns"),
    _ns("updated_ns"),
    sa.Column("document", sa.JSON, nullable=False),
)

# Which failures of the window belong to which signal: one row per trace and scorer.
signal_traces = sa.Table(
    "signal_traces",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("trace_id", sa.String(64), primary_key=True),
    sa.Column("scorer", sa.String(255), primary_key=True),
    sa.Column("signal_id", sa.String(64), nullable=False, index=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    _ns("time_ns"),
    sa.Column("release", sa.String(255)),
    sa.Column("weight", sa.Float, nullable=False),
)

# Traces drawn to be labelled for a scorer version: `document` is the Pair without its label, `passed` the scorer's verdict.
calibration_samples = sa.Table(
    "calibration_samples",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("scorer", sa.String(255), primary_key=True),
    sa.Column("trace_id", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("judge_model", sa.String(255), nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    _ns("drawn_ns"),
    sa.Column("document", sa.JSON, nullable=False),
)

# Every comparison of a scorer version with people; `document` is the whole `Calibration`.
calibrations = sa.Table(
    "calibrations",
    metadata,
    _id(),
    _project(),
    sa.Column("scorer", sa.String(255), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    _ns("time_ns"),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Index("ix_calibrations_scorer", "project", "scorer", "time_ns"),
)

# Scorers run over history; `document` is the whole `Backfill`.
backfills = sa.Table(
    "backfills",
    metadata,
    _id(),
    _project(),
    sa.Column("state", sa.String(16), nullable=False),
    _ns("created_ns"),
    sa.Column("document", sa.JSON, nullable=False),
)

# Classifiers trained from labels; `document` is the whole `Trained`, weights included.
trained = sa.Table(
    "trained",
    metadata,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    _ns("created_ns"),
    sa.Column("document", sa.JSON, nullable=False),
)

# What was erased on request; `document` is the whole `Erasure`. state: running, sweeping (once more, for what was under way), done.
erasures = sa.Table(
    "erasures",
    metadata,
    _id(),
    _project(),
    sa.Column("state", sa.String(16), nullable=False),
    _ns("created_ns"),
    sa.Column("document", sa.JSON, nullable=False),
)

# Keyed hashes of project and trace id: what was erased does not come back when a client sends it again.
erased = sa.Table(
    "erased",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    _ns("erased_ns"),
)

# Named filters of the trace list, shared in the project; `query` is the part of the address after the question mark.
saved_views = sa.Table(
    "saved_views",
    metadata,
    _id(),
    _project(),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("query", sa.Text, nullable=False),
    sa.Column("author", sa.String(255), nullable=False),
    _ns("created_ns"),
    sa.UniqueConstraint("project", "name", name="uq_saved_views_project_name"),
)
