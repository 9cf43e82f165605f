"""People sign in: unique addresses, roles, passwords, invitations, sessions, and identities of a single sign-on."""

import secrets
import time

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_users = sa.table("users", *(sa.column(name) for name in ("id", "kind", "email", "created_at_ms", "disabled_at_ms")))
_users.append_column(sa.column("deleted_at_ms"))
_audit_logs = sa.table(
    "audit_logs",
    *(sa.column(name) for name in ("id", "at_ms", "actor_kind", "actor_id", "actor_name", "event", "target_id")),
    sa.column("before", sa.JSON()),
    sa.column("after", sa.JSON()),
)


def upgrade() -> None:
    comment = "owner, reader or member: what a session of theirs may do; not OpenAI's `role`"
    op.add_column(
        "users", sa.Column("access_role", sa.Text(), nullable=False, server_default="member", comment=comment)
    )
    _make_addresses_unique()
    where = sa.text("kind = 'person' AND deleted_at_ms IS NULL")
    op.create_index("uq_users_email", "users", ["email"], unique=True, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "passwords",
        _user("passwords"),
        sa.Column("hash", sa.Text(), nullable=False, comment="argon2id, with its parameters"),
        sa.Column("set_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_passwords")),
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        _user("identities"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identities")),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text(), nullable=False),
        _user("invitations"),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the link's token"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at_ms", sa.BigInteger(), comment="from then on it works no more"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        _user("sessions"),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the cookie's token"),
        sa.Column("browser", sa.Text(), nullable=False, comment="its User-Agent, for whoever looks through the list"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger(), nullable=False, comment="the last use, at most a minute ago"),
        sa.Column("revoked_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    for table in ("identities", "invitations", "sessions"):
        op.create_index(op.f(f"ix_{table}_user_id"), table, ["user_id"])
    for table in ("invitations", "sessions"):
        op.create_index(op.f(f"ix_{table}_token_hash"), table, ["token_hash"], unique=True)


def _user(table: str) -> sa.Column[str]:
    return sa.Column("user_id", sa.Text(), sa.ForeignKey("users.id", name=op.f(f"fk_{table}_user_id")), nullable=False)


def _make_addresses_unique() -> None:
    """Write addresses in lower case. Of people with one address the first who is not disabled keeps it; the audit log holds what
    the others had."""
    connection = op.get_bind()
    people = sa.select(_users).where(_users.c.kind == "person", _users.c.email.is_not(None))
    order = (_users.c.disabled_at_ms.is_not(None), _users.c.created_at_ms, _users.c.id)
    taken = set()
    for user in connection.execute(people.order_by(*order)).mappings().all():
        email = user["email"].lower()
        keeps = user["deleted_at_ms"] is not None or email not in taken
        if user["deleted_at_ms"] is None:
            taken.add(email)
        if keeps and email == user["email"]:
            continue
        value = email if keeps else None
        connection.execute(sa.update(_users).where(_users.c.id == user["id"]).values(email=value))
        if not keeps:
            logged = {"id": f"audit_log-{secrets.token_hex(12)}", "at_ms": time.time_ns() // 1_000_000}
            actor = {"actor_kind": "gateway", "actor_id": "imagegate", "actor_name": "imagegate"}
            change = {
                "event": "user.updated",
                "target_id": user["id"],
                "before": {"email": email},
                "after": {"email": None},
            }
            connection.execute(sa.insert(_audit_logs).values(**logged, **actor, **change))
