"""End of a price before a later one takes its place, and removal of a model; neither row is ever deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    comment = "removed from this instant on; what was reserved before keeps it. NULL: never"
    op.add_column("prices", sa.Column("until_ms", sa.BigInteger(), comment=comment))
    comment = "no longer in the catalog; the row stays for its prices and its name. NULL: it is"
    op.add_column("models", sa.Column("removed_at_ms", sa.BigInteger(), comment=comment))
