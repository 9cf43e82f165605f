"""Messages to Feishu, Lark, DingTalk, WeCom and Slack, sent by apprise."""

import asyncio
from typing import Any

from app.core.alerts import Channel, Message
from app.notify.outcome import NotDelivered

SCHEMAS = ("feishu", "lark", "dingtalk", "wecombot", "slack")
"""Schemas of apprise that are allowed: each sends to a fixed host of its vendor, none to a file or a host of the user's choice."""
URL_CHARS_MAX = 512
APPRISE_MISSING = "Messages to chat programs need the package apprise: pip install 'imagegate[notify]'."


def check_chat_url(url: str) -> None:
    """Check the URL of a chat robot. Raises a final NotDelivered. Options after a question mark are refused: some read files."""
    schema, separator, rest = url.partition("://")
    if not separator or schema not in SCHEMAS:
        raise NotDelivered(f"A chat is one of {', '.join(f'{each}://' for each in SCHEMAS)}.", final=True)
    plain = rest.isascii() and rest.isprintable() and not any(char in rest for char in "?&;, \\")
    if not plain or len(url) > URL_CHARS_MAX or _robot(url) is None:
        message = (
            f"This is no address of a chat robot that apprise can read: {schema}:// and its token, without options."
        )
        raise NotDelivered(message, final=True)


async def send(channel: Channel, message: Message) -> None:
    """Send a message to a chat robot. Raises NotDelivered. The first call imports apprise, which takes a second."""
    await asyncio.to_thread(_send, channel.url, message)


def _send(url: str, message: Message) -> None:
    check_chat_url(url)
    robot = _robot(url)
    if robot is None or not robot.notify(title=message.title, body=message.text):
        raise NotDelivered("The chat program did not take it.")


def _robot(url: str) -> Any:
    """Create apprise's sender for a URL; None when apprise cannot parse it. Raises NotDelivered when apprise is not installed."""
    try:
        import apprise
    except ImportError:
        raise NotDelivered(APPRISE_MISSING) from None
    return apprise.Apprise.instantiate(url, suppress_exceptions=True)
