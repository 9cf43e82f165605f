"""Aliases of models: set, list and remove them. A model of the catalog takes precedence over every alias of its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.control.names import quoted
from app.core.aliases import ALIAS_NAME, ModelAlias, Translation
from app.core.catalog import Catalog, Model
from app.errors import Conflict, InvalidValue, NotFound
from app.store import model_aliases as store
from app.store import prices
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database

VALUE_CHARS_MAX = 32
NEEDED = ("model", "prompt", "n", "stream", "partial_images", "response_format", "image", "mask")
"""Fields that an alias cannot drop: the purchase or the form of its answer depends on them."""


@dataclass(frozen=True, slots=True)
class AliasChange:
    """Alias to create or change. None keeps what the alias has; an empty value removes it, and so does "" as `response_format`."""

    name: str
    model: str
    sizes: Mapping[str, str] | None = None
    qualities: Mapping[str, str] | None = None
    dropped_fields: Sequence[str] | None = None
    response_format: Literal["url", "b64_json", ""] | None = None


@dataclass(frozen=True, slots=True)
class ListedAlias:
    """Alias with whether a model of the catalog hides it, because it has the same name."""

    alias: ModelAlias
    hidden: bool


async def list_aliases(database: Database) -> list[ListedAlias]:
    """List aliases by creation."""
    catalog = await database.ask(prices.read_catalog)
    return [ListedAlias(alias, alias.name in catalog.models) for alias in catalog.aliases]


async def set_alias(database: Database, change: AliasChange) -> ListedAlias:
    """Create an alias, or change the one of this name. Raises InvalidValue, and Conflict for the name of a model."""
    async with database.write() as connection:
        now_ms = await database.now_ms()
        model = _target(await prices.read_catalog(connection), change)
        before = await store.find_alias(connection, change.name)
        own = _changed(before.own if before else Translation({}, {}, (), None), change)
        alias = ModelAlias(change.name, model.id, own, before.created_at_ms if before else now_ms, now_ms)
        _check_translation(alias.translation, model)
        await store.put_alias(connection, alias)
        event = "model_alias.updated" if before else "model_alias.created"
        await log_changes(connection, Change(event, alias.name, _facts(before), _facts(alias)))
    return ListedAlias(alias, hidden=False)


async def remove_alias(database: Database, name: str) -> None:
    """Remove an alias. Raises NotFound."""
    async with database.write() as connection:
        before = await store.find_alias(connection, name)
        if before is None:
            message = f"There is no alias {quoted(name)}; `imagegate models aliases` lists them."
            raise NotFound(message, param="name")
        await store.remove_alias(connection, name)
        await log_changes(connection, Change("model_alias.deleted", name, _facts(before), None))


def _target(catalog: Catalog, change: AliasChange) -> Model:
    """Check both names, and return the model. Raises InvalidValue and Conflict."""
    name = change.name
    if not ALIAS_NAME.fullmatch(name) or ".." in name or "//" in name or name.endswith("/"):
        message = "is no name of an alias: letters, digits and . _ : / @ + - of at most 128, and * for any characters"
        raise InvalidValue(f"{quoted(name)} {message}.", param="name")
    if name in catalog.models:
        message = (
            f"{quoted(name)} is a model of the catalog, and a model always wins over an alias: choose another name."
        )
        raise Conflict(message, param="name")
    model = catalog.models.get(change.model)
    if model is not None:
        return model
    if (alias := catalog.alias(change.model)) is not None:
        message = f"{quoted(change.model)} is an alias itself: name the model it stands for, {alias.model}."
        raise InvalidValue(message, param="model")
    raise InvalidValue(catalog.not_found(change.model, list(catalog.models)).message, param="model")


def _changed(own: Translation, change: AliasChange) -> Translation:
    return Translation(
        own.sizes if change.sizes is None else change.sizes,
        own.qualities if change.qualities is None else change.qualities,
        own.dropped_fields if change.dropped_fields is None else tuple(dict.fromkeys(change.dropped_fields)),
        own.response_format if change.response_format is None else change.response_format or None,
    )


def _check_translation(rules: Translation, model: Model) -> None:
    for field, values, listed in (("size", rules.sizes, model.sizes), ("quality", rules.qualities, model.qualities)):
        for asked, sent in values.items():
            _check_value(field, asked)
            _check_value(field, sent)
            if listed and sent not in (*listed, "auto"):
                message = f"{model.id} takes as {field}: {', '.join(listed)}; not {quoted(sent)}."
                raise InvalidValue(message, param=field)
    for name in rules.dropped_fields:
        if not name.isprintable() or not 1 <= len(name) <= VALUE_CHARS_MAX or name.casefold() in NEEDED:
            message = (
                f"The field {quoted(name)} cannot be dropped: the purchase depends on it, or it is no field's name."
            )
            raise InvalidValue(message, param="drop")


def _check_value(field: str, value: str) -> None:
    if not value.isprintable() or " " in value or not 1 <= len(value) <= VALUE_CHARS_MAX:
        message = f"must be 1 to {VALUE_CHARS_MAX} visible characters, like 1792x1024=1536x1024"
        raise InvalidValue(f"The {field} {quoted(value)} {message}.", param=field)


def _facts(alias: ModelAlias | None) -> Facts | None:
    if alias is None:
        return None
    return {
        "name": alias.name,
        "model": alias.model,
        "sizes": dict(alias.own.sizes),
        "qualities": dict(alias.own.qualities),
        "dropped_fields": list(alias.own.dropped_fields),
        "response_format": alias.own.response_format,
    }
