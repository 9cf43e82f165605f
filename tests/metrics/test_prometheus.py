"""Prometheus itself, scraping a gateway, answers every query of the dashboard and of the alert rules."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.sandbox import RunningSandbox
from tests.gateways import running_gateway
from tests.metrics.scraping import Watched
from tests.metrics.test_deploy_queries import RULES, panel_queries, rules
from tests.server import HOST, Server, free_port
from tests.server_processes import wait_until

SCRAPED_S = 60


class Prometheus(Server):
    """Prometheus that scrapes the metrics of a gateway at a port each second, with the rules of deploy/."""

    name = "prometheus"

    def __init__(self, metrics_port: int) -> None:
        self._program = shutil.which("prometheus") or pytest.skip("no prometheus here: no query is run by its engine")
        self._metrics_port = metrics_port
        super().__init__()

    def _own_url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def _prepare(self) -> None:
        (self._folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            f"rule_files: [{RULES}]\n"
            f"scrape_configs: [{{job_name: imagegate, static_configs: [{{targets: ['{HOST}:{self._metrics_port}']}}]}}]\n"
        )

    def _command(self) -> list[str | Path]:
        where = f"--web.listen-address={HOST}:{self._port}"
        return [self._program, "--config.file=prometheus.yml", "--storage.tsdb.path=data", where]

    def _greeting(self) -> tuple[bytes, bytes]:
        return b"GET /-/ready HTTP/1.0\r\n\r\n", b"HTTP/1.0 200"

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The result of a query. Raises AssertionError where the engine does not take it."""
        answer = httpx2.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False).json()
        assert answer["status"] == "success", (query, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


async def test_prometheus_answers_every_query(tmp_path: Path, relay: RunningSandbox) -> None:
    port = free_port()
    async with (
        running_gateway(tmp_path, relay.base_url, metrics_port=port) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        watched = Watched(running, http, await running.key())
        await watched.add_refusing_relay(relay.base_url)
        for prompt in ("a lighthouse", "[[sandbox body=garbage]]", "[[sandbox error=wallet]]"):
            await watched.buy(prompt)
        await running.limit("user", "lin", "images", "day", 0)
        await watched.buy()
        await watched.refresh()
        empty = await asyncio.to_thread(lambda: list(unanswered(port)))

    assert empty == []


def unanswered(metrics_port: int) -> Iterator[str]:
    """The panels that show nothing once two scrapes are there."""
    with Prometheus(metrics_port) as prometheus:
        wait_until(lambda: bool(prometheus.ask("rate(imagegate_images_total[1m])")), SCRAPED_S)
        for rule in rules():
            prometheus.ask(rule["expr"])
        for title, query, _ in panel_queries():
            if not prometheus.ask(query.replace("$job", "imagegate").replace("$__rate_interval", "1m")):
                yield title
