"""Connections to the relays, made from the settings and from what the database has of each."""

from app.control.pepper import Peppers
from app.control.relay_keys import unseal_relay_key
from app.core.relays import Relay
from app.settings import Settings
from app.upstream.addresses import proxy_address
from app.upstream.client import HttpUpstream
from app.upstream.pool import PoolRules, RelayPool


def relays_from(settings: Settings, peppers: Peppers) -> RelayPool:
    """Make the pool of all relays. Needs a running event loop. Raises ConfigurationError as `upstream_from` does."""

    def connect(relay: Relay) -> HttpUpstream:
        return _client(settings, relay.base_url or "", unseal_relay_key(peppers, relay))

    return RelayPool(upstream_from(settings), connect, PoolRules(settings.relay_queue_max, settings.relay_queue_wait_s))


def upstream_from(settings: Settings) -> HttpUpstream:
    """Make the client of the relay in the settings; needs a running event loop. Raises ConfigurationError for an invalid address,
    key or file."""
    return _client(settings, settings.upstream_base_url, relay_key(settings))


def relay_key(settings: Settings) -> str:
    """Return the key of the relay in the settings; empty when none is set."""
    return settings.upstream_api_key.get_secret_value() if settings.upstream_api_key else ""


def url_key(settings: Settings) -> str | None:
    """Return the key of that relay where it may be sent in an address, else None."""
    return relay_key(settings) if settings.upstream_log_key_in_url else None


def _client(settings: Settings, base_url: str, key: str) -> HttpUpstream:
    proxy = settings.upstream_proxy.get_secret_value() if settings.upstream_proxy else None
    return HttpUpstream(
        base_url,
        key,
        connect_timeout_s=settings.upstream_connect_timeout_s,
        read_timeout_s=settings.upstream_deadline_s,
        proxy=proxy_address(proxy, base_url),
        ca_file=settings.upstream_ca_file,
    )
