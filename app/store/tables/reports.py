"""Made from the book or beside it: roll-ups, processes, corrections, the relay's bill."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Table, Text

from app.store.tables.base import Serial, metadata
from app.store.tables.book import requests

usage = Table(
    "usage",
    metadata,
    Column("hour_at_ms", BigInteger, primary_key=True, comment="start of the UTC hour of reserved_at_ms"),
    Column("day", Text, primary_key=True, comment="the local day of reserved_at_ms"),
    Column("project_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("api_key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("size", Text, primary_key=True, comment="empty where neither request nor answer named one"),
    Column("quality", Text, primary_key=True, comment="as size"),
    Column("requests", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Index(None, "day"),
    sqlite_with_rowid=False,
)
"""The roll-up. SQLite keeps its rows in the order of the key: a report reads one stretch of them."""

usage_days = Table(
    "usage_days",
    metadata,
    Column("day_at_ms", BigInteger, primary_key=True, comment="start of the UTC day"),
    Column("api_key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("operation", Text, primary_key=True),
    Column("size", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("project_id", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The roll-up by days of UTC, a tenth of the rows. Triggers of the database keep it: nobody else writes it.

By key first: reports by key have the most results, and on SQLite need no sorting so.
"""

processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("beat_at_ms", BigInteger, nullable=False),
)

corrections = Table(
    "corrections",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("request_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False, comment="what led to it: short, late, settle, release or write_off"),
    Column("cost_micros", BigInteger, nullable=False, comment="what it adds to the request's; may be negative"),
    Column("images", BigInteger, nullable=False, comment="as cost_micros"),
    Column("requests", BigInteger, nullable=False, comment="1 where a released request turned out to be charged"),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False, comment="who decided: a person, or the part of the gateway"),
    Column("cause", Text, unique=True, comment="what is answered only once; NULL: may come again"),
    Column("created_at_ms", BigInteger, nullable=False),
)
"""Append-only. Together with `requests` it is the book; a decision that moved no money is a row of zeros with its reason."""

charges = Table(
    "charges",
    metadata,
    Column("proof", Text, primary_key=True, comment="names one row of the relay's log for good"),
    Column("request_id", Text, nullable=False, unique=True),
    Column("points", BigInteger, nullable=False),
    Column("charged_at_ms", BigInteger, nullable=False, comment="by the relay's clock"),
    Column("matched_at_ms", BigInteger, nullable=False),
)
"""What reconciliation found in the relay's log: one charge of the relay proves one request, never a second."""

short = Index(
    "ix_requests_short",
    requests.c.reserved_at_ms,
    sqlite_where=requests.c.flag == "short",
    postgresql_where=requests.c.flag == "short",
)
"""Whose charge reconciliation looks up."""

drift = Table(
    "drift",
    metadata,
    Column("day", Text, primary_key=True, comment="local"),
    Column("model", Text, primary_key=True),
    Column("booked_micros", BigInteger, nullable=False, comment="ours, corrections included"),
    Column("billed_micros", BigInteger, nullable=False, comment="the relay's, at the configured rate"),
    Column("billed_points", BigInteger, nullable=False),
    Column("measured_at_ms", BigInteger, nullable=False),
)

reconciliation = Table(
    "reconciliation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ran_at_ms", BigInteger, nullable=False, comment="whoever raises it may run: one replica at a time"),
    CheckConstraint("id = 1", name="one"),
)
