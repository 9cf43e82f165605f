"""Change of the secret: a key of its own for digests of prompts, and for each key the secret that it was hashed with."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    digest_key = "encrypted key of the digests of prompts, which outlives a change of the secret"
    op.add_column("organization", sa.Column("digest_key", sa.LargeBinary(), comment=digest_key))
    under = "of the secret that secret_hmac was made with; NULL: none was bound yet"
    for table in ("api_keys", "admin_api_keys"):
        op.add_column(table, sa.Column("pepper_fingerprint", sa.Text(), comment=under))
        op.execute(f"UPDATE {table} SET pepper_fingerprint = (SELECT pepper_fingerprint FROM organization)")  # noqa: S608
