"""Keys and the secret that their HMACs were made with: moved to another one, and counted."""

import sqlalchemy as sa

from app.store.engine import Database
from app.store.tables import admin_api_keys, api_keys

TABLES = (api_keys, admin_api_keys)


async def replace_hmac(
    database: Database, table: sa.Table, key_id: str, former: bytes, current: bytes, pepper_fingerprint: str
) -> None:
    """Replace the HMAC `former` of a key by `current`, of the same secret under another pepper, wherever the key has it. The
    revision stays: what the key may do is unchanged."""
    key = table.c.id == key_id
    async with database.transaction() as connection:
        values = {"secret_hmac": current, "pepper_fingerprint": pepper_fingerprint}
        await connection.execute(sa.update(table).where(key, table.c.secret_hmac == former).values(values))
        if "previous_hmac" in table.c:
            previous = sa.update(table).where(key, table.c.previous_hmac == former)
            await connection.execute(previous.values(previous_hmac=current))


async def count_under_others(database: Database, pepper_fingerprint: str, now_ms: int) -> int:
    """Count the keys and admin keys that work and whose HMAC was made with another secret than this one."""
    counts = []
    for table in TABLES:
        works = sa.and_(
            table.c.revoked_at_ms.is_(None),
            sa.or_(table.c.expires_at_ms.is_(None), table.c.expires_at_ms > now_ms),
            table.c.last_four != "",
        )
        others = sa.and_(works, table.c.pepper_fingerprint != pepper_fingerprint)
        counts.append(sa.select(sa.func.count()).select_from(table).where(others).scalar_subquery())
    async with database.read() as connection:
        return sum((await connection.execute(sa.select(*counts))).one())
