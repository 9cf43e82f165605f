"""imagegate alerts."""

import pytest

from app.core.relay_alerts import RelayTrouble
from app.store.alerts import all_alerts
from app.store.deliveries import fire, fire_news
from app.store.engine import Database
from app.store.relay_troubles import begin_trouble, untold_news
from tests.cli.conftest import Cli


def test_an_alert_is_created_listed_and_deleted_and_its_secret_is_shown_once(cli: Cli) -> None:
    done = cli(
        "alerts create --user lin --images 100 --per day --webhook https://example.com/hook --mail a@example.com"
    )
    secret = done.out.splitlines()[-1]
    assert secret.startswith("whsec_")

    [listed] = cli("alerts list --json").json["data"]
    assert (listed["scope"], listed["scope_name"], listed["unit"], listed["interval"]) == (
        "user",
        "lin",
        "images",
        "day",
    )
    assert (listed["threshold"], listed["model"]) == (100, None)
    assert [channel["type"] for channel in listed["notification_channels"]] == ["email", "webhook"]
    assert secret not in cli("alerts list").out + cli("alerts list --json").out
    assert cli(f"alerts delete {listed['id']} --json").json["id"] == listed["id"]
    assert cli("alerts list --json").json["data"] == []
    cli(f"alerts delete {listed['id']}", code=3)


def test_an_alert_on_spend_is_in_money(cli: Cli) -> None:
    made = cli("alerts create --organization --spend 800 --mail a@example.com --mail b@example.com --json").json

    assert (made["unit"], made["threshold"], made["interval"]) == ("micros", 800_000_000, "month")
    [channel] = made["notification_channels"]
    assert channel["recipients"] == ["a@example.com", "b@example.com"]
    assert "800.00 CNY" in cli("alerts list").out


def test_at_a_per_cent_of_a_limit_it_follows_the_limit(cli: Cli) -> None:
    cli("limits set --user lin --spend 20 --spend-per month --images 30 --images-per day --requests-per-minute 5")

    several = cli("alerts create --user lin --at 80% --mail a@example.com --json", code=2).error["message"]
    made = cli("alerts create --user lin --at 80% --of spend --mail a@example.com --json").json
    daily = cli("alerts create --user lin --at 50 --per day --mail a@example.com --json").json
    cli("limits set --user lin --spend 50 --spend-per month")

    assert "Which limit is it: daily image quota of user lin, monthly spend limit of user lin?" in several
    assert [made[name] for name in ("unit", "interval", "percent", "threshold")] == ["micros", "month", 80, 16_000_000]
    assert [daily[name] for name in ("unit", "interval", "percent", "threshold")] == ["images", "day", 50, 15]
    assert "\tmonth\t40.00 CNY\t80%\t" in cli("alerts list").out
    cli("limits set --everyone --spend 10 --spend-per month")
    cli("limits set --user lin --spend none --spend-per month")
    assert "\tmonth\t8.00 CNY\t80%\t" in cli("alerts list").out, "of the default that takes its place"
    cli("limits set --everyone --spend none --spend-per month")
    assert "\tmonth\tno limit\t80%\t" in cli("alerts list").out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--at 80% --of requests", "There is no such limit to take 80% of."),
        ("--at 80% --spend 5", "not both"),
        ("--at most", "write --at 80%"),
        ("--at 101%", "from 1 to 100"),
    ],
)
def test_a_per_cent_that_cannot_be_is_refused(cli: Cli, words: str, told: str) -> None:
    cli("limits set --organization --spend 20 --spend-per month")

    refused = cli(f"alerts create --organization {words} --mail a@example.com --json", code=2).error

    assert told in refused["message"]


