"""Pepper: the secret that all API keys are hashed with."""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from app.core.keys import PEPPER_BYTES_MIN, keyed_digest, matches
from app.errors import ConfigurationError

FILE = "secret_key"
DISTINCT_CHARS_MIN = 8
_PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "your-secret",
    "your_secret",
    "example",
    "replace",
)
_CURE = 'Make one with: python3 -c "import secrets; print(secrets.token_hex(32))"'


class PepperSettings(Protocol):
    """Settings that say where the pepper is."""

    @property
    def secret_key(self) -> SecretStr | None: ...

    @property
    def secret_key_old(self) -> SecretStr | None: ...

    @property
    def data_dir(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class Peppers:
    """Secret that keys and links are made with, and the other one that they are accepted with while it is being changed."""

    current: bytes
    former: bytes | None = None

    def every(self) -> tuple[bytes, ...]:
        """Return both, or the only one."""
        return (self.current,) if self.former is None else (self.current, self.former)

    def under(self, secret: str, stored: Sequence[bytes]) -> bytes | None:
        """Return the one under which a key's secret has one of these HMACs; None when it has none of them under either."""
        found = [pepper for pepper in self.every() if any(matches(pepper, secret, hmac) for hmac in stored)]
        return found[0] if found else None

    def of(self, known: str | None) -> bytes | None:
        """Return the one with this fingerprint."""
        return next((pepper for pepper in self.every() if fingerprint(pepper) == known), None)


def load_pepper(settings: PepperSettings) -> bytes:
    """Load the pepper from SECRET_KEY or DATA_DIR/secret_key. A missing file is created atomically with mode 0600.

    Raises ConfigurationError, naming the next step, for a short secret, a placeholder, or a file that cannot be read or made.
    """
    if settings.secret_key is not None:
        return _checked(settings.secret_key.get_secret_value(), "IMAGEGATE_SECRET_KEY")
    path = settings.data_dir.absolute() / FILE
    try:
        if not path.exists():
            _make(path)
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = getattr(exc, "strerror", None) or "not text"
        raise ConfigurationError(
            f"The secret of all API keys in {path} cannot be read or made ({why}). Run as the user the data belongs to, or "
            "set IMAGEGATE_SECRET_KEY."
        ) from exc
    return _checked(text, str(path))


def load_peppers(settings: PepperSettings) -> Peppers:
    """Load the pepper as `load_pepper` does, and the other one from SECRET_KEY_OLD. Raises ConfigurationError."""
    return with_former(load_pepper(settings), settings)


def with_former(pepper: bytes, settings: PepperSettings) -> Peppers:
    """Return a pepper with the other one of SECRET_KEY_OLD, if that is set. Raises ConfigurationError."""
    former = settings.secret_key_old
    return Peppers(pepper, None if former is None else _checked(former.get_secret_value(), "IMAGEGATE_SECRET_KEY_OLD"))


def existing_peppers(settings: PepperSettings) -> Peppers | None:
    """Load the peppers as `load_peppers` does, but make none: None where there is none yet."""
    if settings.secret_key is None and not (settings.data_dir.absolute() / FILE).exists():
        return None
    return load_peppers(settings)


def fingerprint(pepper: bytes) -> str:
    """Return a digest that tells one pepper from another and does not reveal it."""
    return keyed_digest(pepper, b"imagegate pepper fingerprint").hex()[:32]


def _checked(text: str, where: str) -> bytes:
    folded = text.lower()
    if len(text.encode()) < PEPPER_BYTES_MIN:
        raise ConfigurationError(f"{where} is shorter than {PEPPER_BYTES_MIN} characters. {_CURE}")
    if len(set(text)) < DISTINCT_CHARS_MIN or any(word in folded for word in _PLACEHOLDERS):
        raise ConfigurationError(f"{where} is a placeholder, not a secret. {_CURE}")
    return text.encode()


def _make(path: Path) -> None:
    """Create the file. Of two processes at once, one creates it and both read it."""
    make_private_folder(path.parent)
    draft = path.with_name(f"{FILE}.{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink(missing_ok=True)


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may enter, and missing ones above it likewise; one that exists stays as it is."""
    # `mkdir(parents=True)` makes those above with the default mode, and the first start may be that of data/sandbox.
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def make_private(data_dir: Path) -> None:
    """Leave the data directory and the book in it to their owner alone, whoever made them first and with which umask.

    Does nothing about files of another owner, about which `imagegate doctor` warns.
    """
    modes = {data_dir: 0o700} | dict.fromkeys(data_dir.glob("*.db*"), 0o600)
    for path, mode in modes.items():
        with suppress(OSError):
            path.chmod(mode)
