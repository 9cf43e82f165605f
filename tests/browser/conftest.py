"""Chromium of the system, driven by Playwright, with an ear for whatever a page must not do."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Request, Response, async_playwright

from app.sandbox import RunningSandbox
from tests.console.conftest import House, open_house

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
LAN_HOST = "gw.lan"
"""Name of a host in an office, which Chromium here resolves to this machine. To browsers it is plain http, not this machine."""
LOOKS = (("en-GB", "light"), ("zh-CN", "dark"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where there is no Chromium. Journeys take turns in English and light or Chinese
    and dark; in their other looks they run with `--all`."""
    turns: dict[str, int] = {}
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            look = getattr(getattr(item, "callspec", None), "params", {})
            if "scheme" in look:
                turn = turns.setdefault(item.nodeid.partition("[")[0], len(turns))
                if (look["locale"], look["scheme"]) != LOOKS[turn % len(LOOKS)]:
                    item.add_marker(pytest.mark.slow)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium here: the console is NOT tested in a browser"))


@dataclass
class Desk:
    """Page of a browser. `wrong` holds errors of its console, refusals by its policy, and calls of other hosts."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)
    loaded: list[Response] = field(default_factory=list)

    async def open(self, path: str) -> None:
        await self.page.goto(f"{self.url}/console{path}")

    async def go(self, path: str) -> None:
        """Follow an entry of the navigation. On phones the rare ones are under *More*."""
        entry = self.page.locator(f"nav.side a[href$='{path}']").filter(visible=True)
        if not await entry.count():
            await self.page.click("nav.side summary")
        await entry.click()

    async def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            await self.page.fill(f"main [name={name}]", value)

    async def press(self, text: str) -> None:
        """Press the button with this text in the content of the page."""
        await self.page.click(f"main button:has-text('{text}')")

    async def until(self, script: str) -> None:
        """Wait until an expression is true in the page, whose rules let none of the browser's own waits run there."""
        async with asyncio.timeout(60):
            while not await self.page.evaluate(script):
                await asyncio.sleep(0.01)

    async def check(self) -> None:
        """Check the page that is open: nothing for axe to find, no sideways scrolling, nothing wrong so far."""
        await self.page.wait_for_load_state()
        await self.page.wait_for_selector(".loading", state="detached")  # What is being loaded is pale.
        found = await Axe().run(self.page)
        told = [
            f"{each['id']}: {[node['html'][:200] for node in each['nodes']]}" for each in found.response["violations"]
        ]
        sizes = await self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert told == [], self.page.url
        assert sizes[0] <= sizes[1], f"{self.page.url} scrolls sideways"
        assert self.wrong == [], self.page.url


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    """One for the tests of a file: each desk has memory, cookies and a cache of its own."""
    assert CHROMIUM is not None
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {LAN_HOST} 127.0.0.1"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
async def house(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[House]:
    async with open_house(tmp_path, relay.base_url) as opened:
        yield opened


@asynccontextmanager
async def desk_of(
    browser: Browser, url: str, *, locale: str = "en-GB", scheme: str = "light", width: int = 1280
) -> AsyncIterator[Desk]:
    """Open a browser with nothing in it."""
    context = await browser.new_context(
        locale=locale,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": 800},
    )
    desk = Desk(await context.new_page(), url)

    def asked(request: Request) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob") and not request.url.startswith(url):
            desk.wrong.append(f"another host: {request.url}")

    desk.page.on("request", asked)
    desk.page.on("response", lambda answer: desk.loaded.append(answer))
    desk.page.on("console", lambda told: desk.wrong.append(told.text) if told.type in ("error", "warning") else None)
    desk.page.on("pageerror", lambda error: desk.wrong.append(str(error)))
    try:
        yield desk
    finally:
        await context.close()
