"""API keys of a gateway elsewhere."""

import time
from collections.abc import Sequence
from typing import Any

from app.cli.administration import ShownKey
from app.cli.remote.client import Client, Installation
from app.cli.remote.times import at_ms, required_ms
from app.control.dates import expiry_ms
from app.control.keys import CreatedKey, NewApiKey
from app.errors import Conflict


class Keys:
    client: Client
    installation: Installation

    async def create_key(self, wanted: NewApiKey) -> CreatedKey:
        fields = {
            "user_id": wanted.user,
            "name": wanted.name,
            "models": None if wanted.models is None else list(wanted.models),
            "expires_in_seconds": None if wanted.expires is None else self._seconds_until(wanted.expires),
        }
        made = await self.client.post("projects", wanted.project, "api_keys", **fields)
        return CreatedKey(made["id"], made["value"])

    async def list_keys(self) -> Sequence[ShownKey]:
        return [_key(each) async for each in self.client.every("api_keys")]

    async def show_key(self, key_id: str) -> ShownKey:
        return _key(await self.client.get("api_keys", key_id))

    async def revoke_key(self, key_id: str) -> ShownKey:
        key = await self.show_key(key_id)
        if key.revoked_at_ms is None:
            await self.client.delete("projects", key.project_id, "api_keys", key.id)
        with self.client.after(f"The key {key.id} is revoked"):
            return await self.show_key(key.id)

    async def rotate_key(self, key_id: str, grace_s: int) -> CreatedKey:
        key = await self.show_key(key_id)
        if key.revoked_at_ms is not None:  # Among those of its project it is not there any more.
            raise Conflict(f"The key {key.id} is revoked; make a new one.", param="key")
        path = ("projects", key.project_id, "api_keys", key.id, "rotate")
        made = await self.client.post(*path, grace_period_seconds=grace_s)
        return CreatedKey(made["id"], made["value"])

    def _seconds_until(self, expires: str) -> int:
        """Of a day: to the second, by this machine's clock."""
        now_ms = int(time.time() * 1000)
        return -(-(expiry_ms(expires, now_ms, self.installation.zone) - now_ms) // 1000)


def _key(found: Any) -> ShownKey:
    owner = found["owner"][found["owner"]["type"]]
    return ShownKey(
        id=found["id"],
        name=found["name"],
        user=owner["name"],
        user_id=owner["id"],
        project=found["project"]["name"],
        project_id=found["project"]["id"],
        last_four=found["redacted_value"][-4:],
        models=None if found["models"] is None else tuple(found["models"]),
        status=found["status"],
        created_at_ms=required_ms(found["created_at"]),
        expires_at_ms=at_ms(found["expires_at"]),
        revoked_at_ms=at_ms(found["revoked_at"]),
        last_used_at_ms=at_ms(found["last_used_at"]),
    )
