"""The relay a request went to, what its client asked for, and charges and drift by relay."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

KEYS = {"charges": ("relay", "proof"), "drift": ("relay", "day", "model")}


def upgrade() -> None:
    # Columns without a default are added without touching the rows: this takes no longer for a long book.
    for name, comment in (
        ("relay", "the relay it was dispatched to; NULL in a row dispatched before version 0009: default"),
        ("response_format", "as asked: url or b64_json"),
        ("asked_model", "the alias asked for; NULL where the model itself was"),
        ("prompt", "NULL unless prompts are kept; never in lists or CSV"),
    ):
        op.add_column("requests", sa.Column(name, sa.Text(), comment=comment))
    for table, key in KEYS.items():
        with op.batch_alter_table(table) as batch:
            batch.add_column(
                sa.Column("relay", sa.Text(), nullable=False, server_default="default", comment="whose log it is from")
            )
            batch.drop_constraint(f"pk_{table}", type_="primary")
            batch.create_primary_key(op.f(f"pk_{table}"), list(key))
