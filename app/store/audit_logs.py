"""Audit log of every change of control data, written in the transaction of the change and never altered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.actors import Actor
from app.core.ids import new_id
from app.store.engine import NOW_MS
from app.store.journal import revocation_of
from app.store.pages import Cursor, Page, read_page
from app.store.tables import audit_logs, projects

Facts = Mapping[str, Any]
"""JSON fields of an object before or after a change. Never a secret."""


@dataclass(frozen=True, slots=True)
class Change:
    """Change of one object. `event` is OpenAI's name if it has one (`project.created`). `before` is None for a creation, `after`
    for a deletion."""

    event: str
    target_id: str
    before: Facts | None
    after: Facts | None
    project_id: str | None = None


async def log_changes(connection: AsyncConnection, *changes: Change) -> None:
    """Log changes in the same transaction: one of `Database.write`, or of `Database.transaction` where no reservation depends
    on them. Both know the actor. Skips a change without a difference."""
    sync = connection.sync_connection
    assert sync is not None
    options = sync.get_execution_options()
    actor: Actor = options["imagegate_actor"]
    changes = tuple(change for change in changes if change.before != change.after)
    rows = [_row(change, actor) for change in changes]
    revocations = (
        revocation_of(each.event, each.target_id, each.before, each.after, each.project_id) for each in changes
    )
    options["imagegate_revocations"].extend(each for each in revocations if each is not None)
    for row in rows:
        now_ms: sa.ColumnElement[int] = sa.literal_column(NOW_MS[connection.dialect.name])
        await connection.execute(sa.insert(audit_logs).values(**row, at_ms=now_ms))


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """Change in the log. `project` is the current name of its project."""

    id: str
    at_ms: int
    actor: Actor
    event: str
    target_id: str
    project_id: str | None
    project: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class AuditLogFilter:
    """Filter of changes. Each list that is not empty selects its values. `from_ms` inclusive, `until_ms` exclusive."""

    events: Sequence[str] = ()
    actor_ids: Sequence[str] = ()
    actor_emails: Sequence[str] = ()
    project_ids: Sequence[str] = ()
    target_ids: Sequence[str] = ()
    from_ms: int | None = None
    until_ms: int | None = None


async def page_of_changes(connection: AsyncConnection, cursor: Cursor, filter: AuditLogFilter) -> Page[LoggedChange]:
    """Read a page of changes, in the order they were made."""
    order = (audit_logs.c.number, audit_logs.c.id)
    return await read_page(connection, _SELECT.where(*_conditions(filter)), cursor, _logged, order)


_SELECT: sa.Select[Any] = sa.select(audit_logs, projects.c.name.label("project")).select_from(
    audit_logs.outerjoin(projects, projects.c.id == audit_logs.c.project_id)
)


def _conditions(filter: AuditLogFilter) -> list[sa.ColumnElement[bool]]:
    table = audit_logs.c
    among = {
        table.event: filter.events,
        table.actor_id: filter.actor_ids,
        table.actor_email: filter.actor_emails,
        table.project_id: filter.project_ids,
        table.target_id: filter.target_ids,
    }
    conditions: list[sa.ColumnElement[bool]] = [column.in_(values) for column, values in among.items() if values]
    if filter.from_ms is not None:
        conditions.append(table.at_ms >= filter.from_ms)
    if filter.until_ms is not None:
        conditions.append(table.at_ms < filter.until_ms)
    return conditions


def _logged(row: sa.RowMapping) -> LoggedChange:
    actor = Actor(row["actor_kind"], row["actor_id"], row["actor_name"], row["actor_email"])
    names = ("id", "at_ms", "event", "target_id", "project_id", "project", "before", "after")
    return LoggedChange(actor=actor, **{name: row[name] for name in names})


def _row(change: Change, actor: Actor) -> dict[str, Any]:
    return {
        "id": new_id("audit_log-"),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "actor_name": actor.name,
        "actor_email": actor.email,
        "event": change.event,
        "target_id": change.target_id,
        "project_id": change.project_id,
        "before": sa.null() if change.before is None else dict(change.before),
        "after": sa.null() if change.after is None else dict(change.after),
    }
