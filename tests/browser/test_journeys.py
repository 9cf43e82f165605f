"""Journeys through the console in a real browser: in both languages, light and dark, wide and narrow."""

import httpx2
import pytest
from playwright.async_api import Browser

from app.control.invitations import invite
from tests.browser.conftest import LAN_HOST, Desk, desk_of
from tests.console.conftest import PASSWORD, House
from tests.images.client import until

ENGLISH = {
    "set": "Set password and sign in",
    "make": "Make the key",
    "sign in": "Sign in",
    "secret": "Make a new secret",
    "revoke": "Yes, revoke it for good",
    "copy": "Copy",
    "selected": "Selected: press Ctrl+C",
}
CHINESE = {
    "set": "设置密码并登录",
    "make": "创建密钥",
    "sign in": "登录",
    "secret": "生成新密钥",
    "revoke": "确定，永久吊销",
    "copy": "复制",
    "selected": "已选中：请按 Ctrl+C",
}
FIRST_LOAD_BYTES = 20 * 1024


async def sign_in(desk: Desk, name: str, words: dict[str, str]) -> None:
    await desk.open("/sign-in")
    await desk.check()
    await desk.fill(email=f"{name}@example.com", password=PASSWORD)
    await desk.press(words["sign in"])
    await desk.page.wait_for_selector("nav")


async def forgive(desk: Desk, error: str) -> None:
    """Take an error that belongs to the journey from those of the page; the browser tells of it in its own time."""
    await until(lambda: any(error in told for told in desk.wrong))
    desk.wrong = [told for told in desk.wrong if error not in told]


async def works(house: House, secret: str) -> int:
    async with httpx2.AsyncClient(timeout=60) as http:
        headers = {"Authorization": f"Bearer {secret}"}
        return (await http.get(f"{house.running.url}/v1/models", headers=headers)).status_code


@pytest.mark.parametrize(
    ("locale", "scheme", "width"),
    [("en-GB", "light", 1280), ("zh-CN", "dark", 390), ("en-GB", "dark", 390), ("zh-CN", "light", 1280)],
)
async def test_a_member_is_invited_makes_a_key_and_revokes_it(
    browser: Browser, house: House, locale: str, scheme: str, width: int
) -> None:
    words = CHINESE if locale == "zh-CN" else ENGLISH
    link = await invite(house.running.database, "nils@example.com")
    async with desk_of(browser, house.running.url, locale=locale, scheme=scheme, width=width) as desk:
        await desk.open(f"/invite/{link.token}")
        await desk.check()
        await desk.fill(password=PASSWORD, again=PASSWORD)
        await desk.press(words["set"])
        await desk.page.wait_for_selector("nav")
        await desk.check()
        assert desk.page.url.endswith("/console/create")

        await desk.go("/keys")
        await desk.check()
        await desk.page.click("main a[href$='/keys/new'] >> nth=0")
        await desk.check()
        await desk.fill(name="笔记本 <b>", spend="20")
        await desk.press(words["make"])
        secret = await desk.page.input_value("#secret")
        await desk.check()
        assert await works(house, secret) == 200

        await desk.page.click("a.crumb")
        await desk.check()
        assert "笔记本 <b>" in await desk.page.inner_text("h1")
        await desk.page.click("summary")
        await desk.press(words["revoke"])
        await desk.page.wait_for_selector("[role=status]")
        await desk.check()


async def test_an_owner_rotates_a_key_that_leaked_and_follows_the_money(browser: Browser, house: House) -> None:
    async with desk_of(browser, house.running.url) as desk:
        await sign_in(desk, "olga", ENGLISH)
        await desk.go("/usage")
        await desk.page.select_option("[name=and]", "user")
        await desk.page.wait_for_url("**/usage?*and=user*")  # Swapped, and the address follows.
        await desk.check()
        await desk.page.click("tbody a:has-text('seedream-3.0') >> nth=0")
        await desk.page.wait_for_url("**model=seedream-3.0*")
        assert await desk.page.inner_text("main p a.badge") == "Model: seedream-3.0 ✕"
        await desk.page.go_back()
        await desk.page.wait_for_selector("tbody a:has-text('gpt-image-1')")

        await desk.page.fill("header [name=q]", "laptop")
        await desk.page.press("header [name=q]", "Enter")
        await desk.page.click("tbody a:has-text('laptop')")
        await desk.page.check("[value=leaked]")
        await desk.press(ENGLISH["secret"])
        secret = await desk.page.input_value("#secret")
        await desk.check()

    assert secret != house.keys["mia"].key and secret.startswith("sk-ig-")


