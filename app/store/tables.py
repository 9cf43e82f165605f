"""Every table, for SQLite and PostgreSQL alike. `migrations/` builds them; a test compares the two.

Instants are milliseconds since the epoch (`*_at_ms`), money is micros, booleans are instants or NULL: they also tell when.
`requests` and `corrections` are the book; `counters` and `usage` are caches of it.
"""

import sqlalchemy as sa
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
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger),
    Column("kind", Text, nullable=False, server_default="person", comment="person or service_account"),
    Column("project_id", Text, ForeignKey(projects.c.id), comment="of a service account: where it belongs; else NULL"),
    Column("role", Text, nullable=False, server_default="reader", comment="owner or reader of the organization"),
    Column("deleted_at_ms", BigInteger, comment="for good; the row stays for the names in the book"),
)
"""Whoever may hold keys: people and service accounts."""

person_names = Index(
    "uq_users_name",
    users.c.name,
    unique=True,
    sqlite_where=sa.and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None)),
    postgresql_where=sa.and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None)),
)
"""The name of somebody deleted is free again."""

service_account_names = Index(
    "uq_users_service_account",
    users.c.project_id,
    users.c.name,
    unique=True,
    sqlite_where=sa.and_(users.c.kind == "service_account", users.c.deleted_at_ms.is_(None)),
    postgresql_where=sa.and_(users.c.kind == "service_account", users.c.deleted_at_ms.is_(None)),
)

project_users = Table(
    "project_users",
    metadata,
    Column("project_id", Text, ForeignKey(projects.c.id), primary_key=True),
    Column("user_id", Text, ForeignKey(users.c.id), primary_key=True, index=True),
    Column("role", Text, nullable=False, comment="owner or member"),
    Column("added_at_ms", BigInteger, nullable=False),
)
"""Who belongs to which project, service accounts too: without a row here, keys of that user in that project do not work."""

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
    Column("previous_hmac", LargeBinary, comment="of the secret before the last rotation"),
    Column("previous_until_ms", BigInteger, comment="until then that one works too"),
)

model_permissions = Table(
    "model_permissions",
    metadata,
    Column("project_id", Text, ForeignKey(projects.c.id), primary_key=True),
    Column("mode", Text, nullable=False, comment="allow_list or deny_list"),
    Column("models", JSON, nullable=False, comment="a list of names"),
)
"""Which models a project may use; without a row here, every one."""

admin_api_keys = Table(
    "admin_api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("secret_hmac", LargeBinary, nullable=False),
    Column("last_four", Text, nullable=False),
    Column("role", Text, nullable=False, comment="owner, or reader: which changes nothing"),
    Column("user_id", Text, ForeignKey(users.c.id), comment="whose key it is; NULL: nobody's in particular"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
)

audit_logs = Table(
    "audit_logs",
    metadata,
    Column("number", _Serial, primary_key=True, comment="in the order of the changes"),
    Column("id", Text, nullable=False, unique=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor_kind", Text, nullable=False, comment="admin_api_key, session, cli or gateway"),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("actor_email", Text),
    Column("event", Text, nullable=False, comment="like project.created"),
    Column("target_id", Text, nullable=False, comment="what was changed"),
    Column("project_id", Text, comment="the project it happened in; NULL: in none"),
    Column("before", JSON, comment="NULL: it was not there"),
    Column("after", JSON, comment="NULL: it is no longer there"),
)
"""Every change of control data, in the transaction of the change. Append-only; no secrets."""

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
    Index(None, "reserved_at_ms"),
    Index(None, "user_id", "reserved_at_ms"),
    Index(None, "api_key_id", "reserved_at_ms"),
)

unresolved = Index(
    "ix_requests_unresolved",
    requests.c.state,
    requests.c.owner,
    sqlite_where=requests.c.state.in_(("reserved", "dispatched", "unknown")),
    postgresql_where=requests.c.state.in_(("reserved", "dispatched", "unknown")),
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
    Column("id", _Serial, primary_key=True),
    Column("api_key_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("tries", Integer, nullable=False, comment="which try was refused: its retry buys, and joins nobody"),
    Column("at_ms", BigInteger, nullable=False),
    Index(None, "fingerprint"),
)

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
    Column("id", _Serial, primary_key=True),
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
"""An alert that was set off: once for each interval and threshold, by whichever replica is first."""

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
