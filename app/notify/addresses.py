"""Where a webhook may go: not into the network the gateway stands in, unless the installation says so."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.notify.outcome import NotDelivered

URL_CHARS_MAX = 2048
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """`allow_http`: without TLS too. `allow_private`: also to addresses that are not public."""

    allow_http: bool = False
    allow_private: bool = False

    def check(self, url: str) -> None:
        """Raises NotDelivered, finally, for an address that is never asked. What a name resolves to is told only then."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise NotDelivered("The URL of the webhook cannot be read.", final=True) from None
        if (
            len(url) > URL_CHARS_MAX
            or not url.isascii()
            or not url.isprintable()
            or " " in url
            or not host
            or port == 0
        ):
            raise NotDelivered("The URL of the webhook is not like https://example.com/hook.", final=True)
        if parts.username is not None or parts.password is not None:
            raise NotDelivered("The URL of a webhook carries no password: it is signed.", final=True)
        if parts.scheme != "https" and not (parts.scheme == "http" and self.allow_http):
            message = "A webhook goes to https:// only; IMAGEGATE_WEBHOOK_ALLOW_HTTP lets http:// through."
            raise NotDelivered(message, final=True)
        if (literal := _address(host)) is not None:
            self.check_address(str(literal))

    def check_address(self, address: str) -> None:
        """Raises NotDelivered for an address inside the installation's own network."""
        found = _address(address)
        if not self.allow_private and (found is None or not is_public(found)):
            message = "A webhook does not go to private addresses; IMAGEGATE_WEBHOOK_ALLOW_PRIVATE lets it, where that is meant."
            raise NotDelivered(message, final=True)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Out in the internet, also where an IPv4 address is wrapped in an IPv6 one."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
