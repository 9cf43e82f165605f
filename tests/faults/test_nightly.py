"""Nightly backups of a running gateway, as an operator sees them."""

import json
from pathlib import Path
from typing import Any

from app.control.manifest import Manifest
from app.store.journal import FILE
from tests.administration import revoke_key
from tests.faults.conftest import StartGateway
from tests.gateways import Running
from tests.money.books import ask, opened, until


async def readiness(running: Running) -> dict[str, Any]:
    async with opened(running.url) as client:
        found: dict[str, Any] = (await client.get("/readyz")).json()
    return found


async def test_a_gateway_makes_its_own_backups_and_says_when(gateways: StartGateway, tmp_path: Path) -> None:
    nights = tmp_path / "other disk"
    (tmp_path / "data").mkdir()
    running = await gateways("data", backup_dir=nights)
    key = await running.key()
    async with opened(running.url, key.key) as client:
        assert (await ask(client)).status_code == 200
    await until(lambda: has_picture(running))
    before = await readiness(running)

    assert await running.gateway.chores.run_once("backup")

    after = await readiness(running)
    [manifest] = nights.glob("*.json")
    made = Manifest.read(manifest.with_suffix(""))
    assert (before["status"], before["checks"]["backup"], before["last_backup_s_ago"]) == (
        "degraded",
        "none was made yet",
        None,
    )
    assert (after["checks"]["backup"], after["last_backup_s_ago"] < 60) == ("ok", True)
    assert (made.nightly, made.totals["requests"], made.picture_files, made.missing) == (True, 1, 1, ())
    await revoke_key(running.gateway.database, key.id)
    noted = [json.loads((folder / FILE).read_text())["target_id"] for folder in (tmp_path / "data", nights)]
    assert noted == [key.id, key.id]


async def has_picture(running: Running) -> bool:
    async with running.database.read() as connection:
        return bool((await connection.exec_driver_sql("SELECT count(*) FROM pictures")).scalar_one())
