"""Exposition of all metrics: for the route `/metrics`, and on a port of its own."""

import asyncio
import hmac
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, start_http_server
from prometheus_client.exposition import choose_encoder

from app.chores import Chore, Chores, WhenFit
from app.control.readiness import ReadinessProbe
from app.control.reconciliations import Reconciliations
from app.core.endings import RequestEnded, RequestRefused
from app.errors import ConfigurationError
from app.images.service import ImageService
from app.metrics.gateway_metrics import GatewayMetrics
from app.metrics.request_metrics import RequestMetrics
from app.pictures.thumbnails import Thumbnails


class MetricsExporter:
    """Metrics of a gateway. `token` opens the route `/metrics`, None closes it. `address` is host and port of a listener of its
    own, which asks for no token; None: there is none."""

    def __init__(self, token: str | None, address: tuple[str, int] | None, reconciliations: Reconciliations):
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._token, self._address = token, address
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = RequestMetrics(self._registry)
        self._gateway = GatewayMetrics(self._registry, reconciliations)
        self._listener: tuple[Any, Thread] | None = None

    @property
    def has_route(self) -> bool:
        return self._token is not None

    async def is_token(self, secret: str) -> bool | None:
        """Return True for the token, None for anything else."""
        expected = (self._token or "").encode()
        return (bool(expected) and hmac.compare_digest(secret.encode("utf-8", "replace"), expected)) or None

    def hear(self, event: RequestEnded | RequestRefused) -> None:
        """Count an end or a refusal. This is a listener: it never waits."""
        self._requests.hear(event)

    def chores(self, when_fit: WhenFit) -> Iterator[Chore]:
        return self._gateway.chores(when_fit)

    def watch(
        self,
        service: ImageService,
        chores: Chores,
        thumbnails: Thumbnails,
        readiness: ReadinessProbe,
        data_dir: Path,
        facts: dict[str, str],
    ) -> None:
        """Export the state of these parts, too. `facts` are labels of `imagegate_build_info`."""
        self._gateway.watch(service, chores, thumbnails, readiness.check, readiness.relays, data_dir, facts)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their media type, in the form that an Accept header asks for. It takes milliseconds, so a thread
        does it."""
        encode, media_type = choose_encoder(accept)
        return await asyncio.to_thread(encode, self._registry), media_type

    def open(self) -> None:
        """Open the listener, if there is to be one. Raises ConfigurationError when its port cannot be used."""
        if self._address is None:
            return
        host, port = self._address
        try:
            self._listener = start_http_server(port, host, self._registry)
        except OSError as exc:
            message = (
                f"Cannot serve metrics on {host}:{port}: {exc.strerror or exc}. Set another IMAGEGATE_METRICS_PORT."
            )
            raise ConfigurationError(message) from exc

    async def close(self) -> None:
        """Close the listener. Idempotent."""
        if self._listener is not None:
            server, thread = self._listener
            self._listener = None
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            await asyncio.to_thread(thread.join)
