"""Pictures that are kept, and where their base64 was cut out of stored answers."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

INDEXES = (
    ("request_id",),
    ("digest",),
    ("kept_until_ms",),
    ("created_at_ms", "id"),
    ("user_id", "project_id", "created_at_ms"),
    ("project_id", "created_at_ms"),
)


def upgrade() -> None:
    op.create_table(
        "pictures",
        sa.Column("id", sa.Text(), nullable=False, comment="request_id and index, as the links in answers have it"),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False, comment="its place in `data` of the answer, from 0"),
        sa.Column("user_id", sa.Text(), nullable=False, comment="the request's, as project_id and model, for lists"),
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="BLAKE3 of the bytes in hex: the name of the blob"),
        sa.Column("media_type", sa.Text(), nullable=False, comment="from the first bytes, never from a label"),
        sa.Column("width_px", sa.Integer(), comment="NULL where the header cannot be read"),
        sa.Column("height_px", sa.Integer()),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("c2pa", sa.Integer(), nullable=False, comment="1: it carries a C2PA manifest"),
        sa.Column("visibility", sa.Text(), nullable=False, comment="private or project"),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False, comment="when the request was settled"),
        sa.Column("kept_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pictures")),
    )
    for columns in INDEXES:
        op.create_index(op.f(f"ix_pictures_{'_'.join(columns)}"), "pictures", list(columns))
    comment = (
        "where base64 was cut out of the answer because its picture is kept: [offset, length, index of the picture]; NULL: its "
        "pictures are not kept yet"
    )
    op.add_column("results", sa.Column("cuts", sa.JSON(none_as_null=True), comment=comment))
    where = sa.text("cuts IS NULL")
    op.create_index("ix_results_untaken", "results", ["created_at_ms"], sqlite_where=where, postgresql_where=where)
