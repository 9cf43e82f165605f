"""A gateway at a Unix socket behind the real nginx and Caddy, with the configurations of deploy/."""

import base64
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

import dev
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.settings import Settings
from tests.core.test_upload_parameters import png
from tests.deploy.proxies import Caddy, Nginx, Proxy
from tests.gateways import RELAY_KEY, gateway_process
from tests.images.client import until

KINDS: dict[str, type[Proxy]] = {"nginx": Nginx, "caddy": Caddy}
UPLOAD = [("image[]", ("a.png", png() + bytes(8_600_000 - len(png())), "image/png"))] * 7
"""Seven pictures, of 60.2 MB together."""


@dataclass(frozen=True, slots=True)
class Behind:
    """A client of the proxy, with a key; `logged` reads the lines of the gateway's log."""

    http: httpx2.AsyncClient
    key: str
    logged: Callable[[], list[dict[str, Any]]]

    async def buy(self, prompt: str, **fields: Any) -> httpx2.Response:
        body = {"model": "gpt-image-1", "prompt": prompt, **fields}
        return await self.http.post("v1/images/generations", json=body)


@asynccontextmanager
async def behind(
    proxy: Proxy, folder: Path, socket_path: Path, relay_url: str, **settings: Any
) -> AsyncIterator[Behind]:
    given = {"log_json": "true", **settings}
    async with gateway_process(folder / "data", relay_url, arguments=("--uds", str(socket_path)), **given) as gateway:
        key = next(found[0] for line in gateway.said if (found := re.search(r"sk-ig-\S+", line)))
        with proxy:
            trusted = ssl.create_default_context(cafile=str(proxy.ca_file))
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx2.AsyncClient(
                base_url=f"{proxy.url}/", verify=trusted, timeout=200, headers=headers, trust_env=False
            ) as http:
                yield Behind(http, key, lambda: _json_lines(gateway.stderr()))


def _json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module", params=KINDS)
async def proxied(
    request: pytest.FixtureRequest, anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Behind]:
    folder = tmp_path_factory.mktemp("proxied")
    socket_path = folder / "gateway.sock"
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay,
        behind(KINDS[request.param](socket_path), folder, socket_path, relay.base_url) as client,
    ):
        yield client


async def test_a_slow_image_and_a_large_upload_come_through(proxied: Behind) -> None:
    slow = await proxied.buy("[[sandbox delay=3]]")
    fields = {"model": "gpt-image-1", "prompt": "all of them"}
    uploaded = await proxied.http.post("v1/images/edits", data=fields, files=UPLOAD)

    assert (slow.status_code, uploaded.status_code) == (200, 200), (slow.text[:300], uploaded.text[:300])
    assert base64.b64decode(uploaded.json()["data"][0]["b64_json"]).startswith(b"\x89PNG")


@pytest.mark.slow
async def test_an_image_of_150_seconds_comes_through(proxied: Behind) -> None:
    """nginx by itself gives up after 60."""
    assert (await proxied.buy("[[sandbox delay=150]]")).status_code == 200


async def test_the_gateway_sees_the_client_and_not_what_it_makes_up(proxied: Behind) -> None:
    await proxied.http.get("v1/models", headers={"X-Forwarded-For": "6.6.6.6"})

    def asked() -> list[dict[str, Any]]:
        return [line for line in proxied.logged() if line.get("path") == "/v1/models"]

    await until(asked)  # The line is written once the proxy has taken the answer.
    [line] = asked()
    assert (line["client"], line["status"]) == ("127.0.0.1", 200)


async def test_metrics_stay_inside(proxied: Behind) -> None:
    await proxied.http.get("metrics")

    assert not [line for line in proxied.logged() if line.get("path") == "/metrics"]


@pytest.mark.parametrize("strips", [True, False], ids=["stripped", "passed on"])
async def test_a_path_before_v1_works_whether_nginx_strips_it_or_not(
    tmp_path: Path, relay: RunningSandbox, strips: bool
) -> None:
    socket_path = tmp_path / "gateway.sock"
    proxy = Nginx(socket_path, below="/images", strips=strips)
    async with behind(proxy, tmp_path, socket_path, relay.base_url, public_url=proxy.url) as client:
        answer = await client.buy("a lighthouse", response_format="url")
        link = answer.json()["data"][0]["url"]
        picture = await client.http.get(link, headers={"Authorization": ""})
        page = await client.http.get("console/sign-in")
        style = re.search(r'href="([^"]+\.css)"', page.text)
        root = await client.http.get("", headers={"Accept": "text/html"})

        assert link.startswith(f"{proxy.url}/v1/images/pictures/")
        assert (picture.status_code, picture.content[:4]) == (200, b"\x89PNG")
        assert page.status_code == 200 and style is not None and style[1].startswith("/images/console/")
        assert (await client.http.get(f"{proxy.url.removesuffix('/images')}{style[1]}")).status_code == 200
        assert (root.status_code, root.headers["location"]) == (303, "/images/console/")
        assert (await client.http.get("healthz")).status_code == 200


@pytest.mark.parametrize(("file", "pattern"), [("nginx.conf", r"_timeout (\d+)s"), ("Caddyfile", r"_timeout (\d+)s")])
def test_proxies_wait_longer_than_the_gateway(file: str, pattern: str) -> None:
    text = (dev.ROOT / "deploy" / file).read_text(encoding="utf-8")
    waits_s = [int(found) for found in re.findall(pattern, text)]

    assert len(waits_s) == 2
    assert min(waits_s) > Settings(_env_file=None).client_deadline_s


@pytest.mark.parametrize(
    ("file", "size"), [("nginx.conf", "client_max_body_size 64m;"), ("Caddyfile", "max_size 64MiB")]
)
def test_proxies_let_through_what_the_gateway_takes(file: str, size: str) -> None:
    assert size in (dev.ROOT / "deploy" / file).read_text(encoding="utf-8")
    assert Settings(_env_file=None).upload_bytes_max == 64 * 1024 * 1024
