"""The ledger and the retries of a database, over connections of their own."""

from typing import NamedTuple

from app.store.engine import DatabaseUrl
from app.store.ledger.retries import PostgresqlRetries, Retries, SqliteRetries
from app.store.ledger.sqlite import SqliteLedger
from app.store.ledger.types import Ledger
from app.store.writer import Writer


class Book(NamedTuple):
    """Money and tries over the same connections: closing the ledger closes both."""

    ledger: Ledger
    retries: Retries


def open_book(where: DatabaseUrl, connections_max: int) -> Book:
    """Return the book of a database. It connects at its first use; the caller closes it."""
    if where.path is not None:
        writer = Writer(where.path)
        return Book(SqliteLedger(writer), SqliteRetries(writer))
    # asyncpg is 5 MiB, for those who need it.
    from app.store.ledger.postgresql import PostgresqlLedger
    from app.store.postgresql import Pool

    pool = Pool(where, connections_max)
    return Book(PostgresqlLedger(pool), PostgresqlRetries(pool))
