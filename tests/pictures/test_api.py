"""Pictures for API keys: lists, changes, links and deletion, and what others get to see."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.sandbox import RunningSandbox
from app.store.tables import pictures
from tests.gateways import running_gateway
from tests.images.client import LARGE, Client

ROOT = "/v1/images/pictures"
NewClient = Callable[[str], Awaitable[Client]]


async def bought(client: Client, prompt: str = "a lighthouse", **fields: Any) -> list[str]:
    """Buy pictures and have them kept; returns their ids."""
    answer = await client.ask(LARGE | {"prompt": prompt} | fields)
    assert answer.status_code == 200, answer.text
    await client.gateway.gateway.taking.take_all()
    return [f"{answer.headers['x-request-id']}_{index}" for index in range(len(answer.json()["data"]))]


async def call(client: Client, method: str, path: str = "", **given: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {client.key.key}"}
    return await client.http.request(method, ROOT + path, headers=headers, **given)


async def ids(client: Client, **query: Any) -> list[str]:
    answer = await call(client, "GET", params=query)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["data"]]


async def test_a_picture_is_shown_as_it_is_kept(client: Client) -> None:
    [id] = await bought(client)

    shown, content = await call(client, "GET", f"/{id}"), await call(client, "GET", f"/{id}/content")

    found = shown.json()
    assert (found["object"], found["request_id"], found["index"]) == ("image.picture", id.removesuffix("_0"), 0)
    assert (found["model"], found["cost_micros"], found["visibility"]) == ("gpt-image-1", 1_000_000, "private")
    assert (found["media_type"], found["bytes"], found["c2pa"]) == ("image/png", len(content.content), False)
    assert found["kept_until"] - found["created_at"] == 30 * 86_400
    assert content.headers["content-type"] == "image/png"
    assert content.headers["cache-control"] == "private, no-cache"


@pytest.mark.both
async def test_a_list_is_read_in_pages_and_filtered(client: Client) -> None:
    first, second, *_ = [*await bought(client), *await bought(client, "Two CATS at 100%", n=2)]
    async with client.gateway.database.transaction() as connection:
        await connection.execute(sa.update(pictures).where(pictures.c.id == first).values(created_at_ms=5_000))

    page = (await call(client, "GET", params={"limit": 2})).json()
    rest = (await call(client, "GET", params={"limit": 2, "after": page["last_id"]})).json()

    listed = [each["id"] for each in page["data"]]
    assert [*listed, *(each["id"] for each in rest["data"])] == [f"{second[:-2]}_1", second, first]
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert (page["first_id"], page["last_id"]) == (listed[0], listed[1])
    assert await ids(client, request=first[:-2]) == [first]
    assert await ids(client, words="cats two") == listed
    assert await ids(client, words="100%") == listed
    assert page["data"][0]["prompt"] == "Two CATS at 100%"
    assert (
        await ids(client, words="100_")
        == await ids(client, words="\0cats lighthouse")
        == await ids(client, model="seedream-3.0")
        == []
    )
    assert await ids(client, until=6) == [first]
    assert await ids(client, since=6, model="gpt-image-1") == listed


async def test_a_list_goes_on_after_a_picture_that_was_deleted_meanwhile(client: Client) -> None:
    bought_ids = [id for _ in range(4) for id in await bought(client)]
    page = (await call(client, "GET", params={"limit": 2})).json()
    await call(client, "DELETE", f"/{page['last_id']}")

    assert await ids(client, after=page["last_id"]) == bought_ids[1::-1]
    for none in (f"req_{'0' * 28}_0", "7"):
        refused = await call(client, "GET", params={"after": none})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "after")


@pytest.mark.both
async def test_what_is_shared_is_seen_in_the_project_and_changed_by_its_owner_only(new_client: NewClient) -> None:
    lin, bo = await new_client("lin"), await new_client("bo")
    [id] = await bought(lin)
    hidden = [(await call(bo, "GET", f"/{id}{path}")).status_code for path in ("", "/content")]
    assert (await call(bo, "GET", f"?after={id}")).status_code == 400  # As for an id that is none.

    shared = await call(lin, "POST", f"/{id}", json={"visibility": "project"})

    assert (hidden, shared.status_code, shared.json()["visibility"]) == ([404, 404], 200, "project")
    assert (await ids(bo), await ids(bo, shared=True), await ids(lin, shared=True)) == ([], [id], [id])
    seen = await call(bo, "GET", f"/{id}")
    assert (seen.status_code, seen.json()["cost_micros"]) == (200, None)
    assert (await call(bo, "GET", f"/{id}/content")).status_code == 200
    assert (await call(bo, "POST", f"/{id}", json={"visibility": "private"})).status_code == 404
    assert (await call(bo, "DELETE", f"/{id}")).status_code == 404
    link = await call(bo, "POST", f"/{id}/link", json={})  # It would outlive the end of the sharing.
    assert (link.status_code, link.json()["error"]["code"]) == (403, "permission_denied")
    assert (await call(bo, "GET", f"/{id}/content")).status_code == 200
    await call(lin, "POST", f"/{id}", json={"visibility": "private"})
    assert (await call(bo, "GET", f"/{id}")).status_code == 404


async def test_a_picture_is_kept_as_long_as_its_owner_says(client: Client) -> None:
    [id] = await bought(client)
    until_s = client.gateway.gateway.clock.now_ms() // 1000 + 400 * 86_400

    changed = await call(client, "POST", f"/{id}", json={"kept_until": until_s})
    past = await call(client, "POST", f"/{id}", json={"kept_until": 5})

    assert (changed.json()["kept_until"], changed.json()["visibility"]) == (until_s, "private")
    assert (past.status_code, past.json()["error"]["param"]) == (400, "kept_until")


async def test_a_link_lives_for_exactly_so_many_seconds(client: Client) -> None:
    [id] = await bought(client)

    made = await call(client, "POST", f"/{id}/link", json={"seconds": 90})

    link = made.json()
    assert 80 < link["expires_at"] - client.gateway.gateway.clock.now_ms() // 1000 <= 90
    assert f"expires={link['expires_at']}&" in link["url"]
    assert (await client.http.get(link["url"])).status_code == 200
    for seconds in (0, 7 * 86_400 + 1, "90"):
        assert (await call(client, "POST", f"/{id}/link", json={"seconds": seconds})).status_code == 400


async def test_a_deleted_picture_is_gone_for_keys_links_and_replays(client: Client) -> None:
    answer = await client.ask(LARGE, key="one")
    id = f"{answer.headers['x-request-id']}_0"
    await client.gateway.gateway.taking.take_all()
    link = (await call(client, "POST", f"/{id}/link", json={})).json()["url"]

    deleted = await call(client, "DELETE", f"/{id}")

    assert deleted.json() == {"id": id, "object": "image.picture.deleted", "deleted": True}
    assert list((client.gateway.gateway.data_dir / "pictures").iterdir()) == []
    replay, gone = await client.ask(LARGE, key="one"), await client.http.get(link)
    assert (replay.status_code, replay.json()["error"]["code"]) == (410, "result_expired")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
    assert (await call(client, "DELETE", f"/{id}")).status_code == 404
    assert client.charges == 1


@pytest.mark.parametrize("id", ["..%2f..%2fimagegate.db", "%2e%2e", "req_0_0", "'; DROP TABLE pictures; --"])
async def test_an_id_that_is_none_is_404(client: Client, id: str) -> None:
    for path in (f"/{id}", f"/{id}/content"):
        assert (await call(client, "GET", path)).status_code == 404


@pytest.mark.parametrize(("level", "hashed"), [("text", True), ("hash", True), ("none", False)])
async def test_of_a_prompt_as_much_is_kept_as_is_set(
    tmp_path: Path, relay: RunningSandbox, level: str, hashed: bool
) -> None:
    async with (
        running_gateway(tmp_path, relay.base_url, prompts=level) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        client = Client(http, await running.key(), relay, running)
        [id] = await bought(client, "an unusual lighthouse")
        shown = (await call(client, "GET", f"/{id}")).json()
        [row] = await running.rows()

    assert shown["prompt"] == row["prompt"] == ("an unusual lighthouse" if level == "text" else None)
    assert (row["prompt_hmac"] is not None) == hashed
    assert any(b"unusual" in path.read_bytes() for path in tmp_path.glob("imagegate.db*")) == (level == "text")
