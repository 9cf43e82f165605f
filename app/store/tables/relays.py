"""Tables of relays, and of the requests that one of them refused before another got them."""

from sqlalchemy import JSON, BigInteger, Column, Integer, LargeBinary, Table, Text

from app.store.tables.base import metadata

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
