"""Every table, for SQLite and PostgreSQL alike. `migrations/` builds them; a test compares the two.

Instants are milliseconds since the epoch (`*_at_ms`), money is micros, booleans are instants or NULL: they also tell when.
`requests` and `corrections` are the book; `counters` and `usage` are caches of it.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of exactly INTEGER."""

_BigIntegers = JSON().with_variant(ARRAY(BigInteger), "postgresql")

organization = Table(
    "organization",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False, comment="raised by every control write; a reservation compares it"),
    Column("pepper_fingerprint", Text, comment="tells a changed SECRET_KEY, with which no key would match"),
    Column("currency", Text, comment="of the whole book; set by the first start, never converted"),
    Column("created_at_ms", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one"),
)

projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("archived_at_ms", BigInteger),
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("email", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey(users.c.id), nullable=False, index=True),
    Column("project_id", Text, ForeignKey(projects.c.id), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("secret_hmac", LargeBinary, nullable=False),
    Column("last_four", Text, nullable=False),
    Column("models", JSON, comment="a list of names; NULL: every model"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
)

limits = Table(
    "limits",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("scope", Text, nullable=False, comment="organization, project, user or key"),
    Column("scope_id", Text, nullable=False, comment="empty for the organization"),
    Column("model", Text, nullable=False, comment="empty for any"),
    Column("unit", Text, nullable=False, comment="micros, images, requests or in_flight"),
    Column("interval", Text, nullable=False, comment="minute (a rate), day, week, month or lifetime"),
    Column("amount", BigInteger, comment="NULL: removed; its counters stay, for the interval it may be set again in"),
    UniqueConstraint("scope", "scope_id", "model", "unit", "interval"),
)

counters = Table(
    "counters",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("limit_id", _Serial, ForeignKey(limits.c.id), nullable=False),
    Column("starts_at_ms", BigInteger, nullable=False, comment="of the interval; 0 for a lifetime"),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    UniqueConstraint("limit_id", "starts_at_ms"),
)

models = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),
    Column("operations", JSON, nullable=False, comment="of generation, edit, variation"),
    Column("sizes", JSON, nullable=False, comment="empty: any"),
    Column("qualities", JSON, nullable=False, comment="empty: any"),
    Column("refuses_response_format", Integer, nullable=False, comment="1: the field is dropped on the way"),
    Column("created_at_ms", BigInteger, nullable=False),
)

prices = Table(
    "prices",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("model", Text, ForeignKey(models.c.id), nullable=False, index=True),
    Column("operation", Text),
    Column("size", Text),
    Column("quality", Text),
    Column("from_ms", BigInteger, nullable=False),
    Column("image_micros", BigInteger, comment="per image; or, where NULL, the four per token"),
    Column("input_text_micros", BigInteger, comment="per million tokens"),
    Column("input_image_micros", BigInteger, comment="per million tokens"),
    Column("output_micros", BigInteger, comment="per million tokens"),
    Column("ceiling_micros", BigInteger, comment="per image: held, and booked when usage is missing"),
    Column("created_at_ms", BigInteger, nullable=False),
)

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
    Column("counter_ids", _BigIntegers, nullable=False, comment="the counters it holds on; all it books goes there"),
    Column("quote_micros", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, comment="of a settled one"),
    Column("images", Integer, comment="that came back"),
    Column("flag", Text, comment="short: fewer images than asked; bad_payload: charged, and not an image"),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("http_status", Integer, comment="of the answer the client was given"),
    Column("error_code", Text),
    Column("upstream_request_id", Text),
    Column("reserved_at_ms", BigInteger, nullable=False, comment="also the instant of its price and of its intervals"),
    Column("dispatched_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger, comment="settled, released or given up as unknown"),
    Column("upstream_ms", Integer, comment="from dispatch to the relay's last byte"),
    Index(None, "reserved_at_ms"),
    Index(None, "user_id", "reserved_at_ms"),
)

unresolved = Index(
    "ix_requests_unresolved",
    requests.c.state,
    requests.c.owner,
    sqlite_where=requests.c.state.in_(("reserved", "dispatched", "unknown")),
    postgresql_where=requests.c.state.in_(("reserved", "dispatched", "unknown")),
)
"""What recovery looks for: a handful of rows however long the book."""

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
)

processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("beat_at_ms", BigInteger, nullable=False),
)
