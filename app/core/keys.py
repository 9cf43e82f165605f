"""API keys: `sk-ig-<id>-<32 random base62>-<checksum>`; admin API keys: `sk-ig-admin-<id>-<32 random base62>-<checksum>`.

The checksum tells a typo from a guess before the database is asked. What is stored is the id, an HMAC-SHA256 of the whole
key under the installation's pepper, and the last four characters of the random part.
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
"""Longer than `admin`, so that the id can never be read as the prefix of an admin key."""
_RANDOM_LENGTH = 32
_CHECKSUM_LENGTH = 6
PEPPER_BYTES_MIN = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """`secret` is shown once and never stored."""

    id: str
    secret: str
    last_four: str


def new_key(id: str | None = None) -> NewKey:
    """A fresh key; 190 bits of it are random. With the `id` of a key that is there, a new secret for it."""
    return _new(_PREFIX, id)


def new_admin_key() -> NewKey:
    """A fresh admin key; nothing that is one reads as the other."""
    return _new(_ADMIN_PREFIX, None)


def key_id(secret: str) -> str | None:
    """The id a well-formed API key carries; None when form or checksum is wrong, and for an admin key."""
    return _id(_PREFIX, secret)


def admin_key_id(secret: str) -> str | None:
    """The id a well-formed admin API key carries; None when form or checksum is wrong, and for an API key."""
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
    """HMAC under which a key is stored. Raises ValueError on a pepper shorter than 32 bytes."""
    if len(pepper) < PEPPER_BYTES_MIN:
        raise ValueError("the pepper is shorter than 32 bytes")
    return keyed_digest(pepper, secret.encode())


def keyed_digest(pepper: bytes, data: bytes) -> bytes:
    """HMAC-SHA256."""
    keyed = _keyed(pepper).copy()
    keyed.update(data)
    return keyed.digest()


@cache
def _keyed(pepper: bytes) -> hmac.HMAC:
    """A prepared HMAC to copy: preparing takes longer than the digest itself."""
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
