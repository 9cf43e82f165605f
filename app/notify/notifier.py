"""Whoever takes a message to its channel."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from app.core.alerts import Channel, Message
from app.notify import chat
from app.notify.addresses import WebhookRules
from app.notify.mail import Mailbox
from app.notify.outcome import NotDelivered

__all__ = ["Mailbox", "NotDelivered", "Notifier", "WebhookRules"]

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Notifier:
    rules: WebhookRules = field(default_factory=WebhookRules)
    mailbox: Mailbox = field(default_factory=Mailbox)

    async def send(self, channel: Channel, message: Message) -> None:
        """One attempt, of a minute at most. Raises NotDelivered, and nothing else for what the world does."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._sending(channel, message)
        except TimeoutError:
            raise NotDelivered("Nobody answered in a minute.") from None

    def check(self, channel: Channel) -> None:
        """Raises NotDelivered for a channel that never works, without asking anybody."""
        if channel.type == "webhook":
            self.rules.check(channel.url)
        elif channel.type == "chat":
            chat.check_chat_url(channel.url)

    def _sending(self, channel: Channel, message: Message) -> Awaitable[None]:
        match channel.type:
            case "webhook":
                from app.notify import webhook  # With all of an HTTP client: loaded by who has a webhook.

                return webhook.post(self.rules, channel, message)
            case "email":
                return self.mailbox.send(channel, message)
            case "chat":
                return chat.tell(channel, message)
