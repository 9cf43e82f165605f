"""Which implementation a database takes for what every image request passes."""

from typing import NamedTuple

from app.store.engine import DatabaseUrl
from app.store.originals import Retries
from app.store.purchases import Purchases
from app.store.purchases_sqlite import SqlitePurchases
from app.store.retries_sqlite import SqliteRetries
from app.store.writer import Writer


class Book(NamedTuple):
    """Money and tries over the same connections; closing `purchases` closes both."""

    purchases: Purchases
    retries: Retries


def open_book(where: DatabaseUrl, connections_max: int) -> Book:
    """Opens nothing yet: the first use does. Whoever got it closes it."""
    if where.path is not None:
        writer = Writer(where.path)
        return Book(SqlitePurchases(writer), SqliteRetries(writer))
    # asyncpg is 5 MiB, for those who need it.
    from app.store.postgresql import Pool
    from app.store.purchases_postgresql import PostgresqlPurchases
    from app.store.retries_postgresql import PostgresqlRetries

    pool = Pool(where.url, connections_max)
    return Book(PostgresqlPurchases(pool), PostgresqlRetries(pool))


def open_purchases(where: DatabaseUrl, connections_max: int) -> Purchases:
    """The money alone."""
    return open_book(where, connections_max).purchases
