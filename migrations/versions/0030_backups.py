"""Backups: the one that runs, and the last one that succeeded."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    running = (
        "until then a backup copies pictures, and no file of one is removed; the backup renews it. NULL: none runs"
    )
    backups = op.create_table(
        "backups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("running_until_ms", sa.BigInteger(), comment=running),
        sa.Column("succeeded_at_ms", sa.BigInteger(), comment="start of the last backup that succeeded"),
        sa.Column("file", sa.Text(), comment="of that one"),
        sa.CheckConstraint("id = 1", name=op.f("ck_backups_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backups")),
    )
    op.bulk_insert(backups, [{"id": 1}])
