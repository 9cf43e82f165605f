"""Facts of a book that its backup is checked by: totals, schema, binding, and the pictures it names."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

_TOTALS = {
    "requests": "SELECT count(*) FROM requests",
    "booked_micros": "SELECT coalesce(sum(cost_micros), 0) FROM requests WHERE state = 'settled'",
    "corrections": "SELECT count(*) FROM corrections",
    "corrected_micros": "SELECT coalesce(sum(cost_micros), 0) FROM corrections",
    "users": "SELECT count(*) FROM users",
    "api_keys": "SELECT count(*) FROM api_keys",
    "pictures": "SELECT count(*) FROM pictures",
}
_BINDING = "SELECT (SELECT version_num FROM alembic_version), pepper_fingerprint, currency, timezone FROM organization"
_PICTURES = "SELECT digest, max(bytes) FROM pictures GROUP BY digest ORDER BY digest"


@dataclass(frozen=True, slots=True)
class BookFacts:
    """Facts of a book. `secret_fingerprint`, `currency` and `timezone` are None before its first start; `pictures` has the name
    and the bytes of each file."""

    schema: str
    secret_fingerprint: str | None
    currency: str | None
    timezone: str | None
    totals: dict[str, int]
    pictures: tuple[tuple[str, int], ...]


def facts_of_file(path: Path) -> BookFacts:
    """Read the facts of an SQLite file that nobody writes. Blocks. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        totals = {name: int(db.execute(select).fetchone()[0]) for name, select in _TOTALS.items()}
        schema, secret, currency, timezone = db.execute(_BINDING).fetchone()
        return BookFacts(schema, secret, currency, timezone, totals, tuple(db.execute(_PICTURES).fetchall()))


async def facts_of(connection: AsyncConnection) -> BookFacts:
    """Read the facts of a book in the caller's transaction."""
    totals = {name: int((await connection.exec_driver_sql(sql)).scalar_one()) for name, sql in _TOTALS.items()}
    [(schema, secret, currency, timezone)] = map(tuple, await connection.exec_driver_sql(_BINDING))
    pictures = tuple((name, size) for name, size in map(tuple, await connection.exec_driver_sql(_PICTURES)))
    return BookFacts(schema, secret, currency, timezone, totals, pictures)
