"""Changes while others change the same thing, and while what they change is in use: nothing is lost, and they hold at once."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from app.control import usage
from tests.api.organization.conftest import Office

PRICE_MICROS = 80_000
WITHIN_S = 1.0


@dataclass
class Crowd:
    """Buyers who go on until they are stopped: each answer, and when its request was sent."""

    office: Office
    keys: list[str]
    answers: list[tuple[float, int]] = field(default_factory=list)
    stopped: bool = False

    async def buy(self, key: str) -> None:
        while not self.stopped:
            sent = time.monotonic()
            self.answers.append((sent, await self.office.image(key)))

    async def around(self, change: Any) -> float:
        """Buy before, during and after `change`; returns when it was answered."""
        buyers = [asyncio.create_task(self.buy(key)) for key in self.keys]
        while len(self.answers) < 2 * len(self.keys):
            await asyncio.sleep(0.01)
        await change
        answered = time.monotonic()
        async with asyncio.timeout(30):
            while sum(sent > answered + WITHIN_S for sent, _ in self.answers) < len(self.keys):
                await asyncio.sleep(0.05)
        self.stopped = True
        await asyncio.gather(*buyers)
        return answered

    @property
    def bought(self) -> int:
        return sum(status == 200 for _, status in self.answers)

    def after(self, instant: float) -> set[int]:
        return {status for sent, status in self.answers if sent > instant}


async def assert_nothing_lost(office: Office, crowd: Crowd, by: list[str], names: set[tuple[Any, ...]]) -> None:
    """Whatever was answered with an image is booked, nothing else is, nothing is held, and the report names who it was."""
    rows = await office.running.rows()
    assert [row["state"] for row in rows] == ["settled"] * crowd.bought
    assert {counter["held"] for counter in await office.running.counters()} == {0}
    assert sum(counter["spent"] for counter in await office.running.counters()) == crowd.bought * PRICE_MICROS
    report = await usage.report(office.running.database, by)
    assert {row.names for row in report.rows} == names
    assert sum(row.sums.images for row in report.rows) == crowd.bought


async def test_a_project_is_archived_while_its_keys_are_in_use(office: Office) -> None:
    red = await office.post("/projects", name="red")
    accounts = [await office.post(f"/projects/{red['id']}/service_accounts", name=f"ci {n}") for n in range(3)]
    await office.post(f"/projects/{red['id']}/spend_limit", currency="CNY", interval="month", threshold_amount=100_000)
    crowd = Crowd(office, [account["api_key"]["value"] for account in accounts])

    answered = await crowd.around(office.post(f"/projects/{red['id']}/archive"))

    assert crowd.after(answered + WITHIN_S) == {401}
    assert {status for _, status in crowd.answers} == {200, 401}
    names = {(("red", red["id"]), (account["name"], account["id"])) for account in accounts}
    await assert_nothing_lost(office, crowd, ["project", "user"], names)


async def test_a_user_with_history_is_deleted_while_their_keys_are_in_use(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    path = "/projects/proj_default/api_keys"
    keys = [await office.post(path, user_id=lin["id"], name=f"laptop {n}") for n in range(3)]
    await office.post(f"/users/{lin['id']}/spend_limit", currency="CNY", interval="month", threshold_amount=100_000)
    crowd = Crowd(office, [key["value"] for key in keys])

    answered = await crowd.around(office.delete(f"/users/{lin['id']}"))

    assert crowd.after(answered + WITHIN_S) == {401}
    assert {status for _, status in crowd.answers} == {200, 401}
    names = {(("lin", lin["id"]), (key["name"], key["id"])) for key in keys}
    await assert_nothing_lost(office, crowd, ["user", "key"], names)
    since = {"start_time": int(time.time()) - 3600, "group_by": "user_id"}
    used = await office.get("/usage/images", **since)
    [told] = [result for bucket in used["data"] for result in bucket["results"]]
    assert (told["user_id"], told["images"]) == (lin["id"], crowd.bought)


async def test_settings_of_one_limit_race_and_each_is_told_what_the_other_did(office: Office) -> None:
    path, amounts = "/projects/proj_default/spend_limit", list(range(100, 120))

    answers = await asyncio.gather(
        *(office.post(path, currency="CNY", interval="month", threshold_amount=amount) for amount in amounts)
    )

    assert sorted(answer["threshold_amount"] for answer in answers) == amounts
    log = (await office.get("/audit_logs", limit=100, **{"event_types[]": "limit.updated"}))["data"]
    changes = [(each["before"], each["after"]) for each in reversed(log)]
    in_force = (await office.get(path))["threshold_amount"]
    assert len(changes) == len(amounts)
    assert [before for before, _ in changes[1:]] == [after for _, after in changes[:-1]], "one after another"
    assert changes[-1][1]["amount"] == in_force * 10_000


async def test_of_a_limit_that_is_lowered_and_raised_while_it_is_used_nothing_is_spent_beyond_the_higher(
    office: Office,
) -> None:
    lin = await office.post("/users", name="lin")
    keys = [await office.post("/projects/proj_default/api_keys", user_id=lin["id"]) for _ in range(4)]
    path = f"/users/{lin['id']}/spend_limit"
    low, high = ({"currency": "CNY", "interval": "month", "threshold_amount": amount} for amount in (40, 96))
    await office.post(path, **low)

    async def set_both() -> None:
        await asyncio.gather(*(office.post(path, **wanted) for wanted in (high, low, high, low)))
        await office.post(path, **high)

    crowd = Crowd(office, [key["value"] for key in keys])
    await crowd.around(set_both())

    assert crowd.bought == 12, "0.96 at 0.08 each"
    assert {status for _, status in crowd.answers} == {200, 429}
    shown = await office.get(path)
    assert (shown["used_micros"], shown["held_micros"], shown["left_micros"]) == (960_000, 0, 0)


async def test_an_own_limit_that_comes_and_goes_while_it_is_used_counts_on_with_the_default(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    keys = [await office.post("/projects/proj_default/api_keys", user_id=lin["id"]) for _ in range(4)]

    async def set_spend(amount: int | None, **where: Any) -> None:
        await office.post("/limits", limits=[{"unit": "micros", "interval": "month", "amount": amount}], **where)

    own: dict[str, Any] = {"scope": "user", "scope_id": lin["id"]}
    await set_spend(400_000, scope="everyone")

    async def come_and_go() -> None:
        for amount in (960_000, None):
            await set_spend(amount, **own)
        await asyncio.gather(set_spend(480_000, scope="everyone"), set_spend(960_000, **own))

    crowd = Crowd(office, [key["value"] for key in keys])
    await crowd.around(come_and_go())

    assert crowd.bought == 12, "0.96 at 0.08 each"
    assert {status for _, status in crowd.answers} == {200, 429}
    [counter] = await office.running.counters()
    assert (counter["spent"], counter["held"]) == (960_000, 0)
    [shown] = (await office.get("/limits", **own))["data"]
    assert (shown["amount"], shown["left"], shown["default_of"]) == (960_000, 0, None)
