"""Statements: months that are closed, with what the book and the relay's bill say at that time."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False, comment="local, such as 2026-11"),
        sa.Column("project_id", sa.Text(), nullable=False, comment="empty: all projects together"),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=False, comment="the name of who closed it"),
        sa.Column(
            "unknown",
            sa.BigInteger(),
            nullable=False,
            comment="requests of the month whose outcome was not known then",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statements")),
        sa.UniqueConstraint("month", "project_id", name=op.f("uq_statements_month_project_id")),
    )
    op.create_table(
        "statement_lines",
        sa.Column("statement_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="local"),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False, comment="its name then"),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("requests", "images", "cost_micros")),
        sa.PrimaryKeyConstraint("statement_id", "day", "project_id", "model", name=op.f("pk_statement_lines")),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["statements.id"], name=op.f("fk_statement_lines_statement_id_statements")
        ),
    )
    op.create_table(
        "statement_bills",
        sa.Column("statement_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="local"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("billed_micros", sa.BigInteger(), nullable=False, comment="of all relays, as `drift` had it then"),
        sa.PrimaryKeyConstraint("statement_id", "day", "model", name=op.f("pk_statement_bills")),
        sa.ForeignKeyConstraint(
            ["statement_id"], ["statements.id"], name=op.f("fk_statement_bills_statement_id_statements")
        ),
    )
