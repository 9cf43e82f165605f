"""Journey of an owner who finds out why somebody was refused, and of one who decides about an unknown request."""

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import desk_of
from tests.browser.test_journeys import CHINESE, ENGLISH, sign_in
from tests.console.conftest import House
from tests.console.test_requests import add_unknown

WORDS = {
    "en-GB": (ENGLISH, "monthly spend limit of person max", "A limit was used up.", "release"),
    "zh-CN": (CHINESE, "人员 max的每月费用限额", "限额已用完", "释放"),
}


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-GB", "light", 1280), ("zh-CN", "dark", 390)])
async def test_an_owner_finds_out_why_somebody_was_refused(
    browser: Browser, house: House, locale: str, scheme: str, width: int
) -> None:
    words, limit, reason, release = WORDS[locale]
    await house.running.limit("user", house.users["max"], "micros", "month", 0)
    await house.buy("mia", "a lighthouse", n=2)
    headers = {"Authorization": f"Bearer {house.keys['max'].key}"}
    body = {"model": "gpt-image-1", "prompt": "a fox"}
    assert (await house.http.post("/v1/images/generations", json=body, headers=headers)).status_code == 429
    await house.running.gateway.chores.run_once("refusals")
    await add_unknown(house)
    async with desk_of(browser, house.running.url, locale=locale, scheme=scheme, width=width) as desk:
        await sign_in(desk, "olga", words)
        assert desk.page.url.endswith("/console/overview")
        await desk.check()
        await desk.go("/requests")
        await desk.check()
        await desk.page.fill("main [name=person]", "max")
        await desk.page.press("main [name=person]", "Enter")
        await desk.page.wait_for_url("**person=max**")
        assert width < 720 or limit in await desk.page.inner_text("table")  # A phone has no room for it.
        await desk.page.click("tbody td a >> nth=0")
        told = await desk.page.inner_text(".note")
        assert limit in told and reason in told
        await desk.check()

        await desk.open("/overview")
        await desk.page.click(".needs a[href*='outcome=unknown']")
        await desk.page.click("tbody td a >> nth=0")
        await desk.check()
        await desk.fill(reason="not on the bill")
        await desk.press(release)
        await desk.page.wait_for_selector("[role=status]")
        await desk.check()


async def test_a_list_is_live_while_its_button_is_pressed(browser: Browser, house: House) -> None:
    async with desk_of(browser, house.running.url) as desk:
        await sign_in(desk, "olga", ENGLISH)
        await desk.open("/requests")
        await desk.page.click("button[data-live]")
        await desk.check()
        await house.buy("mia", "a lighthouse")
        await desk.page.wait_for_selector("#rows tbody td a")
        assert await desk.page.get_attribute("button[data-live]", "aria-pressed") == "true"
        await desk.page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        assert await desk.page.get_attribute("button[data-live]", "aria-pressed") == "false"
