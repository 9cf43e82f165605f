"""Prometheus itself, scraping a gateway, answers every query of the dashboard and of the alert rules."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest

from app.sandbox import RunningSandbox
from deploy.dashboard import TimeRange, asker, draw
from tests.gateways import running_gateway
from tests.metrics.scraping import Watched
from tests.metrics.test_deploy_queries import DASHBOARD, RULES, rules
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


async def test_prometheus_answers_every_query_and_the_dashboard_can_be_drawn(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    port = free_port()
    async with (
        running_gateway(tmp_path, relay.base_url, metrics_port=port, backup_dir=tmp_path / "nights") as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60) as http,
    ):
        watched = Watched(running, http, await running.key())
        await watched.add_refusing_relay(relay.base_url)
        for prompt in ("a lighthouse", "[[sandbox body=garbage]]", "[[sandbox error=wallet]]"):
            await watched.buy(prompt)
        await running.limit("user", "lin", "images", "day", 0)
        await watched.buy()
        await running.limit("user", "lin", "images", "day", None)
        assert await running.gateway.chores.run_once("backup")
        await watched.refresh()
        with Prometheus(port) as prometheus:
            await asyncio.to_thread(wait_until, lambda: bool(prometheus.ask("imagegate_images_total")), SCRAPED_S)
            await watched.buy("a rate needs a scrape before it and one after it")
            grown = "sum(rate(imagegate_requests_total[1m])) > 0"
            await asyncio.to_thread(wait_until, lambda: bool(prometheus.ask(grown)), SCRAPED_S)
            svg, empty = await asyncio.to_thread(drawn, prometheus)

    shown = {element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")}
    assert {panel["title"] for panel in DASHBOARD["panels"]} <= shown
    assert set(empty) == {"Left at the relay"}, "the sandbox sets its key no bound"


def drawn(prometheus: Prometheus) -> tuple[str, list[str]]:
    """Evaluate the rules and draw the dashboard; return the SVG, and the panels that show nothing."""
    for rule in rules():
        prometheus.ask(rule["expr"])
    return draw(DASHBOARD, asker(prometheus.url), TimeRange(time.time() - 60, time.time(), "imagegate"))
