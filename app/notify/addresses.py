"""Allowed addresses of webhooks: none in a private network unless the installation allows it."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.core.addresses import is_public
from app.notify.outcome import NotDelivered

URL_CHARS_MAX = 2048


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """Rules for the URLs of webhooks. `allow_http` permits http://, `allow_private` addresses that are not public."""

    allow_http: bool = False
    allow_private: bool = False

    def check(self, url: str) -> None:
        """Check a URL. Raises a final NotDelivered when it is not allowed. Host names are checked later, when they resolve."""
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
        if (literal := _parse_address(host)) is not None:
            self.check_address(str(literal))

    def check_address(self, address: str) -> None:
        """Check an IP address. Raises a final NotDelivered when it is not public and `allow_private` is off."""
        parsed = _parse_address(address)
        if not self.allow_private and (parsed is None or not is_public(parsed)):
            message = "A webhook does not go to private addresses; IMAGEGATE_WEBHOOK_ALLOW_PRIVATE lets it, where that is meant."
            raise NotDelivered(message, final=True)


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
