"""A disk whose writes fail although bytes are free: `/readyz` says so, and says when it is well again."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from app.control.disk_probe import DiskProbe
from app.sandbox import RunningSandbox
from tests.gateways import running_gateway

Mount = Callable[[str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Mount]]:
    """A disk of its own with 8 MiB and 60 inodes, and a function that mounts it anew with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=60", "none", str(folder)]
    if subprocess.run(made, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")

    def remount(option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)

    yield folder, remount
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_without_inodes_it_is_unready_with_the_reason_and_ready_when_some_are_free(
    disk: tuple[Path, Mount], relay: RunningSandbox
) -> None:
    folder, _ = disk
    async with (
        running_gateway(folder, relay.base_url, disk_free_bytes_min=1) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as client,
    ):
        probe, litter = running.gateway.readiness.disk, folder / "litter"
        litter.mkdir()
        well, key = await client.get("/readyz"), (await running.key()).key
        fill(litter)
        probe.every_s = 0
        ill = await client.get("/readyz")
        refused = await buy(client, key)
        (litter / "0").unlink()
        healed = await client.get("/readyz")

    assert [answer.status_code for answer in (well, ill, healed)] == [200, 503, 200]
    told = "cannot be written to: No space left on device (no inodes are left: remove files)"
    assert (ill.json()["status"], ill.json()["checks"]["disk"]) == ("unready", told)
    assert healed.json()["checks"]["disk"] == "ok"
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_full")
    assert "no inodes left" in refused.json()["error"]["message"]
    assert relay.sandbox.bill == []


async def buy(client: httpx2.AsyncClient, key: str) -> httpx2.Response:
    body = {"model": "seedream-3.0", "prompt": "a lighthouse"}
    headers = {"Authorization": f"Bearer {key}"}
    return await client.post("/v1/images/generations", json=body, headers=headers)


def fill(folder: Path) -> None:
    """Make files until no inode is left."""
    with pytest.raises(OSError, match="No space left"):
        for number in range(1000):
            (folder / str(number)).touch()


async def test_a_read_only_disk_is_named_and_a_flood_of_checks_writes_once(disk: tuple[Path, Mount]) -> None:
    folder, remount = disk
    seldom, often = DiskProbe(folder, 1, every_s=3600), DiskProbe(folder, 1, every_s=0)
    assert [await probe.check() for probe in (seldom, often)] == ["ok", "ok"]

    remount("ro")
    told = [await probe.check() for probe in (seldom, often)]
    remount("rw")

    assert told == ["ok", "cannot be written to: Read-only file system"]
    assert await often.check() == "ok"
    assert list(folder.iterdir()) == []


async def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    assert await DiskProbe(tmp_path / "gone", 1).check() == "cannot be read: No such file or directory"
