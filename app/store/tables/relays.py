"""Tables of relays, of the requests that one of them refused before another got them, and of their troubles."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from app.store.tables.base import Serial, metadata

relays = Table(
    "relays",
    metadata,
    Column("name", Text, primary_key=True),
    Column("base_url", Text, comment="NULL: the one of the settings"),
    Column(
        "sealed_key", LargeBinary, comment="encrypted under the installation's secret; NULL: the one of the settings"
    ),
    Column("profile", Text, comment="of its bills, C or N; NULL: as the settings say"),
    Column("weight", Integer, nullable=False, comment="its part of the requests; 0: only those that no other takes"),
    Column("concurrent", Integer, comment="most requests at once; NULL without a bound"),
    Column("models", JSON(none_as_null=True), comment="those it gets requests for; NULL: all"),
    Column("price_factor", Integer, nullable=False, comment="its prices in millionths of the price book's"),
    Column("micros_per_dollar", BigInteger, comment="price of 500,000 of its points; NULL: as the settings say"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("key_replaced_at_ms", BigInteger),
    Column("disabled_at_ms", BigInteger, comment="it gets no requests since"),
    Column("removed_at_ms", BigInteger, comment="likewise; its key goes once none of its requests is open"),
)

refused_dispatches = Table(
    "refused_dispatches",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("relay", Text, primary_key=True, comment="it refused the request free of charge"),
    Column("dispatched_at_ms", BigInteger, nullable=False),
    Column("code", Text, nullable=False, comment="error code of the refusal"),
)
"""Dispatches before the last one, which stands in the row of the request. Written in the transaction of the next dispatch."""

relay_troubles = Table(
    "relay_troubles",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("relay", Text, nullable=False),
    Column(
        "balance_days",
        Integer,
        nullable=False,
        comment="0: a breaker is not closed; else its balance lasts for fewer days than this",
    ),
    Column("code", Text, comment="error code that opened the breaker"),
    Column("left_micros", BigInteger, comment="of the balance, when it was noticed"),
    Column("daily_micros", BigInteger, comment="spent at the relay in a day, when it was noticed"),
    Column("began_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False, comment="by any replica, last"),
    Column("ended_at_ms", BigInteger),
    Column("outcome", Text, comment="well or unused"),
)

is_open_trouble = relay_troubles.c.ended_at_ms.is_(None)
open_trouble = Index(
    "ix_relay_troubles_open",
    relay_troubles.c.relay,
    relay_troubles.c.balance_days,
    unique=True,
    sqlite_where=is_open_trouble,
    postgresql_where=is_open_trouble,
)
"""The unique index lets a trouble begin once over all replicas."""

relay_readings = Table(
    "relay_readings",
    metadata,
    Column("relay", Text, primary_key=True),
    Column("day", Text, primary_key=True, comment="local day, of which this is the first reading"),
    Column("read_at_ms", BigInteger, nullable=False),
    Column("used_points", BigInteger, nullable=False, comment="of our key, as the relay states it"),
)
"""First reading of each day, from which the pace of spending follows."""
