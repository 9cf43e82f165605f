"""Queries of duplicates: the earlier purchase of the same pictures, and what was bought twice or served instead."""

from dataclasses import dataclass

import sqlalchemy as sa

from app.store.engine import Database, insert
from app.store.ledger.earlier import earlier_purchase_sql
from app.store.tables import (
    served_duplicates,
)


@dataclass(frozen=True, slots=True)
class EarlierPurchase:
    """Settled request of which pictures are kept; `picture_id` is the first of them."""

    request_id: str
    picture_id: str
    n: int
    size: str | None
    quality: str | None
    reserved_at_ms: int


@dataclass(frozen=True, slots=True)
class PurchaseRows:
    """Purchases by the digest of their request. Raises StoreUnavailable."""

    database: Database

    async def newest(self, digest: bytes, now_ms: int, *, whole: bool) -> EarlierPurchase | None:
        """Find the newest purchase with a digest of which a picture is kept, or with `whole` all that it asked for."""
        earlier = earlier_purchase_sql(iter([":digest", ":now_ms", ":now_ms"]), whole=whole)
        columns = "r.n, r.size, r.quality, r.reserved_at_ms"
        select = sa.text(
            f"SELECT e.request_id, e.picture_id, {columns} FROM ({earlier}) e JOIN requests r ON r.id = e.request_id"  # noqa: S608
        ).bindparams(sa.bindparam("digest", digest, sa.LargeBinary), sa.bindparam("now_ms", now_ms, sa.BigInteger))
        async with self.database.read() as connection:
            row = (await connection.execute(select)).mappings().one_or_none()
        return None if row is None else EarlierPurchase(**row)

    async def note_served(self, request_id: str, api_key_id: str, hour_at_ms: int) -> None:
        """Count one more serving of the pictures of a request to a key. Raises StorageFull, too."""
        key = {"hour_at_ms": hour_at_ms, "request_id": request_id, "api_key_id": api_key_id}
        async with self.database.transaction() as connection:
            statement = insert(connection, served_duplicates).values(**key, count=1)
            more = {"count": served_duplicates.c.count + 1}
            await connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=more))
