"""A webhook and a mail server, real and on loopback, that keep what they receive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook


@dataclass(slots=True)
class Received:
    """One POST. `verified` raises unless it is signed with `secret`, and returns the document."""

    headers: dict[str, str]
    body: bytes

    def verified(self, secret: str) -> Any:
        return Webhook(secret).verify(self.body, self.headers)


@dataclass(slots=True)
class WebhookReceiver:
    """`statuses` are what it answers, one after the other; then 204."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    _more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        async with self._more:
            self.received.append(Received(dict(request.headers), await request.read()))
            self._more.notify_all()
        status = self.statuses.pop(0) if self.statuses else 204
        return web.Response(status=status, headers={"location": self.url} if 300 <= status < 400 else {})

    async def wait_for(self, count: int, timeout_s: float = 60) -> list[Received]:
        async with asyncio.timeout(timeout_s), self._more:
            await self._more.wait_for(lambda: len(self.received) >= count)
        return self.received


@asynccontextmanager
async def served(*routes: web.RouteDef) -> AsyncIterator[str]:
    """Serve these routes on a free port; yields the address."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    async with served(web.post("/hook", receiver.take)) as url:
        receiver.url = f"{url}/hook"
        yield receiver


@dataclass(slots=True)
class MailServer:
    """Just enough SMTP to take a mail; `refuses` answers 554 to it."""

    port: int = 0
    refuses: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            if verb == "RCPT":
                self.recipients.append(line.partition("<")[2].rstrip(">"))
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                if not self.refuses:
                    self.mails.append(message_from_bytes(content[:-5], policy=policy.default))
            refused = verb == "DATA" and self.refuses
            writer.write(b"554 no\r\n" if refused else b"221 bye\r\n" if verb == "QUIT" else b"250 fine\r\n")
        writer.close()


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    receiver = MailServer()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
