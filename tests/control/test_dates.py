"""Dates and durations as people write them."""

from zoneinfo import ZoneInfo

import pytest

from app.control.dates import expiry_ms
from app.errors import InvalidValue

ZONE = ZoneInfo("Asia/Shanghai")
NOW_MS = 1_795_996_800_000


def test_a_date_expires_when_that_day_begins_in_the_configured_zone() -> None:
    assert expiry_ms("2099-12-31", NOW_MS, ZONE) == 4_102_329_600_000  # 2099-12-30T16:00:00Z


@pytest.mark.parametrize(
    "expires", ["", "0d", "-1d", "90", "90 d", "9m", "2020-01-01", "20991231", "2099-13-01", "9999999d"]
)
def test_an_expiry_that_cannot_be_is_refused(expires: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        expiry_ms(expires, NOW_MS, ZONE)
    assert refused.value.param == "expires"
