"""Indexes for lists of everybody's pictures by user and by model."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_index("ix_pictures_user_id_created_at_ms", "pictures", ["user_id", "created_at_ms"])
    op.create_index("ix_pictures_model_created_at_ms", "pictures", ["model", "created_at_ms"])
