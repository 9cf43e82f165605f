"""Audit log for people: pages of changes."""

from app.store import audit_logs as store
from app.store.audit_logs import AuditLogFilter, LoggedChange
from app.store.engine import Database
from app.store.pages import Cursor, Page


async def page_of_changes(database: Database, cursor: Cursor, wanted: AuditLogFilter) -> Page[LoggedChange]:
    """List changes in the order they were made. Raises InvalidValue for the cursor."""
    async with database.read() as connection:
        return await store.page_of_changes(connection, cursor, wanted)
