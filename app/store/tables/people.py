"""Tables of the organization, projects, users, keys, and the audit log."""

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    and_,
)

from app.store.tables.base import Serial, metadata

organization = Table(
    "organization",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False, comment="raised by every control write; a reservation compares it"),
    Column("pepper_fingerprint", Text, comment="tells a changed SECRET_KEY, with which no key would match"),
    Column("currency", Text, comment="of the whole book; set by the first start, never converted"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("timezone", Text, comment="where days, weeks and months of the book begin"),
    Column(
        "digest_key",
        LargeBinary,
        comment="encrypted key of the digests of prompts, which outlives a change of the secret",
    ),
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
    Column("erased_at_ms", BigInteger, comment="when the erasure of their data began; the row stays for the money"),
    Column("erasure_ended_at_ms", BigInteger, comment="NULL: what was under way then may still have to be erased"),
    Column(
        "access_role",
        Text,
        nullable=False,
        server_default="member",
        comment="owner, reader or member: what a session of theirs may do; not OpenAI's `role`",
    ),
)
"""Owners of keys: people and service accounts."""

person_names = Index(
    "uq_users_name",
    users.c.name,
    unique=True,
    sqlite_where=and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None)),
    postgresql_where=and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None)),
)
"""Unique index of names. The name of a deleted person is free again."""

person_emails = Index(
    "uq_users_email",
    users.c.email,
    unique=True,
    sqlite_where=and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None)),
    postgresql_where=and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None)),
)
"""Unique index of e-mail addresses, which are stored in lower case."""

service_account_names = Index(
    "uq_users_service_account",
    users.c.project_id,
    users.c.name,
    unique=True,
    sqlite_where=and_(users.c.kind == "service_account", users.c.deleted_at_ms.is_(None)),
    postgresql_where=and_(users.c.kind == "service_account", users.c.deleted_at_ms.is_(None)),
)

project_users = Table(
    "project_users",
    metadata,
    Column("project_id", Text, ForeignKey(projects.c.id), primary_key=True),
    Column("user_id", Text, ForeignKey(users.c.id), primary_key=True, index=True),
    Column("role", Text, nullable=False, comment="owner or member"),
    Column("added_at_ms", BigInteger, nullable=False),
)
"""Members of projects, service accounts included. Without a row here, keys of that user in that project do not work."""

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
    Column(
        "pepper_fingerprint", Text, comment="of the secret that secret_hmac was made with; NULL: none was bound yet"
    ),
)

model_permissions = Table(
    "model_permissions",
    metadata,
    Column("project_id", Text, ForeignKey(projects.c.id), primary_key=True),
    Column("mode", Text, nullable=False, comment="allow_list or deny_list"),
    Column("models", JSON, nullable=False, comment="a list of names"),
)
"""Models that a project may use; without a row, all of them."""

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
    Column(
        "pepper_fingerprint", Text, comment="of the secret that secret_hmac was made with; NULL: none was bound yet"
    ),
)

audit_logs = Table(
    "audit_logs",
    metadata,
    Column("number", Serial, primary_key=True, comment="in the order of the changes"),
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
"""Audit log: every change of control data, written in the transaction of the change. Append-only, without secrets."""
