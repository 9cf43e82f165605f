"""Makes docs/screenshots/: pages of the console as both READMEs show them, of a gateway over the sandbox relay.

Run: .venv/bin/python docs/screenshots.py. Needs Chromium; what is there is replaced.
"""

import asyncio
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import httpx2  # noqa: E402  (a checkout need not be installed)
import sqlalchemy as sa  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.async_api import Browser, async_playwright  # noqa: E402

from app.console.pages import ROUTES  # noqa: E402
from app.control.invitations import accept_invitation, invite  # noqa: E402
from app.core.intervals import DAY_MS  # noqa: E402
from app.sandbox import SandboxOptions, running_sandbox  # noqa: E402
from app.store.tables import counters, limits  # noqa: E402
from tests.browser.conftest import CHROMIUM  # noqa: E402
from tests.databases import insert_usage  # noqa: E402
from tests.gateways import RELAY_KEY, Running, running_gateway  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"
SIZE = {"width": 1280, "height": 800}
WEBP_QUALITY = 80
PAGES = {"overview": "ada", "create": "lin", "pictures": "lin", "requests": "ada"}
"""Page, by its path below /console, and who opens it."""
OWNERS = ("ada",)
PEOPLE = ("ada", "lin", "noor")
PROMPTS = {
    "en": [
        "A lighthouse at dusk, seen from the sea",
        "Poster for the spring market: tulips and bread",
        "Icon of a kettle, flat, two colours",
        "Workshop with a lathe, morning light",
        "Map of an island with three harbours",
        "A fox in the snow",
    ],
    "zh": [
        "黄昏时从海上看到的灯塔",
        "春季集市的海报：郁金香与面包",
        "水壶图标，扁平，双色",
        "有车床的作坊，晨光",
        "有三个港口的小岛地图",
        "雪中的狐狸",
    ],
}
SHAPES = (
    ("gpt-image-1", "1536x1024", "high", 1),
    ("gpt-image-1", "1024x1536", "medium", 2),
    ("seedream-3.0", "1024x1024", "", 1),
    ("gpt-image-1", "1024x1024", "low", 1),
    ("flux-kontext-max", "", "", 1),
    ("seedream-3.0", "1024x1024", "", 3),
)


