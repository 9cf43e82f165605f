"""Tables of requests, their stored answers, refusals that retries look up, and the log of refusals for people."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, Table, Text, literal_column

from app.store.ledger.columns import UNRESOLVED, columns
from app.store.tables.base import BigIntegers, Serial, metadata

requests = Table(
    "requests",
    metadata,
    # Columns that a reservation, an ending or a settlement writes are listed in ledger/columns.py.
    *columns(),
    Column("state", Text, nullable=False, comment="reserved, dispatched, settled, released or unknown"),
    Column("counter_ids", BigIntegers, nullable=False, comment="the counters it holds on; all it books goes there"),
    Column("dispatched_at_ms", BigInteger),
    Column(
        "relay", Text, comment="the relay it was dispatched to; NULL in a row dispatched before version 0009: default"
    ),
    Column("tried_at_ms", BigInteger, comment="when the last of them came"),
    Column(
        "delivered_at_ms", BigInteger, comment="when the last byte of the answer was first handed over; never a state"
    ),
    Column(
        "duplicate_of", Text, comment="a picture that its user had bought by an equal request before and that was kept"
    ),
    Column(
        "link_only", Integer, comment="pictures of its answer that are not kept: the relay's link was all there was"
    ),
    Index(None, "reserved_at_ms"),
    Index(None, "user_id", "reserved_at_ms"),
    Index(None, "api_key_id", "reserved_at_ms"),
)

is_unresolved = requests.c.state.in_([literal_column(f"'{state}'") for state in UNRESOLVED])
"""Condition of the index below. A query about these states uses the index only when it repeats this condition literally."""

unresolved = Index(
    "ix_requests_unresolved",
    requests.c.state,
    requests.c.owner,
    sqlite_where=is_unresolved,
    postgresql_where=is_unresolved,
)
"""Index for recovery: few rows, however many requests there are."""

idempotency = Index(
    "uq_requests_idempotency_key",
    requests.c.api_key_id,
    requests.c.idempotency_key,
    unique=True,
    sqlite_where=requests.c.idempotency_key.is_not(None),
    postgresql_where=requests.c.idempotency_key.is_not(None),
)

alike = Index("ix_requests_fingerprint", requests.c.fingerprint)

has_duplicate_digest = requests.c.duplicate_digest.is_not(None)

equal_purchases = Index(
    "ix_requests_duplicate_digest",
    requests.c.duplicate_digest,
    requests.c.reserved_at_ms,
    sqlite_where=has_duplicate_digest,
    postgresql_where=has_duplicate_digest,
)

is_duplicate = requests.c.duplicate_of.is_not(None)

bought_duplicates = Index(
    "ix_requests_duplicates", requests.c.reserved_at_ms, sqlite_where=is_duplicate, postgresql_where=is_duplicate
)
"""Index for reports of what was bought twice."""

served_duplicates = Table(
    "served_duplicates",
    metadata,
    Column("hour_at_ms", BigInteger, primary_key=True, comment="start of the UTC hour"),
    Column("request_id", Text, primary_key=True, comment="the request whose pictures were served"),
    Column("api_key_id", Text, primary_key=True, comment="the key that they were served to"),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Pictures that were served again instead of being bought: a count for each hour, request and key. They moved no money."""

results = Table(
    "results",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("body", LargeBinary, comment="the relay's answer where it is small; NULL: in a file named by the request"),
    Column("body_bytes", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    Column(
        "cuts",
        JSON(none_as_null=True),
        comment="where base64 was cut out of the answer because its picture is kept: [offset, length, index of the picture]; NULL: "
        "its pictures are not kept yet",
    ),
)

is_untaken = results.c.cuts.is_(None)

untaken = Index("ix_results_untaken", results.c.created_at_ms, sqlite_where=is_untaken, postgresql_where=is_untaken)
"""Index of the answers whose pictures are still to be kept: few, however many answers there are."""

refusals = Table(
    "refusals",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("api_key_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("tries", Integer, nullable=False, comment="which try was refused: its retry buys, and joins nobody"),
    Column("at_ms", BigInteger, nullable=False),
    Index(None, "fingerprint"),
)

refusal_log = Table(
    "refusal_log",
    metadata,
    Column("id", Text, primary_key=True, comment="x-request-id of the refusal; of equal ones in a row, the first"),
    Column("at_ms", BigInteger, nullable=False),
    Column("last_at_ms", BigInteger, nullable=False, comment="when the last of `count` equal refusals came"),
    Column("count", BigInteger, nullable=False),
    Column("api_key_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("operation", Text, comment="NULL where the body was not read"),
    Column(
        "model", Text, comment="as the client named it; NULL where it was not read, or differs among equal refusals"
    ),
    Column("http_status", Integer, nullable=False),
    Column("error_code", Text),
    Column("limit", Text, comment="the limit that refused, in words"),
    Column("message", Text, nullable=False),
    Index(None, "at_ms", "id"),
    Index(None, "user_id", "at_ms"),
    Index(None, "api_key_id", "at_ms"),
)
