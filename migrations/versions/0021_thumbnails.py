"""Size of the thumbnail of each kept picture."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    comment = "size of its thumbnail; NULL: none is made yet, 0: none can be made"
    op.add_column("pictures", sa.Column("thumbnail_bytes", sa.Integer(), comment=comment))
