"""Webhooks: signed, and never sent where they must not go."""

import ipaddress

import pytest
from standardwebhooks import WebhookVerificationError

from app.core.addresses import is_public
from app.core.alerts import Channel, Message
from app.notify.addresses import WebhookRules
from app.notify.outcome import NotDelivered
from app.notify.webhook import post
from app.notify.webhook_secret import is_webhook_secret, new_webhook_secret
from tests.receivers import webhook_receiver

OPEN = WebhookRules(allow_http=True, allow_private=True)
MESSAGE = Message("msg_1", "Title", "Text", {"type": "alert.fired", "data": {"scope_name": "林"}})


def webhook(url: str, secret: str | None = None) -> Channel:
    return Channel("webhook", url=url, secret=secret or new_webhook_secret())


async def test_the_receiver_verifies_who_sent_it_and_that_nobody_changed_it() -> None:
    async with webhook_receiver() as receiver:
        channel = webhook(receiver.url)
        await post(OPEN, channel, MESSAGE)

    [received] = receiver.received
    assert received.verified(channel.secret) == MESSAGE.document
    assert received.headers["webhook-id"] == "msg_1"
    with pytest.raises(WebhookVerificationError):
        received.verified(new_webhook_secret())


@pytest.mark.parametrize(("status", "final"), [(301, False), (307, False), (404, False), (500, False), (410, True)])
async def test_anything_but_a_200_is_not_delivered_and_no_redirect_is_followed(status: int, final: bool) -> None:
    async with webhook_receiver() as receiver:
        receiver.statuses = [status]
        with pytest.raises(NotDelivered, match=str(status)) as raised:
            await post(OPEN, webhook(receiver.url), MESSAGE)

    assert len(receiver.received) == 1
    assert raised.value.final is final


async def test_a_receiver_that_is_not_there_may_be_tried_again() -> None:
    with pytest.raises(NotDelivered, match="cannot be reached") as raised:
        await post(OPEN, webhook("http://127.0.0.1:9/hook"), MESSAGE)

    assert not raised.value.final


async def test_without_the_setting_nothing_goes_inside_even_by_a_name_that_looks_public() -> None:
    rules = WebhookRules(allow_http=True)
    async with webhook_receiver() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"):
            with pytest.raises(NotDelivered, match="private") as raised:
                await post(rules, webhook(f"http://{host}:{port}/hook"), MESSAGE)
            assert raised.value.final
        with pytest.raises(NotDelivered):
            await post(rules, webhook(f"http://2130706433:{port}/hook"), MESSAGE)  # The same address as one number.

    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "ftp://example.com/hook",
        "https:///hook",
        "https://user:password@example.com/hook",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://exa mple.com/",
        "https://[::1",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/",
        "file:///etc/passwd",
        "nonsense",
    ],
)
def test_what_is_no_public_https_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(NotDelivered) as raised:
        WebhookRules().check(url)

    assert raised.value.final


def test_a_public_https_address_is_taken() -> None:
    WebhookRules().check("https://example.com:8443/hook?team=1")
    WebhookRules().check("https://1.1.1.1/hook")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
        ("::a00:1", False),
        ("fec0::1", False),
    ],
)
def test_an_address_is_public_also_behind_what_wraps_it(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_a_secret_is_what_the_standard_calls_one() -> None:
    assert is_webhook_secret(new_webhook_secret())
    for text in ("", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_###" + "a" * 40):
        assert not is_webhook_secret(text)
