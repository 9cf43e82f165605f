"""Tables of limits with their counters and increases, models, prices."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint, and_

from app.store.tables.base import Serial, metadata
from app.store.tables.people import users

limits = Table(
    "limits",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("scope", Text, nullable=False, comment="organization, project, user or key"),
    Column("scope_id", Text, nullable=False, comment="empty for the organization"),
    Column("model", Text, nullable=False, comment="empty for any"),
    Column("unit", Text, nullable=False, comment="micros, images, requests or in_flight"),
    Column("interval", Text, nullable=False, comment="minute (a rate), day, week, month or lifetime"),
    Column("amount", BigInteger, comment="NULL: removed; its counters stay, for the interval it may be set again in"),
    Column(
        "default_of", Text, comment="of a user's limit that comes from a default: the default's scope_id; else NULL"
    ),
    UniqueConstraint("scope", "scope_id", "model", "unit", "interval"),
)

counters = Table(
    "counters",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("limit_id", Serial, ForeignKey(limits.c.id), nullable=False),
    Column("starts_at_ms", BigInteger, nullable=False, comment="of the interval; 0 for a lifetime"),
    Column("spent", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    UniqueConstraint("limit_id", "starts_at_ms"),
)

limit_increases = Table(
    "limit_increases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("limit_id", Serial, ForeignKey(limits.c.id), nullable=False),
    Column(
        "user_id",
        Text,
        ForeignKey(users.c.id),
        index=True,
        comment="who asked for it; NULL: an owner raised the limit unasked",
    ),
    Column("asked", BigInteger, nullable=False, comment="on top of the limit, in its unit"),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False, comment="open, approved or declined"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("granted", BigInteger, comment="what was put on top; NULL: nothing"),
    Column("answer", Text, nullable=False, comment="words of whoever decided; may be empty"),
    Column("decided_by", Text, comment="name of whoever decided"),
    Column("decided_at_ms", BigInteger),
    Column("until_ms", BigInteger, comment="when the limit goes back; NULL: for good"),
    Column("from_default", Integer, nullable=False, comment="1: the limit goes back to the default it came from"),
    Column("ended_at_ms", BigInteger, comment="when the limit went back, or was set by hand before"),
)
"""Requests for more of a limit, and raises of limits that end at a date."""

is_open_increase = limit_increases.c.state == "open"

open_increases = Index(
    "uq_limit_increases_open",
    limit_increases.c.user_id,
    limit_increases.c.limit_id,
    unique=True,
    sqlite_where=is_open_increase,
    postgresql_where=is_open_increase,
)
"""Unique index: a person has one open request for each limit."""

is_temporary = and_(limit_increases.c.until_ms.is_not(None), limit_increases.c.ended_at_ms.is_(None))

temporary_increases = Index(
    "ix_limit_increases_temporary",
    limit_increases.c.until_ms,
    sqlite_where=is_temporary,
    postgresql_where=is_temporary,
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
    Column(
        "removed_at_ms",
        BigInteger,
        comment="no longer in the catalog; the row stays for its prices and its name. NULL: it is",
    ),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("name", Text, primary_key=True, comment="each * stands for any characters"),
    Column("model", Text, ForeignKey(models.c.id), nullable=False, comment="never an alias"),
    Column("sizes", JSON, nullable=False, comment="the model's size by the client's"),
    Column("qualities", JSON, nullable=False, comment="as sizes"),
    Column("dropped_fields", JSON, nullable=False, comment="a list of names"),
    Column("response_format", Text, comment="for clients that name none: url or b64_json; NULL: the model's own"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
)
"""Names that stand for models. What every alias of an OpenAI image model translates is not in here."""

prices = Table(
    "prices",
    metadata,
    Column("id", Serial, primary_key=True),
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
    Column(
        "until_ms", BigInteger, comment="removed from this instant on; what was reserved before keeps it. NULL: never"
    ),
)
