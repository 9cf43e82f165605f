"""Links to pictures: made for a client that asks for `url`, and fetched without a key."""

import asyncio
import hmac
import json
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
import sqlalchemy as sa
from starlette.types import Message

from app.api.answers import format_header
from app.images.booking import CompleteAnswer
from app.main import create_app
from app.sandbox import RunningSandbox
from app.spool import Spool
from app.store.tables import pictures
from app.upstream.images import Images
from tests.gateways import PEPPER, running_gateway
from tests.images.client import LARGE, SMALL, Client

DALL_E = {"model": "dall-e-2", "prompt": "a lighthouse", "response_format": "url"}
"""What LangChain's DallEAPIWrapper sends, which then reads `data[0].url`."""
STRAY = {"Authorization": "Bearer sk-of-another-service", "Origin": "https://chat.example.com"}


async def link_of(client: Client, key: str | None = None) -> str:
    answer = await client.ask(DALL_E, key=key)
    assert answer.status_code == 200, answer.text
    [item] = answer.json()["data"]
    assert "b64_json" not in item
    assert "x-imagegate-response-format" not in answer.headers
    return str(item["url"])


async def bought_picture(client: Client) -> bytes:
    """Return the one picture that is kept, as the relay sent it."""
    await client.gateway.gateway.taking.take_all()
    [file] = (client.gateway.gateway.data_dir / "pictures").iterdir()
    return file.read_bytes()


async def test_a_client_that_asks_for_a_url_fetches_the_picture_without_a_key(client: Client) -> None:
    link = await link_of(client)

    picture, head = await client.http.get(link, headers=STRAY), await client.http.head(link, headers=STRAY)

    assert link.startswith(f"{client.gateway.url}/v1/images/pictures/req_")
    assert (picture.status_code, picture.content) == (200, await bought_picture(client))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == picture.headers["content-length"] == str(len(picture.content))
    assert {name: picture.headers[name] for name in ("content-type", "x-content-type-options")} == {
        "content-type": "image/png",
        "x-content-type-options": "nosniff",
    }
    assert picture.headers["content-disposition"].startswith("inline; ")
    assert picture.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    assert picture.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in picture.headers
    assert 23 * 3600 < int(picture.headers["cache-control"].removeprefix("private, max-age=")) <= 25 * 3600
    assert "response_format" not in client.relay.sandbox.seen[-1].fields


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=5-99999999", 5, None)],
)
async def test_one_range_is_a_part_of_the_picture(client: Client, asked: str, start: int, stop: int | None) -> None:
    link = await link_of(client)
    picture = await bought_picture(client)

    part = await client.http.get(link, headers={"Range": asked})

    assert (part.status_code, part.content) == (206, picture[start:stop])
    first = start % len(picture)
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.content) - 1}/{len(picture)}"


async def test_other_ranges_and_a_known_etag(client: Client) -> None:
    link = await link_of(client)
    etag = (await client.http.head(link)).headers["etag"]

    async def status(**headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.http.get(link, headers=given)).status_code

    assert await status(Range="bytes=99999999-") == 416
    assert await status(Range="bytes=0-1,4-5") == 200
    assert await status(Range="bytes=0-1", If_Range='"other"') == 200
    assert await status(Range="bytes=0-1", If_Range=etag) == 206
    assert await status(If_None_Match=etag) == 304


async def test_a_link_that_was_changed_or_has_expired_is_refused_with_what_to_do(client: Client) -> None:
    link = await link_of(client)
    id = urlsplit(link).path.split("/")[-2]

    async def refusal(link: str) -> tuple[int, str, str]:
        answer = await client.http.get(link)
        assert answer.headers["access-control-allow-origin"] == "*"
        return answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["message"]

    def signed(id: str, expires: int) -> str:
        key = hmac.digest(PEPPER, b"imagegate links to pictures", "sha256")
        signature = hmac.digest(key, f"{id}\n{expires}".encode(), "sha256").hex()
        return f"/v1/images/pictures/{id}/content?expires={expires}&signature={signature}"

    for changed in (link[:-1] + "g", link.replace("expires=", "expires=9"), link.replace("_0/", "_1/"), link[:-90]):
        assert (await refusal(changed))[:2] == (403, "permission_denied")
    await client.gateway.gateway.taking.take_all()
    status, code, message = await refusal(signed(id, 1_700_000_000))
    assert (status, code) == (410, "result_expired")
    assert f"POST /v1/images/pictures/{id}/link with your API key" in message
    later = 4_000_000_000
    assert (await client.http.get(signed(id, later))).status_code == 200
    assert (await refusal(signed(id.replace("_0", "_1"), later)))[:2] == (404, "not_found")
    assert (await refusal(signed(f"req_{'0' * 28}_0", later)))[:2] == (404, "not_found")
    async with client.gateway.database.transaction() as connection:
        await connection.execute(sa.delete(pictures))
    assert (await refusal(link))[:2] == (404, "not_found")
    assert (await refusal(signed(id, 1_700_000_000)))[2].endswith("Its picture is not kept any more.")


async def test_a_replay_and_the_result_answer_with_a_link_too_and_buy_nothing(client: Client) -> None:
    link = await link_of(client, key="one")
    request_id = urlsplit(link).path.split("/")[-2].removesuffix("_0")

    again = await link_of(client, key="one")
    result = await client.get(f"/v1/images/requests/{request_id}/result")

    assert again == result.json()["data"][0]["url"] == link
    assert client.charges == 1


