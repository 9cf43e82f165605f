"""Administration: admin API keys, service accounts, members of projects, rotation of keys, and the log of every change."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _people()
    _keys()
    op.create_table(
        "audit_logs",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            comment="in the order of the changes",
        ),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor_kind", sa.Text(), nullable=False, comment="admin_api_key, session, cli or gateway"),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("actor_name", sa.Text(), nullable=False),
        sa.Column("actor_email", sa.Text()),
        sa.Column("event", sa.Text(), nullable=False, comment="like project.created"),
        sa.Column("target_id", sa.Text(), nullable=False, comment="what was changed"),
        sa.Column("project_id", sa.Text(), comment="the project it happened in; NULL: in none"),
        sa.Column("before", sa.JSON(), comment="NULL: it was not there"),
        sa.Column("after", sa.JSON(), comment="NULL: it is no longer there"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_logs")),
        sa.UniqueConstraint("id", name=op.f("uq_audit_logs_id")),
    )
    op.create_index(op.f("ix_audit_logs_at_ms"), "audit_logs", ["at_ms"])
    op.create_index(op.f("ix_requests_api_key_id_reserved_at_ms"), "requests", ["api_key_id", "reserved_at_ms"])


def _people() -> None:
    with op.batch_alter_table("users") as users:
        users.add_column(
            sa.Column("kind", sa.Text(), nullable=False, server_default="person", comment="person or service_account")
        )
        users.add_column(
            sa.Column("project_id", sa.Text(), comment="of a service account: where it belongs; else NULL")
        )
        users.add_column(
            sa.Column(
                "role",
                sa.Text(),
                nullable=False,
                server_default="reader",
                comment="owner or reader of the organization",
            )
        )
        users.add_column(
            sa.Column("deleted_at_ms", sa.BigInteger(), comment="for good; the row stays for the names in the book")
        )
        users.create_foreign_key(op.f("fk_users_project_id"), "projects", ["project_id"], ["id"])
        users.drop_constraint(op.f("uq_users_name"), type_="unique")
    person = sa.text("kind = 'person' AND deleted_at_ms IS NULL")
    service_account = sa.text("kind = 'service_account' AND deleted_at_ms IS NULL")
    op.create_index("uq_users_name", "users", ["name"], unique=True, sqlite_where=person, postgresql_where=person)
    op.create_index(
        "uq_users_service_account",
        "users",
        ["project_id", "name"],
        unique=True,
        sqlite_where=service_account,
        postgresql_where=service_account,
    )
    op.create_table(
        "project_users",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="owner or member"),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_users_project_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_project_users_user_id")),
        sa.PrimaryKeyConstraint("project_id", "user_id", name=op.f("pk_project_users")),
    )
    op.create_index(op.f("ix_project_users_user_id"), "project_users", ["user_id"])
    # Whoever holds a key in a project belongs to it: no key stops working by this migration.
    op.execute(
        "INSERT INTO project_users (project_id, user_id, role, added_at_ms) "
        "SELECT project_id, user_id, 'member', min(created_at_ms) FROM api_keys GROUP BY project_id, user_id"
    )


def _keys() -> None:
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("previous_hmac", sa.LargeBinary(), comment="of the secret before the last rotation"))
        keys.add_column(sa.Column("previous_until_ms", sa.BigInteger(), comment="until then that one works too"))
    op.create_table(
        "admin_api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False, comment="owner, or reader: which changes nothing"),
        sa.Column("user_id", sa.Text(), comment="whose key it is; NULL: nobody's in particular"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger()),
        sa.Column("revoked_at_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_admin_api_keys_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_api_keys")),
    )
