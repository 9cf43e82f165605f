"""Intervals are those of the local calendar, whatever the clocks do."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.intervals import COUNTED, Interval, bounds_ms, hour_start_ms, iso, local_day

SHANGHAI, BERLIN, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LORD_HOWE, APIA, SANTIAGO = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Pacific/Apia"), ZoneInfo("America/Santiago")
ZONES = (SHANGHAI, BERLIN, NEW_YORK, LORD_HOWE, APIA, SANTIAGO, ZoneInfo("UTC"))
HOUR_MS = 3_600_000


def ms(text: str) -> int:
    """An instant written with its offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("interval", "at", "zone", "start", "end"),
    [
        ("day", "2026-11-21T00:00:00+08:00", SHANGHAI, "2026-11-21T00:00+08:00", "2026-11-22T00:00+08:00"),
        ("day", "2026-11-20T23:59:59.999+08:00", SHANGHAI, "2026-11-20T00:00+08:00", "2026-11-21T00:00+08:00"),
        # A Saturday; weeks begin on Monday.
        ("week", "2026-11-21T12:00+08:00", SHANGHAI, "2026-11-16T00:00+08:00", "2026-11-23T00:00+08:00"),
        ("week", "2026-11-23T00:00+08:00", SHANGHAI, "2026-11-23T00:00+08:00", "2026-11-30T00:00+08:00"),
        ("week", "2027-01-01T12:00+08:00", SHANGHAI, "2026-12-28T00:00+08:00", "2027-01-04T00:00+08:00"),
        ("month", "2026-12-31T23:59:59.999+08:00", SHANGHAI, "2026-12-01T00:00+08:00", "2027-01-01T00:00+08:00"),
        ("month", "2028-02-29T12:00+08:00", SHANGHAI, "2028-02-01T00:00+08:00", "2028-03-01T00:00+08:00"),
        ("month", "2026-11-30T17:00+00:00", SHANGHAI, "2026-12-01T00:00+08:00", "2027-01-01T00:00+08:00"),
        # Clocks go forward on 29 March 2026 and back on 25 October.
        ("day", "2026-03-29T12:00+02:00", BERLIN, "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("day", "2026-10-25T12:00+01:00", BERLIN, "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("week", "2026-10-25T23:59+01:00", BERLIN, "2026-10-19T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("month", "2026-10-31T12:00+01:00", BERLIN, "2026-10-01T00:00+02:00", "2026-11-01T00:00+01:00"),
        ("month", "2026-03-01T00:00-05:00", NEW_YORK, "2026-03-01T00:00-05:00", "2026-04-01T00:00-04:00"),
        # In Chile the clock jumps at midnight: that day begins at one.
        ("day", "2026-09-06T12:00-03:00", SANTIAGO, "2026-09-06T01:00-03:00", "2026-09-07T00:00-03:00"),
    ],
)
def test_an_interval_is_one_of_the_local_calendar(
    interval: Interval, at: str, zone: ZoneInfo, start: str, end: str
) -> None:
    assert bounds_ms(interval, ms(at), zone) == (ms(start), ms(end))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)])
def test_a_day_lasts_as_long_as_the_calendar_says(day: str, hours: int) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=BERLIN)

    start, end = bounds_ms("day", int(noon.timestamp() * 1000), BERLIN)

    assert end is not None
    assert end - start == hours * HOUR_MS


def test_the_hour_that_comes_twice_belongs_to_one_day() -> None:
    first, second = ms("2026-10-25T02:30+02:00"), ms("2026-10-25T02:30+01:00")

    assert bounds_ms("day", first, BERLIN) == bounds_ms("day", second, BERLIN)
    assert local_day(first, BERLIN) == local_day(second, BERLIN) == "2026-10-25"
    assert hour_start_ms(first) != hour_start_ms(second)


def test_a_lifetime_has_no_end() -> None:
    assert bounds_ms("lifetime", ms("2026-11-21T12:00+08:00"), SHANGHAI) == (0, None)


def test_a_day_of_shanghai_is_named_by_its_own_date() -> None:
    assert local_day(ms("2026-11-20T16:00+00:00"), SHANGHAI) == "2026-11-21"
    assert local_day(ms("2026-11-20T15:59:59.999+00:00"), SHANGHAI) == "2026-11-20"
    assert iso(ms("2026-11-20T16:00+00:00"), SHANGHAI) == "2026-11-21T00:00:00+08:00"


INSTANTS = st.integers(ms("2020-01-01T00:00+00:00"), ms("2040-01-01T00:00+00:00"))


@given(at_ms=INSTANTS, zone=st.sampled_from(ZONES), interval=st.sampled_from(COUNTED[:-1]))
def test_intervals_tile_time_without_gap_or_overlap(at_ms: int, zone: ZoneInfo, interval: Interval) -> None:
    start, end = bounds_ms(interval, at_ms, zone)

    assert end is not None
    assert start <= at_ms < end
    assert bounds_ms(interval, start, zone) == (start, end)
    assert bounds_ms(interval, end - 1, zone) == (start, end)
    assert bounds_ms(interval, end, zone)[0] == end


@given(at_ms=INSTANTS, zone=st.sampled_from(ZONES))
def test_a_day_lies_whole_within_its_week_and_its_month(at_ms: int, zone: ZoneInfo) -> None:
    day, week, month = (bounds_ms(interval, at_ms, zone) for interval in COUNTED[:3])

    for outer in (week, month):
        assert outer[0] <= day[0]
        assert (day[1] or 0) <= (outer[1] or 0)
    assert timedelta(milliseconds=(week[1] or 0) - week[0]) in [timedelta(days=7, hours=h / 2) for h in range(-3, 4)]
