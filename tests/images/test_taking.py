"""Pictures of stored answers: taken after the answer was sent, and put back into it for a replay, byte for byte."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from blake3 import blake3

from app.errors import StorageFull
from app.images.taking import EVER_MS, PictureTaking
from app.store.tables import pictures, results
from tests.images.client import LARGE, Client, until

FOUR = LARGE | {"n": 4, "prompt": "four cats"}
STREAM = LARGE | {"stream": True}


def files(client: Client) -> list[Path]:
    return sorted((client.gateway.gateway.data_dir / "pictures").iterdir())


def answers(client: Client) -> list[Path]:
    return list((client.gateway.gateway.data_dir / "results").glob("req_*"))


async def rows(client: Client, table: sa.Table = pictures) -> list[dict[str, Any]]:
    async with client.gateway.database.read() as connection:
        return [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]


async def taken(client: Client) -> PictureTaking:
    """Have the pictures taken now, whether their chore was at it or not."""
    taking = client.gateway.gateway.taking
    await taking.take_all()
    await taking.sweep(EVER_MS)
    return taking


@pytest.mark.parametrize("body", [LARGE, FOUR, STREAM, LARGE | {"response_format": "url"}])
async def test_a_replay_is_equal_to_the_first_answer_after_its_pictures_were_taken(
    client: Client, body: dict[str, Any]
) -> None:
    first = await client.ask(body, key="one")
    await taken(client)

    again = await client.ask(body, key="one")

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert client.charges == 1
    assert answers(client) == []
    assert len(await rows(client)) == body.get("n", 1)


async def test_of_a_stream_the_picture_at_its_end_is_kept(client: Client) -> None:
    body = STREAM | {"partial_images": 2}
    first = await client.ask(body, key="one")
    await taken(client)

    again = await client.ask(body, key="one")

    completed = [line for line in again.text.splitlines() if line.startswith("data: ")]
    [sent] = [base64.b64decode(json.loads(line.removeprefix("data: "))["b64_json"]) for line in completed]
    assert first.text.endswith(again.text)
    assert [file.read_bytes() for file in files(client)] == [sent]


async def test_a_picture_is_one_plain_file_named_by_its_bytes_with_a_row(client: Client) -> None:
    answer = await client.ask(FOUR)
    sent = [base64.b64decode(item["b64_json"]) for item in answer.json()["data"]]

    await taken(client)

    assert {path.name: path.read_bytes() for path in files(client)} == {blake3(each).hexdigest(): each for each in sent}
    found = sorted(await rows(client), key=lambda row: row["index"])
    assert [(row["index"], row["digest"], row["bytes"]) for row in found] == [
        (index, blake3(each).hexdigest(), len(each)) for index, each in enumerate(sent)
    ]
    [request] = await client.gateway.rows()
    first = found[0]
    assert first["id"] == f"{request['id']}_0"
    assert (first["user_id"], first["project_id"]) == (request["user_id"], request["project_id"])
    assert (first["model"], first["media_type"], first["visibility"]) == ("gpt-image-1", "image/png", "private")
    assert (first["width_px"], first["height_px"], first["c2pa"]) == (512, 512, 0)
    assert first["kept_until_ms"] - first["created_at_ms"] == 30 * 86_400_000
    [kept] = await rows(client, results)
    assert len(kept["body"]) < 2000
    assert not any(base64.b64encode(each)[:200] in kept["body"] for each in sent)


async def test_equal_bytes_are_one_file_with_a_row_for_each_request(client: Client) -> None:
    for _ in range(2):
        await client.ask(LARGE)

    await taken(client)

    found = await rows(client)
    assert len({row["id"] for row in found}) == 2
    assert len(files(client)) == len({row["digest"] for row in found})


async def test_the_chore_takes_them_by_itself(client: Client) -> None:
    await client.ask(LARGE)

    await until(lambda: files(client) and not answers(client))

    assert len(await rows(client)) == 1


@pytest.mark.both
async def test_a_replay_whose_picture_is_gone_is_410(client: Client) -> None:
    await client.ask(FOUR, key="one")
    await taken(client)
    async with client.gateway.database.transaction() as connection:
        await connection.execute(sa.delete(pictures).where(pictures.c.index == 2))

    again = await client.ask(FOUR, key="one")

    assert (again.status_code, again.json()["error"]["code"]) == (410, "result_expired")
    assert client.charges == 1


async def test_no_answer_is_pruned_before_its_pictures_are_kept(client: Client) -> None:
    running = client.gateway.gateway
    await running.chores.stop()
    await client.ask(LARGE)
    [before] = answers(client)
    far_ms = running.clock.now_ms() + 10**10

    assert await running.kept_answers.prune(far_ms) == 0
    assert before.exists()
    await taken(client)

    assert await running.kept_answers.prune(far_ms) == 1
    assert len(files(client)) == 1


async def test_a_disk_that_takes_no_picture_loses_none(client: Client) -> None:
    running = client.gateway.gateway
    await running.chores.stop()
    folder = running.data_dir / "pictures"
    folder.rename(folder.with_name("away"))
    first = await client.ask(LARGE, key="one")

    with pytest.raises(StorageFull):
        await taken(client)
    again = await client.ask(LARGE, key="one")
    folder.with_name("away").rename(folder)
    await taken(client)

    assert first.content == again.content == (await client.ask(LARGE, key="one")).content
    assert (len(files(client)), answers(client)) == (1, [])


@pytest.mark.both
async def test_what_a_crash_left_of_a_taken_answer_is_removed_at_the_next_start(client: Client) -> None:
    running = client.gateway.gateway
    await client.ask(LARGE, key="one")
    await taken(client)
    [row] = await rows(client, results)
    left, other = running.data_dir / "results" / row["request_id"], running.data_dir / "results" / "req_running"
    left.write_bytes(b"the whole answer")
    other.write_bytes(b"of a request that runs")

    running.taking._swept_at_ms = None
    await running.taking.take_all()

    assert (left.exists(), other.exists()) == (False, True)


@pytest.mark.both
async def test_pictures_whose_base64_is_escaped_are_kept_and_their_answer_stays_whole(client: Client) -> None:
    running = client.gateway.gateway
    await running.chores.stop()
    first = await client.ask(LARGE, key="one")
    [path] = answers(client)
    document = json.loads(path.read_bytes())
    picture = base64.b64decode(document["data"][0]["b64_json"])
    path.write_bytes(json.dumps(document).replace("/", "\\/").encode())

    await taken(client)

    assert [file.read_bytes() for file in files(client)] == [picture]
    assert path.exists()
    again = await client.ask(LARGE, key="one")
    assert json.loads(again.content) == json.loads(first.content)

    deleted = f"/v1/images/pictures/{first.headers['x-request-id']}_0"
    assert (await client.http.delete(deleted, headers={"Authorization": f"Bearer {client.key.key}"})).status_code == 200
    assert (path.exists(), files(client)) == (False, [])
    assert [row["body_bytes"] for row in await rows(client, results)] == [0]
    gone = await client.ask(LARGE, key="one")
    assert (gone.status_code, gone.json()["error"]["code"], client.charges) == (410, "result_expired", 1)
