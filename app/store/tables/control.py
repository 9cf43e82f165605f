"""Tables of limits and their counters, models, prices."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Integer, Table, Text, UniqueConstraint

from app.store.tables.base import Serial, metadata

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
