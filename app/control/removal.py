"""Removal of prices and models that were mistyped. A price ends and a model leaves the catalog; no row is deleted."""

from app.control.names import quoted
from app.control.prices import ListedPrice, ordered, price_facts
from app.core.pricing import Price
from app.errors import Conflict, NotFound
from app.store import prices as store
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database, block_reservations

PREFIX = "price_"


async def end_price(database: Database, price_id: str) -> ListedPrice:
    """End a price now, also one that has not begun. The price for the same names that it replaced is in force again. Whatever was
    reserved before keeps its price.

    Raises NotFound, and Conflict for a price that has ended, and while a request that it may price is reserved, dispatched or
    unknown.
    """
    async with database.write() as connection:
        await block_reservations(connection)
        models = (await store.read_catalog(connection)).models
        found = [(model, price) for model in models.values() for price in model.prices.prices if _id(price) == price_id]
        if not found:
            message = f"There is no price {quoted(price_id)}. `imagegate prices list` shows them with their ids."
            raise NotFound(message, param="price_id")
        [(model, price)] = found
        if price.until_ms is not None:
            raise Conflict(f"The price {price_id} has ended already.", param="price_id")
        until_ms = await database.now_ms() + 1  # Requests reserved before have an earlier instant.
        if not await store.end_price(connection, price, until_ms):
            states = await store.open_requests(connection, price.model, price.operation, price.from_ms)
            wrong = f"A wrong price is replaced at once with `imagegate prices set {price.model} --per-image AMOUNT`"
            raise _in_use(states, f"that {price_id} may price", wrong)
        ended = next(each for each in await store.list_prices(connection) if each.id == price.id)
        await log_changes(connection, Change("price.ended", price_id, price_facts(price), price_facts(ended)))
    return ListedPrice(model.id, ordered(model.operations), ended, in_force=False)


async def remove_model(database: Database, name: str) -> None:
    """Remove a model from the catalog and end its prices. Its name stays in the book, in reports, and in limits and permissions,
    which hold again when a price makes the model anew.

    Raises NotFound, and Conflict while an alias stands for it, or a request for it is reserved, dispatched or unknown.
    """
    async with database.write() as connection:
        await block_reservations(connection)
        catalog = await store.read_catalog(connection)
        model = catalog.models.get(name)
        if model is None:
            message = f"There is no model {quoted(name)} in the catalog ({', '.join(catalog.models)})."
            raise NotFound(message, param="model")
        if aliases := [alias.name for alias in catalog.aliases if alias.model == name]:
            commands = ", ".join(f"`imagegate models alias {quoted(alias)} --remove`" for alias in aliases)
            raise Conflict(
                f"{name} cannot be removed while it has aliases. Remove each first: {commands}", param="model"
            )
        if not await store.remove_model(connection, name, await database.now_ms() + 1):
            raise _in_use(await store.open_requests(connection, name), f"for {name}", "")
        facts = {"operations": list(ordered(model.operations))}
        await log_changes(connection, Change("model.deleted", name, facts, None))


def _id(price: Price) -> str:
    return f"{PREFIX}{price.id}"


def _in_use(states: dict[str, int], which: str, instead: str) -> Conflict:
    """Make the refusal, which counts the requests that are not resolved and says what to do."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    unknown = "; `imagegate requests list --state unknown` shows those to decide" if "unknown" in states else ""
    message = (
        f"{sum(states.values())} requests {which} have no outcome yet ({counts}), and nothing is removed before that. "
    )
    return Conflict(f"{message}Try again when they have ended{unknown}. {instead}".strip())
