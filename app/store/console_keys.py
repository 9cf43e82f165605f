"""Grants of people in the console: a person in a project, with the key that their purchases there are booked to."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.grants import Grant
from app.store.control_data import OWNER_COLUMNS, grant_of_row
from app.store.tables import api_keys, model_permissions, organization, project_users, projects, users

NO_SECRET = b""
"""Stored in place of the HMAC of a key without a secret. No HMAC of 32 bytes equals it."""


async def member_grant(connection: AsyncConnection, user_id: str, project_id: str) -> Grant | None:
    """Read what a person may buy in a project; None when they are not in it. `key_id` is empty while they have no Console key
    there."""
    revision = (await connection.execute(sa.select(organization.c.revision))).scalar_one()
    of_member = (project_users.c.user_id == user_id, project_users.c.project_id == project_id)
    row = (await connection.execute(_GRANT.where(*of_member))).mappings().first()
    return None if row is None else await grant_of_row(connection, row, int(revision))


async def console_key_ids(connection: AsyncConnection, user_id: str) -> list[str]:
    """List a person's Console keys of all projects, revoked ones included."""
    own = (api_keys.c.user_id == user_id, api_keys.c.secret_hmac == NO_SECRET)
    return list((await connection.execute(sa.select(api_keys.c.id).where(*own))).scalars())


_CONSOLE_KEY = sa.and_(
    api_keys.c.user_id == project_users.c.user_id,
    api_keys.c.project_id == project_users.c.project_id,
    api_keys.c.secret_hmac == NO_SECRET,
)
_GRANT = (
    sa.select(
        sa.func.coalesce(api_keys.c.id, "").label("id"),
        sa.func.coalesce(api_keys.c.name, "").label("name"),
        sa.literal(NO_SECRET, sa.LargeBinary).label("secret_hmac"),
        *api_keys.c["models", "expires_at_ms", "revoked_at_ms", "previous_hmac", "previous_until_ms"],
        *project_users.c["user_id", "project_id"],
        *OWNER_COLUMNS,
    )
    .select_from(project_users)
    .join(users, users.c.id == project_users.c.user_id)
    .join(projects, projects.c.id == project_users.c.project_id)
    .outerjoin(api_keys, _CONSOLE_KEY)
    .outerjoin(model_permissions, model_permissions.c.project_id == project_users.c.project_id)
    .order_by(api_keys.c.created_at_ms)
)
