"""Mail over SMTP, and the robots of chat programs through apprise."""

import json

import pytest
from aiohttp import web

from app.core.alerts import Channel, Message
from app.notify.chat import check_chat_url
from app.notify.notifier import Mailbox, NotDelivered, Notifier
from tests.receivers import mail_server, served

# apprise looks for a module that Python 3.13 no longer has.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
MESSAGE = Message("msg_1", "Spend by 林 reached 80.00 CNY", "Used: 81.00 CNY.\n", {})


async def test_a_mail_goes_to_every_recipient_with_its_prefix_before_the_subject() -> None:
    channel = Channel("email", ("a@example.com", "b@example.com"), "[imagegate]")
    async with mail_server() as server:
        mailbox = Mailbox("127.0.0.1", server.port, "none", sender="gate@example.com")
        await Notifier(mailbox=mailbox).send(channel, MESSAGE)

    [mail] = server.mails
    assert mail["subject"] == "[imagegate] Spend by 林 reached 80.00 CNY"
    assert (mail["from"], mail["to"]) == ("gate@example.com", "a@example.com, b@example.com")
    assert mail.get_content().strip() == "Used: 81.00 CNY."
    assert server.recipients == ["a@example.com", "b@example.com"]


async def test_a_server_that_refuses_or_is_not_there_is_told_without_its_words() -> None:
    channel = Channel("email", ("a@example.com",))
    async with mail_server() as server:
        server.refuses = True
        with pytest.raises(NotDelivered, match="SMTPDataError 554"):
            await Notifier(mailbox=Mailbox("127.0.0.1", server.port, "none")).send(channel, MESSAGE)
    with pytest.raises(NotDelivered, match="ConnectionRefusedError"):
        await Notifier(mailbox=Mailbox("127.0.0.1", 9, "none")).send(channel, MESSAGE)
    with pytest.raises(NotDelivered, match="IMAGEGATE_SMTP_HOST"):
        await Notifier().send(channel, MESSAGE)


@pytest.mark.parametrize(
    "url",
    [
        "feishu://0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
        "dingtalk://0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        "wecombot://693a91f6-7c15-4bc4-97a0-0ec2sifa5aaa",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
    ],
)
def test_a_robot_of_a_chat_program_is_taken(url: str) -> None:
    check_chat_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1/",
        "file:///etc/passwd",
        "feishu",
        "feishu://",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd",
        "feishu://0a1b2c3d-4e5f,json://127.0.0.1/",
        "feishu://0a1b2c3d json://127.0.0.1/",
    ],
)
def test_everything_else_that_apprise_could_do_is_refused(url: str) -> None:
    with pytest.raises(NotDelivered) as raised:
        check_chat_url(url)

    assert raised.value.final


async def test_a_robot_is_told_title_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.plugins.feishu import NotifyFeishu

    told: list[str] = []

    async def take(request: web.Request) -> web.Response:
        told.append(json.dumps(await request.json(), ensure_ascii=False))
        return web.json_response({"code": 0} if len(told) == 1 else {"code": 1}, status=200 if len(told) == 1 else 500)

    channel = Channel("chat", url="feishu://0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")
    async with served(web.post("/{rest:.*}", take)) as url:
        monkeypatch.setattr(NotifyFeishu, "notify_url", f"{url}/")
        await Notifier().send(channel, MESSAGE)
        with pytest.raises(NotDelivered):
            await Notifier().send(channel, MESSAGE)

    assert MESSAGE.title in told[0] and "81.00" in told[0]
