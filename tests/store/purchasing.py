"""Orders for the tests of the money of a request, on either database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

import sqlalchemy as sa

from app.core.intervals import Interval
from app.core.limits import Limit, Scope, Unit
from app.store.engine import Database
from app.store.ledger.columns import CounterKey, Ending, Reservation, Settlement
from app.store.ledger.postgresql import PostgresqlLedger
from app.store.ledger.sqlite import SqliteLedger
from app.store.ledger.types import Ledger
from app.store.postgresql import Pool
from app.store.tables import counters, limits, organization, requests, usage
from app.store.writer import Writer

NOW_MS = 1_795_276_800_000
ENDING = Ending(at_ms=NOW_MS + 5_000, http_status=200)


@asynccontextmanager
async def open_ledger(database: Database, connections_max: int = 10) -> AsyncIterator[Ledger]:
    where = database.where
    ledger: Ledger = SqliteLedger(Writer(where.path)) if where.path else PostgresqlLedger(Pool(where, connections_max))
    try:
        yield ledger
    finally:
        await ledger.close()


@dataclass
class Desk:
    """Makes limits and orders, and reads what became of them."""

    database: Database
    ledger: Ledger
    revision: int = 0
    _numbers: Any = field(default_factory=count)

    async def limit(
        self, unit: Unit, amount: int, scope: Scope = "user", interval: Interval = "month", model: str = ""
    ) -> Limit:
        row = {
            "scope": scope,
            "scope_id": f"{scope}-1",
            "model": model,
            "unit": unit,
            "interval": interval,
            "amount": amount,
        }
        async with self.database.write() as connection:
            inserted = await connection.execute(sa.insert(limits).values(row))
            self.revision = (await connection.execute(sa.select(organization.c.revision))).scalar_one()
        [number] = cast("tuple[int]", inserted.inserted_primary_key)
        return Limit(id=number, owner="lin", **cast("Any", row))

    async def order(
        self, *held: Limit, quote_micros: int = 10, n: int = 1, starts_at_ms: int = 0, **given: Any
    ) -> Reservation:
        """An order that holds on `held`, made on the newest control data."""
        if self.revision == 0:
            async with self.database.read() as connection:
                self.revision = (await connection.execute(sa.select(organization.c.revision))).scalar_one()
        order = Reservation(
            request_id=f"req_{next(self._numbers):04d}",
            owner="proc_1",
            api_key_id="key_1",
            user_id="user-1",
            project_id="proj_1",
            operation="generation",
            model="gpt-image-1",
            n=n,
            size="1024x1024",
            quality=None,
            stream=False,
            prompt_chars=5,
            prompt_hmac=b"hmac",
            quote_micros=quote_micros,
            reserved_at_ms=NOW_MS,
            revision=self.revision,
            counter_keys=tuple(CounterKey(limit, starts_at_ms) for limit in held),
        )
        return replace(order, **given)

    async def counter(self, limit: Limit, starts_at_ms: int = 0) -> tuple[int, int]:
        """(spent, held)."""
        wanted = sa.select(counters.c.spent, counters.c.held).where(
            counters.c.limit_id == limit.id, counters.c.starts_at_ms == starts_at_ms
        )
        async with self.database.read() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        return (row.spent, row.held) if row else (0, 0)

    async def row(self, request_id: str) -> dict[str, Any] | None:
        async with self.database.read() as connection:
            row = (
                (await connection.execute(sa.select(requests).where(requests.c.id == request_id)))
                .mappings()
                .one_or_none()
            )
        return dict(row) if row else None

    async def usage(self) -> list[dict[str, Any]]:
        async with self.database.read() as connection:
            return [dict(row) for row in (await connection.execute(sa.select(usage))).mappings()]


def settlement(cost_micros: int = 8, images: int = 1, **given: Any) -> Settlement:
    booked = Settlement(ending=ENDING, cost_micros=cost_micros, images=images, hour_at_ms=NOW_MS, day="2026-11-21")
    return replace(booked, **given)
