"""Encryption of small secrets in the database, such as keys of relays, under a key derived from the installation's secret."""

import secrets

NONCE_BYTES = 12
_VERSION = b"\x01"


class WrongSecret(Exception):
    """Raised for sealed bytes that were sealed with another secret or for another purpose, or were changed."""


def seal(secret: bytes, purpose: bytes, data: bytes) -> bytes:
    """Encrypt `data` so that only `unseal` with the same secret and purpose reads it; 29 bytes longer than `data`.

    `purpose` names what the data is, such as `imagegate key of relay 7`: sealed bytes cannot be taken for those of another.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 10 MiB, for starts and changes only.

    nonce = secrets.token_bytes(NONCE_BYTES)
    return _VERSION + nonce + AESGCM(_derived(secret)).encrypt(nonce, data, purpose)


def unseal(secret: bytes, purpose: bytes, sealed: bytes) -> bytes:
    """Decrypt what `seal` made. Raises WrongSecret."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    version, nonce, rest = sealed[:1], sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    if version != _VERSION or len(nonce) != NONCE_BYTES:
        raise WrongSecret("the sealed bytes are of an unknown form")
    try:
        return AESGCM(_derived(secret)).decrypt(nonce, rest, purpose)
    except InvalidTag:
        raise WrongSecret("the sealed bytes do not belong to this secret and purpose") from None


def _derived(secret: bytes) -> bytes:
    """Derive the key by HKDF-SHA256, so that no other use of the secret shares it."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length=32, salt=None, info=b"imagegate secrets at rest").derive(secret)
