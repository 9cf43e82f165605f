"""Audit of the kept pictures: silent where rows and files agree, and exact where they do not."""

import os
from pathlib import Path

from app.pictures.audit import YOUNG_S, PictureAudit, audit_pictures
from tests.images.client import Client
from tests.pictures.test_library import bought, rows


async def audited(client: Client) -> PictureAudit:
    gateway = client.gateway.gateway
    return await audit_pictures(gateway.library.rows, gateway.picture_folder)


def made_old(path: Path) -> None:
    old_s = path.stat().st_mtime - 2 * YOUNG_S
    os.utime(path, (old_s, old_s))


async def test_rows_and_files_that_agree_are_clean(client: Client) -> None:
    await bought(client, 2)

    found = await audited(client)

    assert (found.rows, found.rows_without_bytes, found.bytes_without_rows) == (2, 0, 0)


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
    assert found.lost == tuple((id, digests[id]["bytes"]) for id in sorted((lost, cut)))
    assert found.stray == (("a" * 64, 5),)
