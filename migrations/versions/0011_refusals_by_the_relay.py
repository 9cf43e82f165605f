"""The relay's own words, status and code where it refused a request."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for column in (
        sa.Column("upstream_status", sa.Integer(), comment="of a refusal by the relay; 200 for an error in its answer"),
        sa.Column("upstream_code", sa.Text(), comment="the relay's own code of its refusal"),
        sa.Column("upstream_message", sa.Text(), comment="the relay's words, without keys, hosts and request ids"),
    ):
        op.add_column("requests", column)
