"""Backup and restore of a gateway whose pictures are in a bucket."""

import shutil
import signal
from pathlib import Path

import pytest

from app.sandbox import RunningSandbox
from tests.buckets import PREFIX, BucketServer, TestBucket
from tests.faults.conftest import StartProcess
from tests.gateways import GatewayProcess, gateway_process
from tests.money.books import ask, opened, until

PICTURE = "pictures/"


async def pictures_in(bucket: TestBucket) -> list[str]:
    names = [name.removeprefix(f"{PREFIX}/") for name in await bucket.names()]
    return [name for name in names if name.startswith(PICTURE) and name.count("/") == 1]


async def test_pictures_go_from_a_bucket_into_the_backup_and_from_there_into_another_bucket(
    processes: StartProcess, relay: RunningSandbox, bucket: TestBucket, bucket_server: BucketServer, tmp_path: Path
) -> None:
    file = tmp_path / "book.db"
    lost = await processes("lost", **bucket.settings)
    await lost.cli("users", "create", "ada")
    key = (await lost.cli("keys", "create", "--user", "ada"))["key"]
    async with opened(lost.url, key) as client:
        bought = await ask(client)
    assert bought.status_code == 200, bought.text
    await until(lambda: are_in(bucket, 1))
    await lost.stop(signal.SIGTERM)
    shutil.rmtree(lost.data_dir / "pictures")
    away = GatewayProcess(lost.data_dir, relay.base_url, **bucket.settings | {"results_endpoint": "http://127.0.0.1:9"})

    with pytest.raises(AssertionError, match="bucket"):
        await away.cli("backup", str(file))
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith(file.name)]
    made = await lost.cli("backup", str(file))

    other = TestBucket(bucket_server, f"{bucket.name}-other")
    other.make()
    (tmp_path / "restored").mkdir()
    restoring = GatewayProcess(tmp_path / "restored", relay.base_url, **other.settings)
    done = await restoring.cli("restore", str(file))
    assert (left, made["picture_files"], made["missing"], done["pictures"]) == ([], 1, [], 1)
    assert await pictures_in(other) == await pictures_in(bucket)
    shutil.rmtree(tmp_path / "restored" / "pictures")
    async with gateway_process(tmp_path / "restored", relay.base_url, **other.settings) as restored:
        async with opened(restored.url, key) as client:
            picture = f"/v1/images/pictures/{bought.headers['x-request-id']}_0/content"
            assert (await client.get(picture)).status_code == 200
        assert (await restored.cli("audit"))["differences"] == []


async def are_in(bucket: TestBucket, count: int) -> bool:
    return len(await pictures_in(bucket)) == count
