"""TLS connections to the relay."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from app.errors import ConfigurationError
from app.upstream.client import HttpUpstream, NotSent
from tests.upstream.given import body_of
from tests.upstream.tls_relay import PICTURE, TlsRelay, running_tls_relay


@contextlib.asynccontextmanager
async def client_of(relay: TlsRelay, ca_file: Path | None) -> AsyncIterator[HttpUpstream]:
    upstream = HttpUpstream(relay.url, "sk-secret", connect_timeout_s=60, ca_file=ca_file)
    try:
        yield upstream
    finally:
        await upstream.close()


async def test_a_relay_with_a_private_authority_is_reached_with_its_file_only(certificate: Path) -> None:
    with running_tls_relay(certificate) as relay:
        async with client_of(relay, None) as upstream:
            with pytest.raises(NotSent):
                await upstream.get("/")
        assert relay.connections == 0
        async with client_of(relay, certificate) as upstream:
            assert await body_of(await upstream.get("/")) == PICTURE
            assert await body_of(await upstream.get("/")) == PICTURE

    assert relay.connections == 1


def test_a_slow_reader_gets_the_whole_picture_of_a_tls_relay_that_closes(certificate: Path) -> None:
    """uvloop 0.23 drops what it has not decrypted where reading is paused and the other end closes."""

    async def read_slowly(relay: TlsRelay) -> bytes:
        async with client_of(relay, certificate) as upstream:
            answer = await upstream.get("/")
            await asyncio.to_thread(relay.closed.wait, 5)
            await asyncio.sleep(0.1)  # The end crosses loopback.
            return await body_of(answer)

    with running_tls_relay(certificate, closes=True) as relay:
        assert uvloop.run(read_slowly(relay)) == PICTURE


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match="IMAGEGATE_UPSTREAM_CA_FILE"):
        HttpUpstream("https://127.0.0.1:1", "sk-secret", ca_file=file)
