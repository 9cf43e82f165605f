"""Number of pictures of a request that are not kept, because the relay's link was all there was."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    comment = "pictures of its answer that are not kept: the relay's link was all there was"
    op.add_column("requests", sa.Column("link_only", sa.Integer(), comment=comment))
