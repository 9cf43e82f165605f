"""Paid answers whose labels lie, that begin with heartbeats, or that hold more pictures than were asked for: all arrive, all are
booked."""

import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.gateways import Running, running_gateway
from tests.money.books import QUOTE, UNKNOWN, ask, assert_books_agree, opened, the_row
from tests.upstream.given import PNG_B64
from tests.upstream.raw_server import RawServer, Request, running_raw_server

JSON = json.dumps({"created": 5, "data": [{"b64_json": PNG_B64}]}).encode()
PICTURE = PNG_B64[:4000] + "A" * 400_000
COMPLETED = b'event: image_generation.completed\ndata: {"type":"image_generation.completed","b64_json":"%s"}\n\n'
ONE = COMPLETED % PNG_B64.encode()
DONE = b"data: [DONE]\n\n"
HEARTBEATS = b": OPENROUTER PROCESSING\n\n" * 400 + b"\r\n\n : x\r"


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[RawServer]:
    async with running_raw_server() as running:
        yield running


@pytest.fixture
def raw(server: RawServer) -> RawServer:
    server.script.clear()
    server.requests.clear()
    return server


@pytest.fixture(scope="module")
async def gateway(server: RawServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One for all tests of this file, each of which has a key of its own."""
    async with running_gateway(tmp_path_factory.mktemp("labels"), server.url) as running:
        yield running


async def buy(
    gateway: Running, raw: RawServer, body: bytes, headers: str, *, stream: bool, again: bool = False
) -> list[httpx2.Response]:
    """The answer, and with `again` that of the same request once more."""

    async def step(request: Request) -> None:
        await request.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n\r\n".encode())
        for start in range(0, len(body), 1 + len(body) // 7):
            await request.send(body[start : start + 1 + len(body) // 7])

    raw.script.append(step)
    async with opened(gateway.url, (await gateway.key()).key) as client:
        client.headers["Idempotency-Key"] = "k1"
        return [await ask(client, stream=stream) for _ in range(1 + again)]


def pictures(answer: httpx2.Response) -> list[str]:
    if answer.headers["content-type"].startswith("application/json"):
        return [item["b64_json"] for item in answer.json()["data"]]
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    return [event["b64_json"] for event in events if event["type"] == "image_generation.completed"]


LABELS = [
    "Content-Type: text/html; charset=utf-8",
    "Content-Type: Text/Event-Stream",
    "Content-Type: application/octet-stream",
    "X-Nothing: 1",
    "Content-Type: application/json\r\nContent-Encoding: utf-8",
    "Content-Type: application/json\r\nContent-Encoding: none",
    "Content-Type: application/json\r\nContent-Encoding: gzip",
    "Content-Type: application/json\r\nContent-Encoding: zstd",
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("before", [b"", b"\n\n \r\n", HEARTBEATS, b"\xef\xbb\xbf"], ids=["", "blank", "beats", "bom"])
@pytest.mark.parametrize("label", LABELS)
async def test_good_json_arrives_whatever_its_label_and_whatever_comes_before_it(
    gateway: Running, raw: RawServer, label: str, before: bytes, stream: bool
) -> None:
    body = before + JSON.replace(PNG_B64.encode(), PICTURE.encode())

    answers = await buy(gateway, raw, body, label, stream=stream, again=True)

    assert [pictures(answer) for answer in answers] == [[PICTURE], [PICTURE]]
    assert len(raw.requests) == 1
    row = await the_row(gateway.database, answers[0])
    assert (row["state"], row["cost_micros"], row["images"]) == ("settled", QUOTE, 1)


@pytest.mark.parametrize("before", [b"", HEARTBEATS], ids=["", "heartbeats"])
@pytest.mark.parametrize("label", LABELS)
async def test_good_events_arrive_whatever_their_label(
    gateway: Running, raw: RawServer, label: str, before: bytes
) -> None:
    body = before + COMPLETED % PICTURE.encode() + DONE

    answers = await buy(gateway, raw, body, label, stream=True, again=True)

    assert [pictures(answer) for answer in answers] == [[PICTURE], [PICTURE]]
    assert (await the_row(gateway.database, answers[0]))["state"] == "settled"


@pytest.mark.parametrize(
    ("body", "stream"),
    [
        (ONE * 3 + DONE, True),
        (ONE * 3, True),
        ((ONE * 3).rstrip(b"\n"), True),
        (ONE + b": PING\n\n" + ONE + ONE + DONE + ONE, True),
        (json.dumps({"data": [{"b64_json": PNG_B64}] * 3}).encode(), True),
        (json.dumps({"data": [{"b64_json": PNG_B64}] * 3}).encode(), False),
    ],
    ids=["done", "end", "no empty line", "after done", "json streamed", "json"],
)
async def test_more_pictures_than_asked_are_all_passed_on_and_booked(
    gateway: Running, raw: RawServer, body: bytes, stream: bool
) -> None:
    answers = await buy(gateway, raw, body, "Content-Type: text/event-stream", stream=stream, again=True)

    assert [pictures(answer) for answer in answers] == [[PNG_B64] * 3, [PNG_B64] * 3]
    row = await the_row(gateway.database, answers[0])
    assert (row["state"], row["n"], row["images"]) == ("settled", 1, 3)
    await assert_books_agree(gateway.database)


async def test_a_picture_arrives_although_its_stream_has_no_end(
    gateway: Running, raw: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.images.streaming.MORE_IMAGES_S", 0.05)

    async def endless(request: Request) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + ONE)
        await request.reader.read()

    raw.script = [endless]
    async with opened(gateway.url, (await gateway.key()).key) as client:
        answer = await ask(client, stream=True)

    assert pictures(answer) == [PNG_B64]
    assert (await the_row(gateway.database, answer))["state"] == "settled"


async def test_a_picture_whose_connection_breaks_after_its_last_byte_arrives(gateway: Running, raw: RawServer) -> None:
    async def unfinished(request: Request) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(JSON), JSON))
        request.writer.close()

    raw.script = [unfinished]
    async with opened(gateway.url, (await gateway.key()).key) as client:
        answer = await ask(client)

    assert pictures(answer) == [PNG_B64]
    assert (await the_row(gateway.database, answer))["state"] == "settled"


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (b"<html>console</html>", "Content-Type: application/json"),
        (b": x\n\n<html>console</html>", "Content-Type: text/html"),
        (b"", "Content-Type: application/json"),
        (b": OPENROUTER PROCESSING\n\n", "Content-Type: application/json"),
        (b"hello", "Content-Type: text/html"),
        (JSON[:-2], "Content-Type: text/event-stream"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
async def test_what_holds_no_picture_is_unknown_whatever_its_label(
    gateway: Running, raw: RawServer, body: bytes, label: str, stream: bool
) -> None:
    [answer] = await buy(gateway, raw, body, label, stream=stream)

    assert (answer.status_code, answer.json()["error"]["code"]) == (424, UNKNOWN)
    assert (await the_row(gateway.database, answer))["state"] == "unknown"


@pytest.mark.parametrize(
    ("error", "state", "status", "code"),
    [
        ({"code": "moderation_blocked", "message": "no"}, "unknown", 424, "moderation_blocked"),
        ({"code": "insufficient_user_quota", "message": "no"}, "released", 503, "upstream_wallet_empty"),
        ({"code": "sensitive_words_detected", "message": "no"}, "released", 400, "sensitive_words_detected"),
        ({"message": "no"}, "unknown", 424, UNKNOWN),
    ],
)
async def test_an_error_before_any_picture_of_a_stream_is_told_as_in_a_plain_answer(
    gateway: Running, raw: RawServer, error: dict[str, str], state: str, status: int, code: str
) -> None:
    body = b"event: error\ndata: " + json.dumps({"type": "error", "error": error}).encode() + b"\n\n"

    [answer] = await buy(gateway, raw, body, "Content-Type: text/event-stream", stream=True)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-should-retry"] == "false"
    row = await the_row(gateway.database, answer)
    assert (row["state"], row["upstream_status"], row["upstream_message"]) == (state, 200, "no")
