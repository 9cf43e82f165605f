"""Validation of the addresses of the relay and of the proxy to it, before anything connects."""

from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from yarl import URL

from app.errors import ConfigurationError

PROXY_FROM_ENVIRONMENT: Final = "env"
"""Value of IMAGEGATE_UPSTREAM_PROXY that means HTTPS_PROXY, HTTP_PROXY and NO_PROXY."""


def relay_root(base_url: str) -> str:
    """Return `base_url` without a trailing slash or `/v1`. Raises ConfigurationError unless it is an http or https address."""
    root = base_url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    parts = urlsplit(root) if _is_http_address(root) else None
    if parts is None or parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError(
            "IMAGEGATE_UPSTREAM_BASE_URL must be an address such as https://api.whatai.cc, without a query or a password."
        )
    return root


def relay_url(base_url: str) -> URL:
    """Parse what `relay_root` returns. Raises ConfigurationError as that does, and for a host name that cannot exist."""
    try:
        return URL(relay_root(base_url))
    except ValueError:
        raise ConfigurationError("IMAGEGATE_UPSTREAM_BASE_URL holds a host name that cannot exist.") from None


def proxy_address(setting: str | None, base_url: str) -> str | None:
    """Return the address of the proxy to the relay at `base_url`, or None for a direct connection.

    `setting` is an address, or `env` for the current HTTPS_PROXY, HTTP_PROXY and NO_PROXY. An address without a scheme is taken
    as http. Raises ConfigurationError, whose message does not quote the address: it may hold a password.
    """
    source, address = "IMAGEGATE_UPSTREAM_PROXY", setting
    if setting == PROXY_FROM_ENVIRONMENT:
        root, proxies = urlsplit(relay_root(base_url)), getproxies_environment()
        source = f"{root.scheme.upper()}_PROXY"
        address = None if proxy_bypass_environment(root.netloc, proxies) else proxies.get(root.scheme)
    if not address:
        return None
    if "://" not in address:
        address = f"http://{address}"
    if not _is_http_address(address):
        raise ConfigurationError(
            f"{source} must be the address of an HTTP proxy such as http://proxy.example:3128; other kinds (SOCKS) do not work."
        )
    return address


def _is_http_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
