"""Alerts, what set them off, and how their messages went."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _alerts()
    op.create_table(
        "firings",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("starts_at_ms", sa.BigInteger(), nullable=False, comment="of the interval; 0 for a lifetime"),
        sa.Column("threshold", sa.BigInteger(), nullable=False, comment="the alert's at the time"),
        sa.Column("used", sa.BigInteger(), nullable=False, comment="when it was noticed"),
        sa.Column("fired_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name=op.f("fk_firings_alert_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firings")),
        sa.UniqueConstraint(
            "alert_id", "starts_at_ms", "threshold", name=op.f("uq_firings_alert_id_starts_at_ms_threshold")
        ),
    )
    _deliveries()


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="organization, project, user or key"),
        sa.Column("scope_id", sa.Text(), nullable=False, comment="empty for the organization"),
        sa.Column("model", sa.Text(), nullable=False, comment="empty for any"),
        sa.Column("unit", sa.Text(), nullable=False, comment="micros, images or requests"),
        sa.Column("interval", sa.Text(), nullable=False, comment="day, week, month or lifetime"),
        sa.Column("threshold", sa.BigInteger(), nullable=False, comment="in the unit: told when this much is used"),
        sa.Column("channels", sa.JSON(), nullable=False, comment="where to; with the secrets that takes"),
        sa.Column("plain", sa.Integer(), nullable=False, comment="1: spend of a month by mail, as OpenAI's alerts are"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("firing_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.JSON(), nullable=False, comment="as the alert had it then"),
        sa.Column("state", sa.Text(), nullable=False, comment="pending, delivered, failed or dropped"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column(
            "due_at_ms",
            sa.BigInteger(),
            nullable=False,
            comment="of the next attempt; in the future while one is under way",
        ),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("error", sa.Text(), comment="of the last attempt; no secrets"),
        sa.ForeignKeyConstraint(["firing_id"], ["firings.id"], name=op.f("fk_deliveries_firing_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_firing_id"), "deliveries", ["firing_id"])
    pending = sa.text("state = 'pending'")
    op.create_index("ix_deliveries_due", "deliveries", ["due_at_ms"], sqlite_where=pending, postgresql_where=pending)
