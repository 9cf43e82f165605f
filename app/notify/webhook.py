"""Webhooks, signed as standardwebhooks.com describes: the receiver verifies `webhook-id`, `-timestamp` and `-signature`."""

import base64
import binascii
import json
import secrets
from datetime import UTC, datetime

import aiohttp
from standardwebhooks import Webhook

from app.core.alerts import Channel, Message
from app.notify.addresses import GuardedResolver, WebhookRules
from app.notify.outcome import NotDelivered

TIMEOUT_S = 15
_SECRET_PREFIX = "whsec_"
_GONE = 410


def new_webhook_secret() -> str:
    """`whsec_` and 24 random bytes in base64."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def is_webhook_secret(text: str) -> bool:
    """24 to 64 bytes, as the standard says."""
    try:
        return text.startswith(_SECRET_PREFIX) and 24 <= len(base64.b64decode(text[6:], validate=True)) <= 64
    except (binascii.Error, ValueError):
        return False


async def post(rules: WebhookRules, channel: Channel, message: Message) -> None:
    """One POST; follows no redirect, reads no proxy from the environment, looks at nothing but the status. Raises NotDelivered."""
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
