"""Weekly notes by mail or chat, for the people who asked for one."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.create_table(
        "weekly_notes",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False, comment="en or zh"),
        sa.Column("chat_url", sa.Text(), comment="the robot it goes to, a secret; NULL: by mail"),
        sa.Column(
            "due_at_ms",
            sa.BigInteger(),
            nullable=False,
            comment="of the next attempt; whoever moves it on may send",
        ),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="at the note that is due"),
        sa.Column("sent_at_ms", sa.BigInteger(), comment="the last one"),
        sa.Column("error", sa.Text(), comment="of the last attempt; no secrets"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_weekly_notes")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_weekly_notes_user_id_users")),
    )
    op.create_index(op.f("ix_weekly_notes_due_at_ms"), "weekly_notes", ["due_at_ms"])
