"""Background jobs of a gateway."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from app.administration import erasure_from
from app.chores import Chore, Chores, WhenFit
from app.control.alerting import Alerting
from app.control.limit_raises import end_raises
from app.control.reconciler import Reconciler
from app.control.relay_alerting import RelayAlerting
from app.control.relays import forget_removed_keys
from app.control.schema_gate import SchemaGate
from app.errors import ConfigurationError, GatewayError
from app.images.recovery import Heartbeat, Recovery
from app.images.refusal_log import RefusalLog
from app.images.replay import DeliveryNotes
from app.images.taking import PictureTaking
from app.memory import return_freed_memory
from app.operation import Backups
from app.pictures.library import PictureLibrary
from app.store.processes import BEAT_S
from app.upstream.pool import RelayPool

if TYPE_CHECKING:
    from app.metrics.exporter import MetricsExporter


def chores_of(
    heartbeat: Heartbeat,
    notes: DeliveryNotes,
    schema_gate: SchemaGate,
    recovery: Recovery,
    relays: RelayPool,
    reconciler: Reconciler,
    alerting: Alerting,
    relay_alerting: RelayAlerting,
    refusal_log: RefusalLog,
    taking: PictureTaking,
    library: PictureLibrary,
    backups: Backups,
    metrics: "MetricsExporter | None",
) -> Chores:
    """Make the background jobs of a gateway, which the caller starts. `metrics` is None where they are off."""
    beats = Chore("heartbeat", heartbeat.beat, every_s=BEAT_S, first_after_s=0, retry_s_max=2.0)
    when_fit = schema_gate.when_open
    on_database = _database_chores(
        when_fit, recovery, reconciler, alerting, relay_alerting, refusal_log, taking, library, backups
    )
    measuring = metrics.chores(when_fit) if metrics else ()
    delivery_notes = Chore("delivery notes", notes.turn, every_s=0, last_turn=notes.write)
    on_blobs = (*recovery.kept_answers.blobs.chores(), *taking.files.blobs.chores())
    memory = Chore("freed memory", partial(asyncio.to_thread, return_freed_memory), every_s=20.0, first_after_s=20.0)
    probes = Chore("relays", relays.probe, every_s=1.0)
    chores = (beats, probes, *on_database, delivery_notes, *on_blobs, memory, *measuring)
    return Chores(chores, (GatewayError, ConfigurationError))


def _database_chores(
    when_fit: WhenFit,
    recovery: Recovery,
    reconciler: Reconciler,
    alerting: Alerting,
    relay_alerting: RelayAlerting,
    refusal_log: RefusalLog,
    taking: PictureTaking,
    library: PictureLibrary,
    backups: Backups,
) -> Iterator[Chore]:
    kept_answers, clock = recovery.kept_answers, recovery.clock
    yield Chore("recovery", when_fit(recovery.turn), every_s=BEAT_S)
    yield Chore("pruning", when_fit(lambda: kept_answers.prune(clock.now_ms())), every_s=5.0)
    yield Chore("stray files", when_fit(lambda: kept_answers.tidy(clock.now_ms())), every_s=60.0)
    if taking.keep_ms:
        yield Chore("pictures", when_fit(taking.turn), every_s=0)
    yield from library.chores(when_fit)
    yield Chore("erasure of users", when_fit(erasure_from(kept_answers, library).turn), every_s=5.0)
    yield Chore("reconciliation", when_fit(reconciler.turn), every_s=30.0, first_after_s=60.0)
    yield from alerting.chores(when_fit)
    yield from relay_alerting.chores(when_fit)
    yield Chore("raised limits", when_fit(partial(end_raises, alerting.database)), every_s=5.0)
    yield Chore("keys of removed relays", when_fit(partial(forget_removed_keys, alerting.database)), every_s=300.0)
    yield Chore("refusals", when_fit(refusal_log.write), every_s=1.0, last_turn=refusal_log.write)
    yield Chore("pruning of refusals", when_fit(refusal_log.prune), every_s=60.0, first_after_s=10.0)
    yield from backups.chores(when_fit)
