"""Ledger and retries of a database, over their own connections."""

from typing import NamedTuple

from app.store.engine import DatabaseUrl
from app.store.ledger.retries import PostgresqlRetries, Retries, SqliteRetries
from app.store.ledger.sqlite import SqliteLedger
from app.store.ledger.types import Ledger
from app.store.writer import Writer


class Book(NamedTuple):
    """Ledger and retries over the same connections. Closing the ledger closes both."""

    ledger: Ledger
    retries: Retries


def open_book(where: DatabaseUrl, connections_max: int) -> Book:
    """Return the book of a database. It connects at its first use; the caller closes it."""
    if where.path is not None:
        writer = Writer(where.path)
        return Book(SqliteLedger(writer), SqliteRetries(writer))
    # asyncpg takes 5 MiB, which SQLite does not need.
    from app.store.ledger.postgresql import PostgresqlLedger
    from app.store.postgresql import Pool

    pool = Pool(where, connections_max)
    return Book(PostgresqlLedger(pool), PostgresqlRetries(pool))
