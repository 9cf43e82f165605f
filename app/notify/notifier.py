"""Dispatch of a message to its channel: webhook, mail or chat."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from app.core.alerts import Channel, Message
from app.notify import chat
from app.notify.addresses import WebhookRules
from app.notify.mail import NO_MAIL_SERVER, Mailbox
from app.notify.outcome import NotDelivered

__all__ = ["Mailbox", "NotDelivered", "Notifier", "WebhookRules"]

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sender of messages over every type of channel."""

    rules: WebhookRules = field(default_factory=WebhookRules)
    mailbox: Mailbox = field(default_factory=Mailbox)

    async def send(self, channel: Channel, message: Message) -> None:
        """Try once to send a message, for at most a minute. Raises NotDelivered for every failure outside the gateway."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._send(channel, message)
        except TimeoutError:
            raise NotDelivered("Nobody answered in a minute.") from None

    def check(self, channel: Channel) -> None:
        """Check a channel without any request. Raises NotDelivered when it cannot work with these settings."""
        if channel.type == "webhook":
            self.rules.check(channel.url)
        elif channel.type == "chat":
            chat.check_chat_url(channel.url)
        elif not self.mailbox.host:
            raise NotDelivered(NO_MAIL_SERVER)

    async def probe(self, channel: Channel) -> None:
        """Check a channel as `check` does, and that the mail server takes the login. Sends no message. Raises NotDelivered."""
        await asyncio.to_thread(self.check, channel)
        if channel.type == "email":
            await self.mailbox.probe()

    def _send(self, channel: Channel, message: Message) -> Awaitable[None]:
        match channel.type:
            case "webhook":
                from app.notify import webhook  # Imports aiohttp, so load it only for webhooks.

                return webhook.post(self.rules, channel, message)
            case "email":
                return self.mailbox.send(channel, message)
            case "chat":
                return chat.send(channel, message)
