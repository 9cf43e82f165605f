"""Address of the gateway in links that it hands out by itself: PUBLIC_URL, else the one `imagegate serve` was started with."""

from contextlib import suppress
from pathlib import Path

from app.errors import Conflict

FILE = "address"


def note_address(data_dir: Path, address: str) -> None:
    """Write down where `imagegate serve` listens, for links that commands make beside it."""
    with suppress(OSError):  # A full disk must not keep the gateway from starting.
        (data_dir / FILE).write_text(f"{address}\n", encoding="utf-8")


def served_address(public_url: str | None, data_dir: Path) -> str:
    """Return the address without a slash or /v1 at its end. A Host header never decides: whoever sends one would choose where a
    secret link leads. Raises Conflict where nothing tells it."""
    if public_url is not None:
        return public_url.rstrip("/").removesuffix("/v1")
    try:
        return (data_dir / FILE).read_text(encoding="utf-8").strip()
    except OSError:
        message = "Nothing tells the address that links begin with. Set IMAGEGATE_PUBLIC_URL, or start `imagegate serve` here once."
        raise Conflict(message) from None
