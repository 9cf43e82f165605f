"""Troubles of relays, which alerts tell of once over all replicas, and readings of what was spent at a relay."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.create_table(
        "relay_troubles",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("relay", sa.Text(), nullable=False),
        sa.Column(
            "balance_days",
            sa.Integer(),
            nullable=False,
            comment="0: a breaker is not closed; else its balance lasts for fewer days than this",
        ),
        sa.Column("code", sa.Text(), comment="error code that opened the breaker"),
        sa.Column("left_micros", sa.BigInteger(), comment="of the balance, when it was noticed"),
        sa.Column("daily_micros", sa.BigInteger(), comment="spent at the relay in a day, when it was noticed"),
        sa.Column("began_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False, comment="by any replica, last"),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("outcome", sa.Text(), comment="well or unused"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_troubles")),
    )
    is_open = sa.text("ended_at_ms IS NULL")
    op.create_index(
        "ix_relay_troubles_open",
        "relay_troubles",
        ["relay", "balance_days"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_table(
        "relay_readings",
        sa.Column("relay", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="local day, of which this is the first reading"),
        sa.Column("read_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_points", sa.BigInteger(), nullable=False, comment="of our key, as the relay states it"),
        sa.PrimaryKeyConstraint("relay", "day", name=op.f("pk_relay_readings")),
    )
