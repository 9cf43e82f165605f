"""A gateway over each kind of relay, for clients that are programs of their own, and a spy on what the relays saw."""

import base64
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from aiohttp import web
from PIL import Image

from app.core.intervals import Interval
from app.core.limits import Unit
from app.sandbox import RunningSandbox, SandboxOptions, SeenRequest, running_sandbox
from app.store.tables import api_keys
from tests.administration import disable_user, revoke_key
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.receivers import served

CLOSED_PORT = "http://127.0.0.1:9"
UNGUARDED: dict[str, Any] = {"guard_models_per_minute": 100_000, "guard_bad_keys_per_minute": 100_000}

LIMITED: dict[str, Sequence[tuple[Unit, Interval, int]]] = {
    "allowance": [
        ("micros", "month", 100_000_000),
        ("images", "day", 50),
        ("requests", "minute", 30),
        ("images", "minute", 40),
    ],
    "no_money": [("micros", "month", 100_000)],
    "one_image": [("images", "week", 1)],
    "no_requests": [("requests", "lifetime", 0)],
    "none_at_once": [("in_flight", "lifetime", 0)],
    "one_a_minute": [("requests", "minute", 1)],
    "two_images_a_minute": [("images", "minute", 2)],
    "two_images_a_minute_more": [("images", "minute", 2)],
}


@dataclass(frozen=True, slots=True)
class Stage:
    """`gateways` by the relay's profile, C and N, and one whose relay is not there: `away`."""

    gateways: dict[str, Running]
    relays: dict[str, RunningSandbox]
    spy: str
    pictures: dict[str, bytes]

    async def described(self, label: str) -> dict[str, Any]:
        """Describe the stage as JSON, for a program of its own: addresses, pictures, and keys that nobody else uses."""
        away = self.gateways["away"]
        for_away = (await away.key(f"{label} away")).key
        keys = {profile: await self.keys(label, profile) | {"for_away": for_away} for profile in self.relays}
        return {
            "gateways": {name: gateway.url for name, gateway in self.gateways.items()} | {"away": f"{away.url}/v1"},
            "spy": self.spy,
            "pictures": {kind: base64.b64encode(picture).decode() for kind, picture in self.pictures.items()},
            "keys": keys,
        }

    async def keys(self, label: str, profile: str) -> dict[str, str]:
        """Keys by what is the matter with them."""
        gateway = self.gateways[profile]
        good = await gateway.key(label)
        only_flux = await gateway.key(label, models=("flux-kontext-pro",))
        limited = {name: await self._limited(gateway, label, name) for name in LIMITED}
        unknown = (await self.gateways["away"].key(f"{label} {profile}")).key
        useless = await self._useless(gateway, label)
        return {
            "good": good.key,
            "only_flux": only_flux.key,
            "unknown": unknown,
            "malformed": "sk-1",
            **useless,
            **limited,
        }

    async def _limited(self, gateway: Running, label: str, name: str) -> str:
        key = await gateway.key(label, name=name)
        for unit, interval, amount in LIMITED[name]:
            await gateway.limit("key", key.id, unit, interval, amount)
        return key.key

    async def _useless(self, gateway: Running, label: str) -> dict[str, str]:
        revoked, expired = await gateway.key(label), await gateway.key(label)
        disabled = await gateway.key(f"{label} disabled")
        await revoke_key(gateway.database, revoked.id)
        await disable_user(gateway.database, f"{label} disabled")
        async with gateway.database.write() as connection:
            await connection.execute(sa.update(api_keys).where(api_keys.c.id == expired.id).values(expires_at_ms=1))
        return {"revoked": revoked.key, "expired": expired.key, "of_a_disabled_user": disabled.key}

    def seen(self, profile: str, mark: str) -> list[SeenRequest]:
        """Return the requests with `mark` in the prompt that this relay got, oldest first."""
        return [seen for seen in self.relays[profile].sandbox.seen if mark in seen.fields.get("prompt", "")]


@asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        relays, gateways = {}, {}
        for profile in ("C", "N"):
            options = SandboxOptions(RELAY_KEY, profile, latency_scale=0)
            relays[profile] = await stack.enter_async_context(running_sandbox(options))
        for name in ("C", "N", "away"):
            (folder / name).mkdir()
            upstream = relays[name].base_url if name in relays else CLOSED_PORT
            opened = running_gateway(folder / name, upstream, **UNGUARDED)
            gateways[name] = await stack.enter_async_context(opened)
        spy = await stack.enter_async_context(_spy(relays))
        yield Stage(gateways, relays, spy, _pictures())


@asynccontextmanager
async def _spy(relays: dict[str, RunningSandbox]) -> AsyncIterator[str]:
    """GET /seen?profile=C&prompt=MARK: what this relay got with that in the prompt, oldest first."""

    async def seen(request: web.Request) -> web.Response:
        noted = relays[request.query["profile"]].sandbox.seen
        return web.json_response(
            [_shown(one) for one in noted if request.query["prompt"] in one.fields.get("prompt", "")]
        )

    async with served(web.get("/seen", seen)) as url:
        yield url


def _shown(seen: SeenRequest) -> dict[str, Any]:
    files = [{"field": file.field, "filename": file.filename, "sha256": file.sha256} for file in seen.files]
    return {
        "query": seen.query,
        "headers": seen.headers,
        "fields": seen.fields,
        "files": files,
        "body": seen.body.decode(),
    }


def _pictures() -> dict[str, bytes]:
    opaque, mask = Image.new("RGB", (16, 16), "red"), Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    return {kind: _encoded(opaque, kind) for kind in ("png", "jpeg", "webp")} | {"mask": _encoded(mask, "png")}


def _encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()
