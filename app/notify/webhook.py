"""Webhooks signed by the rules of standardwebhooks.com: receivers verify `webhook-id`, `-timestamp` and `-signature`."""

import json
import socket
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from standardwebhooks import Webhook

from app.core.alerts import Channel, Message
from app.notify.addresses import WebhookRules
from app.notify.outcome import NotDelivered

TIMEOUT_S = 15
_GONE = 410


async def post(rules: WebhookRules, channel: Channel, message: Message) -> None:
    """Send one POST. Follows no redirect, ignores proxies in the environment, and reads only the status. Raises NotDelivered."""
    rules.check(channel.url)
    body = json.dumps(message.document, ensure_ascii=False)
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=GuardedResolver(rules), use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            ) as session,
            session.post(
                channel.url, data=body.encode(), headers=_headers(channel, message, body), allow_redirects=False
            ) as answer,
        ):
            status = answer.status
    except NotDelivered:
        raise
    except (aiohttp.ClientError, OSError, ValueError) as exc:  # A timeout is an OSError.
        raise NotDelivered(f"The webhook cannot be reached: {type(exc).__name__}.") from None
    if not 200 <= status < 300:
        raise NotDelivered(f"The webhook answered {status}.", final=status == _GONE)


def _headers(channel: Channel, message: Message, body: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "content-type": "application/json",
        "user-agent": "imagegate",
        "webhook-id": message.id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(channel.secret).sign(message.id, now, body),
    }


class GuardedResolver(AbstractResolver):
    """DNS resolver that checks the addresses the connection then uses, so that no DNS server can answer the check differently."""

    def __init__(self, rules: WebhookRules):
        self._rules, self._inner = rules, ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve a host name. Raises NotDelivered when any of its addresses is not allowed."""
        found: list[Any] = await self._inner.resolve(host, port, family)
        for each in found:
            self._rules.check_address(each["host"])
        return found

    async def close(self) -> None:
        await self._inner.close()
