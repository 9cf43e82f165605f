"""Which implementation of `Purchases` a database takes."""

from app.store.engine import DatabaseUrl
from app.store.postgresql import Pool
from app.store.purchases import Purchases
from app.store.purchases_postgresql import PostgresqlPurchases
from app.store.purchases_sqlite import SqlitePurchases
from app.store.writer import Writer


def open_purchases(where: DatabaseUrl, connections_max: int) -> Purchases:
    """Opens nothing yet: the first use does. Whoever got it closes it."""
    if where.path is not None:
        return SqlitePurchases(Writer(where.path))
    return PostgresqlPurchases(Pool(where.url, connections_max))
