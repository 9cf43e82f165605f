"""The way a request was bought: in the console, or by the API."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    via = "`console` where a person bought it there; NULL for the API"
    op.add_column("requests", sa.Column("via", sa.Text(), comment=via))
