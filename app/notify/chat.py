"""Feishu, Lark, DingTalk, WeCom and Slack, through apprise."""

import asyncio
from typing import Any

from app.core.alerts import Channel, Message
from app.notify.outcome import NotDelivered

SCHEMAS = ("feishu", "lark", "dingtalk", "wecombot", "slack")
"""Of apprise's hundred only these: each goes to one fixed host of its maker, none to a file or an address of choice."""
URL_CHARS_MAX = 512
MISSING = "Messages to chat programs need the package apprise: pip install 'imagegate[notify]'."


def check_chat_url(url: str) -> None:
    """Raises NotDelivered, finally. Options after a question mark are refused: some of them read files."""
    schema, separator, rest = url.partition("://")
    if not separator or schema not in SCHEMAS:
        raise NotDelivered(f"A chat is one of {', '.join(f'{each}://' for each in SCHEMAS)}.", final=True)
    plain = rest.isascii() and rest.isprintable() and not any(char in rest for char in "?&;, \\")
    if not plain or len(url) > URL_CHARS_MAX or _robot(url) is None:
        message = (
            f"This is no address of a chat robot that apprise can read: {schema}:// and its token, without options."
        )
        raise NotDelivered(message, final=True)


async def tell(channel: Channel, message: Message) -> None:
    """Raises NotDelivered. The first one takes a second longer: apprise is imported only now."""
    await asyncio.to_thread(_tell, channel.url, message)


def _tell(url: str, message: Message) -> None:
    check_chat_url(url)
    robot = _robot(url)
    if robot is None or not robot.notify(title=message.title, body=message.text):
        raise NotDelivered("The chat program did not take it.")


def _robot(url: str) -> Any:
    """None for what apprise cannot read."""
    try:
        import apprise
    except ImportError:
        raise NotDelivered(MISSING) from None
    return apprise.Apprise.instantiate(url, suppress_exceptions=True)
