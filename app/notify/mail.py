"""Messages by mail over SMTP."""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import Literal

from app.core.alerts import Channel, Message
from app.notify.outcome import NotDelivered

TIMEOUT_S = 15
NO_MAIL_SERVER = (
    "No mail server is set, so no mail can be sent. Set IMAGEGATE_SMTP_HOST, and where it needs them IMAGEGATE_SMTP_PORT, "
    "_SECURITY, _USER, _PASSWORD and _FROM, and start the gateway again."
)
SmtpSecurity = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """SMTP server and sender of mail. Without a `host` no mail can be sent."""

    host: str | None = None
    port: int = 587
    security: SmtpSecurity = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str | None = None

    async def send(self, channel: Channel, message: Message) -> None:
        """Send one mail to all recipients of the channel. Raises NotDelivered."""
        await self._talk(_mail(self.sender or f"imagegate@{self.host}", channel, message), "did not take it")

    async def probe(self) -> None:
        """Connect to the server and log in, without sending a mail. Raises NotDelivered."""
        await self._talk(None, "cannot be used")

    async def _talk(self, mail: EmailMessage | None, failed: str) -> None:
        if not self.host:
            raise NotDelivered(NO_MAIL_SERVER)
        try:
            await asyncio.to_thread(self._send, self.host, mail)
        except (smtplib.SMTPException, OSError) as exc:
            code = getattr(exc, "smtp_code", None)
            reason = f"{type(exc).__name__}{f' {code}' if code else ''}"
            raise NotDelivered(f"The mail server {failed}: {reason}.") from None

    def _send(self, host: str, mail: EmailMessage | None) -> None:
        context = ssl.create_default_context()
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, self.port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(host, self.port, timeout=TIMEOUT_S)
        with server:
            if self.security == "starttls":
                server.starttls(context=context)
            if self.user is not None:
                server.login(self.user, self.password or "")
            if mail is None:
                server.noop()
            else:
                server.send_message(mail)


def _mail(sender: str, channel: Channel, message: Message) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = " ".join(filter(None, (channel.subject_prefix, message.title)))
    mail["From"], mail["To"] = sender, ", ".join(channel.recipients)
    mail["Date"], mail["Message-ID"] = formatdate(), f"<{message.id}@{sender.rpartition('@')[2]}>"
    mail.set_content(message.text)
    return mail
