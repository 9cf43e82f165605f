"""Equal requests of one user in one project: what was bought twice, and what was served instead."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    digest = "equal for requests of one user in one project that ask for the same; a release clears it"
    op.add_column("requests", sa.Column("duplicate_digest", sa.LargeBinary(), comment=digest))
    picture = "a picture that its user had bought by an equal request before and that was kept"
    op.add_column("requests", sa.Column("duplicate_of", sa.Text(), comment=picture))
    for name, columns, where in (
        ("ix_requests_duplicate_digest", ["duplicate_digest", "reserved_at_ms"], "duplicate_digest IS NOT NULL"),
        ("ix_requests_duplicates", ["reserved_at_ms"], "duplicate_of IS NOT NULL"),
    ):
        op.create_index(name, "requests", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
    op.create_table(
        "served_duplicates",
        sa.Column("hour_at_ms", sa.BigInteger(), nullable=False, comment="start of the UTC hour"),
        sa.Column("request_id", sa.Text(), nullable=False, comment="the request whose pictures were served"),
        sa.Column("api_key_id", sa.Text(), nullable=False, comment="the key that they were served to"),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour_at_ms", "request_id", "api_key_id", name=op.f("pk_served_duplicates")),
        sqlite_with_rowid=False,
    )
