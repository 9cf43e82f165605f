"""Connections to the relays, made from the settings and from what the database has of each."""

from app.control.bill_reader import BillReader
from app.control.matching import MatchingRules
from app.control.pepper import Peppers
from app.control.relay_keys import unseal_relay_key
from app.core.relays import DEFAULT, Relay
from app.core.request import DEFAULT_RELAY
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


def url_key(settings: Settings, relay: Relay = DEFAULT, peppers: Peppers | None = None) -> str | None:
    """Return the key of a relay where it may be sent in an address, else None. Raises ConfigurationError where it has none."""
    if relay.profile == "N" or (relay.profile is None and not settings.upstream_log_key_in_url):
        return None
    if relay.name == DEFAULT_RELAY:
        return relay_key(settings)
    return unseal_relay_key(peppers, relay) if peppers is not None else None


def bills_from(settings: Settings, relays: RelayPool, peppers: Peppers | None) -> BillReader:
    """Make the reader of the bills of all relays."""
    rules = MatchingRules(int(settings.upstream_deadline_s * 1000), settings.upstream_dollar_micros)
    return BillReader(relays, lambda relay: url_key(settings, relay, peppers), rules)


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
