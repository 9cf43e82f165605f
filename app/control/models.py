"""Catalog of models, and rules about the models a project may use."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.control.names import quoted
from app.control.projects import get_active_project, get_project
from app.core.catalog import Catalog
from app.core.grants import ModelMode, ModelRule
from app.errors import InvalidValue
from app.store import model_permissions as store
from app.store import prices
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database


@dataclass(frozen=True, slots=True)
class ModelRow:
    """Entry of the catalog. `priced`: it has a price now. `allowed` is None where no project was named."""

    model: str
    operations: tuple[str, ...]
    sizes: tuple[str, ...]
    qualities: tuple[str, ...]
    priced: bool
    allowed: bool | None


async def list_models(database: Database, project: str | None = None) -> list[ModelRow]:
    """List the catalog, oldest entry first. Raises NotFound for the project."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        catalog = await prices.read_catalog(connection)
        if project is None:
            return _rows(catalog, now_ms, None, named=False)
        rule = await store.find_rule(connection, (await get_project(connection, project)).id)
    return _rows(catalog, now_ms, rule, named=True)


async def show_rule(database: Database, project: str) -> ModelRule | None:
    """Return the rule of a project; None where it may use every model. Raises NotFound."""
    async with database.read() as connection:
        return await store.find_rule(connection, (await get_project(connection, project)).id)


async def set_rule(database: Database, project: str, mode: ModelMode, models: Sequence[str]) -> ModelRule:
    """Replace a project's rule. An empty list to allow allows nothing, an empty list to deny denies nothing.

    Raises NotFound and Conflict for the project, InvalidValue for a model that is not in the catalog.
    """
    rule = ModelRule(mode, tuple(dict.fromkeys(models)))
    async with database.write() as connection:
        project_id = (await get_active_project(connection, project)).id
        _check_known((await prices.read_catalog(connection)), rule.models)
        before = await store.find_rule(connection, project_id)
        await store.set_rule(connection, project_id, rule)
        await log_changes(connection, _change("updated", project_id, before, rule))
    return rule


async def remove_rule(database: Database, project: str) -> bool:
    """Remove a project's rule; True when there was one. Raises NotFound and Conflict."""
    async with database.write() as connection:
        project_id = (await get_active_project(connection, project)).id
        before = await store.find_rule(connection, project_id)
        await store.remove_rule(connection, project_id)
        await log_changes(connection, _change("deleted", project_id, before, None))
    return before is not None


def _rows(catalog: Catalog, now_ms: int, rule: ModelRule | None, *, named: bool) -> list[ModelRow]:
    return [
        ModelRow(
            model.id,
            tuple(sorted(model.operations)),
            model.sizes,
            model.qualities,
            model.is_priced_at(now_ms),
            (rule is None or rule.allows(model.id)) if named else None,
        )
        for model in catalog.models.values()
    ]


def _check_known(catalog: Catalog, names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in catalog.models]:
        message = f"Not in the catalog: {', '.join(map(quoted, unknown))}; in it: {', '.join(catalog.models)}."
        raise InvalidValue(message, param="model_ids")


def _change(what: str, project_id: str, before: ModelRule | None, after: ModelRule | None) -> Change:
    return Change(f"model_permissions.{what}", project_id, _facts(before), _facts(after), project_id)


def _facts(rule: ModelRule | None) -> Facts | None:
    return None if rule is None else {"mode": rule.mode, "models": list(rule.models)}
