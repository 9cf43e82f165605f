"""Composition root: the only place that chooses implementations and connects them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.administration import (
    Administration,
    doctor_from,
    duplicates_from,
    kept_answers_from,
    made_directory,
    notifier_from,
    pictures_from,
    reconciliations_from,
)
from app.background import chores_of
from app.chores import BackgroundTasks, Chores
from app.connections import relays_from
from app.control.alerting import Alerting
from app.control.pepper import make_private, with_former
from app.control.readiness import ReadinessProbe
from app.control.reconciler import Reconciler
from app.control.reconciliations import Reconciliations
from app.control.relay_alerting import RelayAlerting
from app.control.relay_conditions import RelayConditions
from app.control.schema_gate import SchemaGate
from app.control.secret_change import KeyRehasher
from app.core.grants import Grant
from app.core.ids import new_id
from app.errors import StoreUnavailable
from app.images.admission import Admission
from app.images.answers import KeptAnswers
from app.images.booking import Listeners, log_event
from app.images.exchange import ExchangeContext
from app.images.places import Places
from app.images.recovery import Heartbeat, Recovery
from app.images.refusal_log import RefusalLog
from app.images.replay import DeliveryNotes, Replay
from app.images.service import ImageService
from app.images.taking import PictureTaking
from app.metrics import open_metrics
from app.notify.notifier import Notifier
from app.operation import backups_from, readiness_from
from app.pictures.library import PictureLibrary
from app.rates import Rates, open_rates
from app.settings import Settings
from app.store.clock import Clock
from app.store.control_data import ControlData
from app.store.engine import AWAY, Database, DatabaseUrl, open_database
from app.store.journal import Journal
from app.store.ledger.opening import open_ledger_and_retries
from app.store.ledger.types import Ledger
from app.store.lock import ProcessLocks
from app.store.processes import Processes
from app.store.refusals import RefusalRows
from app.store.requests import StoredRequests
from app.upstream.pool import RelayPool

if TYPE_CHECKING:
    from app.metrics.exporter import MetricsExporter

CLOSE_TIMEOUT_S = 3.0
LOST_S = 120.0
"""Time after an exchange's deadline in which recovery ends the requests of a dead process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway(Administration):
    """Open dependencies of the whole API."""

    control_data: ControlData
    rates: Rates
    image_service: ImageService
    background: BackgroundTasks
    kept_answers: KeptAnswers
    taking: PictureTaking
    library: PictureLibrary
    heartbeat: Heartbeat
    recovery: Recovery
    chores: Chores
    readiness: ReadinessProbe
    key_rehasher: KeyRehasher
    metrics: "MetricsExporter | None"
    """None where metrics are off."""

    def pictures(self) -> PictureLibrary:
        return self.library

    async def grant(self, key_id: str) -> Grant | None:
        """Load the grant of a key; None when there is none. Raises StoreUnavailable."""
        if self.schema_gate.problem is not None:
            raise StoreUnavailable(AWAY)
        return await self.control_data.grant(key_id)


@asynccontextmanager
async def open_gateway(
    settings: Settings, database_url: DatabaseUrl, data_dir: Path, pepper: bytes, *, sandbox: bool = False
) -> AsyncIterator[Gateway]:
    """Open a gateway: recover the requests of dead processes, then start all chores. Raises ConfigurationError.

    While the database does not answer, the gateway opens all the same and is unready. On exit it waits up to `drain_s` for running
    requests.
    """
    make_private(data_dir)
    gateway = _assemble(settings, database_url, data_dir, pepper, sandbox=sandbox)
    try:
        with suppress(StoreUnavailable):
            await gateway.schema_gate.ensure()
        if await gateway.chores.run_once("heartbeat"):
            await gateway.chores.run_once("recovery")
        if gateway.metrics is not None:
            _watch(gateway, gateway.metrics)
            gateway.metrics.open()
        gateway.chores.start()
        yield gateway
    finally:
        service = gateway.image_service
        is_late = service.closed and (service.in_flight or service.places.attached)
        await gateway.background.finish(0 if is_late else settings.drain_s)
        await gateway.chores.stop()
        await _close(gateway)


async def _close(gateway: Gateway) -> None:
    with suppress(Exception):  # Leaving only saves other replicas time, so an error must not keep the rest open.
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await gateway.recovery.processes.deregister()
    gateway.recovery.process_locks.release()
    if gateway.metrics is not None:
        await gateway.metrics.close()
    await gateway.relays.close()
    await gateway.taking.close()
    await gateway.rates.close()
    await gateway.ledger.close()
    await gateway.database.close()


