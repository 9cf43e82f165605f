"""Spend alerts as OpenAI's, and the wider ones that are ours."""

from typing import Any

import pytest

from app.control.alerts import CHANNELS_MAX
from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

# apprise looks for a module that Python 3.13 no longer has.
pytestmark = [postgres_with_all, pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")]
MAIL = {"type": "email", "recipients": ["a@example.com"]}
LOCAL = {"recipients": ["finance"]}
SPEND: dict[str, Any] = {
    "currency": "CNY",
    "interval": "month",
    "notification_channel": MAIL,
    "threshold_amount": 8000,
}
HOOK = {"type": "webhook", "url": "https://example.com/hook"}


async def test_a_spend_alert_is_what_openai_says_it_is(office: Office) -> None:
    made = await office.post("/spend_alerts", **SPEND)

    assert made == {
        "id": made["id"],
        "object": "organization.spend_alert",
        "interval": "month",
        "threshold_amount": 8000,
        "notification_channel": {**MAIL, "subject_prefix": None},
        "currency": "CNY",
    }
    assert await office.get(f"/spend_alerts/{made['id']}") == made
    changed = await office.post(f"/spend_alerts/{made['id']}", **SPEND | {"threshold_amount": 1})
    assert changed == made | {"threshold_amount": 1}
    assert (await office.get("/spend_alerts"))["data"] == [changed]
    assert await office.delete(f"/spend_alerts/{made['id']}") == {
        "id": made["id"],
        "object": "organization.spend_alert.deleted",
        "deleted": True,
    }
    assert await office.refused("GET", f"/spend_alerts/{made['id']}") == (404, "not_found", "alert_id")
    assert [event for event, _ in await office.events()][-3:] == ["alert.created", "alert.updated", "alert.deleted"]


async def test_a_projects_alerts_are_its_own(office: Office) -> None:
    project = (await office.post("/projects", name="red"))["id"]
    made = await office.post(f"/projects/{project}/spend_alerts", **SPEND)

    assert made["object"] == "project.spend_alert"
    assert (await office.get(f"/projects/{project}/spend_alerts"))["data"] == [made]
    for path in ("/spend_alerts", "/projects/proj_default/spend_alerts"):
        assert (await office.get(path))["data"] == []
        for method in ("GET", "DELETE"):
            assert (await office.refused(method, f"{path}/{made['id']}"))[0] == 404
        assert (await office.refused("POST", f"{path}/{made['id']}", SPEND))[0] == 404
    assert (await office.refused("GET", "/projects/proj_none/spend_alerts"))[0] == 404
    assert (await office.refused("POST", "/projects/proj_none/spend_alerts", SPEND))[0] == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("currency", "USD"),
        ("interval", "day"),
        ("threshold_amount", -1),
        ("threshold_amount", "8000"),
        ("threshold_amount", 10**15),
        ("notification_channel", HOOK),
        ("notification_channel", MAIL | {"recipients": []}),
        ("notification_channel", MAIL | {"recipients": ["some body"]}),
        ("notification_channel", MAIL | {"recipients": ["a@b\r\nBcc: c@d"]}),
        ("notification_channel", MAIL | {"subject_prefix": "a\r\nBcc: c@d"}),
        ("more", 1),
    ],
)
async def test_what_openai_would_not_take_is_a_400(office: Office, field: str, value: Any) -> None:
    assert (await office.refused("POST", "/spend_alerts", SPEND | {field: value}))[0] == 400


async def test_a_threshold_of_zero_and_a_mailbox_without_a_host_are_taken(office: Office) -> None:
    """The SDK's own tests send both."""
    made = await office.post("/spend_alerts", **SPEND | {"threshold_amount": 0, "notification_channel": MAIL | LOCAL})

    assert (made["threshold_amount"], made["notification_channel"]["recipients"]) == (0, ["finance"])


async def test_a_list_is_read_piece_by_piece_in_both_directions(office: Office) -> None:
    ids = [(await office.post("/spend_alerts", **SPEND | {"threshold_amount": n}))["id"] for n in range(1, 5)]
    order = [each["id"] for each in (await office.get("/spend_alerts"))["data"]]
    assert sorted(order) == sorted(ids)

    first = await office.get("/spend_alerts", limit=3)
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (order[:3], True)
    rest = await office.get("/spend_alerts", after=first["last_id"])
    assert ([each["id"] for each in rest["data"]], rest["has_more"]) == (order[3:], False)
    back = await office.get("/spend_alerts", before=order[3], limit=2)
    assert [each["id"] for each in back["data"]] == order[1:3]
    assert [each["id"] for each in (await office.get("/spend_alerts", order="desc"))["data"]] == order[::-1]


