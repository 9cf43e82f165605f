"""Removal of a picture's file while another process records a picture of the same bytes: the paid bytes stay."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.administration import library_from
from app.core.actors import Actor
from app.images.taking import EVER_MS
from app.pictures.library import PictureLibrary
from app.sandbox import RunningSandbox
from app.store.pictures import PictureRows
from tests.buckets import TestBucket
from tests.gateways import running_gateway
from tests.images.client import LARGE, Client

ADMIN = Actor("admin_api_key", "key_admin", "the administrator", None)


class HeldRows(PictureRows):
    """Rows of another process that stops after, or before, the query `at`, until it may go on."""

    def hold(self, at: str, *, before: bool = False) -> tuple[asyncio.Event, asyncio.Event]:
        reached, go = asyncio.Event(), asyncio.Event()
        query = getattr(super(), at)

        async def held(*given: Any) -> Any:
            found = None if before else await query(*given)
            reached.set()
            await go.wait()
            return await query(*given) if before else found

        object.__setattr__(self, at, held)
        return reached, go


@asynccontextmanager
async def client_of(folder: Path, relay: RunningSandbox, settings: dict[str, Any]) -> AsyncIterator[Client]:
    folder.mkdir(exist_ok=True)
    async with (
        running_gateway(folder, relay.base_url, **settings) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=30) as http,
    ):
        await gateway.gateway.chores.stop()
        yield Client(http, await gateway.key("lin"), relay, gateway)


@pytest.fixture(params=["folder", "bucket"])
async def client(request: pytest.FixtureRequest, tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[Client]:
    """A client of a gateway whose chores do not run; it has bought a picture, whose bytes it will get again."""
    settings: Any = request.getfixturevalue("bucket").settings if request.param == "bucket" else {}
    async with client_of(tmp_path, relay, settings) as client:
        await client.ask(LARGE, key="one")
        await client.gateway.gateway.taking.take_all()
        yield client


def other_process(client: Client) -> tuple[PictureLibrary, HeldRows]:
    """The library as a command on the same machine has it."""
    gateway = client.gateway.gateway
    library = library_from(gateway.settings, gateway.data_dir, gateway.database, gateway.clock)
    rows = HeldRows(gateway.database)
    object.__setattr__(library, "rows", rows)
    return library, rows


async def first_picture(client: Client) -> str:
    return f"{(await client.gateway.rows())[0]['id']}_0"


async def check_that_it_is_kept(client: Client, first: httpx2.Response) -> None:
    gateway = client.gateway.gateway
    id = f"{first.headers['x-request-id']}_0"
    record = await gateway.library.rows.find(id)
    assert record is not None
    assert await gateway.library.files.blobs.has_all([record.digest])
    again = await client.ask(LARGE, key="two")
    assert (again.status_code, again.content) == (200, first.content)
    assert [path.name for path in (gateway.data_dir / "results").glob("req_*")] == []
    assert await gateway.library.files.blobs.left_aside(time.time() + 1) == []


@pytest.mark.parametrize(("at", "before"), [("only_files", False), ("forget", True), ("forget", False)])
async def test_a_picture_that_is_recorded_while_equal_bytes_are_removed_is_kept(
    client: Client, at: str, before: bool
) -> None:
    library, rows = other_process(client)
    second = await client.ask(LARGE, key="two")
    reached, go = rows.hold(at, before=before)
    removal = asyncio.create_task(library.remove([await first_picture(client)]))
    await reached.wait()

    await client.gateway.gateway.taking.take_all()
    go.set()
    await removal

    await check_that_it_is_kept(client, second)


@pytest.mark.parametrize("before", [True, False])
async def test_a_picture_whose_equal_bytes_are_removed_before_its_row_is_stored_again(
    client: Client, before: bool
) -> None:
    second = await client.ask(LARGE, key="two")
    taking = client.gateway.gateway.taking
    taking.rows = held = HeldRows(client.gateway.database)
    reached, go = held.hold("record", before=before)
    take = asyncio.create_task(taking.take_all())
    await reached.wait()

    await other_process(client)[0].remove([await first_picture(client)])
    go.set()
    await take

    await check_that_it_is_kept(client, second)


async def test_the_next_process_stores_a_picture_again_whose_equal_bytes_were_removed_when_one_was_killed(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that its row holds goes as late as one in a file."""
    monkeypatch.setattr("app.blobs.folder.MEMORY_BYTES_MAX", 2**24)
    second = await client.ask(LARGE, key="two")
    taking = client.gateway.gateway.taking
    rows, held = taking.rows, HeldRows(client.gateway.database)
    taking.rows = held
    object.__setattr__(taking.removal, "rows", held)
    reached, go = held.hold("record", before=True)
    recorded, _ = held.hold("of_request")
    killed = asyncio.create_task(taking.take_all())
    await reached.wait()
    await other_process(client)[0].remove([await first_picture(client)])
    go.set()
    await recorded.wait()  # The next step would look for the file.
    killed.cancel()
    await asyncio.wait({killed})

    taking.rows = rows
    object.__setattr__(taking.removal, "rows", rows)
    await taking.sweep(EVER_MS)

    await check_that_it_is_kept(client, second)


