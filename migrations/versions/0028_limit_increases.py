"""Increases of limits: what members ask for, what owners decide, and raises that end at a date."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"

_open = sa.text("state = 'open'")
_temporary = sa.text("until_ms IS NOT NULL AND ended_at_ms IS NULL")


def upgrade() -> None:
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "limit_increases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("limit_id", serial, nullable=False),
        sa.Column("user_id", sa.Text(), comment="who asked for it; NULL: an owner raised the limit unasked"),
        sa.Column("asked", sa.BigInteger(), nullable=False, comment="on top of the limit, in its unit"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="open, approved or declined"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), comment="what was put on top; NULL: nothing"),
        sa.Column("answer", sa.Text(), nullable=False, comment="words of whoever decided; may be empty"),
        sa.Column("decided_by", sa.Text(), comment="name of whoever decided"),
        sa.Column("decided_at_ms", sa.BigInteger()),
        sa.Column("until_ms", sa.BigInteger(), comment="when the limit goes back; NULL: for good"),
        sa.Column(
            "from_default", sa.Integer(), nullable=False, comment="1: the limit goes back to the default it came from"
        ),
        sa.Column("ended_at_ms", sa.BigInteger(), comment="when the limit went back, or was set by hand before"),
        sa.ForeignKeyConstraint(["limit_id"], ["limits.id"], name=op.f("fk_limit_increases_limit_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_limit_increases_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limit_increases")),
    )
    op.create_index(op.f("ix_limit_increases_user_id"), "limit_increases", ["user_id"])
    op.create_index(
        "uq_limit_increases_open",
        "limit_increases",
        ["user_id", "limit_id"],
        unique=True,
        sqlite_where=_open,
        postgresql_where=_open,
    )
    op.create_index(
        "ix_limit_increases_temporary",
        "limit_increases",
        ["until_ms"],
        sqlite_where=_temporary,
        postgresql_where=_temporary,
    )
