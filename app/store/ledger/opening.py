"""Ledger and retries of a database, over their own connections."""

from typing import NamedTuple

from app.store.engine import DatabaseUrl
from app.store.ledger.retries import PostgresqlRetries, Retries, SqliteRetries
from app.store.ledger.sqlite import SqliteLedger
from app.store.ledger.types import Ledger
from app.store.writer import Writer


class LedgerConnections(NamedTuple):
    """Ledger and retries over the same connections. Closing the ledger closes both."""

    ledger: Ledger
    retries: Retries


def open_ledger_and_retries(where: DatabaseUrl, connections_max: int) -> LedgerConnections:
    """Return ledger and retries of a database. They connect at the first use; the caller closes the ledger."""
    if where.path is not None:
        writer = Writer(where.path)
        return LedgerConnections(SqliteLedger(writer), SqliteRetries(writer))
    # asyncpg takes 5 MiB, which SQLite does not need.
    from app.store.ledger.postgresql import PostgresqlLedger
    from app.store.postgresql import Pool

    pool = Pool(where, connections_max)
    return LedgerConnections(PostgresqlLedger(pool), PostgresqlRetries(pool))