async def test_a_picture_that_is_deleted_before_its_answer_is_finished_does_not_come_back(client: Client) -> None:
    second = await client.ask(LARGE, key="two")
    taking = client.gateway.gateway.taking
    rows, taking.rows = taking.rows, (held := HeldRows(client.gateway.database))
    reached, go = held.hold("record")
    take = asyncio.create_task(taking.take_all())
    await reached.wait()
    id = f"{second.headers['x-request-id']}_0"

    await other_process(client)[0].remove([id])
    go.set()
    await take
    await taking.sweep(EVER_MS)

    assert await rows.find(id) is None
    assert (await client.ask(LARGE, key="two")).status_code == 410


async def test_what_a_process_that_died_has_set_aside_is_put_back_where_a_row_names_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.blobs.picture_files.ASIDE_S", -5.0)
    library = client.gateway.gateway.library
    record = await library.rows.find(await first_picture(client))
    assert record is not None
    await library.files.blobs.set_aside([record.digest])

    await library.remove_strays()

    assert await library.files.blobs.has_all([record.digest])
    assert await library.files.blobs.left_aside(time.time() + 5) == []


async def test_the_copies_of_another_replica_go_when_a_picture_is_removed(
    bucket: TestBucket, tmp_path: Path, relay: RunningSandbox, postgres_url: str
) -> None:
    settings: Any = bucket.settings | {"database_url": postgres_url}
    async with client_of(tmp_path / "a", relay, settings) as a, client_of(tmp_path / "b", relay, settings) as b:
        await b.ask(LARGE)
        await b.gateway.gateway.taking.take_all()
        [copy] = (tmp_path / "b" / "pictures").glob("[0-9a-f]*")
        await b.ask(LARGE | {"prompt": "another"})
        [answer] = (tmp_path / "b" / "results").glob("req_*")
        thumbnail = tmp_path / "b" / "thumbnails" / copy.name
        thumbnail.write_bytes(b"small")

        await a.gateway.gateway.library.remove([await first_picture(a)])
        await b.gateway.gateway.library.remove_strays(0)
        await a.gateway.gateway.erasure(a.gateway.database.by(ADMIN)).erase("lin")
        await b.gateway.gateway.taking.sweep(2**62)

        assert (copy.exists(), thumbnail.exists(), answer.exists()) == (False, False, False)


async def test_a_picture_that_was_bought_just_now_can_be_seen_and_deleted_before_its_chore(client: Client) -> None:
    first, second = [await client.ask(LARGE | {"prompt": prompt}, key=prompt) for prompt in ("a", "b")]
    one, two = (f"/v1/images/pictures/{answer.headers['x-request-id']}_0" for answer in (first, second))

    deleted = await client.http.delete(one, headers={"Authorization": f"Bearer {client.key.key}"})
    content, shown = await client.get(f"{two}/content"), await client.get(two)

    assert [answer.status_code for answer in (deleted, content, shown)] == [200, 200, 200]
    assert content.content == base64.b64decode(second.json()["data"][0]["b64_json"])
    await client.gateway.gateway.taking.take_all()
    gone = await client.get(one)
    assert (gone.status_code, (await client.ask(LARGE | {"prompt": "a"}, key="a")).status_code) == (404, 410)
