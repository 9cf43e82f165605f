"""Request headers that tell whether a request repeats an earlier one."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import InvalidValue

KEY_CHARS_MAX = 255
COUNT_MAX = 100
DUPLICATE = "x-imagegate-duplicate"


@dataclass(frozen=True, slots=True)
class RepeatHeaders:
    """Headers of a request, also of a first one, by which a repetition is recognized. `count` is the number of earlier tries of
    this call, 0 for the first, which the OpenAI SDKs send in `x-stainless-retry-count`."""

    idempotency_key: str | None = None
    count: int = 0
    client_counts_retries: bool = False
    """True when the client sends a count: it retries by itself."""
    serve_duplicate: bool = False
    """True when pictures that an equal request bought before may be the answer (`x-imagegate-duplicate: serve`)."""

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> "RepeatHeaders":
        """Read the headers. Raises InvalidValue for an Idempotency-Key that is not 1 to 255 visible ASCII characters, and for an
        `x-imagegate-duplicate` other than `serve`: its client does not mean to pay again."""
        key = headers.get("idempotency-key")
        if key is not None and not (0 < len(key) <= KEY_CHARS_MAX and all("!" <= char <= "~" for char in key)):
            raise InvalidValue(
                f"Idempotency-Key must be 1 to {KEY_CHARS_MAX} visible ASCII characters; this one has {len(key)} or holds others.",
                param="Idempotency-Key",
            )
        count = headers.get("x-stainless-retry-count", "")
        client_counts_retries = count.isascii() and count.isdigit() and len(count) < 5
        duplicate = headers.get(DUPLICATE, "").strip().lower()
        if duplicate not in ("", "serve"):
            raise InvalidValue(f"{DUPLICATE} must be serve, or be left out; it is '{duplicate[:40]}'.", param=DUPLICATE)
        return cls(
            key, min(int(count), COUNT_MAX) if client_counts_retries else 0, client_counts_retries, bool(duplicate)
        )
