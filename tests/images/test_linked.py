"""Pictures that the relay only links to: fetched once before the answer is sent, where they may be, and kept as others are."""

import asyncio
import base64
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from blake3 import blake3

from app.blobs.folder import BlobUnavailable
from app.errors import ConfigurationError, StorageFull
from app.images.taking import LINKED_AT_ONCE
from app.pictures.audit import audit_pictures
from app.sandbox import RunningSandbox
from app.settings import read_settings
from app.store.engine import DatabaseUrl
from app.store.ledger.columns import LINK_ONLY
from app.store.tables import is_untaken, pictures, results
from tests.buckets import TestBucket
from tests.gateways import Running, running_gateway
from tests.images.client import SMALL, Client
from tests.images.linking_relay import PNG, base64_answer, gone, linking_relay, page, picture
from tests.upstream.raw_server import Request

LOOPBACK = {"pictures_fetch_networks": "127.0.0.0/8"}
AS_BASE64 = SMALL | {"response_format": "b64_json"}
Opened = Callable[..., Any]


@pytest.fixture
async def opened(tmp_path: Path, database_where: DatabaseUrl, relay: RunningSandbox) -> AsyncIterator[Opened]:
    """Open a gateway whose pictures are taken by `taken` only, and a client of it."""
    async with AsyncExitStack() as stack:

        async def open_client(upstream_url: str = relay.base_url, **settings: Any) -> Client:
            gateway = running_gateway(tmp_path, upstream_url, database_url=database_where.url or None, **settings)
            running = await stack.enter_async_context(gateway)
            await running.gateway.chores.stop()
            http = await stack.enter_async_context(httpx2.AsyncClient(base_url=running.url, timeout=30, verify=False))
            return Client(http, await running.key("lin"), relay, running)

        yield open_client


