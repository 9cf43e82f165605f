"""Model permissions of projects in the database."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.grants import ModelRule
from app.store.engine import insert
from app.store.tables import model_permissions


async def find_rule(connection: AsyncConnection, project_id: str) -> ModelRule | None:
    """Find the rule of a project; None when it may use every model."""
    select = sa.select(model_permissions.c.mode, model_permissions.c.models)
    row = (await connection.execute(select.where(model_permissions.c.project_id == project_id))).one_or_none()
    return None if row is None else ModelRule(row[0], tuple(row[1]))


async def set_rule(connection: AsyncConnection, project_id: str, rule: ModelRule) -> None:
    """Replace the permissions of a project."""
    values = {"mode": rule.mode, "models": list(rule.models)}
    statement = insert(connection, model_permissions).values(project_id=project_id, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["project_id"], set_=values))


async def remove_rule(connection: AsyncConnection, project_id: str) -> None:
    await connection.execute(sa.delete(model_permissions).where(model_permissions.c.project_id == project_id))
