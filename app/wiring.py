"""The only place that picks concrete context and puts them together."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from app.blobs.bucket import BucketAddress, BucketBlobs, open_bucket
from app.blobs.folder import Blobs, FolderBlobs
from app.chores import BackgroundTasks
from app.control.alerting import Alerting
from app.control.matching import Rules
from app.control.reconciler import Reconciler
from app.control.reconciliation import Reconciliation
from app.control.schema_gate import SchemaGate
from app.core.grants import Grant
from app.core.ids import new_id
from app.errors import GatewayError, StoreUnavailable
from app.images.admission import Admission
from app.images.answers import KeptAnswers, RetentionPolicy
from app.images.exchange import ExchangeContext
from app.images.recovery import Recovery
from app.images.replay import DeliveryNotes, Replay
from app.images.service import ImageService
from app.notify.notifier import Mailbox, Notifier, WebhookRules
from app.rates import Rates, open_rates
from app.settings import Settings
from app.spool import Pieces
from app.store.clock import Clock
from app.store.control_data import ControlData
from app.store.engine import AWAY, Database, DatabaseUrl, open_database
from app.store.ledger.opening import open_book
from app.store.ledger.originals import Originals
from app.store.ledger.types import Ledger
from app.store.lock import ProcessLocks
from app.store.processes import Processes, elsewhere
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
    """For `main` alone; routes read the fields below."""
    currency: str
    zone: ZoneInfo
    """The timezone in which intervals are cut."""
    data_dir: Path
    pepper: bytes
    sandbox: bool
    notifier: Notifier
    database: Database
    control_data: ControlData
    rates: Rates
    clock: Clock
    schema_gate: SchemaGate
    image_service: ImageService
    ledger: Ledger
    upstream: HttpUpstream
    background: BackgroundTasks
    recovery: Recovery
    chores: tuple[Callable[[], Coroutine[Any, Any, None]], ...]
    """What runs beside the requests, until the gateway closes."""
    pieces: Pieces = field(default_factory=lambda: Pieces(ANSWER_PIECE_BYTES))
    """Of the answers that are being sent."""

    async def grant(self, key_id: str) -> Grant | None:
        """What holds for a key; None when there is none. Raises StoreUnavailable."""
        if self.schema_gate.complaint is not None:
            raise StoreUnavailable(AWAY)
        return await self.control_data.grant(key_id)

    async def readiness(self) -> Readiness:
        """Asks every part, for a few seconds at most."""
        checks = {"database": await self._database(), "rates": await self.rates.check(), "disk": self._disk()}
        if checks["database"] == "ok":
            checks["results"] = await self._results()
        if self.image_service.draining:
            checks["shutdown"] = "draining"
        if checks["database"] != "ok" or self.image_service.draining:
            return Readiness("unready", checks)
        well = checks["rates"] in ("memory", "redis") and checks["disk"] == checks["results"] == "ok"
        return Readiness("ready" if well else "degraded", checks)

    async def _database(self) -> str:
        if self.schema_gate.complaint is not None:
            return self.schema_gate.complaint
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await self.database.now_ms()
        except (GatewayError, TimeoutError):
            return "unreachable"
        return "ok"

    async def _results(self) -> str:
        """Whether other replicas can replay what this one has booked."""
        if self.settings.results_url is not None:
            return self.recovery.results.files.complaint or "ok"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                others = await elsewhere(self.database, self.recovery.process_locks.met())
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
            await gateway.schema_gate.ensure()
        await gateway.recovery.turn()
        chores = [asyncio.create_task(chore()) for chore in gateway.chores]
        yield gateway
    finally:
        await gateway.background.finish(
            0 if gateway.image_service.closed and gateway.image_service.in_flight else settings.drain_s
        )
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await _close(gateway)


async def _close(gateway: Gateway) -> None:
    with suppress(Exception):  # A courtesy to other replicas: whatever is wrong with the database, the rest is closed.
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await gateway.recovery.processes.leave()
    gateway.recovery.process_locks.leave()
    await gateway.upstream.close()
    await gateway.rates.close()
    await gateway.ledger.close()
    await gateway.database.close()


def _assemble(settings: Settings, where: DatabaseUrl, data_dir: Path, pepper: bytes, *, sandbox: bool) -> Gateway:
    database, clock, background = open_database(where), Clock(), BackgroundTasks()
    ledger, retries = open_book(where, settings.database_connections_max)
    control_data, schema_gate = ControlData(database), SchemaGate(database, pepper, settings.currency)
    rates = open_rates(settings.redis_url.get_secret_value() if settings.redis_url else None)
    upstream, results = _upstream(settings), _results(settings, data_dir, database, clock)
    processes, zone = Processes(database, new_id("proc_")), settings.zone
    process_locks = ProcessLocks(_folder(data_dir / "processes"), processes.id)
    admission = Admission(control_data, rates, ledger, background, clock, zone, settings.currency, processes.id, pepper)
    caps = (settings.upstream_deadline_s, settings.upstream_answer_bytes_max)
    context = ExchangeContext(upstream, database, ledger, results, background, clock, zone, *caps)
    deliveries, replay = (
        DeliveryNotes(retries, clock),
        Replay(Originals(database), retries, results, clock, settings.upstream_deadline_s + LOST_S),
    )
    image_service = ImageService(
        admission, context, replay, deliveries, settings.in_flight_max, settings.client_deadline_s
    )
    recovery = Recovery(
        processes, ledger, results, control_data, clock, zone, process_locks, replay.running, schema_gate.ensure
    )
    notifier = notifier_from(settings)
    rules = Rules(int(settings.upstream_deadline_s * 1000), settings.upstream_dollar_micros)
    reconciliation = Reconciliation(database, ledger, upstream, _relay_key(settings), zone, rules)
    return Gateway(
        settings=settings,
        currency=settings.currency,
        zone=zone,
        data_dir=data_dir,
        pepper=pepper,
        sandbox=sandbox,
        notifier=notifier,
        database=database,
        control_data=control_data,
        rates=rates,
        clock=clock,
        schema_gate=schema_gate,
        image_service=image_service,
        ledger=ledger,
        upstream=upstream,
        background=background,
        recovery=recovery,
        chores=(
            recovery.run,
            deliveries.run,
            results.files.run,
            Reconciler(reconciliation, schema_gate.ensure).run,
            Alerting(database, notifier, zone, settings.currency, schema_gate.ensure).run,
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


def _results(settings: Settings, data_dir: Path, database: Database, clock: Clock) -> KeptAnswers:
    retention = RetentionPolicy(
        settings.result_keep_s, settings.result_keep_keyed_s, settings.result_bytes_max, settings.disk_free_bytes_min
    )
    local = FolderBlobs(_folder(data_dir / "results"))
    address = bucket_of(settings)
    files: Blobs = (
        local if address is None else BucketBlobs(local, open_bucket(address), retention.bytes_max, clock.now_ms)
    )
    return KeptAnswers(files, ResultRows(database), retention)


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


def notifier_from(settings: Settings) -> Notifier:
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
    return Notifier(WebhookRules(settings.webhook_allow_http, settings.webhook_allow_private), mailbox)
