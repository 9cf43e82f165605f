"""Administration of relays: add, change, list and remove them, and replace their keys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import quoted
from app.control.relay_keys import seal_relay_key
from app.core.money import decimal_text, micros
from app.core.relays import Relay, RelayProfile
from app.core.request import DEFAULT_RELAY
from app.errors import ConfigurationError, Conflict, InvalidValue, NotFound
from app.store import prices
from app.store import relays as store
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.upstream.addresses import relay_root, relay_url
from app.upstream.redaction import hide_secret

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
WEIGHT_MAX: Final = 1000
FACTOR_MAX: Final = 1000
CONCURRENT_MAX: Final = 100_000
MICROS_PER_DOLLAR_MAX: Final = 10**12
KEY_KEPT_MS: Final = 3_600_000
"""Time after the removal of a relay in which a request that was admitted before can still be sent to it."""


@dataclass(frozen=True, slots=True)
class RelayChange:
    """Fields of a relay to set; None keeps what it has.

    Empty `models` are all, 0 as `concurrent` is no bound, an empty `profile` and 0 as `micros_per_dollar` are those of the
    settings. `price_factor` is a decimal like `0.8`. A `base_url` needs its `key`.
    """

    base_url: str | None = None
    key: str | None = field(default=None, repr=False)
    profile: Literal[RelayProfile, ""] | None = None
    weight: int | None = None
    concurrent: int | None = None
    models: Sequence[str] | None = None
    price_factor: str | None = None
    micros_per_dollar: int | None = None
    disabled: bool | None = None


async def list_relays(database: Database, *, include_removed: bool = False) -> list[Relay]:
    """List relays by creation."""
    found = await database.ask(store.list_relays)
    return [relay for relay in found.values() if include_removed or relay.removed_at_ms is None]


async def create_relay(database: Database, pepper: bytes, name: str, change: RelayChange) -> Relay:
    """Create a relay, whose key is encrypted with `pepper`. Raises InvalidValue; Conflict: the name is or was taken."""
    if not NAME.fullmatch(name):
        message = "is no name of a relay: 1 to 32 lower-case letters, digits and -, the first of them no -"
        raise InvalidValue(f"{quoted(name)} {message}.", param="name")
    for value, param in ((change.base_url, "base_url"), (change.key, "key")):
        if not value:
            raise InvalidValue(f"A relay needs an address and its key: the {param} is missing.", param=param)
    now_ms = await database.now_ms()
    async with database.write() as connection:
        if (taken := await store.find_relay(connection, name)) is not None:
            raise Conflict(_taken(taken), param="name")
        relay = await _changed(connection, Relay(name, created_at_ms=now_ms), change, pepper, now_ms)
        await store.insert_relay(connection, relay)
        await log_changes(connection, Change("relay.created", name, None, _facts(relay)))
    return relay


async def change_relay(database: Database, pepper: bytes | None, name: str, change: RelayChange) -> Relay:
    """Change a relay from the next request on. `pepper` is None where the change has no key. Raises InvalidValue; NotFound;
    Conflict: it was removed, or the settings hold what is to change."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        before = await _present(connection, name)
        after = await _changed(connection, before, change, pepper, now_ms)
        await store.update_relay(connection, after)
        changes = [Change("relay.updated", name, _facts(before), _facts(after))]
        if change.key is not None:
            old, new = ({"key_replaced_at": _seconds(each.key_replaced_at_ms)} for each in (before, after))
            changes.append(Change("relay.key_replaced", name, old, new))
        await log_changes(connection, *changes)
    return after


async def replace_key(database: Database, pepper: bytes, name: str, key: str) -> Relay:
    """Replace the key of a relay, which closes its breaker. Raises as `change_relay` does."""
    return await change_relay(database, pepper, name, RelayChange(key=key))


async def remove_relay(database: Database, name: str) -> Relay:
    """Remove a relay for good. It keeps its key until none of its requests holds money. Raises NotFound; Conflict: the one of
    the settings."""
    if name == DEFAULT_RELAY:
        raise Conflict(
            "The relay default is the one of the settings and cannot be removed; `imagegate relays disable default` keeps "
            "requests from it.",
            param="name",
        )
    now_ms = await database.now_ms()
    async with database.write() as connection:
        relay = await _present(connection, name)
        removed = replace(relay, removed_at_ms=now_ms)
        await store.update_relay(connection, removed)
        await log_changes(connection, Change("relay.deleted", name, _facts(relay), None))
    return removed


