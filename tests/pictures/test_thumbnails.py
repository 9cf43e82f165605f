"""Thumbnails: who gets them, how they are made once and off the path, and that they go with their pictures."""

import asyncio
import io
import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from app.core.ids import new_id
from app.pictures.thumbnails import QUEUE_MAX, Thumbnails
from app.sandbox import RunningSandbox
from tests.buckets import TestBucket
from tests.gateways import running_gateway
from tests.images.client import Client
from tests.pictures.test_api import NewClient, bought, call
from tests.pictures.test_library import rows

STRAY = {"Authorization": "Bearer sk-of-another-service", "Origin": "https://chat.example.com"}


def thumbnails(client: Client) -> Thumbnails:
    return client.gateway.gateway.library.thumbnails


def files(client: Client) -> list[Path]:
    return [path for path in (client.gateway.gateway.data_dir / "thumbnails").iterdir() if path.is_file()]


def picture_file(client: Client) -> Path:
    [path] = (client.gateway.gateway.data_dir / "pictures").iterdir()
    return path


async def link_to(client: Client, id: str) -> str:
    """Make a link to a picture, and lead it to the thumbnail."""
    made = await call(client, "POST", f"/{id}/link", json={})
    return str(made.json()["url"]).replace("/content?", "/thumbnail?")


async def until_made(client: Client, path: str) -> httpx2.Response:
    """Ask with the key, or with a link, until the thumbnail is made: its process computes only while the machine is idle."""
    async with asyncio.timeout(120):
        while True:
            answer = await (client.http.get(path) if "?" in path else call(client, "GET", path))
            if answer.status_code != 503:
                return answer
            assert answer.headers["retry-after"] == "5"


async def test_a_thumbnail_is_a_small_webp_for_whoever_may_have_the_picture(new_client: NewClient) -> None:
    lin, bo = await new_client("lin"), await new_client("bo")
    [id] = await bought(lin)
    link = await link_to(lin, id)

    own, linked = await until_made(lin, f"/{id}/thumbnail"), await lin.http.get(link, headers=STRAY)

    assert (own.status_code, own.headers["content-type"]) == (200, "image/webp")
    assert max(Image.open(io.BytesIO(own.content)).size) == 320
    assert linked.content == own.content
    assert (linked.headers["access-control-allow-origin"], linked.headers["cross-origin-resource-policy"]) == (
        "*",
        "cross-origin",
    )
    assert linked.headers["x-content-type-options"] == "nosniff"
    assert (await call(bo, "GET", f"/{id}/thumbnail")).status_code == 404
    assert (await lin.http.get(link.partition("?")[0])).status_code == 403
    assert (await lin.http.get(link[:-1] + "g")).status_code == 403
    assert (await lin.http.get(link.replace("_0/", "_1/"))).status_code == 403
    await call(lin, "POST", f"/{id}", json={"visibility": "project"})
    assert (await call(bo, "GET", f"/{id}/thumbnail")).content == own.content


async def test_heads_ranges_and_known_etags_of_thumbnails(client: Client) -> None:
    [id] = await bought(client)
    link = await link_to(client, id)
    whole = await until_made(client, link)

    head, part = await client.http.head(link), await client.http.get(link, headers={"Range": "bytes=4-9"})
    known = await client.http.get(link, headers={"If-None-Match": whole.headers["etag"]})

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    assert (part.status_code, part.content) == (206, whole.content[4:10])
    assert (known.status_code, known.content) == (304, b"")
    content = await client.http.head(link.replace("/thumbnail?", "/content?"))
    assert content.headers["etag"] != whole.headers["etag"]


async def test_a_thumbnail_of_a_picture_that_was_bought_is_made_before_anybody_asks(client: Client) -> None:
    await client.gateway.gateway.chores.stop()
    await bought(client)

    await thumbnails(client).turn()

    [row], [file] = await rows(client), files(client)
    assert (file.name, file.stat().st_size) == (row["digest"], row["thumbnail_bytes"])
    await thumbnails(client).stop()


