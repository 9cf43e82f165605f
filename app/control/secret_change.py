"""Change of the installation's secret: keys move to the new one as they are used, digests of prompts keep a key of their own."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.chores import BackgroundTasks
from app.control.pepper import Peppers, fingerprint
from app.control.relay_keys import reseal_relay_keys
from app.core.encryption import seal, unseal
from app.core.keys import keyed_digest, secret_hmac
from app.errors import GatewayError
from app.store import organization
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.organization import BookBinding
from app.store.secret_change import replace_hmac
from app.store.tables import api_keys

_PURPOSE = b"imagegate key of digests of prompts"
_DERIVED = b"\x00"
"""Stored digest key of a database whose secret never changed: the key is derived from the secret, so that a start decrypts nothing
and does not load `cryptography`, of 6 MiB. A change of the secret replaces it by the encrypted key."""


async def move_secret(database: Database, table: sa.Table, key_id: str, peppers: Peppers, secret: str) -> None:
    """Hash the secret of a key, which is known just now, with the current pepper. Raises StoreUnavailable."""
    assert peppers.former is not None
    former, current = secret_hmac(peppers.former, secret), secret_hmac(peppers.current, secret)
    await replace_hmac(database, table, key_id, former, current, fingerprint(peppers.current))


@dataclass(frozen=True, slots=True)
class KeyRehasher:
    """Hashes API keys anew with the current pepper when they are used and were verified under the former one. `forget` drops a key
    from the cache of grants."""

    database: Database
    peppers: Peppers
    background: BackgroundTasks
    forget: Callable[[str], None]
    _running: set[str] = field(default_factory=set)

    def start(self, key_id: str, secret: str) -> None:
        """Hash a key anew in the background, unless that is under way."""
        if key_id not in self._running:
            self._running.add(key_id)
            self.background.start(self._rehash(key_id, secret))

    async def _rehash(self, key_id: str, secret: str) -> None:
        try:
            with suppress(GatewayError):  # It is hashed anew when it is used next.
                await move_secret(self.database, api_keys, key_id, self.peppers, secret)
            self.forget(key_id)
        finally:
            self._running.discard(key_id)


def is_settled(found: BookBinding, peppers: Peppers) -> bool:
    """Return whether a database is bound to the current pepper and has its digest key; else `settle` has something to write."""
    return found.digest_key is not None and found.pepper_fingerprint == fingerprint(peppers.current)


async def settle(connection: AsyncConnection, found: BookBinding, peppers: Peppers) -> None:
    """Bind a database that is bound to one of the peppers to the current one, with its digest key so that it outlives this,
    and with the keys of relays encrypted anew."""
    pepper = peppers.of(found.pepper_fingerprint)
    if pepper is None:
        return
    if found.digest_key is not None:
        stored = seal(peppers.current, _PURPOSE, _key(pepper, found.digest_key))
    elif await organization.any_request(connection):
        # Digests of a book from before this key was stored were made with the pepper itself, and must stay comparable.
        stored = seal(peppers.current, _PURPOSE, pepper)
    else:
        stored = _DERIVED
    current = fingerprint(peppers.current)
    await organization.set_secret(connection, current, stored)
    if pepper != peppers.current:
        await reseal_relay_keys(connection, peppers)
        before, after = {"secret": found.pepper_fingerprint}, {"secret": current}
        await log_changes(connection, Change("organization.updated", "organization", before, after))


def digest_key(found: BookBinding, peppers: Peppers) -> bytes:
    """Return the key of the digests of prompts of a database that is bound to a secret already. Raises WrongSecret."""
    pepper = peppers.of(found.pepper_fingerprint)
    assert pepper is not None and found.digest_key is not None
    return _key(pepper, found.digest_key)


def _key(pepper: bytes, stored: bytes) -> bytes:
    return keyed_digest(pepper, _PURPOSE) if stored == _DERIVED else unseal(pepper, _PURPOSE, stored)