def _assemble(settings: Settings, url: DatabaseUrl, data_dir: Path, pepper: bytes, *, sandbox: bool) -> Gateway:
    clock, background, rates, peppers = Clock(), BackgroundTasks(), _rates(settings), with_former(pepper, settings)
    database = replace(open_database(url), journal=Journal.of(data_dir, settings.backup_dir))
    ledger, retries = open_ledger_and_retries(url, settings.database_connections_max)
    gate = SchemaGate(database, peppers, settings.currency, settings.timezone)
    relays, kept_answers = relays_from(settings, peppers), kept_answers_from(settings, data_dir, database, clock)
    processes, control_data, zone = Processes(database, new_id("proc_")), ControlData(database), settings.zone
    process_locks = ProcessLocks(made_directory(data_dir / "processes"), processes.id)
    (taking, library), notes = pictures_from(settings, kept_answers, clock, sandbox), DeliveryNotes(retries, clock)
    reconciliations = reconciliations_from(settings, database, ledger, relays, peppers)
    metrics = _metrics(settings, reconciliations)
    refusal_log, listeners = _listeners(database, clock, taking, metrics)
    admission = _admission(settings, control_data, rates, ledger, background, processes.id, kept_answers, clock, gate)
    context = _exchange_context(settings, relays, database, ledger, kept_answers, background, listeners, clock)
    replay = Replay(StoredRequests(database), retries, kept_answers, clock, settings.upstream_deadline_s + LOST_S)
    service = _image_service(settings, admission, context, replay, notes)
    heartbeat, backups = Heartbeat(processes, clock, gate.ensure), backups_from(settings, data_dir, database)
    notifier, conditions = notifier_from(settings), RelayConditions(relays, control_data)
    alerting = _alerting(settings, database, notifier, conditions)
    alive = (clock, zone, process_locks, heartbeat, listeners, replay.running)
    recovery = Recovery(processes, ledger, kept_answers, control_data, *alive)
    working = (Reconciler(reconciliations), *alerting, refusal_log, taking, library, backups, metrics)
    chores = chores_of(heartbeat, notes, gate, recovery, relays, *working)
    own: dict[str, Any] = {"settings": settings, "currency": settings.currency, "zone": zone, "data_dir": data_dir}
    return Gateway(
        **own,
        peppers=peppers,
        key_rehasher=KeyRehasher(database, peppers, background, control_data.forget),
        sandbox=sandbox,
        notifier=notifier,
        database=database,
        control_data=control_data,
        rates=rates,
        clock=clock,
        schema_gate=gate,
        image_service=service,
        ledger=ledger,
        relays=relays,
        reconciliations=reconciliations,
        doctor=doctor_from(settings, database, peppers, data_dir, relays),
        background=background,
        kept_answers=kept_answers,
        taking=taking,
        library=library,
        heartbeat=heartbeat,
        recovery=recovery,
        chores=chores,
        readiness=readiness_from(settings, service, gate, rates, chores, recovery, data_dir, backups, conditions),
        metrics=metrics,
    )


def _metrics(settings: Settings, reconciliations: Reconciliations) -> "MetricsExporter | None":
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else None
    address = (settings.host, settings.metrics_port) if settings.metrics_port else None
    return open_metrics(token, address, reconciliations)


def _watch(gateway: Gateway, metrics: "MetricsExporter") -> None:
    parts = (gateway.image_service, gateway.chores, gateway.library.thumbnails, gateway.readiness, gateway.data_dir)
    metrics.watch(*parts, {"currency": gateway.currency, "sandbox": str(gateway.sandbox).lower()})


def _listeners(
    database: Database, clock: Clock, taking: PictureTaking, metrics: "MetricsExporter | None"
) -> tuple[RefusalLog, Listeners]:
    """Make the listeners of each end and each refusal of a request."""
    refusal_log = RefusalLog(RefusalRows(database), clock)
    others = [*([taking.hear] if taking.keep_ms else []), *([metrics.hear] if metrics else [])]
    return refusal_log, Listeners((log_event, refusal_log.hear, *others))


def _alerting(
    settings: Settings, database: Database, notifier: Notifier, conditions: RelayConditions
) -> tuple[Alerting, RelayAlerting]:
    """Make the background work for alerts on usage and on relays."""
    zone, on_relays = settings.zone, RelayAlerting(database, conditions, settings.zone, settings.upstream_dollar_micros)
    return Alerting(database, notifier, zone, settings.currency, settings.public_url), on_relays


def _admission(
    settings: Settings,
    control_data: ControlData,
    rates: Rates,
    ledger: Ledger,
    background: BackgroundTasks,
    process_id: str,
    kept_answers: KeptAnswers,
    clock: Clock,
    schema_gate: SchemaGate,
) -> Admission:
    duplicates = duplicates_from(settings, kept_answers, clock, lambda: schema_gate.digest_key)
    own = (clock, settings.zone, settings.currency, process_id, settings.prompts, duplicates)
    return Admission(control_data, rates, ledger, background, *own)


def _exchange_context(
    settings: Settings,
    relays: RelayPool,
    database: Database,
    ledger: Ledger,
    kept_answers: KeptAnswers,
    background: BackgroundTasks,
    listeners: Listeners,
    clock: Clock,
) -> ExchangeContext:
    bounds = (settings.upstream_deadline_s, settings.upstream_answer_bytes_max)
    return ExchangeContext(relays, database, ledger, kept_answers, background, listeners, clock, settings.zone, *bounds)


def _image_service(
    settings: Settings, admission: Admission, context: ExchangeContext, replay: Replay, notes: DeliveryNotes
) -> ImageService:
    places = Places(settings.in_flight_max, settings.in_flight_share)
    return ImageService(admission, context, replay, notes, places, settings.client_deadline_s)


def _rates(settings: Settings) -> Rates:
    return open_rates(settings.redis_url.get_secret_value() if settings.redis_url else None)
