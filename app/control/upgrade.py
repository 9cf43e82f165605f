"""Upgrade of a database to the schema of this program, with a copy of SQLite's file before."""

import sqlite3
import threading
from pathlib import Path

from app.control.backup import in_quiet_thread
from app.control.manifest import beside, rename_durably
from app.control.schema_gate import check_not_newer
from app.errors import ConfigurationError
from app.store.engine import Database
from app.store.migrations import upgrade
from app.store.schema import SchemaState, schema_state
from app.store.sqlite_copy import copy_sqlite


async def upgrade_with_copy(database: Database) -> tuple[SchemaState, Path | None]:
    """Upgrade the schema; returns its state and, on SQLite, the file that holds the database as it was. Only the newest of these
    files is kept. Nobody else may use SQLite's directory meanwhile.

    Raises ConfigurationError for a schema that is newer than this program, and for a copy that cannot be made: then nothing is
    changed.
    """
    state = await schema_state(database)
    check_not_newer(state)
    copy = None
    if database.where.path is not None and state.current is not None and not state.up_to_date:
        copy = await _copied(database.where.path, state.current)
    return await upgrade(database), copy


async def _copied(path: Path, version: str) -> Path:
    copy = path.with_name(f"{path.stem}-{version}.db")
    draft = beside(copy, ".partial")
    try:
        await in_quiet_thread(copy_sqlite, path, draft, threading.Event())
        rename_durably(draft, copy)
    except (OSError, sqlite3.Error) as exc:
        draft.unlink(missing_ok=True)
        why = getattr(exc, "strerror", None) or str(exc)
        raise ConfigurationError(
            f"The database cannot be copied before its upgrade ({why}), so that it stays as it is. Make room in {path.parent} for "
            "a second file of its size."
        ) from exc
    for older in path.parent.glob(f"{path.stem}-[0-9][0-9][0-9][0-9].db"):
        if older != copy:
            older.unlink()
    return copy
