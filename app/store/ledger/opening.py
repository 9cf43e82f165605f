"""Which implementation a database takes for what every image request passes."""

from typing import NamedTuple

from app.store.engine import DatabaseUrl
from app.store.ledger.originals import Retries
from app.store.ledger.retries_sqlite import SqliteRetries
from app.store.ledger.sqlite import SqliteLedger
from app.store.ledger.types import Ledger
from app.store.writer import Writer


class Book(NamedTuple):
    """Money and tries over the same connections; closing `purchases` closes both."""

    ledger: Ledger
    retries: Retries


def open_book(where: DatabaseUrl, connections_max: int) -> Book:
    """Opens nothing yet: the first use does. Whoever got it closes it."""
    if where.path is not None:
        writer = Writer(where.path)
        return Book(SqliteLedger(writer), SqliteRetries(writer))
    # asyncpg is 5 MiB, for those who need it.
    from app.store.ledger.postgresql import PostgresqlLedger
    from app.store.ledger.retries_postgresql import PostgresqlRetries
    from app.store.postgresql import Pool

    pool = Pool(where.url, connections_max)
    return Book(PostgresqlLedger(pool), PostgresqlRetries(pool))


def open_ledger(where: DatabaseUrl, connections_max: int) -> Ledger:
    """The money alone."""
    return open_book(where, connections_max).ledger
