"""Corrections, what proves them, and how far the book and the relay's bill are apart."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="what led to it: short, late, settle, release or write_off"
        ),
        sa.Column(
            "cost_micros", sa.BigInteger(), nullable=False, comment="what it adds to the request's; may be negative"
        ),
        sa.Column("images", sa.BigInteger(), nullable=False, comment="as cost_micros"),
        sa.Column(
            "requests",
            sa.BigInteger(),
            nullable=False,
            comment="1 where a released request turned out to be charged",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False, comment="who decided: a person, or the part of the gateway"),
        sa.Column("cause", sa.Text(), nullable=True, comment="what is answered only once; NULL: may come again"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_corrections")),
        sa.UniqueConstraint("cause", name=op.f("uq_corrections_cause")),
    )
    with op.batch_alter_table("corrections", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_corrections_request_id"), ["request_id"], unique=False)

    op.create_table(
        "charges",
        sa.Column("proof", sa.Text(), nullable=False, comment="names one row of the relay's log for good"),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("charged_at_ms", sa.BigInteger(), nullable=False, comment="by the relay's clock"),
        sa.Column("matched_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("proof", name=op.f("pk_charges")),
        sa.UniqueConstraint("request_id", name=op.f("uq_charges_request_id")),
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(
            "ix_requests_short",
            ["reserved_at_ms"],
            unique=False,
            sqlite_where=sa.text("flag = 'short'"),
            postgresql_where=sa.text("flag = 'short'"),
        )

    op.create_table(
        "drift",
        sa.Column("day", sa.Text(), nullable=False, comment="local"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("booked_micros", sa.BigInteger(), nullable=False, comment="ours, corrections included"),
        sa.Column("billed_micros", sa.BigInteger(), nullable=False, comment="the relay's, at the configured rate"),
        sa.Column("billed_points", sa.BigInteger(), nullable=False),
        sa.Column("measured_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "model", name=op.f("pk_drift")),
    )
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "ran_at_ms", sa.BigInteger(), nullable=False, comment="whoever raises it may run: one replica at a time"
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_reconciliation_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation")),
    )
    reconciliation = sa.table("reconciliation", sa.column("id"), sa.column("ran_at_ms"))
    op.bulk_insert(reconciliation, [{"id": 1, "ran_at_ms": 0}])
