"""Page of statements, and what it leaves beside Usage: sums, CSV, and what came later."""

import re
from datetime import date, timedelta
from decimal import Decimal

import pytest

from app.core.intervals import local_day
from app.store.reconciliation import DriftRow, save_drift
from tests.console.conftest import NASTY, House
from tests.databases import insert_usage


async def last_month(house: House) -> str:
    now_ms = await house.running.database.now_ms()
    today = date.fromtimestamp((now_ms + 8 * 3_600_000) // 86_400_000 * 86_400)
    return f"{today.replace(day=1) - timedelta(days=1):%Y-%m}"


@pytest.fixture
async def month(house: House) -> str:
    """Last month, with usage of two projects and a bill of one of its two days."""
    database, month = house.running.database, await last_month(house)
    for number, (day, model, project) in enumerate(
        [("03", "gpt-image-1", "proj_default"), ("03", "seedream-3.0", "proj_other"), ("04", NASTY, "proj_default")]
    ):
        given = {"model": model, "project_id": project, "cost_micros": 1_250_000 * (number + 1)}
        await insert_usage(database, day=f"{month}-{day}", user_id=house.users["mia"], **given)
    await save_drift(database, [DriftRow("default", f"{month}-03", "gpt-image-1", 0, 1_300_000, 0, 1)])
    return month


def total(rows: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in rows if row[column]), Decimal(0))


async def test_a_reader_reads_a_draft_and_an_owner_closes_it_once(house: House, month: str) -> None:
    draft = (await house.get("/statement", "rita")).text
    assert "draft" in draft and "An owner can close the month" in draft and "/statement/close" not in draft
    assert NASTY not in draft and "7.50 CNY" in draft

    assert (
        "/statement/close" not in (await house.get("/statement?month=2020-01&close=1", "olga")).text
    )  # Nothing was bought.
    assert "?close=1" in (await house.get("/statement", "olga")).text
    assert "It cannot be opened again" in (await house.get("/statement?close=1", "olga")).text
    unasked = await house.post("/statement/close", "olga", month=month, project="")
    assert unasked.status_code == 400 and "Nothing was closed" in unasked.text
    answer = await house.post("/statement/close", "olga", month=month, project="", sure="yes")
    assert answer.status_code == 303 and answer.headers["location"].endswith(f"month={month}&done=closed")
    assert (await house.post("/statement/close", "olga", month=month, sure="yes")).status_code == 409

    closed = (await house.get(f"/statement?month={month}", "rita")).text
    assert "Closed on" in closed and "olga" in closed and "/statement/close" not in closed


async def test_what_comes_later_stands_apart_on_the_statement_and_in_usage(house: House, month: str) -> None:
    await house.post("/statement/close", "olga", month=month, sure="yes")
    before = await house.csv(f"/statement.csv?month={month}", "rita")
    usage = "/usage?period=last-month&by=project"
    assert "Nothing was booked later" in (await house.get(usage, "rita")).text

    await insert_usage(house.running.database, day=f"{month}-09", model="flux-kontext-max", cost_micros=440_000)

    after = await house.csv(f"/statement.csv?month={month}", "rita")
    assert total(after, "cost") == total(before, "cost") == Decimal("7.50")
    assert (total(before, "later"), total(after, "later")) == (Decimal(0), Decimal("0.44"))
    page = (await house.get(f"/statement?month={month}", "rita")).text
    assert "+0.44 CNY" in page and "7.50 CNY" in page
    text = (await house.get(usage, "rita")).text
    assert "0.44 CNY came later" in text and "of it later" in text and "7.94 CNY" in text


async def test_every_csv_adds_up_to_usage_with_the_bill_and_the_difference_of_its_days(
    house: House, month: str
) -> None:
    for by in ("day", "project", "model"):
        rows = await house.csv(f"/statement.csv?month={month}&by={by}", "rita")
        assert total(rows, "cost") == total(await house.csv(f"/usage.csv?period=last-month&by={by}", "rita"), "cost"), (
            by
        )
        if by != "project":
            assert (total(rows, "relay_bill"), total(rows, "difference")) == (Decimal("1.30"), Decimal("-2.45"))
    page = (await house.get("/usage?period=last-month&by=day", "rita")).text
    assert "1.30 CNY" in page and "-2.45 CNY" in page and "1 of 2 days" in page
    row = re.search(rf"<td><a [^>]*since={month}-03.*?</tr>", page, re.DOTALL)
    assert row and "3.75" in row[0] and "1.30" in row[0] and "-2.45" in row[0]
    for who, path in (("mia", "/usage?period=last-month&by=day"), ("rita", "/usage?period=last-month&by=user")):
        assert ("Relay" in (await house.get(path, who)).text) == (who == "rita")


async def test_the_bill_of_today_is_compared_with_what_was_booked_when_it_was_read(house: House) -> None:
    database, now_ms = house.running.database, await house.running.database.now_ms()
    day = local_day(now_ms, house.running.gateway.zone)
    before = await house.csv("/usage.csv?period=today&by=model", "rita")
    await insert_usage(database, day=day, user_id=house.users["mia"], cost_micros=1_040_000)
    await save_drift(database, [DriftRow("default", day, "gpt-image-1", 520_000, 530_000, 0, now_ms)])

    page = (await house.get("/usage?period=today", "rita")).text
    draft = (await house.get(f"/statement?month={day[:7]}", "rita")).text

    assert total(await house.csv("/usage.csv?period=today&by=model", "rita"), "cost") == total(
        before, "cost"
    ) + Decimal("1.04")
    assert "bill of today follows the book" in draft
    assert "Relay&#39;s bill up to" in page and "bill is known up to" in page and "+0.01 CNY" in page


async def test_the_statement_of_a_project_is_its_own(house: House, month: str) -> None:
    rows = await house.csv(f"/statement.csv?month={month}&project=default", "rita")

    assert total(rows, "cost") == Decimal("5.00") and total(rows, "relay_bill") == 0
    assert "bills all projects together" in (await house.get("/statement?project=default", "rita")).text
    assert (await house.get("/statement?project=nothing", "rita")).status_code == 404
    assert (await house.get("/statement?month=99&project=", "rita")).status_code == 200


async def test_the_weekly_note_is_turned_on_and_off_on_the_account(house: House) -> None:
    assert (await house.post("/account/note", "mia", way="mail")).status_code == 303
    assert 'value="mail" checked' in (await house.get("/account?done=note", "mia")).text
    assert 'value="off" checked' in (await house.get("/account", "max")).text

    assert (await house.post("/account/note", "mia", way="off")).status_code == 303
    assert 'value="off" checked' in (await house.get("/account", "mia")).text
    wrong = await house.post("/account/note", "mia", way="chat", chat_url="https://example.com/hook")
    assert wrong.status_code == 400 and "A chat is one of" in wrong.text