async def test_whoever_asks_while_it_is_made_gets_it(client: Client) -> None:
    await client.gateway.gateway.chores.stop()
    [id] = await bought(client)
    making = asyncio.create_task(thumbnails(client).turn())
    while thumbnails(client)._bought:
        await asyncio.sleep(0)

    answer = await call(client, "GET", f"/{id}/thumbnail")
    await making
    again = await call(client, "GET", f"/{id}/thumbnail")

    assert again.status_code == 200
    assert answer.status_code == 200 or "is not made yet" in answer.text  # On a machine without time to spare.
    assert not thumbnails(client)._asked
    await thumbnails(client).stop()


async def test_what_makes_thumbnails_has_the_lowest_priority(client: Client) -> None:
    [id] = await bought(client)
    assert (await until_made(client, f"/{id}/thumbnail")).status_code == 200

    pid = thumbnails(client).process.pid

    assert pid is not None
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE


@pytest.mark.parametrize("bytes", [b"\x89PNG\r\n\x1a\n" + b"x" * 500, b""])
async def test_a_picture_that_cannot_be_decoded_has_none_and_is_not_tried_again(client: Client, bytes: bytes) -> None:
    await client.gateway.gateway.chores.stop()
    [id] = await bought(client)
    picture_file(client).write_bytes(bytes)

    await thumbnails(client).turn()
    answers = [await call(client, "GET", f"/{id}/thumbnail") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert "cannot be decoded" in answers[0].json()["error"]["message"]
    [row] = await rows(client)
    assert (row["thumbnail_bytes"], files(client)) == (0, [])
    await thumbnails(client).stop()


async def test_too_many_that_wait_are_a_503_that_says_when_to_try_again(client: Client) -> None:
    await client.gateway.gateway.chores.stop()
    [id] = await bought(client)
    thumbnails(client)._asked.extend(new_id("") for _ in range(QUEUE_MAX))

    answer = await call(client, "GET", f"/{id}/thumbnail")

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "5"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_process_that_is_killed_is_started_again(client: Client) -> None:
    [id] = await bought(client)
    await until_made(client, f"/{id}/thumbnail")
    pid = thumbnails(client).process.pid
    assert pid is not None
    for file in files(client):
        file.unlink()

    os.kill(pid, signal.SIGKILL)
    first, second = await call(client, "GET", f"/{id}/thumbnail"), await until_made(client, f"/{id}/thumbnail")

    assert (first.status_code, second.status_code) == (503, 200)
    assert "thumbnails ended" in first.json()["error"]["message"]
    assert thumbnails(client).process.pid not in (None, pid)


async def test_a_thumbnail_goes_with_its_picture_and_counts_until_then(client: Client) -> None:
    [id] = await bought(client)
    link = await link_to(client, id)
    size_bytes = len((await until_made(client, link)).content)
    await thumbnails(client).stop()
    rows, picture_bytes = client.gateway.gateway.library.rows, picture_file(client).stat().st_size

    file_bytes = await rows.only_files([id])
    deleted = await call(client, "DELETE", f"/{id}")

    assert list(file_bytes.values()) == [picture_bytes + size_bytes]
    assert (deleted.status_code, files(client)) == (200, [])
    assert (await client.http.get(link)).status_code == 404


async def test_a_thumbnail_of_a_picture_in_the_bucket_is_in_the_bucket(
    tmp_path: Path, relay: RunningSandbox, bucket: TestBucket
) -> None:
    settings: Any = bucket.settings
    async with (
        running_gateway(tmp_path, relay.base_url, **settings) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        client = Client(http, await running.key(), relay, running)
        await running.gateway.chores.stop()
        [id] = await bought(client)
        [row] = await rows(client)
        picture_file(client).unlink()

        await thumbnails(client).turn()
        for file in files(client):
            file.unlink()
        found, stored = await call(client, "GET", f"/{id}/thumbnail"), await bucket.names()
        await call(client, "DELETE", f"/{id}")

    assert (found.status_code, found.headers["content-type"]) == (200, "image/webp")
    assert {f"pictures/{row['digest']}", f"thumbnails/{row['digest']}"} <= set(stored)
    assert await bucket.names() == []
