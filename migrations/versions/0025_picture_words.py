"""Bits of the words of the prompt of each kept picture, for searches."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
COLUMNS = [f"words_{number}" for number in range(8)]


def upgrade() -> None:
    comment = "bits of the words of the prompt, see app/core/word_bits.py; NULL: not known"
    for name in COLUMNS:
        op.add_column("pictures", sa.Column(name, sa.BigInteger(), comment=comment))
    op.create_index("ix_pictures_words", "pictures", ["created_at_ms", "id", *COLUMNS])
    op.drop_index("ix_pictures_created_at_ms_id", "pictures")
