"""Keys of relays at rest, encrypted under the installation's secret."""

from contextlib import suppress
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.pepper import Peppers
from app.core.encryption import WrongSecret, seal, unseal
from app.core.relays import Relay
from app.errors import ConfigurationError
from app.store.relays import list_relays, update_relay


def seal_relay_key(pepper: bytes, name: str, key: str) -> bytes:
    """Encrypt the key of a relay for the database."""
    return seal(pepper, _purpose(name), key.encode())


def unseal_relay_key(peppers: Peppers, relay: Relay) -> str:
    """Decrypt the key of a relay. Raises ConfigurationError where it has none, or one of another secret."""
    for pepper in peppers.every():
        try:
            return unseal(pepper, _purpose(relay.name), relay.sealed_key or b"").decode()
        except WrongSecret:
            continue
    raise ConfigurationError(
        f"The key of relay {relay.name} cannot be read with this secret. Set it again: `imagegate relays replace-key {relay.name} "
        "--key-stdin`"
    )


async def reseal_relay_keys(connection: AsyncConnection, peppers: Peppers) -> None:
    """Encrypt the keys of all relays anew under the current pepper. One that neither reads stays as it is: doctor names it."""
    for relay in (await list_relays(connection)).values():
        if relay.sealed_key is not None:
            with suppress(ConfigurationError):
                key = unseal_relay_key(peppers, relay)
                sealed = seal_relay_key(peppers.current, relay.name, key)
                await update_relay(connection, replace(relay, sealed_key=sealed))


def is_readable(peppers: Peppers, relay: Relay) -> bool:
    """Return whether the key of a relay can be decrypted; True for one without a key."""
    try:
        return relay.sealed_key is None or bool(unseal_relay_key(peppers, relay))
    except ConfigurationError:
        return False


def _purpose(name: str) -> bytes:
    return f"imagegate key of relay {name}".encode()
