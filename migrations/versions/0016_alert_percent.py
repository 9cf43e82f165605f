"""Alerts at a per cent of a limit: their threshold follows its amount."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    comment = "of the limit of the same scope, model, unit and interval; NULL where `threshold` says how much"
    op.add_column("alerts", sa.Column("percent", sa.Integer(), comment=comment))
