"""Tables for signing in: passwords, identities of a single sign-on, invitations and sessions."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from app.store.tables.base import metadata
from app.store.tables.people import users

passwords = Table(
    "passwords",
    metadata,
    Column("user_id", Text, ForeignKey(users.c.id), primary_key=True),
    Column("hash", Text, nullable=False, comment="argon2id, with its parameters"),
    Column("set_at_ms", BigInteger, nullable=False),
)

identities = Table(
    "identities",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_id", Text, ForeignKey(users.c.id), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
)
"""Persons at an OIDC provider, bound to users at their first sign-in."""

invitations = Table(
    "invitations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey(users.c.id), nullable=False, index=True),
    Column("token_hash", LargeBinary, nullable=False, comment="SHA-256 of the link's token"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("accepted_at_ms", BigInteger, comment="from then on it works no more"),
    Index(None, "token_hash", unique=True),
)
"""One-time links with which a person sets a password."""

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey(users.c.id), nullable=False, index=True),
    Column("token_hash", LargeBinary, nullable=False, comment="SHA-256 of the cookie's token"),
    Column("browser", Text, nullable=False, comment="its User-Agent, for whoever looks through the list"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False, comment="the last use, at most a minute ago"),
    Column("revoked_at_ms", BigInteger),
    Index(None, "token_hash", unique=True),
)
"""Sign-ins: one row for a person in a browser."""
