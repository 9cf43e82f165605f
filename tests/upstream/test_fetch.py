"""Fetching a picture that an answer names: only from where it may, as the address says, and never for ever."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.spool import Slice, Spool
from app.upstream.fetch import FETCHES_OF_A_HOST, FetchFailed, PictureFetcher, is_reachable
from tests.upstream.raw_server import RawServer, Request, reset

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
async def fetcher() -> AsyncIterator[PictureFetcher]:
    fetcher = PictureFetcher(networks=LOOPBACK, deadline_s=20, bytes_max=1_000_000)
    yield fetcher
    await fetcher.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.close()


async def picture(request: Request) -> None:
    await request.answer(PICTURE, headers="Content-Type: text/html")


async def test_the_address_travels_byte_for_byte_and_alone(
    relay: RawServer, fetcher: PictureFetcher, spool: Spool
) -> None:
    seen: list[Request] = []

    async def step(request: Request) -> None:
        seen.append(request)
        await picture(request)

    relay.script = [step]
    path = "/a%2Fb/%20c+d/%7Euser?X-Amz-Signature=a%2Bb%2f%3D&empty=&x=%E5%9B%BE&y=a/b?c"

    await fetcher.fetch(relay.url + path, spool)

    assert spool.read(Slice(0, spool.size_bytes)) == PICTURE
    assert seen[0].line == f"GET {path} HTTP/1.1"
    assert seen[0].headers.keys() == {"host", "accept", "accept-encoding", "user-agent", "connection"}


async def test_a_compressed_picture_is_decoded(relay: RawServer, fetcher: PictureFetcher, spool: Spool) -> None:
    async def step(request: Request) -> None:
        await request.answer(gzip.compress(PICTURE), headers="Content-Encoding: gzip")

    relay.script = [step]

    await fetcher.fetch(relay.url, spool)

    assert spool.read(Slice(0, spool.size_bytes)) == PICTURE


async def redirect(request: Request) -> None:
    await request.answer(b"", "302 Found", "Location: http://127.0.0.1:1/")


async def forbidden(request: Request) -> None:
    await request.answer(b"<html>", "403 Forbidden")


async def cut(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n\x89PNG")
    request.writer.close()


async def declared_too_large(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000000\r\n\r\n")


async def too_large(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            await request.send(b"x" * 100_000)


async def bomb(request: Request) -> None:
    await request.answer(gzip.compress(b"\0" * 50_000_000), headers="Content-Encoding: gzip")


async def broken_gzip(request: Request) -> None:
    await request.answer(b"\x1f\x8b" + b"no", headers="Content-Encoding: gzip")


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (redirect, "answered 302"),
        (forbidden, "answered 403"),
        (reset, "broke off"),
        (cut, "broke off"),
        (declared_too_large, "more than 1,000,000 bytes"),
        (too_large, "more than 1,000,000 bytes"),
        (bomb, "more than 1,000,000 bytes"),
        (broken_gzip, "NotDecodable"),
    ],
)
async def test_what_is_no_whole_picture_of_its_own_server_fails(
    relay: RawServer, fetcher: PictureFetcher, spool: Spool, step: object, reason: str
) -> None:
    relay.script = [step]  # type: ignore[list-item]

    with pytest.raises(FetchFailed, match=reason) as failure:
        await fetcher.fetch(f"{relay.url}/?signature=secret", spool)

    assert "secret" not in str(failure.value)


async def test_a_server_that_drips_is_left_at_the_deadline(relay: RawServer, spool: Spool) -> None:
    async def drip(request: Request) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                await request.send(b"x")
                await asyncio.sleep(0.05)

    relay.script = [drip]
    fetcher = PictureFetcher(networks=LOOPBACK, deadline_s=0.3, bytes_max=1_000_000)

    with pytest.raises(FetchFailed, match=r"within 0\.3 seconds"):
        await fetcher.fetch(relay.url, spool)
    await fetcher.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "0.0.0.0"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_listener_on_a_private_address_hears_nothing(scheme: str, host: str, spool: Spool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        fetcher = PictureFetcher(deadline_s=5, bytes_max=1_000_000, https_port=port)

        with pytest.raises(FetchFailed):
            await fetcher.fetch(f"{scheme}://{host}:{port}/", spool)

        await fetcher.close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # Nobody waits to be accepted.
            listener.accept()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "//example.com/a.png",
        "/a.png",
        "https://user:password@example.com/a.png",
        "https:///a.png",
        "https://example.com:99999/",
        "https://example.com/a b.png",
        "https://example.com/\r\nHost: a",
        "https://example.com/图.png",
        "https://[::1/",
        "https://example.com/" + "a" * 9000,
        "",
    ],
)
async def test_what_is_no_plain_address_is_not_tried(url: str, fetcher: PictureFetcher, spool: Spool) -> None:
    with pytest.raises(FetchFailed, match="its address is no"):
        await fetcher.fetch(url, spool)


@pytest.mark.parametrize(
    ("host", "is_global"),
    [
        ("93.184.216.34", True),
        ("2606:4700::6810:84e5", True),
        ("64:ff9b::5db8:d822", True),
        *[
            (host, False)
            for host in (
                "10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "0.0.0.0", "169.254.169.254", "100.64.0.1", "224.0.0.1",
                "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::", "::1", "fe80::1",
                "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::",
                "2001:0:7f00:1::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "::ffff:0:127.0.0.1",
                "2001:db8::1", "fec0::1",
            )
        ],
    ],
)  # fmt: skip
def test_global_addresses_and_no_others_are_reached(host: str, is_global: bool) -> None:
    assert is_reachable(host, (), is_global_allowed=True) is is_global
    assert not is_reachable(host, (), is_global_allowed=False)


def test_a_network_that_is_listed_is_reached_by_every_spelling() -> None:
    networks = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    for host in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00::1"):
        assert is_reachable(host, networks, is_global_allowed=False)
    for host in ("11.1.2.3", "127.0.0.1", "fe80::1", "2001:0:a01:203::1"):
        assert not is_reachable(host, networks, is_global_allowed=False)


async def test_a_fetch_waits_for_a_place_no_longer_than_it_may_take(relay: RawServer, tmp_path: Path) -> None:
    async def hang(request: Request) -> None:
        await asyncio.Event().wait()

    relay.script = [hang] * 200
    fetcher = PictureFetcher(networks=LOOPBACK, deadline_s=0.5, bytes_max=1000)
    spools = [Spool(tmp_path) for _ in range(4 * FETCHES_OF_A_HOST)]

    outcomes = await asyncio.gather(*(fetcher.fetch(relay.url, spool) for spool in spools), return_exceptions=True)

    await fetcher.close()
    assert {type(outcome) for outcome in outcomes} == {FetchFailed}
    assert any("no place to fetch it was free" in str(outcome) for outcome in outcomes)
