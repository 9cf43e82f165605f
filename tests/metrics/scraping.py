"""A gateway with metrics, and what a scrape of it says."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from app.control.keys import CreatedKey
from app.control.relay_keys import seal_relay_key
from app.core.relays import Relay
from app.store.relays import find_relay, insert_relay, update_relay
from tests.gateways import PEPPER, Running

TOKEN = "a-token-for-prometheus-of-the-tests"
REFRESHING = ("book", "checks", "relay", "balance", "pictures and schema", "event loop")
"""Names of the chores behind the gauges, without `metrics of the`."""


@dataclass(frozen=True, slots=True)
class Watched:
    running: Running
    http: httpx2.AsyncClient
    key: CreatedKey

    async def buy(self, prompt: str = "a lighthouse", model: str = "gpt-image-1") -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.key.key}"}
        return await self.http.post("/v1/images/generations", json={"model": model, "prompt": prompt}, headers=headers)

    async def add_refusing_relay(self, base_url: str) -> None:
        """Add a relay `b` that refuses its key and is asked before the one of the settings."""
        async with self.running.database.write() as connection:
            default = await find_relay(connection, "default")
            assert default is not None
            await update_relay(connection, replace(default, weight=0))
            await insert_relay(connection, Relay("b", base_url, seal_relay_key(PEPPER, "b", "sk-wrong"), "N"))

    async def refresh(self) -> None:
        """Let the chores read what they read at intervals."""
        for name in REFRESHING:
            prefix = "metrics of " if name.startswith("pictures") else "metrics of the "
            assert await self.running.gateway.chores.run_once(prefix + name)

    async def scrape(self) -> str:
        answer = await self.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/plain")
        return answer.text

    async def value(self, name: str, **labels: str) -> float:
        """The sum over the samples of this name with these labels. Raises AssertionError where there is none."""
        found = [
            sample.value
            for sample in samples(await self.scrape())
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        assert found, (name, labels)
        return sum(found)


def samples(exposition: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(exposition):
        yield from family.samples
