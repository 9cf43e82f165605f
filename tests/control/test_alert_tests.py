"""Test messages of alerts: one to each channel, real receivers on loopback, no firing."""

from zoneinfo import ZoneInfo

import sqlalchemy as sa

from app.control import alerts
from app.control.alert_tests import send_test
from app.control.alerting import Alerting
from app.control.alerts import NewAlert
from app.control.limits import ScopeRef
from app.core.alerts import Channel
from app.notify.notifier import Mailbox, Notifier, WebhookRules
from app.store.engine import Database
from app.store.tables import deliveries, firings
from tests.databases import insert_usage
from tests.receivers import mail_server, webhook_receiver

ZONE = ZoneInfo("Asia/Shanghai")


async def test_every_channel_gets_a_marked_message_and_the_alert_fires_all_the_same(database: Database) -> None:
    async with webhook_receiver() as hook, mail_server() as mail:
        notifier = Notifier(WebhookRules(True, True), Mailbox("127.0.0.1", mail.port, "none"))
        channels = (
            Channel("webhook", url=hook.url),
            Channel("email", ("a@example.com",)),
            Channel("webhook", url=f"{hook.url}/gone?token=secret"),
        )
        made = await alerts.create_alert(
            database, notifier, NewAlert(ScopeRef("organization"), "images", "day", 3, channels)
        )

        tested = await send_test(database, notifier, made.id, currency="CNY", zone=ZONE)

        [received], [message] = hook.received, mail.mails
        assert [each.error for each in tested.channels] == [None, None, "The webhook answered 404."]
        async with database.read() as connection:
            for table in (firings, deliveries):
                assert (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() == 0
        await insert_usage(database, day="2099-01-01", images=3)
        assert await Alerting(database, notifier, ZONE, "CNY", None).fire_reached() == 1

    document = received.verified(made.channels[0].secret)
    assert (document["type"], document["data"]["threshold"], document["data"]["used"]) == ("alert.test", "3", None)
    subject = "TEST, nothing was reached: Images by the organization today reached 3 images"
    assert message["subject"].strip() == subject  # A folded header begins with a space.
    assert "This is a test of an alert" in message.get_content()
