"""Ids of new records. They cannot be guessed, but are not secret."""

import secrets
import time

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_request_id() -> str:
    """Return `req_` and 28 hex digits: 12 of Unix milliseconds, so that ids sort by time, and 16 random ones."""
    return f"req_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


def new_id(prefix: str, length: int = 24) -> str:
    """Return `prefix` and `length` random lower-case letters and digits (24 of them hold 124 random bits)."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))
