"""The timezone of the book, which its days, weeks and months were counted in."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    # NULL until the next start: a book of an earlier version takes the timezone of the first start after the upgrade.
    op.add_column(
        "organization", sa.Column("timezone", sa.Text(), comment="where days, weeks and months of the book begin")
    )
