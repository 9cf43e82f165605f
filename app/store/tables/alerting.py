"""Tables of alerts, their firings, and the deliveries of firings."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from app.store.tables.base import metadata

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope", Text, nullable=False, comment="organization, project, user or key"),
    Column("scope_id", Text, nullable=False, comment="empty for the organization"),
    Column("model", Text, nullable=False, comment="empty for any"),
    Column("unit", Text, nullable=False, comment="micros, images or requests"),
    Column("interval", Text, nullable=False, comment="day, week, month or lifetime"),
    Column("threshold", BigInteger, nullable=False, comment="in the unit: told when this much is used"),
    Column(
        "percent",
        Integer,
        comment="of the limit of the same scope, model, unit and interval; NULL where `threshold` says how much",
    ),
    Column("channels", JSON, nullable=False, comment="where to; with the secrets that takes"),
    Column("plain", Integer, nullable=False, comment="1: spend of a month by mail, as OpenAI's alerts are"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("deleted_at_ms", BigInteger),
)

firings = Table(
    "firings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("alert_id", Text, ForeignKey(alerts.c.id), nullable=False),
    Column("starts_at_ms", BigInteger, nullable=False, comment="of the interval; 0 for a lifetime"),
    Column("threshold", BigInteger, nullable=False, comment="the alert's at the time"),
    Column("used", BigInteger, nullable=False, comment="when it was noticed"),
    Column("fired_at_ms", BigInteger, nullable=False),
    UniqueConstraint("alert_id", "starts_at_ms", "threshold"),
)
"""Firings of alerts. The unique key lets an alert fire once for each interval and threshold, whichever replica is first.

Of an alert on relays (unit `relays`; its threshold is days of balance) `threshold` is the id of the trouble, `starts_at_ms` the
instant at which it began or ended, and `used` is 1 for its begin, 0 for its end.
"""

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Text, primary_key=True),
    Column("firing_id", Text, ForeignKey(firings.c.id), nullable=False, index=True),
    Column("channel", JSON, nullable=False, comment="as the alert had it then"),
    Column("state", Text, nullable=False, comment="pending, delivered, failed or dropped"),
    Column("attempts", Integer, nullable=False),
    Column(
        "due_at_ms", BigInteger, nullable=False, comment="of the next attempt; in the future while one is under way"
    ),
    Column("ended_at_ms", BigInteger),
    Column("error", Text, comment="of the last attempt; no secrets"),
)

due = Index(
    "ix_deliveries_due",
    deliveries.c.due_at_ms,
    sqlite_where=deliveries.c.state == "pending",
    postgresql_where=deliveries.c.state == "pending",
)
