"""Journey of whoever is on call, and a look at every page of the administration in a real browser."""

from dataclasses import replace

import pytest
from playwright.async_api import Browser

from app.sandbox import RunningSandbox
from tests.browser.conftest import desk_of
from tests.browser.test_journeys import CHINESE, ENGLISH, sign_in
from tests.console.conftest import House
from tests.gateways import RELAY_KEY

PLACES = [("en-GB", "light", 1280), ("zh-CN", "dark", 390), ("en-GB", "dark", 390), ("zh-CN", "light", 1280)]
REFUSED = {"en": "The relay refuses our key.", "zh": "中转站拒绝了我们的密钥。"}
WELL = {"en": "The relay answers, and requests go through.", "zh": "中转站正常应答，请求顺利。"}
PAGES = (
    "/models",
    "/models/prices?model=gpt-image-1&per_image=1.20",
    "/models/prices",
    "/models/sync",
    "/relays",
    "/alerts",
    "/alerts/new",
    "/audit",
    "/settings?examine=now",
    "/welcome",
)


@pytest.mark.parametrize(("locale", "scheme", "width"), PLACES)
async def test_whoever_is_on_call_sees_that_the_relay_refuses_our_key_and_what_to_do(
    browser: Browser, house: House, relay: RunningSandbox, locale: str, scheme: str, width: int
) -> None:
    language = locale[:2]
    await house.buy("mia")
    relay.sandbox.options = replace(relay.sandbox.options, key="sk-another")
    async with desk_of(browser, house.running.url, locale=locale, scheme=scheme, width=width) as desk:
        await sign_in(desk, "rita", CHINESE if language == "zh" else ENGLISH)
        await desk.go("/relays")
        await desk.page.wait_for_selector(".note.bad .verdict")
        assert await desk.page.inner_text(".verdict") == REFUSED[language]
        assert "IMAGEGATE_UPSTREAM_API_KEY" in await desk.page.inner_text(".note.bad")
        await desk.check()

        relay.sandbox.options = replace(relay.sandbox.options, key=RELAY_KEY)
        await desk.page.click(".head .end a")
        await desk.page.wait_for_selector(".note.good .verdict")
        assert await desk.page.inner_text(".verdict") == WELL[language]
        await desk.check()


@pytest.mark.parametrize(("locale", "scheme", "width"), PLACES)
async def test_every_page_of_the_administration_can_be_read(
    browser: Browser, house: House, locale: str, scheme: str, width: int
) -> None:
    async with desk_of(browser, house.running.url, locale=locale, scheme=scheme, width=width) as desk:
        await sign_in(desk, "olga", CHINESE if locale == "zh-CN" else ENGLISH)
        for path in (*PAGES, f"/alerts/{house.alert}"):
            await desk.open(path)
            await desk.check()
