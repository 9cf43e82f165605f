"""imagegate alerts."""

import pytest

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