async def taken(client: Client) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Have the pictures taken; returns their rows and the cuts of the one answer."""
    await client.gateway.gateway.taking.take_all()
    async with client.gateway.database.read() as connection:
        rows = [dict(row) for row in (await connection.execute(sa.select(pictures))).mappings()]
        [cuts] = (await connection.execute(sa.select(results.c.cuts))).scalars()
    return sorted(rows, key=lambda row: row["index"]), cuts


async def link_only(client: Client) -> tuple[list[int | None], int]:
    """Have the stored answers pruned; returns what the requests and the audit then say of links that were all there was."""
    gateway = client.gateway.gateway
    await gateway.kept_answers.prune(gateway.clock.now_ms() + 10**10)
    counts = [row["link_only"] for row in await client.gateway.rows()]
    return counts, (await audit_pictures(gateway.library.rows, gateway.library.files.blobs)).link_only


def files(running: Running) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (running.gateway.data_dir / "pictures").iterdir()}


async def test_a_link_is_fetched_once_however_long_the_bucket_is_away(opened: Opened, bucket: TestBucket) -> None:
    async with linking_relay("{}/one") as relay:
        client = await opened(relay.url, **LOOPBACK, **bucket.settings)
        gateway = client.gateway.gateway
        relay.script += [picture, gone, gone, gone]
        bucket.server.kill()
        answers = [await client.ask(AS_BASE64, key="one") for _ in range(2)]
        for _ in range(2):
            with pytest.raises(BlobUnavailable):
                await gateway.taking.take_all()
        fetched = [path.read_bytes() for path in (gateway.data_dir / "results" / "fetched").iterdir()]
        bucket.server.start()
        bucket.make()
        assert await gateway.chores.run_once("uploads of pictures")
        [row], _ = await taken(client)

    assert [base64.b64decode(answer.json()["data"][0]["b64_json"]) for answer in answers] == [PNG, PNG]
    assert [request.line.split(" ")[1] for request in relay.requests[1:]] == ["/one"]
    assert (row["digest"], fetched) == (blake3(PNG).hexdigest(), [PNG])
    assert list((gateway.data_dir / "results" / "fetched").iterdir()) == []
    assert [name for name in await bucket.names() if row["digest"] in name] == [f"pictures/{row['digest']}"]


async def test_what_was_fetched_of_an_erased_person_goes_with_their_pictures(opened: Opened) -> None:
    client = await opened()
    gateway = client.gateway.gateway
    await client.ask(SMALL)
    fetched = gateway.data_dir / "results" / "fetched"
    fetched.mkdir(exist_ok=True)
    for name in ("0", "1.0a0a0a0a"):
        (fetched / f"{(await client.gateway.rows())[0]['id']}_{name}").write_bytes(PNG)

    await gateway.erasure(client.gateway.database).erase("lin")

    assert list(fetched.iterdir()) == []


@pytest.mark.parametrize("given", [LOOPBACK, {"sandbox": True}])
async def test_the_picture_of_a_link_is_kept_and_served_by_a_link_of_the_gateway(
    opened: Opened, given: dict[str, Any]
) -> None:
    client = await opened(**given)
    first = await client.ask(SMALL, key="one")
    sent = await client.http.get(first.json()["data"][0]["url"])

    [row], cuts = await taken(client)
    content = await client.get(f"/v1/images/pictures/{row['id']}/content")

    digest = blake3(sent.content).hexdigest()
    assert first.json()["data"][0]["url"].startswith(f"{client.gateway.url}/v1/images/pictures/{row['id']}/content?")
    assert files(client.gateway) == {digest: sent.content}
    assert hashlib.sha256(sent.content).hexdigest() == client.relay.sandbox.drawn_sha256[-1]
    assert (row["digest"], row["bytes"], row["media_type"]) == (digest, len(sent.content), "image/jpeg")
    assert cuts == [[0, 0, 0]]
    assert (content.status_code, content.content) == (200, sent.content)
    assert client.charges == 1


async def test_each_picture_is_fetched_once_and_what_is_none_stays_a_link(opened: Opened) -> None:
    async with linking_relay("{}/a%2Fb?s=%2B", "{}/page", "{}/gone", "ftp://a/b.png") as relay:
        client = await opened(relay.url, **LOOPBACK)
        answers = {"/a%2Fb?s=%2B": picture, "/page": page, "/gone": gone}
        relay.script += [lambda request: answers[request.line.split(" ")[1]](request)] * 3
        first = await client.ask(SMALL, key="one")

        rows, cuts = await taken(client)
        await client.gateway.gateway.taking.sweep(2**62)
        again = await client.ask(SMALL, key="one")

    assert await link_only(client) == ([3], 3)
    assert sorted(request.line.split(" ")[1] for request in relay.requests[1:]) == sorted(answers)
    assert all("authorization" not in request.headers for request in relay.requests[1:])
    assert [(row["index"], row["digest"]) for row in rows] == [(0, blake3(PNG).hexdigest())]
    assert sorted(map(tuple, cuts)) == sorted([(0, 0, 0), *((0, LINK_ONLY, index) for index in (1, 2, 3))])
    assert list(files(client.gateway).values()) == [PNG]
    ours, *others = [item["url"] for item in first.json()["data"]]
    assert ours.startswith(client.gateway.url)
    assert others == [f"{relay.url}/page", f"{relay.url}/gone", "ftp://a/b.png"]
    assert (again.status_code, again.content) == (200, first.content)


async def test_a_private_address_hears_nothing_unless_its_network_is_listed(opened: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        links = [f"{scheme}://{host}:{port}/" for scheme in ("http", "https") for host in ("127.0.0.1", "localhost")]
        async with linking_relay(*links) as relay:
            client = await opened(relay.url, pictures_fetch_networks="10.0.0.0/8")
            first = await client.ask(SMALL, key="one")

            rows, cuts = await taken(client)
            again = await client.ask(SMALL, key="one")

        listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # Nobody waits to be accepted.
            listener.accept()
    assert (rows, files(client.gateway)) == ([], {})
    assert cuts == [[0, LINK_ONLY, index] for index in range(4)]
    assert [item["url"] for item in first.json()["data"]] == links
    assert again.content == first.content


@pytest.mark.both
async def test_a_server_of_pictures_that_hangs_delays_only_its_own_request(opened: Opened) -> None:
    async with linking_relay("{}/hangs") as relay:
        client = await opened(relay.url, **LOOPBACK)
        taking, answer = client.gateway.gateway.taking, relay.script[0]
        hanging, released = asyncio.Event(), asyncio.Event()

        async def hang(request: Request) -> None:
            hanging.set()
            await released.wait()
            await picture(request)

        relay.script = [answer, hang, base64_answer, answer, picture, base64_answer]
        await client.ask(SMALL, Prefer="respond-async")
        async with asyncio.timeout(30):
            while not hanging.is_set():  # As the chore does.
                await taking._take_announced()
                await asyncio.sleep(0.01)
        for _ in range(3):
            assert (await client.ask(SMALL)).status_code == 200
        await taking._take_announced()

        assert len(await untaken(client)) == 1
        assert len(files(client.gateway)) == 1
        released.set()
        await taking.take_all()
        assert await untaken(client) == []
        assert [row["link_only"] for row in await client.gateway.rows()] == [None] * 4


async def test_a_gateway_that_shuts_down_waits_for_answers_whose_links_are_fetched(opened: Opened) -> None:
    async with linking_relay("{}/slow") as relay:
        client = await opened(relay.url, **LOOPBACK)
        service, fetching, released = client.gateway.gateway.image_service, asyncio.Event(), asyncio.Event()

        async def wait(request: Request) -> None:
            fetching.set()
            await released.wait()
            await picture(request)

        relay.script.append(wait)
        asked = asyncio.create_task(client.ask(SMALL))
        await fetching.wait()
        idle = asyncio.create_task(service.wait_until_idle())
        await asyncio.sleep(0)

        assert (service.in_flight, idle.done()) == (0, False)
        released.set()
        assert (await asked).status_code == 200
        await idle


async def test_more_answers_with_links_than_are_fetched_at_once_are_all_taken(opened: Opened) -> None:
    async with linking_relay("{}/a.png") as relay:
        client = await opened(relay.url, **LOOPBACK)
        taking, answer, count = client.gateway.gateway.taking, relay.script[0], LINKED_AT_ONCE + 5
        released = asyncio.Event()

        async def wait(request: Request) -> None:
            await released.wait()
            await picture(request)

        relay.script = [answer] * count + [wait] * count
        for _ in range(count):
            await client.ask(SMALL, Prefer="respond-async")
        await service_idle(client)

        await taking._take_announced()
        started = len(taking._linked)
        released.set()
        await taking.take_all()

        assert started == LINKED_AT_ONCE
        assert await untaken(client) == []
        assert [row["link_only"] for row in await client.gateway.rows()] == [None] * count


async def service_idle(client: Client) -> None:
    async with asyncio.timeout(30):
        await client.gateway.gateway.image_service.wait_until_idle()


async def untaken(client: Client) -> list[str]:
    async with client.gateway.database.read() as connection:
        return list((await connection.execute(sa.select(results.c.request_id).where(is_untaken))).scalars())


@pytest.mark.parametrize("folder", ["pictures", "results"])
async def test_a_disk_that_is_full_while_a_picture_arrives_or_is_stored_is_tried_again(
    opened: Opened, folder: str
) -> None:
    async with linking_relay("{}/a.png") as relay:
        client = await opened(relay.url, **LOOPBACK)
        full = client.gateway.gateway.data_dir / folder

        async def fill(request: Request) -> None:
            full.rename(full.with_name("away"))
            await picture(request)

        relay.script += [fill, picture, picture]
        answer = await client.ask(SMALL)
        assert answer.json()["data"][0]["url"] == f"{relay.url}/a.png"

        with pytest.raises(StorageFull):
            await taken(client)
        full.with_name("away").rename(full)
        [row], cuts = await taken(client)

    assert (row["digest"], cuts) == (blake3(PNG).hexdigest(), [[0, 0, 0]])
    assert await link_only(client) == ([None], 0)


async def test_a_link_beside_base64_is_not_fetched(opened: Opened) -> None:
    async with linking_relay({"url": "{}/a.png", "b64_json": base64.b64encode(PNG).decode()}) as relay:
        client = await opened(relay.url, **LOOPBACK)
        await client.ask(SMALL)

        [row], _ = await taken(client)

    assert row["digest"] == blake3(PNG).hexdigest()
    assert len(relay.requests) == 1


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "10.0.0.0/8, intranet"])
def test_what_is_no_network_stops_the_start(networks: str) -> None:
    with pytest.raises(ConfigurationError, match=r"IMAGEGATE_PICTURES_FETCH_NETWORKS: .*(10\.0\.0\.1/8|intranet)"):
        read_settings(pictures_fetch_networks=networks)
