"""The book, and the catalog with the first prices of the relay's documents."""

import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "limits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False, comment="organization, project, user or key"),
        sa.Column("scope_id", sa.Text(), nullable=False, comment="empty for the organization"),
        sa.Column("model", sa.Text(), nullable=False, comment="empty for any"),
        sa.Column("unit", sa.Text(), nullable=False, comment="micros, images, requests or in_flight"),
        sa.Column("interval", sa.Text(), nullable=False, comment="minute (a rate), day, week, month or lifetime"),
        sa.Column(
            "amount",
            sa.BigInteger(),
            nullable=True,
            comment="NULL: removed; its counters stay, for the interval it may be set again in",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_limits")),
        sa.UniqueConstraint(
            "scope", "scope_id", "model", "unit", "interval", name=op.f("uq_limits_scope_scope_id_model_unit_interval")
        ),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("operations", sa.JSON(), nullable=False, comment="of generation, edit, variation"),
        sa.Column("sizes", sa.JSON(), nullable=False, comment="empty: any"),
        sa.Column("qualities", sa.JSON(), nullable=False, comment="empty: any"),
        sa.Column(
            "refuses_response_format", sa.Integer(), nullable=False, comment="1: the field is dropped on the way"
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
    )
    op.create_table(
        "organization",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            comment="raised by every control write; a reservation compares it",
        ),
        sa.Column(
            "pepper_fingerprint",
            sa.Text(),
            nullable=True,
            comment="tells a changed SECRET_KEY, with which no key would match",
        ),
        sa.Column(
            "currency", sa.Text(), nullable=True, comment="of the whole book; set by the first start, never converted"
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_organization_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
    )
    op.create_table(
        "processes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("beat_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("archived_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_table(
        "usage",
        sa.Column("hour_at_ms", sa.BigInteger(), nullable=False, comment="start of the UTC hour of reserved_at_ms"),
        sa.Column("day", sa.Text(), nullable=False, comment="the local day of reserved_at_ms"),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False, comment="empty where neither request nor answer named one"),
        sa.Column("quality", sa.Text(), nullable=False, comment="as size"),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("images", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "hour_at_ms",
            "day",
            "project_id",
            "user_id",
            "api_key_id",
            "model",
            "operation",
            "size",
            "quality",
            name=op.f("pk_usage"),
        ),
    )
    with op.batch_alter_table("usage", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_usage_day"), ["day"], unique=False)

    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_hmac", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=True, comment="a list of names; NULL: every model"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_api_keys_project_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_api_keys_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_api_keys_user_id"), ["user_id"], unique=False)

    op.create_table(
        "counters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("limit_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("starts_at_ms", sa.BigInteger(), nullable=False, comment="of the interval; 0 for a lifetime"),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["limit_id"], ["limits.id"], name=op.f("fk_counters_limit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counters")),
        sa.UniqueConstraint("limit_id", "starts_at_ms", name=op.f("uq_counters_limit_id_starts_at_ms")),
    )
    op.create_table(
        "prices",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=True),
        sa.Column("size", sa.Text(), nullable=True),
        sa.Column("quality", sa.Text(), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "image_micros", sa.BigInteger(), nullable=True, comment="per image; or, where NULL, the four per token"
        ),
        sa.Column("input_text_micros", sa.BigInteger(), nullable=True, comment="per million tokens"),
        sa.Column("input_image_micros", sa.BigInteger(), nullable=True, comment="per million tokens"),
        sa.Column("output_micros", sa.BigInteger(), nullable=True, comment="per million tokens"),
        sa.Column(
            "ceiling_micros",
            sa.BigInteger(),
            nullable=True,
            comment="per image: held, and booked when usage is missing",
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.id"], name=op.f("fk_prices_model")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prices")),
    )
    with op.batch_alter_table("prices", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_prices_model"), ["model"], unique=False)

    op.create_table(
        "requests",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="reserved, dispatched, settled, released or unknown"),
        sa.Column("owner", sa.Text(), nullable=False, comment="the process that drives it"),
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False, comment="images asked for"),
        sa.Column("size", sa.Text(), nullable=True, comment="the answer's once settled, until then the request's"),
        sa.Column("quality", sa.Text(), nullable=True, comment="as size"),
        sa.Column("stream", sa.Integer(), nullable=False),
        sa.Column("prompt_chars", sa.Integer(), nullable=False),
        sa.Column(
            "prompt_hmac", sa.LargeBinary(), nullable=True, comment="tells equal prompts; the prompt itself is not kept"
        ),
        sa.Column(
            "counter_ids",
            sa.JSON().with_variant(ARRAY(sa.BigInteger()), "postgresql"),
            nullable=False,
            comment="the counters it holds on; all it books goes there",
        ),
        sa.Column("quote_micros", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=True, comment="of a settled one"),
        sa.Column("images", sa.Integer(), nullable=True, comment="that came back"),
        sa.Column(
            "flag",
            sa.Text(),
            nullable=True,
            comment="short: fewer images than asked; bad_payload: charged, and not an image",
        ),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("http_status", sa.Integer(), nullable=True, comment="of the answer the client was given"),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("upstream_request_id", sa.Text(), nullable=True),
        sa.Column(
            "reserved_at_ms",
            sa.BigInteger(),
            nullable=False,
            comment="also the instant of its price and of its intervals",
        ),
        sa.Column("dispatched_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True, comment="settled, released or given up as unknown"),
        sa.Column("upstream_ms", sa.Integer(), nullable=True, comment="from dispatch to the relay's last byte"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
    )
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_requests_reserved_at_ms"), ["reserved_at_ms"], unique=False)
        batch_op.create_index(
            "ix_requests_unresolved",
            ["state", "owner"],
            unique=False,
            sqlite_where=sa.text("state IN ('reserved', 'dispatched', 'unknown')"),
            postgresql_where=sa.text("state IN ('reserved', 'dispatched', 'unknown')"),
        )
        batch_op.create_index(
            batch_op.f("ix_requests_user_id_reserved_at_ms"), ["user_id", "reserved_at_ms"], unique=False
        )
    _seed(int(time.time() * 1000))


# model, what it does, whether it refuses response_format, micros per image (None: the relay publishes no price)
_CATALOG = (
    ("gpt-image-1", ["generation", "edit"], 1, 1_000_000),
    ("seedream-3.0", ["generation"], 0, 80_000),
    ("imagen4", ["generation"], 0, None),
    ("flux-kontext-pro", ["generation", "edit"], 0, 200_000),
    ("flux-kontext-max", ["generation", "edit"], 0, 400_000),
)


def _seed(now_ms: int) -> None:
    text, number = sa.Text(), sa.BigInteger()
    organization = sa.table("organization", sa.column("id"), sa.column("revision"), sa.column("created_at_ms"))
    op.bulk_insert(organization, [{"id": 1, "revision": 1, "created_at_ms": now_ms}])
    projects = sa.table("projects", sa.column("id"), sa.column("name"), sa.column("created_at_ms"))
    op.bulk_insert(projects, [{"id": "proj_default", "name": "default", "created_at_ms": now_ms}])
    models = sa.table(
        "models",
        sa.column("id", text),
        sa.column("operations", sa.JSON()),
        sa.column("sizes", sa.JSON()),
        sa.column("qualities", sa.JSON()),
        sa.column("refuses_response_format", number),
        sa.column("created_at_ms", number),
    )
    op.bulk_insert(
        models,
        [
            {
                "id": model,
                "operations": operations,
                "sizes": [],
                "qualities": [],
                "refuses_response_format": refuses,
                "created_at_ms": now_ms,
            }
            for model, operations, refuses, _ in _CATALOG
        ],
    )
    prices = sa.table(
        "prices", sa.column("model"), sa.column("from_ms"), sa.column("image_micros"), sa.column("created_at_ms")
    )
    op.bulk_insert(
        prices,
        [
            {"model": model, "from_ms": 0, "image_micros": micros, "created_at_ms": now_ms}
            for model, _, _, micros in _CATALOG
            if micros is not None
        ],
    )