def test_a_test_fails_where_a_channel_does_and_the_history_stays_empty(cli: Cli) -> None:
    made = cli("alerts create --organization --spend 800 --mail a@example.com --json").json

    tested = cli(f"alerts test {made['id']}", code=1)
    shown = cli(f"alerts test {made['id']} --json", code=1).json

    assert "a@example.com\tno\tThe mail server did not take it: ConnectionRefusedError." in tested.out
    assert tested.err.endswith("1 of 1 not delivered.\n")
    assert [each["delivered"] for each in shown["channels"]] == [False]
    history = cli(f"alerts history {made['id']}")
    assert history.out.startswith("fired at\tthreshold\tused\t") and "has not fired yet" in history.err
    assert cli(f"alerts history {made['id']} --json").json["data"] == []


def test_the_history_shows_how_each_message_went(cli: Cli) -> None:
    made = cli("alerts create --organization --spend 1 --mail a@example.com --json").json
    cli.database(_fire)

    [head, line] = cli(f"alerts history {made['id']}").out.splitlines()

    shown = dict(zip(head.split("\t"), line.split("\t"), strict=True))
    assert (shown["threshold"], shown["used"], shown["channel"]) == ("1.00 CNY", "1.25 CNY", "a@example.com")
    assert (shown["state"], shown["attempts"], shown["error"]) == ("pending", "0", "")


def test_an_alert_on_relays_and_its_history_name_the_relay(cli: Cli) -> None:
    made = cli("alerts create --relays --balance-days 3 --mail a@example.com --json").json
    assert (made["unit"], made["threshold"], made["interval"]) == ("relays", 3, "lifetime")
    cli.database(_fire_trouble)

    [head, line] = cli(f"alerts history {made['id']}").out.splitlines()

    shown = dict(zip(head.split("\t"), line.split("\t"), strict=True))
    told = [shown[name] for name in ("relay", "news", "code", "channel", "state")]
    assert told == ["b", "began", "upstream_wallet_empty", "a@example.com", "pending"]
    [firing] = cli(f"alerts history {made['id']} --json").json["data"]
    assert [firing[name] for name in ("relay", "code", "threshold", "used")] == ["b", "upstream_wallet_empty", 0, 1]


@pytest.mark.parametrize(
    "words", ["--relays --user lin", "--relays --spend 5", "--balance-days 3", "--relays --per day"]
)
def test_an_alert_on_relays_takes_nothing_else(cli: Cli, words: str) -> None:
    refused = cli(f"alerts create {words} --mail a@example.com --json", code=2).error

    assert refused["message"].startswith("--relays takes --balance-days and the channels")


async def _fire_trouble(database: Database) -> None:
    trouble = RelayTrouble(0, "b", 0, "upstream_wallet_empty", None, None, 1_795_000_000_000)
    async with database.write() as connection:
        assert await begin_trouble(connection, trouble)
        [news] = await untold_news(connection, 1_795_000_001_000, 30_000)
        assert await fire_news(connection, news, 1_795_000_001_000)


async def _fire(database: Database) -> None:
    async with database.write() as connection:
        [alert] = await all_alerts(connection)
        await fire(connection, alert, 1_795_000_000_000, 1_250_000, 1_795_000_001_000)


def test_without_a_mail_server_no_alert_by_mail_is_made(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGEGATE_SMTP_HOST")

    refused = cli("alerts create --organization --spend 800 --mail a@example.com --json", code=2).error

    assert refused["code"] == "invalid_value" and "Set IMAGEGATE_SMTP_HOST" in refused["message"]
    assert cli("alerts list --json").json["data"] == []
    cli("alerts create --organization --spend 800 --webhook https://example.com/hook")


@pytest.mark.parametrize(
    "words",
    [
        "--spend 1 --mail a@example.com",
        "--organization --mail a@example.com",
        "--organization --spend 1",
        "--organization --spend 1 --images 2 --mail a@example.com",
        "--organization --spend free --mail a@example.com",
        "--organization --spend 1 --mail nobody@",
        "--organization --spend 1 --webhook http://example.com/",
        "--organization --images -1 --mail a@example.com",
        "--organization --user lin --images 1 --mail a@example.com",
    ],
)
def test_an_alert_that_cannot_be_is_refused(cli: Cli, words: str) -> None:
    assert cli(f"alerts create {words} --json", code=2).error["code"] == "invalid_value"
