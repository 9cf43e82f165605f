"""Connections to SQLite for everything but the money of a request, each in a thread of its own."""

import sqlite3
from pathlib import Path
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_S = 5.0
"""Longest wait for another writer."""
SQLITE_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",  # What is deleted or replaced is overwritten, so that an erased prompt is in no free page.
    f"busy_timeout={int(BUSY_TIMEOUT_S * 1000)}",
)


def create_sqlite_engine(path: Path) -> AsyncEngine:
    """Make the engine for the database file at `path`; the first use connects."""
    url = sa.URL.create("sqlite+imagegate", database=str(path))
    options = {"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "factory": GatewayConnection}
    engine = create_async_engine(url, connect_args=options)
    sa.event.listen(engine.sync_engine, "begin", _sqlite_begin)
    return engine


class GatewayDialect(SQLiteDialect_aiosqlite):
    """Dialect without SQLAlchemy's own SQL functions: to add them it waits for the thread of a new connection, and forgets it where
    the reader is cancelled meanwhile."""

    supports_statement_cache = True

    def on_connect(self) -> Any:
        """Prepare nothing: GatewayConnection has done so."""


registry.register("sqlite.imagegate", __name__, GatewayDialect.__name__)


class GatewayConnection(sqlite3.Connection):
    """Connection with SQLITE_PRAGMAS, whose cursors end with their transaction. The cursor of a cancelled reader would live until
    the garbage collector comes by; its snapshot would keep the log from being emptied, which grows meanwhile."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        try:
            for pragma in SQLITE_PRAGMAS:
                self.execute(f"PRAGMA {pragma}").close()
        except sqlite3.Error:
            self.close()
            raise

    def cursor(self, *args: Any) -> Any:
        cursor = super().cursor(*args)
        self._cursors.add(cursor)
        return cursor

    def rollback(self) -> None:
        self._close_cursors()
        super().rollback()

    def close(self) -> None:
        self._close_cursors()
        super().close()

    def _close_cursors(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()


def _sqlite_begin(connection: sa.Connection) -> None:
    """Begin a transaction; with writes an immediate one, because a deferred one fails with BUSY at its first write."""
    options = connection.get_execution_options()
    if options.get("imagegate_rebuild"):
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")  # Inside a transaction it does nothing.
    writes = options.get("imagegate_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