async def test_our_alerts_know_every_scope_unit_interval_and_channel(office: Office) -> None:
    user = (await office.post("/users", name="lin"))["id"]
    chat = {"type": "chat", "url": "feishu://0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"}
    made = await office.post(
        "/alerts",
        scope="user",
        scope_id=user,
        unit="images",
        interval="day",
        threshold=100,
        model="gpt-image-1",
        notification_channels=[HOOK, MAIL, chat],
    )

    secret = made["notification_channels"][0].pop("secret")
    assert secret.startswith("whsec_")
    shown = await office.get(f"/alerts/{made['id']}")
    assert shown == made
    assert (shown["scope"], shown["scope_id"], shown["scope_name"]) == ("user", user, "lin")
    assert (shown["object"], shown["unit"], shown["threshold"]) == ("alert", "images", 100)
    assert shown["notification_channels"][2]["url"] == "feishu://***"
    assert (await office.get("/spend_alerts"))["data"] == []
    assert (await office.get("/alerts", scope="user", scope_id=user))["data"] == [shown]
    assert (await office.get("/alerts", scope="key"))["data"] == []
    kept = await office.post(f"/alerts/{made['id']}", notification_channels=[HOOK], threshold=5)
    assert kept["notification_channels"][0]["secret"] == secret
    assert (kept["threshold"], kept["interval"]) == (5, "day")
    assert (await office.get(f"/alerts/{made['id']}/firings"))["data"] == []
    assert secret not in str(await office.get("/audit_logs"))
    await office.delete(f"/alerts/{made['id']}")
    assert (await office.get("/alerts"))["data"] == []


async def test_an_alert_on_relays_is_ours_alone_and_watches_balances_where_it_says_so(office: Office) -> None:
    made = await office.post("/alerts", unit="relays", notification_channels=[MAIL])
    balance = await office.post("/alerts", unit="relays", threshold=3, notification_channels=[MAIL])

    facts = [(each["scope"], each["unit"], each["interval"], each["threshold"]) for each in (made, balance)]
    assert facts == [("organization", "relays", "lifetime", 0), ("organization", "relays", "lifetime", 3)]
    assert (await office.get("/spend_alerts"))["data"] == []
    assert (await office.refused("GET", f"/spend_alerts/{made['id']}"))[0] == 404
    changed = await office.post(f"/alerts/{made['id']}", threshold=5)
    assert (changed["threshold"], changed["interval"]) == (5, "lifetime")


async def test_a_plain_alert_is_in_both_lists(office: Office) -> None:
    made = await office.post("/alerts", threshold_amount=8000, notification_channels=[MAIL])

    assert [each["id"] for each in (await office.get("/spend_alerts"))["data"]] == [made["id"]]
    assert (made["unit"], made["threshold"]) == ("micros", 80_000_000)  # Given by the older name, in hundredths.
    again = await office.post("/alerts", unit="micros", threshold=80_000_000, notification_channels=[MAIL])
    assert {**again, "id": "", "created_at": 0} == {**made, "id": "", "created_at": 0}


@pytest.mark.parametrize(
    "given",
    [
        {"scope": "user"},
        {"scope_id": "proj_default"},
        {"interval": "minute"},
        {"interval": "year"},
        {"unit": "tokens"},
        {"threshold": 5},
        {"percent": 80},
        {"currency": "USD"},
        {"model": "unheard-of"},
        {"notification_channels": []},
        {"notification_channels": [HOOK] * (CHANNELS_MAX + 1)},
        {"notification_channels": [{"type": "webhook", "url": "http://example.com/"}]},
        {"notification_channels": [{"type": "webhook", "url": "https://169.254.169.254/"}]},
        {"notification_channels": [HOOK | {"secret": "weak"}]},
        {"notification_channels": [{"type": "chat", "url": "json://127.0.0.1/"}]},
        {"notification_channels": [{"type": "pigeon", "url": "x"}]},
        {"more": 1},
    ],
)
async def test_an_alert_that_cannot_be_is_a_400(office: Office, given: dict[str, Any]) -> None:
    body = {"threshold_amount": 5, "notification_channels": [MAIL]} | given

    assert (await office.refused("POST", "/alerts", body))[0] == 400


async def test_a_per_cent_takes_the_place_of_a_threshold_and_back(office: Office) -> None:
    await office.post("/limits", scope="organization", limits=[{"unit": "images", "interval": "day", "amount": 50}])
    given: dict[str, Any] = {"unit": "images", "interval": "day", "notification_channels": [MAIL]}

    made = await office.post("/alerts", percent=10, **given)
    fixed = await office.post(f"/alerts/{made['id']}", threshold=7)
    again = await office.post(f"/alerts/{made['id']}", percent=90)

    shown = [(each["threshold"], each["percent"]) for each in (made, fixed, again)]
    assert shown == [(5, 10), (7, None), (45, 90)]
    assert await office.refused("POST", f"/alerts/{made['id']}", {"interval": "week"}) == (
        400,
        "invalid_value",
        "percent",
    )
    assert await office.get(f"/alerts/{made['id']}") == again


async def test_a_test_tells_of_each_channel_and_is_recorded_as_a_test_only(office: Office) -> None:
    made = await office.post("/alerts", threshold_amount=5, notification_channels=[MAIL])

    tested = await office.post(f"/alerts/{made['id']}/test")

    assert (tested["object"], tested["id"]) == ("alert.test", made["id"])
    [channel] = tested["channels"]
    assert (channel["delivered"], channel["notification_channel"]) == (False, MAIL)
    assert channel["error"] == "The mail server did not take it: ConnectionRefusedError."
    assert (await office.get(f"/alerts/{made['id']}/firings"))["data"] == []
    assert (await office.events())[-1] == ("alert.tested", made["id"])
    assert await office.refused("POST", "/alerts/alert_x/test") == (404, "not_found", "alert_id")


async def test_an_alert_of_somebody_who_is_not_there_is_a_404(office: Office) -> None:
    for scope in ("project", "user", "key"):
        body = {"scope": scope, "scope_id": "none", "threshold_amount": 5, "notification_channels": [MAIL]}
        assert (await office.refused("POST", "/alerts", body))[0] == 404
