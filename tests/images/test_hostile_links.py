"""Links of a relay that lead astray: each ends with a paid answer, booked once, and no private address is ever called."""

import asyncio
import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gateways import Running, running_gateway
from tests.images.linking_relay import PNG, gone, page, picture
from tests.upstream.raw_server import RawServer, Request, Script, hang_up, running_raw_server

PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"
"""Addresses of this machine: pictures may be fetched from the first, which stands for the internet, and not from the second."""
SIGNED = "/a%2Fb%20c.png?signature=x%2By%2Fz%3D&name=%E5%9B%BE"
HUGE_BYTES = 300 * 1024 * 1024
ASKED = {"model": "seedream-3.0", "prompt": "a lighthouse", "response_format": "b64_json"}


@pytest.fixture
def private() -> Iterator[socket.socket]:
    """A listener on the private address that has heard nobody at the end."""
    with socket.create_server((PRIVATE, 0)) as listener:
        yield listener
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # Nobody waits to be accepted.
            listener.accept()


async def svg(request: Request) -> None:
    await request.answer(b'<svg xmlns="http://www.w3.org/2000/svg"/>', headers="Content-Type: image/png")


async def without_authorization(request: Request) -> None:
    await (gone if "authorization" in request.headers else picture)(request)


async def only_as_signed(request: Request) -> None:
    await (picture if request.line == f"GET {SIGNED} HTTP/1.1" else gone)(request)


async def drip(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    while True:
        await request.send(b"\x89")
        await asyncio.sleep(0.05)


async def declares_300_mb(request: Request) -> None:
    await request.send(f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE_BYTES}\r\n\r\n".encode())


async def sends_300_mb(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = PNG + bytes(1024 * 1024 - len(PNG))
    for _ in range(HUGE_BYTES // len(piece)):
        await request.send(b"%x\r\n%s\r\n" % (len(piece), piece))


KEPT: dict[str, tuple[str, list[Script]]] = {
    "refuses Authorization": ("{}/a.png", [without_authorization]),
    "signed": ("{}" + SIGNED, [only_as_signed]),
    "dead soon": ("{}/a.png", [picture, gone, gone, gone]),
}
"""Link and what its server does, of pictures that are kept."""
LOST: dict[str, tuple[str, list[Script]]] = {
    "HTML called PNG": ("{}/a.png", [page]),
    "SVG": ("{}/a.png", [svg]),
    "drips": ("{}/a.png", [drip]),
    "300 MB declared": ("{}/a.png", [declares_300_mb]),
}


async def bought(
    folder: Path, link: str, script: list[Script], **settings: Any
) -> tuple[str, dict[str, Any], httpx2.Headers]:
    """Buy a picture from a relay that answers with `link`, twice with one key; returns the relay's address, the one item of the
    answer, and its headers."""
    async with running_raw_server() as server:

        async def answer(request: Request) -> None:
            await request.answer_json({"created": 1, "data": [{"url": link.replace("{}", server.url)}]})

        server.script = [answer, *script]
        settings = dict[str, Any](pictures_fetch_networks=f"{PUBLIC}/32", pictures_fetch_s=60.0) | settings
        async with running_gateway(folder, server.url, **settings) as running:
            first, again = await _ask_twice(running)
            await running.gateway.taking.take_all()
            await _assert_booked_once(running, server)
    assert (first.status_code, again.status_code) == (200, 200), first.text
    assert again.content == first.content
    [item] = first.json()["data"]
    return server.url, item, first.headers


async def _ask_twice(running: Running) -> list[httpx2.Response]:
    headers = {"Authorization": f"Bearer {(await running.key('lin')).key}", "Idempotency-Key": "one"}
    async with httpx2.AsyncClient(base_url=running.url, timeout=60, verify=False) as http:
        return [await http.post("/v1/images/generations", json=ASKED, headers=headers) for _ in range(2)]


async def _assert_booked_once(running: Running, relay: RawServer) -> None:
    [row] = await running.rows()
    assert (row["state"], row["cost_micros"], row["images"]) == ("settled", 80_000, 1)
    assert [request.line.split()[0] for request in relay.requests].count("POST") == 1


@pytest.mark.parametrize("name", KEPT)
async def test_what_leads_to_a_picture_arrives_as_it_was_asked_for(tmp_path: Path, name: str) -> None:
    link, script = KEPT[name]

    _, item, headers = await bought(tmp_path, link, script)

    assert base64.b64decode(item.pop("b64_json")) == PNG
    assert item == {}
    assert "x-imagegate-response-format" not in headers


@pytest.mark.parametrize("name", LOST)
async def test_what_leads_to_no_picture_passes_on_and_a_header_says_so(tmp_path: Path, name: str) -> None:
    link, script = LOST[name]

    url, item, headers = await bought(tmp_path, link, script, pictures_fetch_s=0.5 if name == "drips" else 60.0)

    assert item == {"url": link.replace("{}", url)}
    assert headers["x-imagegate-response-format"] == "url"
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == []


@pytest.mark.slow
async def test_300_mb_that_nobody_announced_are_left_at_the_cap(tmp_path: Path) -> None:
    _, item, _ = await bought(tmp_path, "{}/a.png", [sends_300_mb])

    assert item.keys() == {"url"}
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == []


@pytest.mark.parametrize("way", ["link", "redirect"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_private_address_in_a_link_or_a_redirect_is_not_called(
    tmp_path: Path, private: socket.socket, scheme: str, way: str
) -> None:
    there = f"{scheme}://{PRIVATE}:{private.getsockname()[1]}/a.png"

    async def redirect(request: Request) -> None:
        await request.answer(b"", "302 Found", f"Location: {there}")

    link = there if way == "link" else "{}/a.png"
    url, item, headers = await bought(tmp_path, link, [redirect])

    assert item == {"url": link.replace("{}", url)}
    assert headers["x-imagegate-response-format"] == "url"


async def test_a_name_that_leads_to_a_private_address_at_the_second_look_up_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up, answers = socket.getaddrinfo, [PUBLIC, PRIVATE, PRIVATE]
    listener = socket.socket()

    def changing(host: str, *given: Any, **more: Any) -> Any:
        return look_up(answers.pop(0) if host == "pictures.test" else host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    async with running_raw_server() as server:
        port = int(server.url.rpartition(":")[2])
        listener.bind((PRIVATE, port))
        listener.listen()

        async def answer(request: Request) -> None:
            await request.answer_json({"created": 1, "data": [{"url": f"http://pictures.test:{port}/a.png"}]})

        server.script = [answer, hang_up, hang_up]
        async with running_gateway(tmp_path, server.url, pictures_fetch_networks=f"{PUBLIC}/32") as running:
            first, again = await _ask_twice(running)
            await _assert_booked_once(running, server)

    with listener:
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert first.json()["data"] == again.json()["data"] == [{"url": f"http://pictures.test:{port}/a.png"}]
    assert answers == [PRIVATE]  # It was looked up twice.
