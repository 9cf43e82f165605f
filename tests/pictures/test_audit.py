"""Audit of the kept pictures: silent where rows and files agree, and exact where they do not."""

import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.pictures.audit import YOUNG_S, PictureAudit, audit_pictures
from app.sandbox import RunningSandbox
from tests.buckets import TestBucket
from tests.gateways import running_gateway
from tests.images.client import Client
from tests.pictures.test_library import bought, rows


async def audited(client: Client) -> PictureAudit:
    gateway = client.gateway.gateway
    return await audit_pictures(gateway.library.rows, gateway.library.files.blobs)


def made_old(path: Path) -> None:
    old_s = path.stat().st_mtime - 2 * YOUNG_S
    os.utime(path, (old_s, old_s))


async def test_rows_and_files_that_agree_are_clean(client: Client) -> None:
    await bought(client, 2)

    found = await audited(client)

    assert (found.rows, found.rows_without_bytes, found.bytes_without_rows) == (2, 0, 0)


@pytest.mark.both
async def test_rows_without_bytes_and_bytes_without_rows_are_counted_and_named(client: Client) -> None:
    lost, cut, whole = await bought(client, 3)
    folder, digests = client.gateway.gateway.data_dir / "pictures", {row["id"]: row for row in await rows(client)}
    (folder / digests[lost]["digest"]).unlink()
    (folder / digests[cut]["digest"]).write_bytes(b"half")
    stray, young, other = folder / ("a" * 64), folder / ("b" * 64), folder / "unfinished-1"
    for path in (stray, young, other):
        path.write_bytes(b"bytes")
    for path in (stray, other, folder / digests[whole]["digest"]):
        made_old(path)

    found = await audited(client)

    assert (found.rows, found.files, found.rows_without_bytes, found.bytes_without_rows) == (3, 4, 2, 1)
    assert sorted(found.lost) == sorted((id, digests[id]["bytes"]) for id in sorted((lost, cut)))
    assert found.stray == (("a" * 64, 5),)


async def test_objects_of_a_bucket_are_compared_as_files_are(
    tmp_path: Path, relay: RunningSandbox, bucket: TestBucket
) -> None:
    settings: Any = bucket.settings
    async with (
        running_gateway(tmp_path, relay.base_url, **settings) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        client = Client(http, await running.key(), relay, running)
        lost, away, _ = await bought(client, 3)
        digests = {row["id"]: row["digest"] for row in await rows(client)}
        objects, folder = running.gateway.library.files.blobs, tmp_path / "pictures"
        clean = await audited(client)
        await objects.remove([digests[lost]])
        (folder / digests[away]).unlink()
        (folder / ("a" * 64)).write_bytes(b"bytes")
        await objects.share("a" * 64, 10**15)

        young = await audited(client)
        stray = await audit_pictures(running.gateway.library.rows, objects, young_s=-60)

    assert (clean.rows, clean.files, clean.rows_without_bytes, clean.bytes_without_rows) == (3, 3, 0, 0)
    assert ([id for id, _ in young.lost], young.files, young.stray) == ([lost], 3, ())
    assert stray.stray == (("a" * 64, 5),)
