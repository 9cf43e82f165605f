"""The book: requests, their stored answers, and what it takes to know one again."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, Table, Text, literal_column

from app.store.tables.base import BigIntegers, Serial, metadata

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False, comment="reserved, dispatched, settled, released or unknown"),
    Column("owner", Text, nullable=False, comment="the process that drives it"),
    # No foreign keys here: they would lock the same few rows of keys, users and projects at every reservation.
    Column("api_key_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("n", Integer, nullable=False, comment="images asked for"),
    Column("size", Text, comment="the answer's once settled, until then the request's"),
    Column("quality", Text, comment="as size"),
    Column("stream", Integer, nullable=False),
    Column("prompt_chars", Integer, nullable=False),
    Column("prompt_hmac", LargeBinary, comment="tells equal prompts; the prompt itself is not kept"),
    Column("counter_ids", BigIntegers, nullable=False, comment="the counters it holds on; all it books goes there"),
    Column("quote_micros", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, comment="of a settled one"),
    Column("images", Integer, comment="that came back"),
    Column("flag", Text, comment="short: fewer images than asked; bad_payload: charged, and not an image"),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("http_status", Integer, comment="of the answer the client was given"),
    Column("error_code", Text),
    Column("error", JSON, comment="what the client was told instead of images, for whoever asks again"),
    Column("upstream_request_id", Text),
    Column("reserved_at_ms", BigInteger, nullable=False, comment="also the instant of its price and of its intervals"),
    Column("dispatched_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger, comment="settled, released or given up as unknown"),
    Column("upstream_ms", Integer, comment="from dispatch to the relay's last byte"),
    Column("idempotency_key", Text, comment="the client's; a release frees it"),
    Column("fingerprint", LargeBinary, comment="equal for requests that ask for the same"),
    Column(
        "tries", Integer, nullable=False, server_default="1", comment="of the client's call, as far as they came here"
    ),
    Column("tried_at_ms", BigInteger, comment="when the last of them came"),
    Column(
        "delivered_at_ms", BigInteger, comment="when the last byte of the answer was first handed over; never a state"
    ),
    Column(
        "relay", Text, comment="the relay it was dispatched to; NULL in a row dispatched before version 0009: default"
    ),
    Column("response_format", Text, comment="as asked: url or b64_json"),
    Column("asked_model", Text, comment="the alias asked for; NULL where the model itself was"),
    Column("prompt", Text, comment="NULL unless prompts are kept; never in lists or CSV"),
    Index(None, "reserved_at_ms"),
    Index(None, "user_id", "reserved_at_ms"),
    Index(None, "api_key_id", "reserved_at_ms"),
)

is_unresolved = requests.c.state.in_([literal_column(f"'{state}'") for state in ("reserved", "dispatched", "unknown")])
"""For a question about some of these states: only one that says this too, word for word, is answered from the index below."""

unresolved = Index(
    "ix_requests_unresolved",
    requests.c.state,
    requests.c.owner,
    sqlite_where=is_unresolved,
    postgresql_where=is_unresolved,
)
"""What recovery looks for: a handful of rows however long the book."""

idempotency = Index(
    "uq_requests_idempotency_key",
    requests.c.api_key_id,
    requests.c.idempotency_key,
    unique=True,
    sqlite_where=requests.c.idempotency_key.is_not(None),
    postgresql_where=requests.c.idempotency_key.is_not(None),
)

alike = Index("ix_requests_fingerprint", requests.c.fingerprint)

results = Table(
    "results",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("body", LargeBinary, comment="the relay's answer where it is small; NULL: in a file named by the request"),
    Column("body_bytes", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
)

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
