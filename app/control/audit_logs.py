"""The log of every change, for reading."""

from app.store import audit_logs as store
from app.store.audit_logs import AuditLogFilter, LoggedChange
from app.store.engine import Database
from app.store.pages import Cursor, Page

__all__ = ["AuditLogFilter", "LoggedChange", "page_of_changes"]


async def page_of_changes(database: Database, cursor: Cursor, wanted: AuditLogFilter) -> Page[LoggedChange]:
    """Changes in the order of their making. Raises InvalidValue for the cursor."""
    async with database.read() as connection:
        return await store.page_of_changes(connection, cursor, wanted)