@pytest.mark.parametrize(("locale", "scheme", "width"), [("en-GB", "light", 1280), ("zh-CN", "dark", 390)])
async def test_a_member_finds_a_picture_hands_out_a_link_and_deletes_another(
    browser: Browser, house: House, locale: str, scheme: str, width: int
) -> None:
    words = CHINESE if locale == "zh-CN" else ENGLISH
    await house.buy("mia", "Lighthouse <b>, " + "with many words " * 20)
    ids = await house.buy("mia", "harbour", n=3)
    async with desk_of(browser, house.running.url, locale=locale, scheme=scheme, width=width) as desk:
        await sign_in(desk, "mia", words)
        await desk.go("/pictures")
        await desk.page.wait_for_load_state("networkidle")
        await desk.check()
        await desk.page.check("input[name=id] >> nth=0")
        await desk.page.check("input[name=id] >> nth=1")
        await desk.check()
        await desk.page.click(".tiles a >> nth=2")
        await desk.page.wait_for_selector(".panel")
        await desk.page.keyboard.press("Escape")
        await desk.page.wait_for_selector(".panel", state="detached")
        assert await desk.page.locator("input[name=id]:checked").count() == 2  # Still ticked.
        async with desk.page.expect_download() as download:
            await desk.page.click("button:has-text('ZIP')")
        assert (await (await download.value).path()).stat().st_size > 1000
        await desk.page.click(".chosen button[value=share]")
        await desk.page.wait_for_selector("[role=status]")
        assert "2" in await desk.page.inner_text("[role=status]")

        await desk.page.fill("main [name=q]", "lighthouse")
        await desk.page.press("main [name=q]", "Enter")
        await desk.page.wait_for_url("**q=lighthouse**")
        await desk.page.click(".tiles a")
        await desk.page.wait_for_selector(".panel")
        assert "Lighthouse <b>, with" in await desk.page.inner_text(".prompt")
        await desk.page.click(".prompt summary")
        await desk.check()
        await desk.page.click("button[value=link]")
        url = await desk.page.input_value("#link")
        await desk.until(f"getSelection().toString() === '{url}'")
        await desk.check()
        await desk.page.click("[data-close]")
        await desk.page.wait_for_selector(".panel", state="detached")

        await desk.open(f"/pictures/{ids[0]}")
        await desk.page.click(".panel .do summary")
        await desk.page.click("button[value=delete] >> visible=true")
        await desk.page.wait_for_selector("[role=status]")
        await desk.check()
        await desk.open(f"/pictures/{ids[0]}")
        await forgive(desk, "404")
        await desk.check()


async def test_it_works_over_plain_http_under_the_name_of_a_host(browser: Browser, house: House) -> None:
    url = house.running.url.replace("127.0.0.1", LAN_HOST)
    async with desk_of(browser, url) as desk:
        await sign_in(desk, "mia", ENGLISH)
        assert await desk.page.evaluate("isSecureContext") is False
        await desk.open("/keys/new")
        await desk.fill(name="plain")
        await desk.press(ENGLISH["make"])
        await desk.page.click("[data-copy=secret]")
        await desk.page.wait_for_selector(f"[data-copy=secret] >> text={ENGLISH['selected']}")
        secret = await desk.page.input_value("#secret")
        await desk.until(f"getSelection().toString() === '{secret}'")
        assert desk.wrong == []


async def test_without_scripts_everything_works_but_the_copying(browser: Browser, house: House) -> None:
    context = await browser.new_context(java_script_enabled=False, locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{house.running.url}/console/keys?status=all")
    await page.fill("[name=email]", "olga@example.com")
    await page.fill("[name=password]", PASSWORD)
    await page.press("[name=password]", "Enter")
    await page.wait_for_url("**/console/keys?status=all")
    await page.fill("main [name=q]", "website")
    await page.click("noscript button")
    await page.wait_for_url("**q=website**")
    assert await page.locator("tbody tr").count() == 1
    await context.close()


@pytest.mark.parametrize(("path", "who"), [("/usage", "olga"), ("/pictures", "max")])
async def test_the_first_load_is_light(browser: Browser, house: House, path: str, who: str) -> None:
    for number in range(6 if path == "/pictures" else 0):
        await house.buy("max", f"Poster {number} for the market in spring, seen from above", n=10)
    async with desk_of(browser, house.running.url) as desk:
        await sign_in(desk, who, ENGLISH)
        cookies = await desk.page.context.cookies()
    async with desk_of(browser, house.running.url) as desk:
        await desk.page.context.add_cookies([{**each} for each in cookies])  # type: ignore[typeddict-item]
        await desk.open(path)
        await desk.page.wait_for_load_state("networkidle")
        sizes = [await each.request.sizes() for each in desk.loaded if each.request.resource_type != "image"]

    weight = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
    assert len(sizes) == 3 and weight <= FIRST_LOAD_BYTES, weight
