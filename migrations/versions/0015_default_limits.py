"""Default limits: rows of the scope `everyone`, and the limits that users get from them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    comment = "of a user's limit that comes from a default: the default's scope_id; else NULL"
    op.add_column("limits", sa.Column("default_of", sa.Text(), comment=comment))
