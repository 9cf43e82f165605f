"""Which gateway elsewhere, and the admin API key for it."""

import os
import shlex
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from app.errors import BadRequest, ConfigurationError

URL_VARIABLE = "IMAGEGATE_URL"
KEY_VARIABLE = "IMAGEGATE_ADMIN_KEY"


@dataclass(frozen=True, slots=True)
class Address:
    """`url` is without /v1 and without a slash at its end. `flags` begins with a space where it is not empty."""

    url: str
    key: str = field(repr=False)
    flags: str

    def command(self, words: str) -> str:
        """A command for somebody to type, which works on this same gateway."""
        return f"imagegate {words}{self.flags}"

    @property
    def where(self) -> str:
        return self.url

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def is_encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def warning(self) -> str | None:
        """What is amiss with going there."""
        if self.is_loopback or self.is_encrypted:
            return None
        return f"{self.url} is not encrypted: whoever is on the way can read the admin key. Use https://."


def url_in_effect(url: str | None) -> str:
    """The option as given, otherwise the environment's; empty for the database here."""
    return os.environ.get(URL_VARIABLE, "") if url is None else url


def find_address(url: str | None, key_file: str | None) -> Address | None:
    """From the options as given and the environment; None for the database here.

    Raises BadRequest for a URL that cannot be one and for a key without a URL, ConfigurationError for a key that is missing.
    """
    if not (given := url_in_effect(url)):
        if key_file is not None and url is None:
            message = (
                f"--admin-key-file is for a gateway elsewhere: which? Give --url or {URL_VARIABLE}; --url '' is here."
            )
            raise BadRequest(message, code="invalid_usage")
        return None
    flags = [] if url is None else ["--url", url]
    flags += [] if key_file is None else ["--admin-key-file", key_file]
    return Address(_checked(given), _key(key_file), "".join(f" {shlex.quote(flag)}" for flag in flags))


def _checked(url: str) -> str:
    """Never repeats what was given: somebody may have put a password into it."""
    try:
        parts = urlsplit(url.strip())
        port_fits = parts.port != 0
    except ValueError:
        raise _wrong("it cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise _wrong("it is like https://images.example.com")
    if parts.username is not None or parts.password is not None:
        raise _wrong(f"it takes no name and password; the admin key goes into {KEY_VARIABLE}")
    if parts.query or parts.fragment or not url.isprintable() or " " in url.strip():
        raise _wrong("it ends with the host, or a path")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _wrong(why: str) -> BadRequest:
    return BadRequest(f"The URL of the gateway (--url or {URL_VARIABLE}) is not one: {why}.", code="invalid_usage")


def _key(file: str | None) -> str:
    if file is None:
        key, source = os.environ.get(KEY_VARIABLE, ""), KEY_VARIABLE
    else:
        key, source = _read(file), "The file of --admin-key-file"
    key = key.strip()
    if not key:
        make = "`imagegate admin-keys create --name NAME` on the machine of the gateway prints one."
        raise ConfigurationError(f"{source} holds no admin key: put one there, or into {KEY_VARIABLE}. {make}")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(f"{source} holds something else than an admin key, which is like sk-ig-admin-...")
    return key


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"The file of --admin-key-file cannot be read: {type(exc).__name__}.") from None
