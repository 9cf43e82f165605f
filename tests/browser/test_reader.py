"""Journey of a reader: last month by project, its sum, the CSV, and the statement, as a page and in print."""

import csv
import io
import re
from datetime import date, timedelta
from decimal import Decimal
from html import unescape

import pytest
from playwright.async_api import Browser

from app.console.language import translate
from app.control.projects import get_project
from app.control.sessions import actor_of, session_of
from app.control.statements import StatementMonth, close_statement
from app.core.intervals import local_day
from app.store.reconciliation import DriftRow, save_drift
from tests.browser.conftest import Desk, desk_of
from tests.console.conftest import PASSWORD, House
from tests.databases import insert_usage


async def use_last_month(house: House) -> StatementMonth:
    database, zone = house.running.database, house.running.gateway.zone
    today = date.fromisoformat(local_day(await database.now_ms(), zone))
    month = StatementMonth.of(f"{today.replace(day=1) - timedelta(days=1):%Y-%m}")
    posters = await database.ask(get_project, "posters")
    for number in range(30):
        day = f"{month.name}-{number % 27 + 1:02d}"
        model, cost_micros = ("gpt-image-1", "seedream-3.0")[number % 2], 830_000 * (1 + number % 7)
        given = {"user_id": house.users["mia"], "project_id": "proj_default" if number % 3 else posters.id}
        await insert_usage(database, day=day, model=model, cost_micros=cost_micros, **given)
        bill_micros = cost_micros + (number == 4) * 20_000
        await save_drift(database, [DriftRow("default", day, model, 0, bill_micros, 0, 1)])
    return month


async def total_of_csv(desk: Desk, button: str) -> Decimal:
    async with desk.page.expect_download() as download:
        await desk.page.click(button)
    text = (await (await download.value).path()).read_bytes().decode("utf-8-sig")
    return sum((Decimal(row["cost"]) for row in csv.DictReader(io.StringIO(text))), Decimal(0))


async def amounts(desk: Desk, column: int) -> tuple[Decimal, Decimal]:
    """Sum of a column of the first table of numbers, and what its foot says."""

    def read(text: str) -> Decimal:
        return Decimal(re.sub(r"[^0-9.-]", "", text) or "0")

    table = desk.page.locator("section.card.flush table").first
    cells = await table.locator(f"tbody td:nth-child({column})").all_inner_texts()
    return sum(map(read, cells), Decimal(0)), read(await table.locator(f"tfoot td:nth-child({column})").inner_text())


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-GB", "light", 1280), ("zh-CN", "dark", 390)])
async def test_a_reader_reads_last_month_and_its_statement(
    browser: Browser, house: House, locale: str, scheme: str, width: int
) -> None:
    month, database = await use_last_month(house), house.running.database

    def words(text: str, **values: object) -> str:
        return unescape(translate("zh" if locale == "zh-CN" else "en", text, **values))

    async with desk_of(browser, house.running.url, locale=locale, scheme=scheme, width=width) as desk:
        await desk.open("/sign-in")
        await desk.fill(email="rita@example.com", password=PASSWORD)
        await desk.press(words("Sign in"))
        await desk.page.wait_for_selector("nav")
        await desk.check()
        rows, foot = await amounts(desk, 4)
        assert rows == foot == await total_of_csv(desk, "a[download]") > 0
        assert words("Relay's bill") in await desk.page.inner_text(".figures")

        await desk.page.click(f"a.button:has-text('{words('Statement')}')")
        await desk.page.wait_for_url(f"**/statement?month={month.name}*")
        await desk.check()
        assert await desk.page.inner_text(".badge.warn") == words("draft")

        olga = await session_of(database, house.tokens["olga"], await database.now_ms())
        assert olga is not None
        await close_statement(database.by(actor_of(olga)), month, None, house.running.gateway.zone)
        await insert_usage(database, day=f"{month.name}-02", cost_micros=110_000)
        await desk.page.reload()
        await desk.check()
        assert await desk.page.inner_text(".badge.good") == words("closed")
        assert "0.11" in await desk.page.inner_text(".figures")
        assert await amounts(desk, 4) == (foot, foot)
        assert (
            await total_of_csv(desk, "a[download] >> nth=0") == await total_of_csv(desk, "a[download] >> nth=1") == foot
        )

        await desk.page.emulate_media(media="print")
        assert not await desk.page.is_visible("nav") and not await desk.page.is_visible("a[download] >> nth=0")
        assert await desk.page.is_visible("tfoot >> nth=0")
        await desk.page.emulate_media(media="screen")
        await desk.page.click("a.crumb")
        await desk.page.wait_for_selector(".note.warn")
        assert "0.11" in await desk.page.inner_text(".note.warn")
        await desk.check()
