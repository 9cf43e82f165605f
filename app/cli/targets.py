"""Targets of commands: the gateway on this machine, or one on another machine with an admin key for it."""

import os
import shlex
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.errors import BadRequest, ConfigurationError

if TYPE_CHECKING:
    from app.settings import Settings
    from app.store.engine import DatabaseUrl

SANDBOX_FOLDER = "sandbox"
URL_VARIABLE = "IMAGEGATE_URL"
KEY_VARIABLE = "IMAGEGATE_ADMIN_KEY"


@dataclass(frozen=True, slots=True)
class LocalTarget:
    """Gateway on this machine: its settings, directory and database.

    `settings` and `data_dir` are those in effect: in the sandbox a folder of its own in DATA_DIR, with its own SQLite
    database and its own pepper, no Redis and no bucket. `data_dir` is absolute. `flags` begins with a space unless it is empty.
    """

    settings: "Settings"
    data_dir: Path
    sandbox: bool
    flags: str
    database_url: "DatabaseUrl"

    def command(self, words: str) -> str:
        """Return a command line for a person to type, with the flags of this target."""
        return f"imagegate {words}{self.flags}"

    @property
    def where(self) -> str:
        """Directory of SQLite, or address of PostgreSQL without its password."""
        kind = " (sandbox)" if self.sandbox else ""
        return f"{self.data_dir}{kind}" if self.database_url.dialect == "sqlite" else self.database_url.public

    @property
    def has_database(self) -> bool:
        """True when the database exists. Opening SQLite would create an absent one."""
        return self.database_url.path is None or self.database_url.path.exists()


@dataclass(frozen=True, slots=True)
class RemoteTarget:
    """Gateway on another machine. `url` is without /v1 and without a slash at its end. `flags` begins with a space unless it is
    empty."""

    url: str
    key: str = field(repr=False)
    flags: str

    def command(self, words: str) -> str:
        """Return a command line for a person to type, with the flags of this target."""
        return f"imagegate {words}{self.flags}"

    @property
    def where(self) -> str:
        return self.url

    @property
    def is_loopback(self) -> bool:
        """True for an address of this machine."""
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
        """Warning about an unencrypted connection to another machine; None when there is nothing to warn of."""
        if self.is_loopback or self.is_encrypted:
            return None
        return f"{self.url} is not encrypted: whoever is on the way can read the admin key. Use https://."


Target = LocalTarget | RemoteTarget


def local_target(*, sandbox: bool, data_dir: str | None) -> LocalTarget:
    """Make the target from the options, the environment and `.env`. Raises ConfigurationError."""
    from app.settings import read_settings
    from app.store.engine import DatabaseUrl

    settings = read_settings(data_dir=data_dir)
    folder = settings.data_dir.expanduser().absolute()
    if sandbox:
        folder = folder / SANDBOX_FOLDER
        # Toy money never meets real limits, nor real keys, nor what the environment says about the real ones.
        real = ["database_url", "redis_url", "results_url", "secret_key", "upstream_api_key"]
        real += ["secret_key_old", "backup_dir"]
        settings = settings.model_copy(update=dict.fromkeys(real))
    settings = settings.model_copy(update={"data_dir": folder})
    url = settings.database_url.get_secret_value() if settings.database_url else None
    flags = " --sandbox" if sandbox else ""
    flags += "" if data_dir is None else f" --data-dir {shlex.quote(data_dir)}"
    return LocalTarget(settings, folder, sandbox, flags, DatabaseUrl.of(url, folder))


def remote_target(url: str | None, key_file: str | None) -> RemoteTarget | None:
    """Make the target from the options and the environment; None for the gateway on this machine.

    Raises BadRequest for an invalid URL and for a key without a URL, ConfigurationError for a missing key.
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
    return RemoteTarget(_checked(given), _read_key(key_file), "".join(f" {shlex.quote(flag)}" for flag in flags))


def url_in_effect(url: str | None) -> str:
    """Return the URL of the option, else of the environment; empty for the gateway on this machine."""
    return os.environ.get(URL_VARIABLE, "") if url is None else url


def _checked(url: str) -> str:
    """Check a URL and remove /v1 from its end. Errors never repeat the URL: it may contain a password."""
    try:
        parts = urlsplit(url.strip())
        port_fits = parts.port != 0
    except ValueError:
        raise _not_a_url("it cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        raise _not_a_url("it is like https://images.example.com")
    if parts.username is not None or parts.password is not None:
        raise _not_a_url(f"it takes no name and password; the admin key goes into {KEY_VARIABLE}")
    if parts.query or parts.fragment or not url.isprintable() or " " in url.strip():
        raise _not_a_url("it ends with the host, or a path")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _not_a_url(why: str) -> BadRequest:
    return BadRequest(f"The URL of the gateway (--url or {URL_VARIABLE}) is not one: {why}.", code="invalid_usage")


def _read_key(file: str | None) -> str:
    if file is None:
        key, source = os.environ.get(KEY_VARIABLE, ""), KEY_VARIABLE
    else:
        key, source = _read(file), "The file of --admin-key-file"
    key = key.strip()
    if not key:
        make = "`imagegate admin-keys create --name NAME` on the machine of the gateway prints one."
        raise ConfigurationError(f"{source} holds no admin key: put one there. {make}")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(f"{source} holds something else than an admin key, which is like sk-ig-admin-...")
    return key


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"The file of --admin-key-file cannot be read: {type(exc).__name__}.") from None
