"""What it takes to know a request again, and to answer it again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("requests") as requests:
        requests.add_column(
            sa.Column("error", sa.JSON(), comment="what the client was told instead of images, for whoever asks again")
        )
        requests.add_column(sa.Column("idempotency_key", sa.Text(), comment="the client's; a release frees it"))
        requests.add_column(
            sa.Column("fingerprint", sa.LargeBinary(), comment="equal for requests that ask for the same")
        )
        requests.add_column(
            sa.Column(
                "tries",
                sa.Integer(),
                nullable=False,
                server_default="1",
                comment="of the client's call, as far as they came here",
            )
        )
        requests.add_column(sa.Column("tried_at_ms", sa.BigInteger(), comment="when the last of them came"))
        requests.add_column(
            sa.Column(
                "delivered_at_ms",
                sa.BigInteger(),
                comment="when the last byte of the answer was first handed over; never a state",
            )
        )
    keyed = sa.text("idempotency_key IS NOT NULL")
    op.create_index(
        "uq_requests_idempotency_key",
        "requests",
        ["api_key_id", "idempotency_key"],
        unique=True,
        sqlite_where=keyed,
        postgresql_where=keyed,
    )
    op.create_index("ix_requests_fingerprint", "requests", ["fingerprint"])
    op.create_table(
        "results",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column(
            "body",
            sa.LargeBinary(),
            comment="the relay's answer where it is small; NULL: in a file named by the request",
        ),
        sa.Column("body_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_results")),
    )
    op.create_index(op.f("ix_results_expires_at_ms"), "results", ["expires_at_ms"])
    op.create_table(
        "refusals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tries", sa.Integer(), nullable=False, comment="which try was refused: its retry buys, and joins nobody"
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusals")),
    )
    op.create_index(op.f("ix_refusals_fingerprint"), "refusals", ["fingerprint"])