async def test_an_answer_with_a_link_is_kept_as_long_as_the_link(client: Client) -> None:
    link = await link_of(client)
    request_id = urlsplit(link).path.split("/")[-2].removesuffix("_0")

    row = await client.gateway.gateway.kept_answers.rows.find(request_id)

    assert row is not None
    assert f"expires={row.expires_at_ms // 1000}&" in link
    assert row.expires_at_ms % 3_600_000 == 0


async def test_a_link_works_when_its_answer_has_long_been_removed(client: Client) -> None:
    link = await link_of(client)
    picture, gateway = await bought_picture(client), client.gateway.gateway
    async with asyncio.timeout(30):  # The chore may be taking the picture, and until it has, the answer stays.
        while not await gateway.kept_answers.prune(gateway.clock.now_ms() + 10**9):
            await asyncio.sleep(0.02)

    found, part = await client.http.get(link), await client.http.get(link, headers={"Range": "bytes=7-300"})

    assert (found.status_code, found.content) == (200, picture)
    assert (part.status_code, part.content) == (206, picture[7:301])


async def test_links_live_as_long_as_is_set_rounded_up_to_the_hour(tmp_path: Path, relay: RunningSandbox) -> None:
    async with (
        running_gateway(tmp_path, relay.base_url, pictures_link_s=7 * 86_400) as running,
        httpx2.AsyncClient(base_url=running.url, verify=False, timeout=60) as http,
    ):
        link = await link_of(Client(http, await running.key(), relay, running))
        expires_s, now_s = int(link.partition("expires=")[2].partition("&")[0]), running.gateway.clock.now_ms() // 1000

    assert 7 * 86_400 <= expires_s - now_s <= 7 * 86_400 + 3600
    assert expires_s % 3600 == 0


async def test_without_kept_pictures_a_link_ends_with_its_answer(tmp_path: Path, relay: RunningSandbox) -> None:
    async with (
        running_gateway(tmp_path, relay.base_url, pictures_keep_days=0) as running,
        httpx2.AsyncClient(base_url=running.url, verify=False, timeout=60) as http,
    ):
        link = await link_of(Client(http, await running.key(), relay, running))
        assert (await http.get(link)).status_code == 200
        assert await running.gateway.kept_answers.prune(running.gateway.clock.now_ms() + 10**9) == 1
        gone = await http.get(link)

        assert list((tmp_path / "pictures").iterdir()) == []
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "result_expired")


async def test_nobody_who_asked_for_nothing_or_for_base64_gets_a_link(client: Client) -> None:
    for body in (LARGE, LARGE | {"response_format": "b64_json"}):
        answer = await client.ask(body)

        assert set(answer.json()["data"][0]) == {"b64_json"}
    relayed = await client.ask(SMALL | {"response_format": "url"})
    assert "/v1/images/pictures/" not in relayed.json()["data"][0]["url"]


async def test_links_begin_with_the_public_url_where_it_is_set(tmp_path: Path, relay: RunningSandbox) -> None:
    url = "https://images.example.com/team/"
    async with (
        running_gateway(tmp_path, relay.base_url, public_url=url) as running,
        httpx2.AsyncClient(base_url=running.url, verify=False, timeout=60) as http,
    ):
        link = await link_of(Client(http, await running.key(), relay, running))

    assert link.startswith(f"{url}v1/images/pictures/req_")


async def test_a_head_makes_no_body(client: Client) -> None:
    url, sent = urlsplit(await link_of(client)), []
    query = url.query.encode()
    scope = {
        "type": "http",
        "http_version": "1.0",
        "method": "HEAD",
        "path": url.path,
        "query_string": query,
        "headers": [],
        "root_path": "",
    }

    async def receive() -> Message:
        await asyncio.Event().wait()  # The client neither sends anything nor leaves.
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    await create_app(client.gateway.gateway)(scope, receive, send)

    start, *bodies = sent
    assert (start["status"], len(bodies)) == (200, 1)
    assert dict(start["headers"])[b"content-length"] == str(len(await bought_picture(client))).encode()


async def test_pictures_are_counted_for_each_address(tmp_path: Path, relay: RunningSandbox) -> None:
    async with (
        running_gateway(tmp_path, relay.base_url, guard_pictures_per_minute=2) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        link = await link_of(Client(http, await running.key(), relay, running))
        answers = [await http.head(link), await http.get(link[:-1]), await http.get(link)]

    assert [answer.status_code for answer in answers] == [200, 403, 429]
    assert "Too many calls for pictures from your address (2 per minute)" in answers[2].json()["error"]["message"]
    assert answers[2].headers["access-control-allow-origin"] == "*" and "retry-after" in answers[2].headers


async def test_without_an_address_the_picture_comes_as_base64(client: Client) -> None:
    """HTTP 1.0 without a Host: no link can be made, and a paid picture is no error."""
    body, at = json.dumps(DALL_E).encode(), urlsplit(client.gateway.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    writer.write(
        b"POST /v1/images/generations HTTP/1.0\r\nContent-Type: application/json\r\n"
        + f"Authorization: Bearer {client.key.key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    answer = await reader.read()
    writer.close()

    head, _, sent = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head
    assert b"x-imagegate-response-format: b64_json" in head
    assert json.loads(sent)["data"][0]["b64_json"]


def test_a_url_for_a_client_that_asked_for_base64_is_told_in_a_header(tmp_path: Path) -> None:
    images = Images([{"url": "https://a/b.png"}], None, None, None, None, None, None, 1, False, False)
    complete = CompleteAnswer(images, [], Spool(tmp_path))

    assert format_header(complete.booked(0, None, "b64_json")) == {"x-imagegate-response-format": "url"}
    assert format_header(complete.booked(0, None, "url")) == format_header(complete.booked(0, None, None)) == {}
