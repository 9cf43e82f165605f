"""Aliases of models; a new book begins with DALL-E's names."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    aliases = op.create_table(
        "model_aliases",
        sa.Column("name", sa.Text(), nullable=False, comment="each * stands for any characters"),
        sa.Column("model", sa.Text(), nullable=False, comment="never an alias"),
        sa.Column("sizes", sa.JSON(), nullable=False, comment="the model's size by the client's"),
        sa.Column("qualities", sa.JSON(), nullable=False, comment="as sizes"),
        sa.Column("dropped_fields", sa.JSON(), nullable=False, comment="a list of names"),
        sa.Column(
            "response_format",
            sa.Text(),
            comment="for clients that name none: url or b64_json; NULL: the model's own",
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.id"], name=op.f("fk_model_aliases_model")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model_aliases")),
    )
    # A book is new until its first start binds it to a secret. In one that is in use an unknown model stays an error, until an
    # administrator says what it stands for.
    organization = sa.table("organization", sa.column("pepper_fingerprint"))
    if op.get_bind().execute(sa.select(organization.c.pepper_fingerprint)).scalar_one() is not None:
        return
    now_ms = int(time.time() * 1000)
    shared = {"model": "gpt-image-1", "sizes": {}, "qualities": {}, "dropped_fields": [], "response_format": "url"}
    times = {"created_at_ms": now_ms, "updated_at_ms": now_ms}
    op.bulk_insert(aliases, [{"name": name, **shared, **times} for name in ("dall-e-2", "dall-e-3")])
