"""Indexes of pictures in the whole order of their lists: by time and id."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    for columns in (["user_id"], ["model"], ["user_id", "project_id"], ["project_id"]):
        name = f"ix_pictures_{'_'.join(columns)}_created_at_ms"
        op.drop_index(name, "pictures")
        op.create_index(f"{name}_id", "pictures", [*columns, "created_at_ms", "id"])
