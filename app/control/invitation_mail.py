"""Mail with the link of an invitation."""

import asyncio
from collections.abc import Sequence

import structlog

from app.core.alerts import Channel, Message
from app.notify.notifier import NotDelivered, Notifier
from app.store.sign_in import Invitation

AT_ONCE = 4
MAILING_S = 20.0
"""Longest time that the links of a list are mailed in; whoever made the list hands out the others."""
log = structlog.get_logger()


async def mail_invitation(notifier: Notifier, invitation: Invitation, url: str) -> bool | None:
    """Mail a link to its person. None without a mail server or address, False where the mail server did not take it."""
    if notifier.mailbox.host is None or invitation.email is None:
        return None
    text = (
        f"You can sign in to imagegate. This link works once, within 72 hours:\n\n{url}\n\n"
        f"你可以登录 imagegate。此链接在 72 小时内有效，只能使用一次。\n"
    )
    channel = Channel("email", (invitation.email,))
    try:
        await notifier.send(channel, Message(invitation.id, "Sign in to imagegate", text, {}))
    except NotDelivered as exc:
        log.warning("invitation not mailed", invite_id=invitation.id, why=str(exc))
        return False
    return True


async def mail_invitations(notifier: Notifier, links: Sequence[tuple[Invitation, str]]) -> list[bool | None]:
    """Mail links, a few at a time, within MAILING_S. Returns for each what `mail_invitation` does."""
    gate, mailed = asyncio.Semaphore(AT_ONCE), dict[str, bool | None]()

    async def send(invitation: Invitation, url: str) -> None:
        async with gate:
            mailed[invitation.id] = await mail_invitation(notifier, invitation, url)

    tasks = [asyncio.create_task(send(invitation, url)) for invitation, url in links]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=MAILING_S)
        for task in late:
            task.cancel()
    return [mailed.get(invitation.id, False) for invitation, _ in links]
