"""Messages to owners about requests for more: by mail, and by the chats that alerts on its usage go to."""

import asyncio
from zoneinfo import ZoneInfo

import structlog

from app.control.limit_increases import IncreaseState, show_increase
from app.core.alerts import Channel, Message
from app.core.limits import Limit
from app.core.money import decimal_text
from app.notify.notifier import NotDelivered, Notifier
from app.store import alerts, organization
from app.store.engine import Database

PATH = "/console/limits"
log = structlog.get_logger()


async def tell_owners(
    database: Database, notifier: Notifier, zone: ZoneInfo, increase_id: str, currency: str, address: str | None
) -> int:
    """Send a request for more to the owners, once, with a link below `address`, where it is known. Returns how many channels took
    it; the others are logged. Raises NotFound."""
    state = await show_increase(database, zone, increase_id)
    channels = await _channels(database, has_mail=notifier.mailbox.host is not None)
    message = increase_message(state, currency, address)
    return sum(await asyncio.gather(*(_send(notifier, channel, message) for channel in channels)))


def increase_message(state: IncreaseState, currency: str, address: str | None) -> Message:
    """Make the message about a request for more, in English and Chinese."""
    increase, limit = state.increase, state.limit
    name = increase.user or increase.user_id or ""
    label = limit.limit.label if limit else "a limit that was removed since"
    amount = _amount(increase.asked, limit.limit, currency) if limit else str(increase.asked)
    title = f"{name} asks for {amount} more"
    reason = f"\n{increase.reason}\n" if increase.reason else ""
    link = f"\n{address}{PATH}\n" if address else ""
    text = f"{title}: {label}.\n{reason}\n{name} 申请提高限额 {amount}。\n{link}"
    data = {"increase_id": increase.id, "user_id": increase.user_id, "limit": label, "asked": amount}
    return Message(increase.id, title, text, {"type": "limit_increase.requested", "data": data})


async def _channels(database: Database, *, has_mail: bool) -> list[Channel]:
    async with database.read() as connection:
        emails = await organization.owner_emails(connection) if has_mail else []
        found = await alerts.all_alerts(connection)
    on_usage = [alert for alert in found if alert.scope == "organization" and alert.unit != "relays"]
    chats = [channel for alert in on_usage for channel in alert.channels]
    by_mail = [Channel("email", tuple(emails))] if emails else []
    return by_mail + [channel for channel in dict.fromkeys(chats) if channel.type == "chat"]


async def _send(notifier: Notifier, channel: Channel, message: Message) -> bool:
    try:
        await notifier.send(channel, message)
    except NotDelivered as exc:
        log.warning("owners were not told", increase_id=message.id, channel=channel.type, reason=exc.reason)
        return False
    return True


def _amount(amount: int, limit: Limit, currency: str) -> str:
    return f"{decimal_text(amount)} {currency}" if limit.unit == "micros" else f"{amount} {limit.unit}"