async def forget_removed_keys(database: Database) -> None:
    """Delete the keys of relays that were removed an hour ago or earlier and have no open request. The book needs a key to
    compare such requests with the relay's log."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        removed = [
            relay for relay in (await store.list_relays(connection)).values() if _may_be_forgotten(relay, now_ms)
        ]
        names = [relay.name for relay in removed if not await store.any_unresolved(connection, relay.name)]
    if not names:
        return
    async with database.write() as connection:
        for name in names:
            relay = await get_relay(connection, name)
            await store.update_relay(connection, replace(relay, sealed_key=None))


def _may_be_forgotten(relay: Relay, now_ms: int) -> bool:
    removed_at_ms = relay.removed_at_ms
    return relay.sealed_key is not None and removed_at_ms is not None and removed_at_ms < now_ms - KEY_KEPT_MS


async def _changed(
    connection: AsyncConnection, relay: Relay, change: RelayChange, pepper: bytes | None, now_ms: int
) -> Relay:
    """Check a change and return the relay after it. Raises InvalidValue and Conflict."""
    relay = _connected(relay, change, pepper, now_ms)
    if change.profile is not None:
        if change.profile not in ("", *get_args(RelayProfile)):
            raise InvalidValue(f"The profile of a relay is C or N; not {quoted(change.profile)}.", param="profile")
        relay = replace(relay, profile=change.profile or None)
    if change.weight is not None:
        relay = replace(relay, weight=_within(change.weight, 0, WEIGHT_MAX, "weight"))
    if change.concurrent is not None:
        relay = replace(relay, concurrent=_within(change.concurrent, 0, CONCURRENT_MAX, "concurrent") or None)
    if change.models is not None:
        relay = replace(relay, models=await _checked_models(connection, change.models))
    if change.price_factor is not None:
        relay = replace(relay, price_factor=_checked_factor(change.price_factor))
    if change.micros_per_dollar is not None:
        amount = _within(change.micros_per_dollar, 0, MICROS_PER_DOLLAR_MAX, "micros_per_dollar")
        relay = replace(relay, micros_per_dollar=amount or None)
    if change.disabled is not None and change.disabled != (relay.disabled_at_ms is not None):
        relay = replace(relay, disabled_at_ms=now_ms if change.disabled else None)
    return relay


def _connected(relay: Relay, change: RelayChange, pepper: bytes | None, now_ms: int) -> Relay:
    """Check the address and the key of a change. Raises InvalidValue and Conflict."""
    if relay.name == DEFAULT_RELAY and change.base_url is not None:
        message = "The address of the relay default stands in the settings only: set IMAGEGATE_UPSTREAM_BASE_URL, and restart."
        raise Conflict(message, param="base_url")
    if relay.name == DEFAULT_RELAY and change.key is not None:
        message = (
            "The key of the relay default stands in the settings only: set IMAGEGATE_UPSTREAM_API_KEY, and restart."
        )
        raise Conflict(message, param="key")
    if change.base_url is not None:
        base_url = _checked_address(change.base_url)
        if base_url != relay.base_url and change.key is None:
            raise InvalidValue(
                "A new address needs its key again, so that no key goes where it does not belong: give both.",
                param="key",
            )
        relay = replace(relay, base_url=base_url)
    if change.key is not None:
        assert pepper is not None
        sealed = seal_relay_key(pepper, relay.name, _checked_key(change.key))
        replaced_at_ms = None if relay.sealed_key is None else now_ms
        relay = replace(relay, sealed_key=sealed, key_replaced_at_ms=replaced_at_ms)
    return relay


def _checked_address(text: str) -> str:
    """Return an address in the form it is stored in. The error does not repeat it: it may hold a password."""
    try:
        relay_url(text)
        return relay_root(text)
    except ConfigurationError:
        message = "The base URL must be an address such as https://api.whatai.cc, without a query or a password."
        raise InvalidValue(message, param="base_url") from None


def _checked_key(text: str) -> str:
    """Return a key, which no message shows from now on. The error does not repeat it."""
    key = text.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidValue("The key is empty or holds characters that no key has; copy it again.", param="key")
    hide_secret(key)
    return key


async def _checked_models(connection: AsyncConnection, names: Sequence[str]) -> frozenset[str] | None:
    catalog = await prices.read_catalog(connection)
    for name in names:
        if name in catalog.models:
            continue
        if (alias := catalog.alias(name)) is not None:
            message = f"{quoted(name)} is an alias: name the model it stands for, {alias.model}."
            raise InvalidValue(message, param="models")
        raise InvalidValue(catalog.not_found(name, list(catalog.models)).message, param="models")
    return frozenset(names) or None


def _checked_factor(text: str) -> int:
    try:
        factor = micros(text)
    except ValueError:
        factor = 0
    if not 1 <= factor <= FACTOR_MAX * 1_000_000:
        raise InvalidValue(
            f"The price factor {quoted(text)} is not a decimal from 0.000001 to {FACTOR_MAX} with at most six places; a relay that "
            "charges 80 % of the price book has 0.8.",
            param="price_factor",
        )
    return factor


def _within(value: int, least: int, most: int, param: str) -> int:
    if not least <= value <= most:
        raise InvalidValue(f"The {param} of a relay goes from {least} to {most}; not {value}.", param=param)
    return value


async def _present(connection: AsyncConnection, name: str) -> Relay:
    relay = await get_relay(connection, name)
    if relay.removed_at_ms is not None:
        raise Conflict(
            f"The relay {name} was removed, for good. `imagegate relays list` shows those there are.", param="name"
        )
    return relay


async def get_relay(connection: AsyncConnection, name: str) -> Relay:
    """Return a relay, a removed one too. Raises NotFound."""
    relay = await store.find_relay(connection, name)
    if relay is None:
        raise NotFound(f"There is no relay {quoted(name)}. `imagegate relays list` shows them.", param="name")
    return relay


def _taken(relay: Relay) -> str:
    if relay.removed_at_ms is not None:
        return f"A relay {relay.name} was removed, and the book keeps its name: choose another one."
    return f"There is a relay {relay.name} already. Change it with: `imagegate relays set {relay.name}`"


def _facts(relay: Relay) -> Facts:
    """Return the fields of a relay for the audit log, without its key."""
    return {
        "name": relay.name,
        "base_url": relay.base_url,
        "profile": relay.profile,
        "weight": relay.weight,
        "concurrent": relay.concurrent,
        "models": None if relay.models is None else sorted(relay.models),
        "price_factor": decimal_text(relay.price_factor),
        "micros_per_dollar": relay.micros_per_dollar,
        "disabled": relay.disabled_at_ms is not None,
    }


def _seconds(at_ms: int | None) -> int | None:
    return None if at_ms is None else at_ms // 1000
