"""Guarded download of a picture from an address in an answer of the relay.

The address is chosen by others, so it may lead nowhere but to the public internet. The check sits where the socket is made: every
address passes there, literal or resolved, and nothing looks a name up again afterwards.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final
from weakref import WeakValueDictionary

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from app.core.addresses import is_public, meant_addresses
from app.errors import StorageFull
from app.spool import Spool
from app.upstream.client import READ_BYTES
from app.upstream.decoding import NotDecodable, decoded

HTTPS_PORT: Final = 443
FETCHES_AT_ONCE: Final = 64
"""Fetches at the same time."""
FETCHES_OF_A_HOST: Final = 32
"""Fetches from one server at the same time, so that one that hangs leaves places for all others."""
LOOKUP_THREADS: Final = 4
"""Threads of their own for lookups of names, each of which can hold one for long: the relay is looked up in others."""
URL_CHARS_MAX: Final = 8192
_FAILURES: Final = (aiohttp.ClientError, NotDecodable, OSError, RuntimeError, ValueError)

Network = IPv4Network | IPv6Network


class FetchFailed(Exception):
    """Picture that could not be fetched. The text says why, without the address, whose query is a signature."""


class PictureFetcher:
    """HTTP client for pictures. Create and close it inside the running event loop.

    Follows no redirect, keeps no cookie, sends no Authorization, uses no proxy and reads nothing from the environment. Global
    addresses are reached over https on `https_port` only; those in `networks` over http and on any port as well. `deadline_s`
    covers everything from the lookup of the name to the last byte, and the wait for a place before that has the same again.
    `bytes_max` covers the decoded picture.
    """

    def __init__(
        self, *, networks: Sequence[str] = (), deadline_s: float, bytes_max: int, https_port: int = HTTPS_PORT
    ) -> None:
        """Raises ValueError for a network that is none, like `10.0.0.1/8`."""
        self._networks = tuple(ip_network(network) for network in networks)
        self.deadline_s = deadline_s
        self._bytes_max = bytes_max
        self._places = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._host_places: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._resolver = ThreadResolver()
        self._sessions = {
            "https": self._session(port=https_port),
            "http": self._session(port=None),
        }

    async def fetch(self, url: str, spool: Spool) -> None:
        """Append the picture at `url` to `spool`. Its type is not checked. Raises FetchFailed, and StorageFull when the disk
        is full.

        The address is sent byte for byte as it is given, because quoting it anew would break its signature.
        """
        address = _checked_url(url)
        host = address.host or ""
        host_places = self._host_places.setdefault(host, asyncio.Semaphore(FETCHES_OF_A_HOST))
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(self.deadline_s):
                    await places.enter_async_context(host_places)
                    await places.enter_async_context(self._places)
            except TimeoutError:
                raise FetchFailed(f"no place to fetch it was free within {self.deadline_s:g} seconds") from None
            try:
                async with asyncio.timeout(self.deadline_s), self._get(address) as response:
                    await self._read(response, spool)
            except TimeoutError:
                raise FetchFailed(f"it did not arrive within {self.deadline_s:g} seconds") from None
            except _FAILURES as exc:  # Without its cause, whose text holds the address.
                raise FetchFailed(f"no connection, or it broke off ({type(exc).__name__})") from None

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        for session in self._sessions.values():
            await session.close()
        await self._resolver.close()

    def _get(self, address: URL) -> Any:
        headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "imagegate"}
        return self._sessions[address.scheme].get(address, headers=headers, allow_redirects=False)

    async def _read(self, response: aiohttp.ClientResponse, spool: Spool) -> None:
        if response.status != 200:
            raise FetchFailed(f"its server answered {response.status}")
        if (response.content_length or 0) > self._bytes_max:
            raise self._too_large()
        received = 0
        async for chunk in decoded(_chunks(response), response.headers.get("Content-Encoding", "")):
            received += len(chunk)
            if received > self._bytes_max:
                raise self._too_large()
            try:
                spool.write(chunk)
            except OSError as exc:
                raise StorageFull("The gateway has no room for a picture of an answer.") from exc

    def _too_large(self) -> FetchFailed:
        return FetchFailed(f"it has more than {self._bytes_max:,} bytes (IMAGEGATE_PICTURES_FETCH_BYTES_MAX)")

    def _session(self, *, port: int | None) -> aiohttp.ClientSession:
        """Open a session for one scheme; global addresses are reached on `port`, with None not at all."""

        def checked_socket(info: tuple[Any, ...]) -> socket.socket:
            family, kind, protocol, _, (host, wanted_port, *_) = info
            if not is_reachable(host, self._networks, is_global_allowed=wanted_port == port):
                raise PermissionError(f"{host} port {wanted_port} is not fetched from")
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            return sock

        connector = aiohttp.TCPConnector(
            limit=FETCHES_AT_ONCE,
            force_close=True,
            use_dns_cache=False,
            resolver=self._resolver,
            socket_factory=checked_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
        )


class ThreadResolver(AbstractResolver):
    """Resolver of names in LOOKUP_THREADS threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, "picture-lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Look up the addresses of a name. Raises OSError."""

        def look_up() -> list[Any]:
            return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)

        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address[0], port=address[1], family=kind, proto=protocol, flags=flags)
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Let the threads end. Does not wait for them. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_reachable(host: str, networks: Sequence[Network], *, is_global_allowed: bool) -> bool:
    """Return whether pictures may be fetched from an IP address: one in `networks`, or where allowed a global one.

    An IPv4 address inside an IPv6 one counts as what it stands for. Raises ValueError when `host` is no address.
    """
    meant = meant_addresses(ip_address(host.partition("%")[0]))
    if all(any(address in network for network in networks if network.version == address.version) for address in meant):
        return True
    return is_global_allowed and all(is_public(address) for address in meant)


def _checked_url(url: str) -> URL:
    """Parse an address without quoting anything. Raises FetchFailed."""
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise FetchFailed("its address is no plain URL")
    try:
        address = URL(url, encoded=True)
        host, port, user = address.host, address.port, address.user or address.password
    except ValueError:
        raise FetchFailed("its address is no plain URL") from None
    if address.scheme not in ("https", "http") or not host or not port or user:
        raise FetchFailed("its address is no http or https URL without a user")
    return address


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    while chunk := await response.content.read(READ_BYTES):
        yield chunk
