"""The log of refusals, in which people look up why a request was refused."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "refusal_log",
        sa.Column(
            "id",
            sa.Text(),
            nullable=False,
            comment="x-request-id of the refusal; of equal ones in a row, the first",
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "last_at_ms", sa.BigInteger(), nullable=False, comment="when the last of `count` equal refusals came"
        ),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), comment="NULL where the body was not read"),
        sa.Column(
            "model",
            sa.Text(),
            comment="as the client named it; NULL where it was not read, or differs among equal refusals",
        ),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Text()),
        sa.Column("limit", sa.Text(), comment="the limit that refused, in words"),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal_log")),
    )
    for columns in (["at_ms", "id"], ["user_id", "at_ms"], ["api_key_id", "at_ms"]):
        op.create_index(op.f(f"ix_refusal_log_{'_'.join(columns)}"), "refusal_log", columns)
