"""Users whose data was erased, or is being erased."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    began = "when the erasure of their data began; the row stays for the money"
    op.add_column("users", sa.Column("erased_at_ms", sa.BigInteger(), comment=began))
    ended = "NULL: what was under way then may still have to be erased"
    op.add_column("users", sa.Column("erasure_ended_at_ms", sa.BigInteger(), comment=ended))
