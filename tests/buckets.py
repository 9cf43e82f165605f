"""A local server of S3's kind, moto's, and buckets in it; it keeps its objects in memory, so killing it loses them."""

import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from obstore.store import S3Store

from tests.server import HOST, Server

PREFIX = "answers"


class BucketServer(Server):
    """Takes any credentials."""

    name = "moto"

    def _own_url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def _command(self) -> list[str | Path]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self._port)]

    def _greeting(self) -> tuple[bytes, bytes]:
        return b"GET /moto-api/ HTTP/1.0\r\n\r\n", b"HTTP/1.1 200"


@dataclass(frozen=True, slots=True)
class TestBucket:
    """A bucket of the test's own."""

    __test__ = False

    server: BucketServer
    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a gateway that uses the bucket."""
        return {
            "results_url": f"s3://{self.name}/{PREFIX}",
            "results_endpoint": self.server.url,
            "results_region": "us-east-1",
            "results_access_key_id": "test",
            "results_secret_access_key": "test",
        }

    def make(self) -> None:
        """Also again, after the server was killed."""
        httpx2.put(f"{self.server.url}/{self.name}").raise_for_status()

    async def names(self) -> list[str]:
        """Names under the prefix, without those that only test the bucket."""
        store = S3Store(
            self.name,
            prefix=PREFIX,
            config={
                "endpoint": self.server.url,
                "access_key_id": "test",
                "secret_access_key": "test",
                "region": "us-east-1",
            },
            client_options={"allow_http": True},
        )
        return sorted(each["path"] for each in await store.list().collect_async() if "trial_" not in each["path"])


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    with BucketServer() as server:
        yield server


@pytest.fixture
def bucket(bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> TestBucket:
    """Empty; a test may kill its server, and the next one that needs it starts it again."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    bucket_server.ensure_running()
    made = TestBucket(bucket_server, f"test-{secrets.token_hex(6)}")
    made.make()
    return made
