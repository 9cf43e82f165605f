"""Tables of statements: months that were closed, with what the book and the relay's bill said then."""

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text, UniqueConstraint

from app.store.tables.base import metadata

statements = Table(
    "statements",
    metadata,
    Column("id", Text, primary_key=True),
    Column("month", Text, nullable=False, comment="local, such as 2026-11"),
    Column("project_id", Text, nullable=False, comment="empty: all projects together"),
    Column("closed_at_ms", BigInteger, nullable=False),
    Column("closed_by", Text, nullable=False, comment="the name of who closed it"),
    Column("unknown", BigInteger, nullable=False, comment="requests of the month whose outcome was not known then"),
    UniqueConstraint("month", "project_id"),
)
"""Closed months. The unique key lets a month be closed once. Rows never change, but for the name of a person who is erased."""

statement_lines = Table(
    "statement_lines",
    metadata,
    Column("statement_id", Text, ForeignKey(statements.c.id), primary_key=True),
    Column("day", Text, primary_key=True, comment="local"),
    Column("project_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("project", Text, nullable=False, comment="its name then"),
    Column("requests", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
)
"""Sums of a closed month by day, project and model."""

statement_bills = Table(
    "statement_bills",
    metadata,
    Column("statement_id", Text, ForeignKey(statements.c.id), primary_key=True),
    Column("day", Text, primary_key=True, comment="local"),
    Column("model", Text, primary_key=True),
    Column("billed_micros", BigInteger, nullable=False, comment="of all relays, as `drift` had it then"),
)
"""Bill of the relays for a closed month of all projects. A day that no log covered has no row."""
