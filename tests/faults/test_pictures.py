"""A gateway that dies between SETTLE and the last picture, and disks that fill: no picture that was paid for is lost."""

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from blake3 import blake3

from app.images.crash import VARIABLE
from app.sandbox import RunningSandbox
from app.store.engine import Database
from app.store.tables import pictures
from tests.faults.conftest import StartGateway, StartProcess
from tests.faults.given import Books, limited_key, only_row
from tests.money.books import ask, assert_books_agree, opened, until

BASE64, LINKS = "three cats", "[[sandbox body=url]] three cats"
SLOW = [(BASE64, crash) for crash in ("before_first_byte", "before_pictures", "after_picture", "after_picture:3")]
SLOW += [
    (LINKS, crash) for crash in ("after_settle", "before_pictures", "after_picture:2", "after_pictures", "after_cuts")
]


@pytest.mark.parametrize(
    ("prompt", "crash"),
    [
        (BASE64, "after_settle"),
        (BASE64, "after_picture:2"),
        (BASE64, "after_pictures"),
        (BASE64, "after_cuts"),
        (LINKS, "after_fetch"),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW),
    ],
)
async def test_a_gateway_killed_between_settle_and_the_last_picture_takes_them_at_the_next_start(
    processes: StartProcess,
    books: Books,
    relay: RunningSandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prompt: str,
    crash: str,
) -> None:
    monkeypatch.setenv(VARIABLE, crash)
    process, database = await processes(pictures_fetch_networks="127.0.0.0/8"), books()
    monkeypatch.delenv(VARIABLE)
    key = await limited_key(database)
    async with opened(process.url, key) as client:
        with suppress(httpx2.TransportError):
            await order(client, prompt)
        await until(lambda: _is_dead(process.url))

    process = await processes(pictures_fetch_networks="127.0.0.0/8")
    async with opened(process.url, key) as client:
        await until(lambda: are_taken(database, tmp_path, 3))
        again = await order(client, prompt)

    row = await only_row(database)
    assert (row["state"], row["images"], row["link_only"], len(relay.sandbox.bill)) == ("settled", 3, None, 1)
    sent = [base64.b64decode(item["b64_json"]) for item in again.json()["data"]]
    assert stored(tmp_path) == {blake3(each).hexdigest(): each for each in sent}
    assert not list((tmp_path / "results").glob("req_*"))
    await assert_books_agree(database)


async def order(client: httpx2.AsyncClient, prompt: str = BASE64) -> httpx2.Response:
    client.headers["Idempotency-Key"] = "order-1"
    return await ask(client, prompt, n=3)


async def _is_dead(url: str) -> bool:
    try:
        async with httpx2.AsyncClient(timeout=60) as client:
            await client.get(f"{url}/healthz")
    except httpx2.TransportError:
        return True
    return False


async def are_taken(database: Database, folder: Path, count: int) -> bool:
    async with database.read() as connection:
        rows = (await connection.execute(sa.select(pictures.c.id))).scalars().all()
    return len(rows) == count and not list((folder / "results").glob("req_*"))


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir() if len(path.name) == 64}


async def test_a_full_disk_keeps_the_pictures_in_the_answer_says_so_and_is_got_over(
    gateways: StartGateway, relay: RunningSandbox, tmp_path: Path
) -> None:
    running = await gateways()
    folder = tmp_path / "pictures"
    folder.chmod(0o500)
    folder.rename(tmp_path / "elsewhere")
    key = (await running.key()).key
    async with opened(running.url, key) as client:
        first = await order(client)

        async def told() -> bool:
            checks: dict[str, Any] = json.loads((await client.get("/readyz")).content)
            return "pictures" in json.dumps(checks["checks"]["chores"])

        await until(told)
        during = await order(client)
        (tmp_path / "elsewhere").rename(folder)
        folder.chmod(0o700)
        await until(lambda: are_taken(running.database, tmp_path, 3))
        after = await order(client)

    assert first.content == during.content == after.content
    assert len(relay.sandbox.bill) == 1
