"""Tables of roll-ups, processes, corrections, and the relay's bill."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Table, Text, UniqueConstraint

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
"""Roll-up of settled requests, which the ledger writes. The other roll-ups follow from it."""

usage_series = Table(
    "usage_series",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("api_key_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("size", Text, nullable=False),
    UniqueConstraint("user_id", "api_key_id", "project_id", "model", "operation", "size"),
)
"""Ids of the combinations of columns that the usage API groups by: some ten for each key."""


_SUMS = ("requests", "images", "cost_micros", "input_tokens", "output_tokens")


def _by_number(width: str) -> Table:
    return Table(
        f"usage_{width}s",
        metadata,
        Column(f"{width}_at_ms", BigInteger, primary_key=True, comment=f"start of the UTC {width}"),
        Column("series_id", BigInteger, primary_key=True),
        *(Column(name, BigInteger, nullable=False) for name in _SUMS),
        sqlite_with_rowid=False,
    )


usage_hours, usage_days = _by_number("hour"), _by_number("day")
"""Roll-ups by UTC hour and day, with numbers only. Only triggers of the database write them."""

usage_local_days = Table(
    "usage_local_days",
    metadata,
    Column("day", Text, primary_key=True, comment="as `usage` has it"),
    Column("series_id", BigInteger, primary_key=True),
    Column("quality", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in _SUMS),
    sqlite_with_rowid=False,
)
"""Roll-up by local day for reports, with everything that they group by. Only triggers of the database write it."""

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
"""Corrections of requests, append-only; with `requests` they are the book. A decision that moved no money is a row of zeros."""

charges = Table(
    "charges",
    metadata,
    Column("relay", Text, primary_key=True, server_default="default", comment="whose log it is from"),
    Column("proof", Text, primary_key=True, comment="names one row of the relay's log for good"),
    Column("request_id", Text, nullable=False, unique=True),
    Column("points", BigInteger, nullable=False),
    Column("charged_at_ms", BigInteger, nullable=False, comment="by the relay's clock"),
    Column("matched_at_ms", BigInteger, nullable=False),
)
"""Charges of the relay that reconciliation matched. The keys let one charge prove one request only."""

short = Index(
    "ix_requests_short",
    requests.c.reserved_at_ms,
    sqlite_where=requests.c.flag == "short",
    postgresql_where=requests.c.flag == "short",
)
"""Index for reconciliation, which looks up the charge of requests that settled short."""

drift = Table(
    "drift",
    metadata,
    Column("relay", Text, primary_key=True, server_default="default", comment="whose log it is from"),
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
