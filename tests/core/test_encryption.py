"""Secrets at rest: readable with the same secret for the same purpose only."""

import pytest

from app.core.encryption import WrongSecret, seal, unseal

SECRET, OTHER = b"a secret of the tests, 0123456789ab", b"another secret, 0123456789abcdefghi"


def test_what_was_sealed_is_read_again_and_never_looks_the_same() -> None:
    sealed = seal(SECRET, b"key of relay 1", b"sk-relay")

    assert unseal(SECRET, b"key of relay 1", sealed) == b"sk-relay"
    assert b"sk-relay" not in sealed
    assert sealed != seal(SECRET, b"key of relay 1", b"sk-relay")


@pytest.mark.parametrize(
    ("secret", "purpose", "change"),
    [
        (OTHER, b"key of relay 1", 0),
        (SECRET, b"key of relay 2", 0),
        (SECRET, b"key of relay 1", 1),
    ],
)
def test_another_secret_or_purpose_or_a_changed_byte_reads_nothing(secret: bytes, purpose: bytes, change: int) -> None:
    sealed = bytearray(seal(SECRET, b"key of relay 1", b"sk-relay"))
    sealed[-1] ^= change

    with pytest.raises(WrongSecret):
        unseal(secret, purpose, bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x02" + b"0" * 40])
def test_what_was_never_sealed_reads_nothing(sealed: bytes) -> None:
    with pytest.raises(WrongSecret):
        unseal(SECRET, b"key of relay 1", sealed)
