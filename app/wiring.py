"""The only place that picks concrete parts and puts them together."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.control.alerting import Alerting
from app.control.fitness import Fitness
from app.control.matching import Rules
from app.control.reconciler import Reconciler
from app.control.reconciliation import Reconciliation
from app.core.grants import Grant
from app.core.ids import new_id
from app.errors import GatewayError, StoreUnavailable
from app.notify.courier import Courier, Mailbox, WebhookRules
from app.purchase.admission import Admission
from app.purchase.background import Background
from app.purchase.bucket import BucketAddress, BucketFiles, open_bucket
from app.purchase.buyer import Buyer
from app.purchase.clock import Clock
from app.purchase.exchange import Parts
from app.purchase.recovery import Recovery
from app.purchase.replay import Deliveries, Replay
from app.purchase.result_files import LocalFiles, ResultFiles
from app.purchase.results import Keeping, Results
from app.rates import Rates, open_rates
from app.settings import Settings
from app.spool import Pieces
from app.store.control_data import ControlData
from app.store.engine import AWAY, Database, DatabaseUrl, open_database
from app.store.lock import Neighbours
from app.store.opening import open_book
from app.store.originals import Originals
from app.store.processes import Processes, elsewhere
from app.store.purchases import Purchases
from app.store.results import ResultRows
from app.upstream.client import HttpUpstream

PROBE_TIMEOUT_S = 3.0
ANSWER_PIECE_BYTES = 512 * 1024
LOST_S = 120.0
"""Beyond an exchange's deadline: for others to notice that its process is dead, and to end its requests."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """`checks` says how each part is: `ok`, or what is wrong. Degraded still works; unready does not."""

    status: Literal["ready", "degraded", "unready"]
    checks: dict[str, str]


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything the API works with."""

    settings: Settings
    data_dir: Path
    pepper: bytes
    sandbox: bool
    database: Database
    control_data: ControlData
    rates: Rates
    clock: Clock
    fitness: Fitness
    buyer: Buyer
    purchases: Purchases
    upstream: HttpUpstream
    background: Background
    recovery: Recovery
    chores: tuple[Callable[[], Coroutine[Any, Any, None]], ...]
    """What runs beside the requests, until the gateway closes."""
    pieces: Pieces = field(default_factory=lambda: Pieces(ANSWER_PIECE_BYTES))
    """Of the answers that are being sent."""

    async def grant(self, key_id: str) -> Grant | None:
        """What holds for a key; None when there is none. Raises StoreUnavailable."""
        if self.fitness.complaint is not None:
            raise StoreUnavailable(AWAY)
        return await self.control_data.grant(key_id)

    async def readiness(self) -> Readiness:
        """Asks every part, for a few seconds at most."""
        checks = {"database": await self._database(), "rates": await self.rates.check(), "disk": self._disk()}
        if checks["database"] == "ok":
            checks["results"] = await self._results()
        if self.buyer.draining:
            checks["shutdown"] = "draining"
        if checks["database"] != "ok" or self.buyer.draining:
            return Readiness("unready", checks)
        well = checks["rates"] in ("memory", "redis") and checks["disk"] == checks["results"] == "ok"
        return Readiness("ready" if well else "degraded", checks)

    async def _database(self) -> str:
        if self.fitness.complaint is not None:
            return self.fitness.complaint
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self.database.now_ms()
        except (GatewayError, TimeoutError):
            return "unreachable"
        return "ok"

    async def _results(self) -> str:
        """Whether other replicas can replay what this one has bought."""
        if self.settings.results_url is not None:
            return self.recovery.results.files.complaint or "ok"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                others = await elsewhere(self.database, self.recovery.neighbours.met())
        except (GatewayError, TimeoutError):
            return "unknown"
        return f"not shared with {others} other replica{'s' * (others > 1)}" if others else "ok"

    def _disk(self) -> str:
        free_bytes = shutil.disk_usage(self.data_dir).free
        return "ok" if free_bytes >= self.settings.disk_free_bytes_min else f"only {free_bytes // 1024} KiB free"


@asynccontextmanager
async def open_gateway(
    settings: Settings, where: DatabaseUrl, data_dir: Path, pepper: bytes, *, sandbox: bool = False
) -> AsyncIterator[Gateway]:
    """A gateway at work: what dead processes left is recovered, beats go out. Raises ConfigurationError.

    A database that does not answer is no reason to fail: the gateway is unready until it does. At the end whatever still runs
    is waited for, `drain_s` at most.
    """
    gateway = _assemble(settings, where, data_dir, pepper, sandbox=sandbox)
    chores: list[asyncio.Task[None]] = []
    try:
        with suppress(StoreUnavailable):
            await gateway.fitness.ensure()
        await gateway.recovery.turn()
        chores = [asyncio.create_task(chore()) for chore in gateway.chores]
        yield gateway
    finally:
        await gateway.background.finish(0 if gateway.buyer.closed and gateway.buyer.in_flight else settings.drain_s)
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await _close(gateway)


async def _close(gateway: Gateway) -> None:
    with suppress(Exception):  # A courtesy to other replicas: whatever is wrong with the database, the rest is closed.
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await gateway.recovery.processes.leave()
    gateway.recovery.neighbours.leave()
    await gateway.upstream.close()
    await gateway.rates.close()
    await gateway.purchases.close()
    await gateway.database.close()


def _assemble(settings: Settings, where: DatabaseUrl, data_dir: Path, pepper: bytes, *, sandbox: bool) -> Gateway:
    database, clock, background = open_database(where), Clock(), Background()
    purchases, retries = open_book(where, settings.database_connections_max)
    control_data, fitness = ControlData(database), Fitness(database, pepper, settings.currency)
    rates = open_rates(settings.redis_url.get_secret_value() if settings.redis_url else None)
    upstream, results = _upstream(settings), _results(settings, data_dir, database, clock)
    processes, zone = Processes(database, new_id("proc_")), settings.zone
    neighbours = Neighbours(_folder(data_dir / "processes"), processes.id)
    admission = Admission(
        control_data, rates, purchases, background, clock, zone, settings.currency, processes.id, pepper
    )
    caps = (settings.upstream_deadline_s, settings.upstream_answer_bytes_max)
    parts = Parts(upstream, database, purchases, results, background, clock, zone, *caps)
    deliveries, replay = (
        Deliveries(retries, clock),
        Replay(Originals(database), retries, results, clock, settings.upstream_deadline_s + LOST_S),
    )
    buyer = Buyer(admission, parts, replay, deliveries, settings.in_flight_max, settings.client_deadline_s)
    recovery = Recovery(
        processes, purchases, results, control_data, clock, zone, neighbours, replay.running, fitness.ensure
    )
    rules = Rules(int(settings.upstream_deadline_s * 1000), settings.upstream_dollar_micros)
    reconciliation = Reconciliation(database, purchases, upstream, _relay_key(settings), zone, rules)
    return Gateway(
        settings=settings,
        data_dir=data_dir,
        pepper=pepper,
        sandbox=sandbox,
        database=database,
        control_data=control_data,
        rates=rates,
        clock=clock,
        fitness=fitness,
        buyer=buyer,
        purchases=purchases,
        upstream=upstream,
        background=background,
        recovery=recovery,
        chores=(
            recovery.run,
            deliveries.run,
            results.files.run,
            Reconciler(reconciliation, fitness.ensure).run,
            Alerting(database, courier_of(settings), zone, settings.currency, fitness.ensure).run,
        ),
    )


def _upstream(settings: Settings) -> HttpUpstream:
    return HttpUpstream(
        settings.upstream_base_url,
        _relay_key(settings),
        connect_timeout_s=settings.upstream_connect_timeout_s,
        read_timeout_s=settings.upstream_deadline_s,
    )


def _relay_key(settings: Settings) -> str:
    return settings.upstream_api_key.get_secret_value() if settings.upstream_api_key else ""


def _results(settings: Settings, data_dir: Path, database: Database, clock: Clock) -> Results:
    keeping = Keeping(
        settings.result_keep_s, settings.result_keep_keyed_s, settings.result_bytes_max, settings.disk_free_bytes_min
    )
    local = LocalFiles(_folder(data_dir / "results"))
    address = bucket_of(settings)
    files: ResultFiles = (
        local if address is None else BucketFiles(local, open_bucket(address), keeping.bytes_max, clock.now_ms)
    )
    return Results(files, ResultRows(database), keeping)


def bucket_of(settings: Settings) -> BucketAddress | None:
    """Where results go for all replicas; None where they stay in DATA_DIR."""
    if settings.results_url is None:
        return None
    secret = settings.results_secret_access_key
    return BucketAddress(
        settings.results_url,
        settings.results_endpoint,
        settings.results_region,
        settings.results_access_key_id,
        secret.get_secret_value() if secret else None,
    )


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def courier_of(settings: Settings) -> Courier:
    """Whoever takes alerts to their channels."""
    password = settings.smtp_password.get_secret_value() if settings.smtp_password else None
    mailbox = Mailbox(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_security,
        settings.smtp_user,
        password,
        settings.smtp_from,
    )
    return Courier(WebhookRules(settings.webhook_allow_http, settings.webhook_allow_private), mailbox)
