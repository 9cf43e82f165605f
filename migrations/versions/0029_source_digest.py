"""The picture that an edit began with, by its digest."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    source = "BLAKE3 of the first picture that was sent to be edited, in hex; as prompt_hmac"
    op.add_column("requests", sa.Column("source_digest", sa.Text(), comment=source))
