"""Alerts at a per cent of a limit."""

from dataclasses import replace
from typing import Any

import pytest

from app.control import alerts
from app.control.alerts import AlertChange, AlertFilter
from app.control.limits import LimitChange, ScopeRef, set_limits
from app.errors import InvalidValue
from app.store.deliveries import fire
from app.store.engine import Database
from app.store.pages import Cursor
from tests.control.test_alerting import YUAN, ZONE, Noting, alert, alerting, used


async def test_at_a_per_cent_the_threshold_follows_the_limit(database: Database) -> None:
    notifier = Noting()
    work, where, limit = (
        alerting(database, notifier),
        ScopeRef("organization"),
        LimitChange("micros", "month", 2 * YUAN),
    )
    await set_limits(database, ZONE, where, None, [limit])
    made = await alert(database, None, percent=80)
    assert (made.threshold, made.percent, made.is_plain) == (1_600_000, 80, False)
    await used(database, cost_micros=1_500_000)
    assert await work.fire_reached() == 0

    await set_limits(database, ZONE, where, None, [replace(limit, amount=1_870_000)])
    assert (await alerts.show_alert(database, made.id)).threshold == 1_496_000
    assert [await work.fire_reached() for _ in range(2)] == [1, 0]
    await work.deliver()
    assert notifier.titles == ["Spend by the organization this month reached 1.496 CNY (80% of the limit)"]

    await set_limits(database, ZONE, where, None, [replace(limit, amount=None)])
    assert (await alerts.show_alert(database, made.id)).threshold is None
    assert await work.fire_reached() == 0
    fixed = await alerts.change_alert(database, notifier, made.id, AlertChange(threshold=YUAN))
    assert (fixed.threshold, fixed.percent) == (YUAN, None)
    assert await work.fire_reached() == 1


async def test_a_limit_that_changes_between_reading_and_firing_keeps_the_alert_still(database: Database) -> None:
    limit = LimitChange("images", "day", 3)
    await set_limits(database, ZONE, ScopeRef("organization"), None, [limit])
    made = await alert(database, None, percent=50, unit="images", interval="day")
    assert made.threshold == 2, "rounded up"
    await set_limits(database, ZONE, ScopeRef("organization"), None, [replace(limit, amount=30)])

    async with database.transaction() as connection:
        assert await fire(connection, made, 0, 2, 1) is None


@pytest.mark.parametrize("other", [{"unit": "images"}, {"interval": "day"}, {"model": "gpt-image-1"}])
async def test_a_per_cent_of_a_limit_that_is_not_there_is_refused(database: Database, other: dict[str, Any]) -> None:
    await set_limits(database, ZONE, ScopeRef("organization"), None, [LimitChange("micros", "month", YUAN)])

    with pytest.raises(InvalidValue, match=r"There is no \w+ [\w ]+ of organization.* to take 80% of"):
        await alert(database, None, percent=80, **other)
    for percent in (0, 101):
        with pytest.raises(InvalidValue, match="from 1 to 100"):
            await alert(database, None, percent=percent)
    made = await alert(database, None, percent=100)
    with pytest.raises(InvalidValue, match="to take 100% of"):
        await alerts.change_alert(database, Noting(), made.id, AlertChange(interval="week"))
    assert (made,) == (await alerts.page_of_alerts(database, Cursor(), AlertFilter())).records
