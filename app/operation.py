"""Parts for the operation of a gateway, made from the settings: backups, for commands and for `wiring.py`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.administration import picture_files_from
from app.chores import Chore, Chores, WhenFit
from app.control.backup import Backup
from app.control.bill_reader import BillReader
from app.control.disk_probe import DiskProbe
from app.control.manifest import Manifest
from app.control.nightly import NightlyBackup
from app.control.pepper import Peppers
from app.control.readiness import ReadinessProbe
from app.control.relay_conditions import RelayConditions
from app.control.schema_gate import SchemaGate
from app.core.actors import Actor
from app.images.answers import KeptAnswers
from app.images.recovery import Recovery
from app.images.service import ImageService
from app.rates import Rates
from app.settings import Settings
from app.store.backups import BackupRows
from app.store.clock import Clock
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.journal import Journal
from app.store.lock import ProcessLocks
from app.store.processes import count_other_processes

if TYPE_CHECKING:
    from app.control.restore import Restore

BACKUP_TIMEOUT_S = 3600.0
"""Longest statement of a backup on PostgreSQL, which counts the rows of the book."""


def backup_from(settings: Settings, data_dir: Path, database: Database) -> Backup:
    """Make the maker of backups. Raises ConfigurationError for a bucket that cannot be used."""
    return Backup(database, picture_files_from(settings, data_dir, Clock()))


@dataclass(frozen=True, slots=True)
class Backups:
    """Backups of a running gateway. `nightly` is None where the settings have none; `rows` knows those of commands, too."""

    rows: BackupRows
    nightly: NightlyBackup | None

    def chores(self, when_fit: WhenFit) -> Iterator[Chore]:
        if self.nightly is not None:
            turn = when_fit(self.nightly.turn)
            yield Chore("backup", turn, every_s=60.0, first_after_s=30.0, retry_s_max=600.0, last_turn=self.close)

    async def close(self) -> None:
        """Close the connections that only backups use."""
        if self.nightly is not None:
            await self.nightly.backup.database.close()


def backups_from(settings: Settings, data_dir: Path, database: Database) -> Backups:
    """Make the backups of a running gateway. Raises ConfigurationError for a bucket that cannot be used."""
    if settings.backup_dir is None:
        return Backups(BackupRows(database), None)
    backup = backup_from(settings, data_dir, open_database(database.where, BACKUP_TIMEOUT_S))
    folder = settings.backup_dir.expanduser().absolute()
    nightly = NightlyBackup(backup, folder, settings.backup_keep, settings.backup_at, settings.zone)
    return Backups(BackupRows(database), nightly)


def readiness_from(
    settings: Settings,
    service: ImageService,
    schema_gate: SchemaGate,
    rates: Rates,
    chores: Chores,
    recovery: Recovery,
    data_dir: Path,
    backups: Backups,
    relays: RelayConditions,
) -> ReadinessProbe:
    """Make the checks of `/readyz`."""
    disk, database = DiskProbe(data_dir, settings.disk_free_bytes_min), backups.rows.database
    sharing = partial(sharing_state, settings, database, recovery.kept_answers, recovery.process_locks)
    probed = (database, schema_gate, rates, chores, disk, recovery.heartbeat.age_s)
    problem = None if backups.nightly is None else backups.nightly.problem
    return ReadinessProbe(*probed, lambda: service.draining, sharing, backups.rows, problem, relays)


async def sharing_state(settings: Settings, database: Database, kept_answers: KeptAnswers, locks: ProcessLocks) -> str:
    """Describe whether other replicas can replay the answers of this one: `ok`, or the reason why not."""
    if settings.results_url is not None:
        return kept_answers.blobs.problem or "ok"
    others = await count_other_processes(database, locks.seen_ids())
    return f"not shared with {others} other replica{'s' * (others > 1)}" if others else "ok"


def restore_from(
    settings: Settings,
    data_dir: Path,
    where: DatabaseUrl,
    file: Path,
    peppers: Peppers | None,
    bills: BillReader,
    spent: int | Mapping[str, int],
    actor: Actor,
) -> "Restore":
    """Make the restore of a backup. Raises ConfigurationError for a bucket that cannot be used."""
    from app.control.restore import Restore  # with the migrations, which a server does without

    return Restore(
        file=file,
        manifest=Manifest.read(file),
        where=where,
        peppers=peppers,
        currency=settings.currency,
        zone=settings.zone,
        files=picture_files_from(settings, data_dir, Clock()),
        journals=Journal.of(data_dir, settings.backup_dir, file.parent).paths,
        bills=bills,
        spent=spent,
        actor=actor,
    )