@dataclass
class Scene:
    """Gateway with people who are signed in, and what they bought."""

    running: Running
    http: httpx2.AsyncClient
    cookies: dict[str, str]
    users: dict[str, str]
    newest: str = ""
    """Address below /console that the last purchase led to."""
    bought: list[str] = field(default_factory=list)
    """First pictures of what Lin bought."""
    spent: Counter[str] = field(default_factory=Counter)
    """Micros of this month that were never bought here, by person."""

    async def furnish(self, prompts: Sequence[str]) -> None:
        for name in PEOPLE:
            link = await invite(self.running.database, f"{name}@example.com", "owner" if name in OWNERS else "member")
            session = await accept_invitation(self.running.database, link.token, "correct horse battery", "Firefox")
            self.cookies[name], self.users[name] = session.token, session.user_id
        await self.running.limit("organization", "", "micros", "month", 400_000_000)
        await self.running.limit("user", self.users["lin"], "micros", "month", 150_000_000)
        await self.running.limit("user", self.users["noor"], "images", "day", 2)
        await self._past()
        for number, (prompt, shape) in enumerate(zip(prompts, SHAPES, strict=True)):
            await self._buy("noor" if number in (1, 3) else "lin", prompt, *shape)
        await self.running.gateway.taking.take_all()
        await self._count_past()
        headers = {"Cookie": f"imagegate={self.cookies['lin']}", "Origin": self.running.url}
        await self.http.post("/console/pictures", data={"do": "share", "id": self.bought[::2]}, headers=headers)

    async def _buy(self, who: str, prompt: str, model: str, size: str, quality: str, n: int) -> None:
        fields = {"prompt": prompt, "model": model, "size": size, "quality": quality, "n": str(n)}
        fields |= {"project": "proj_default", "token": f"{who}-{model}-{size}-{n}"}
        headers = {"Cookie": f"imagegate={self.cookies[who]}", "Origin": self.running.url}
        answer = await self.http.post("/console/create", data=fields, headers=headers)
        if answer.status_code == 303:
            self.newest = answer.headers["location"].removeprefix("/console").removesuffix("#jobs")
            if who == "lin":
                self.bought.append(f"{self.newest.partition('job=')[2]}_0")
            await self.running.gateway.image_service.wait_until_idle()

    async def _past(self) -> None:
        """Write usage of the last weeks."""
        now_ms = await self.running.database.now_ms()
        keys = {name: (await self.running.key(name)).id for name in ("lin", "noor")}
        for number in range(60):
            at = datetime.fromtimestamp((now_ms - (1 + number % 28) * DAY_MS) / 1000, UTC) + timedelta(hours=8)
            who, model = (
                ("lin", "noor")[number % 2],
                ("gpt-image-1", "seedream-3.0", "flux-kontext-max")[number * 5 % 3],
            )
            cost_micros = (400_000 + 310_000 * (number * 7 % 9)) * (1 + number % 3)
            await insert_usage(
                self.running.database,
                day=at.date().isoformat(),
                hour_at_ms=number,
                project_id="proj_default",
                user_id=self.users[who],
                api_key_id=keys[who],
                model=model,
                size="1024x1024",
                quality="high" if model == "gpt-image-1" else "",
                requests=1 + number % 3,
                images=1 + number % 4,
                cost_micros=cost_micros,
            )
            if at.month == datetime.fromtimestamp(now_ms / 1000, UTC).month:
                self.spent[who] += cost_micros

    async def _count_past(self) -> None:
        """Count that usage on the limits of money, as if it had been bought."""
        past = {("organization", ""): self.spent.total(), ("user", self.users["lin"]): self.spent["lin"]}
        for (scope, id), micros in past.items():
            is_of = limits.c.scope == scope, limits.c.scope_id == id, limits.c.unit == "micros"
            async with self.running.database.transaction() as connection:
                change = sa.update(counters).where(counters.c.limit_id.in_(sa.select(limits.c.id).where(*is_of)))
                await connection.execute(change.values(spent=counters.c.spent + micros))


async def take(browser: Browser, scene: Scene, language: str) -> None:
    """Write the screenshots in one language."""
    context = await browser.new_context(locale={"en": "en-GB", "zh": "zh-CN"}[language], viewport=SIZE)
    there = {path for method, path, _ in ROUTES if method == "GET"}
    for name, who in PAGES.items():
        if f"/{name}" not in there:
            print(f"no page {name} yet", file=sys.stderr)
            continue
        await context.clear_cookies()
        await context.add_cookies([{"name": "imagegate", "value": scene.cookies[who], "url": scene.running.url}])
        page = await context.new_page()
        await page.goto(f"{scene.running.url}/console{scene.newest if name == 'create' else f'/{name}'}")
        await page.wait_for_load_state("networkidle")
        picture = Image.open(io.BytesIO(await page.screenshot()))
        picture.convert("RGB").save(FOLDER / f"{name}.{language}.webp", "WEBP", quality=WEBP_QUALITY, method=6)
        await page.close()
    await context.close()


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for language, prompts in PROMPTS.items():
            with tempfile.TemporaryDirectory() as folder:
                async with (
                    running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0.5)) as relay,
                    running_gateway(Path(folder), relay.base_url, pictures_fetch_networks="127.0.0.0/8") as running,
                    httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
                ):
                    scene = Scene(running, http, {}, {})
                    await scene.furnish(prompts)
                    await take(browser, scene, language)
        await browser.close()


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit("No Chromium here: apt install chromium")
    asyncio.run(main())
