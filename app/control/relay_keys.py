"""Keys of relays at rest, encrypted under the installation's secret."""

from app.control.pepper import Peppers
from app.core.encryption import WrongSecret, seal, unseal
from app.core.relays import Relay
from app.errors import ConfigurationError


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


def _purpose(name: str) -> bytes:
    return f"imagegate key of relay {name}".encode()
