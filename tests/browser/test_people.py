"""Journey of an owner and a member: people from a list, default limits, and more of one that is asked for and approved."""

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import Desk, desk_of
from tests.browser.test_journeys import CHINESE as SIGN_IN_CHINESE
from tests.browser.test_journeys import ENGLISH as SIGN_IN_ENGLISH
from tests.browser.test_journeys import sign_in
from tests.console.conftest import PASSWORD, House

LIST = "name,mail,project,limit\nNils,nils@example.com,posters,\nNora,nora@example.com,market,12.50\n"
ENGLISH = {
    "preview": "Preview",
    "invite": "Invite them",
    "set": "Set the limit",
    "ask": "Ask the owners",
    "approve": "Approve",
}
CHINESE = {"preview": "预览", "invite": "邀请这些人", "set": "设置限额", "ask": "向所有者申请", "approve": "批准"}


async def invite_a_list(desk: Desk, words: dict[str, str]) -> list[str]:
    """Invite the list; returns its links."""
    await desk.go("/people")
    await desk.check()
    await desk.page.click("a[href$='/people/list']")
    await desk.page.fill("#people", LIST)
    await desk.page.check("[name=create_projects]")
    await desk.press(words["preview"])
    await desk.page.wait_for_selector("tbody tr")
    await desk.check()
    await desk.press(words["invite"])
    lines = (await desk.page.input_value("#links")).split()
    await desk.check()
    return [line.partition(",")[2] for line in lines]


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-GB", "light", 1280), ("zh-CN", "dark", 390)])
async def test_an_owner_invites_a_list_and_a_member_asks_for_more(
    browser: Browser, house: House, locale: str, scheme: str, width: int
) -> None:
    words = (CHINESE | SIGN_IN_CHINESE) | CHINESE if locale == "zh-CN" else SIGN_IN_ENGLISH | ENGLISH
    look = {"locale": locale, "scheme": scheme, "width": width}
    async with (
        desk_of(browser, house.running.url, **look) as owner,  # type: ignore[arg-type]  # Values of both types.
        desk_of(browser, house.running.url, **look) as member,  # type: ignore[arg-type]
    ):
        await sign_in(owner, "olga", words)
        links = await invite_a_list(owner, words)
        await owner.open("/limits")
        await owner.check()
        await owner.open("/limits?new=1")
        await owner.check()
        await owner.fill(amount="0")
        await owner.press(words["set"])
        await owner.page.wait_for_selector("[role=status]")

        await member.page.goto(links[0])
        await member.fill(password=PASSWORD, again=PASSWORD)
        await member.page.click("main button.main")
        await member.page.wait_for_selector("nav")
        await member.fill(prompt="A poster for the market")
        await member.page.wait_for_selector("#price a[href*='/limits?ask=']")
        await member.check()
        await member.page.click("#price a[href*='/limits?ask=']")
        await member.check()
        await member.fill(amount="20", reason="Posters <b> for spring")
        await member.press(words["ask"])
        await member.page.wait_for_selector("[role=status]")
        await member.check()

        await owner.open("/limits")
        await owner.check()
        assert "Posters <b> for spring" in await owner.page.inner_text(".ask")
        await owner.press(words["approve"])
        await owner.page.wait_for_selector("[role=status]")
        await owner.check()
        await owner.open("/limits?scope=user")
        await owner.page.click("tbody a[href*='edit='] >> nth=0")
        await owner.page.wait_for_selector("tbody form")
        await owner.check()

        await member.open("/limits")
        await member.page.wait_for_selector(".badge.good")
        await member.check()
        await member.open("/create")
        assert "20.00" in await member.page.inner_text("#price")
