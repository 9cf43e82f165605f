"""Ids of new records. They cannot be guessed, and none is a secret."""

import secrets
import time

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_request_id() -> str:
    """`req_` and 28 hex digits: 12 of milliseconds since the epoch, so that ids sort by time, and 16 of chance."""
    return f"req_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(8)}"


def new_id(prefix: str, length: int = 24) -> str:
    """`prefix` and `length` lower-case letters and digits (24 of them: 124 bits of chance)."""
    return prefix + "".join(secrets.choice(ALPHABET) for _ in range(length))
