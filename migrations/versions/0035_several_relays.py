"""Several relays, and the requests that one of them refused before another got them."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    relays = op.create_table(
        "relays",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), comment="NULL: the one of the settings"),
        sa.Column(
            "sealed_key",
            sa.LargeBinary(),
            comment="encrypted under the installation's secret; NULL: the one of the settings",
        ),
        sa.Column("profile", sa.Text(), comment="of its bills, C or N; NULL: as the settings say"),
        sa.Column(
            "weight",
            sa.Integer(),
            nullable=False,
            comment="its part of the requests; 0: only those that no other takes",
        ),
        sa.Column("concurrent", sa.Integer(), comment="most requests at once; NULL without a bound"),
        sa.Column("models", sa.JSON(none_as_null=True), comment="those it gets requests for; NULL: all"),
        sa.Column("price_factor", sa.Integer(), nullable=False, comment="its prices in millionths of the price book's"),
        sa.Column(
            "micros_per_dollar", sa.BigInteger(), comment="price of 500,000 of its points; NULL: as the settings say"
        ),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("key_replaced_at_ms", sa.BigInteger()),
        sa.Column("disabled_at_ms", sa.BigInteger(), comment="it gets no requests since"),
        sa.Column("removed_at_ms", sa.BigInteger(), comment="likewise; its key goes once none of its requests is open"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_relays")),
    )
    default = {"name": "default", "weight": 1, "price_factor": 1_000_000, "created_at_ms": int(time.time() * 1000)}
    op.bulk_insert(relays, [default])
    op.create_table(
        "refused_dispatches",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("relay", sa.Text(), nullable=False, comment="it refused the request free of charge"),
        sa.Column("dispatched_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="error code of the refusal"),
        sa.PrimaryKeyConstraint("request_id", "relay", name=op.f("pk_refused_dispatches")),
    )
