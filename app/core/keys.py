"""API keys: `sk-ig-<id>-<32 random base62>-<checksum>`; admin API keys: `sk-ig-admin-<id>-<32 random base62>-<checksum>`.

The checksum detects a typo before the database is read. The database stores the id, an HMAC-SHA256 of the whole key under the
installation's pepper, and the last four characters of the random part.
"""

import hashlib
import hmac
import secrets
import string
import zlib
from dataclasses import dataclass
from functools import cache

_PREFIX = "sk-ig-"
_ADMIN_PREFIX = "sk-ig-admin-"
_BASE62 = string.digits + string.ascii_letters
_ID_ALPHABET = string.digits + string.ascii_lowercase
_ID_LENGTH = 12
"""Length of an id. It differs from that of `admin`, so that no id can be read as the prefix of an admin key."""
_RANDOM_LENGTH = 32
_CHECKSUM_LENGTH = 6
PEPPER_BYTES_MIN = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """New key. `secret` is shown once and never stored."""

    id: str
    secret: str
    last_four: str


def new_key(id: str | None = None) -> NewKey:
    """Make an API key with 190 random bits. With the `id` of an existing key, make a new secret for it."""
    return _new(_PREFIX, id)


def new_admin_key() -> NewKey:
    """Make an admin API key. It is never read as an API key, nor the other way round."""
    return _new(_ADMIN_PREFIX, None)


def key_id(secret: str) -> str | None:
    """Extract the id of an API key; None when format or checksum is wrong, and for an admin key."""
    return _id(_PREFIX, secret)


def admin_key_id(secret: str) -> str | None:
    """Extract the id of an admin API key; None when format or checksum is wrong, and for an API key."""
    return _id(_ADMIN_PREFIX, secret)


def _new(prefix: str, id: str | None) -> NewKey:
    short = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)) if id is None else id.removeprefix("key_")
    random = "".join(secrets.choice(_BASE62) for _ in range(_RANDOM_LENGTH))
    body = f"{prefix}{short}-{random}"
    return NewKey(id=f"key_{short}", secret=f"{body}-{_checksum(body)}", last_four=random[-4:])


def _id(prefix: str, secret: str) -> str | None:
    parts = secret.removeprefix(prefix).split("-")
    if len(parts) != 3 or not secret.startswith(prefix) or not secret.isascii():
        return None
    short, random, checksum = parts
    if len(short) != _ID_LENGTH or len(random) != _RANDOM_LENGTH:
        return None
    if not hmac.compare_digest(_checksum(secret[: -_CHECKSUM_LENGTH - 1]), checksum):
        return None
    return f"key_{short}"


def secret_hmac(pepper: bytes, secret: str) -> bytes:
    """Compute the HMAC that is stored of a key. Raises ValueError for a pepper shorter than 32 bytes."""
    if len(pepper) < PEPPER_BYTES_MIN:
        raise ValueError("the pepper is shorter than 32 bytes")
    return keyed_digest(pepper, secret.encode())


def keyed_digest(pepper: bytes, data: bytes) -> bytes:
    """Compute the HMAC-SHA256 of `data`; 32 bytes."""
    keyed = _keyed(pepper).copy()
    keyed.update(data)
    return keyed.digest()


@cache
def _keyed(pepper: bytes) -> hmac.HMAC:
    """Prepare an HMAC to copy, because preparing one takes longer than the digest."""
    return hmac.new(pepper, digestmod=hashlib.sha256)


def matches(pepper: bytes, secret: str, stored: bytes) -> bool:
    """Compare a secret with a stored HMAC in constant time."""
    return hmac.compare_digest(secret_hmac(pepper, secret), stored)


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits += _BASE62[digit]
    return digits
