"""Passwords: their hashes (argon2id), made and compared in a thread."""

import asyncio
import weakref
from functools import cache
from typing import TYPE_CHECKING

from app.errors import InvalidValue

if TYPE_CHECKING:
    from argon2 import PasswordHasher

CHARS_MIN, CHARS_MAX = 10, 1000
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
"""Cost of a hash: what OWASP names as the least for argon2id. Two at once take 38 MiB while they are made."""
AT_ONCE = 2
_places: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]" = weakref.WeakKeyDictionary()


def check_password(password: str) -> None:
    """Check that a password can be one. Raises InvalidValue."""
    if not CHARS_MIN <= len(password) <= CHARS_MAX:
        raise InvalidValue(f"A password has {CHARS_MIN} to {CHARS_MAX} characters; choose another.", param="password")


async def hash_password(password: str) -> str:
    """Make the hash to store. Raises InvalidValue for a password that is too short or too long."""
    check_password(password)
    async with _place():
        return await asyncio.to_thread(lambda: _hasher().hash(password))


async def is_password(hash: str | None, password: str) -> bool:
    """Compare a password with a stored hash. Without a hash it compares with nobody's, which takes as long."""
    async with _place():
        return await asyncio.to_thread(_verify, hash, password[: CHARS_MAX + 1]) and hash is not None


def _verify(hash: str | None, password: str) -> bool:
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return _hasher().verify(hash or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # Loaded by the first sign-in, because most processes never see one.

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _nobodys() -> str:
    return _hasher().hash("the password of nobody")


def _place() -> asyncio.Semaphore:
    """Return the bound on hashes under way: each takes memory, and anybody can ask for one."""
    return _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE))
