"""Pages of the alerts: made with channels that are tried at once, tests, and what the channels answered."""

import asyncio
import re
from pathlib import Path

import pytest

from app.control.invitations import accept_invitation, invite
from app.core.relay_alerts import RelayTrouble
from app.sandbox import RunningSandbox
from app.store.deliveries import fire_news
from app.store.relay_troubles import begin_trouble, untold_news
from tests.console.conftest import PASSWORD, House, open_house
from tests.gateways import running_gateway
from tests.money.books import opened
from tests.receivers import mail_server, webhook_receiver


async def test_a_channel_that_cannot_deliver_is_said_when_it_is_made(house: House) -> None:
    made = await house.post("/alerts", "olga", amount="12.50", mail="finance@example.com, rita@example.com")

    assert made.status_code == 200
    assert "This channel cannot deliver:" in made.text and "finance@example.com, rita@example.com" in made.text
    listed = (await house.get("/alerts", "rita")).text
    assert "12.50 CNY" in listed and "/alerts/new" not in listed
    refused = await house.post("/alerts", "olga", amount="5", webhook="http://127.0.0.1:9/hook")
    assert refused.status_code == 400 and "This channel cannot deliver:" in refused.text
    assert 'value="http://127.0.0.1:9/hook"' in refused.text


async def test_the_form_says_where_no_mail_can_be_sent(tmp_path: Path, relay: RunningSandbox) -> None:
    async with running_gateway(tmp_path, relay.base_url, smtp_host=None) as running, opened(running.url) as client:
        invitation = await invite(running.database, "olga@example.com", "owner")
        session = await accept_invitation(running.database, invitation.token, PASSWORD, "")
        form = (await client.get("/console/alerts/new", headers={"Cookie": f"imagegate={session.token}"})).text

    assert re.search(r'name="mail" value=""[^>]* disabled', form) and "IMAGEGATE_SMTP_HOST" in form


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"amount": "5", "percent": "80"},
        {"amount": "12.345"},
        {"percent": "eighty"},
        {"percent": "80", "unit": "images"},  # No such limit.
        {"amount": "5", "scope": "project", "of": "nothing"},
        {"amount": "5", "mail": ""},
        {"amount": "5", "mail": "no@address@all"},
    ],
)
async def test_an_alert_that_cannot_be_keeps_what_was_written(house: House, fields: dict[str, str]) -> None:
    answer = await house.post("/alerts", "olga", **({"mail": "kept@example.com", "interval": "week"} | fields))

    assert answer.status_code in (400, 404) and 'role="alert"' in answer.text
    assert re.search(r'value="week" selected', answer.text)


async def test_a_test_says_what_each_channel_answered_and_the_history_what_they_answered(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    async with webhook_receiver() as hook, mail_server() as mail:
        allowed = {"webhook_allow_http": True, "webhook_allow_private": True}
        server = {"smtp_port": mail.port, "smtp_security": "none"}
        async with open_house(tmp_path, relay.base_url, **allowed, **server) as house:
            made = await house.post(
                "/alerts",
                "olga",
                unit="images",
                amount="1",
                webhook=f"{hook.url},{hook.url}/gone",
                mail="a@example.com",
                scope="user",
                of="mia",
                interval="lifetime",
            )
            secret = re.search(r'value="(whsec_[^"]+)"', made.text)
            path = re.search(r"/console(/alerts/alert_\w+)/test", made.text)
            assert secret is not None and path is not None and "This channel cannot deliver" not in made.text

            tested = (await house.post(f"{path[1]}/test", "olga")).text
            assert tested.count("The webhook answered 404.") == 1 and tested.count(">delivered<") == 2
            assert hook.received[0].verified(secret[1])["type"] == "alert.test"
            assert secret[1] not in tested

            # The usage is above the threshold already, so that the gateway fires by itself.
            async with asyncio.timeout(60):
                shown = ""
                while "The webhook answered 404." not in shown or ">delivered<" not in shown:
                    await asyncio.sleep(0.1)
                    shown = (await house.get(path[1], "rita")).text
            listed = (await house.get("/alerts", "rita")).text

    assert "images" in shown
    assert "Person mia" in listed and (">not delivered<" in listed or ">being tried<" in listed)


async def test_an_alert_on_relays_asks_for_days_and_says_which_relay(house: House) -> None:
    made = await house.post("/alerts", "olga", scope="relays", days="3", mail="finance@example.com")
    assert made.status_code == 200 and "balance for fewer than 3 days" in made.text
    troubles = [
        RelayTrouble(0, "b", days, code, left, left, 1_795_000_000_000)
        for days, code, left in ((0, "upstream_wallet_empty", None), (3, None, 5_000_000))
    ]
    async with house.running.database.write() as connection:
        for trouble in troubles:
            await begin_trouble(connection, trouble)
        for news in await untold_news(connection, 1_795_000_001_000, 30_000):
            await fire_news(connection, news, 1_795_000_001_000)
    path = re.search(r"/console(/alerts/alert_\w+)/test", made.text)
    assert path is not None

    shown = (await house.get(path[1], "rita")).text

    assert "b: paused <small>upstream_wallet_empty</small>" in shown and "b: balance for fewer than 3 days" in shown
    assert "<ins>Relays</ins>" in (await house.get("/audit", "olga")).text
    refused = await house.post("/alerts", "olga", scope="relays", days="three", mail="finance@example.com")
    assert refused.status_code == 400 and 'value="relays" selected' in refused.text and 'value="three"' in refused.text


async def test_a_deleted_alert_is_gone(house: House) -> None:
    assert (await house.post(f"/alerts/{house.alert}/delete", "olga")).status_code == 303
    assert (await house.get(f"/alerts/{house.alert}", "rita")).status_code == 404
    assert "No alert yet" in (await house.get("/alerts", "rita")).text
