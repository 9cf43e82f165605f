"""Parts of the gateway that administration needs, made from the settings: for the API, for commands, and for `wiring.py`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from app.blobs.bucket import BucketBlobs
from app.blobs.folder import Blobs, FolderBlobs
from app.blobs.objects import BucketAddress, open_bucket
from app.blobs.picture_files import DIGEST_PATTERN, PictureFiles
from app.connections import bills_from, relay_key, relays_from
from app.control.doctor import Doctor
from app.control.doctor_relay import RelayChecks
from app.control.erasure import Erasure
from app.control.findings import Finding
from app.control.installation import check_binding, pepper_here
from app.control.pepper import Peppers
from app.control.reconciliations import Reconciliations
from app.control.schema_gate import SchemaGate, check_schema
from app.core.intervals import DAY_MS
from app.images.answers import KeptAnswers, RetentionPolicy
from app.images.duplicates import Duplicates
from app.images.storing import PictureStoring
from app.images.taking import PictureTaking
from app.notify.notifier import Mailbox, Notifier, WebhookRules
from app.pictures.library import PictureLibrary
from app.pictures.thumbnails import Thumbnails
from app.settings import Settings
from app.store.clock import Clock
from app.store.duplicates import PurchaseRows
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.journal import Journal
from app.store.ledger.opening import open_ledger_and_retries
from app.store.ledger.types import Ledger
from app.store.pictures import PictureRows
from app.store.results import ResultRows
from app.store.schema import schema_state
from app.unknown_settings import unknown_settings
from app.upstream.client import HttpUpstream
from app.upstream.fetch import PictureFetcher
from app.upstream.pool import RelayPool

PICTURES = "pictures"
THUMBNAILS = "thumbnails"
SANDBOX_NETWORK = "127.0.0.0/8"
"""Network of the sandbox relay, whose links lead to this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """Dependencies of the routes under /organization, which buy no images."""

    settings: Settings
    """Settings, for `app/main.py` only; routes use the fields below."""
    currency: str
    zone: ZoneInfo
    """Timezone of the intervals of limits."""
    data_dir: Path
    peppers: Peppers
    """Secrets for the HMACs of API keys. Empty in a command that has no access to them: no keys can be made then."""
    sandbox: bool
    notifier: Notifier
    database: Database
    clock: Clock
    schema_gate: SchemaGate
    ledger: Ledger
    relays: RelayPool
    reconciliations: Reconciliations
    doctor: Doctor

    @property
    def pepper(self) -> bytes:
        """Secret that new keys are hashed with."""
        return self.peppers.current

    @property
    def upstream(self) -> HttpUpstream:
        """Relay that the settings describe."""
        return self.relays.default

    def pictures(self) -> PictureLibrary:
        """Return the library of pictures. Raises ConfigurationError for a bucket that cannot be used."""
        return library_from(self.settings, self.data_dir, self.database, self.clock)

    def erasure(self, database: Database) -> Erasure:
        """Return the service that erases users. The audit log names the actor of `database`, which it works with, except that
        pictures are removed with the gateway's own. Raises as `pictures` does."""
        answers = kept_answers_from(self.settings, self.data_dir, database, self.clock)
        return erasure_from(answers, self.pictures())


@asynccontextmanager
async def open_administration(
    settings: Settings, database_url: DatabaseUrl, data_dir: Path, *, sandbox: bool = False
) -> AsyncIterator[Administration]:
    """Open the parts for the administration only, beside a running gateway: without lock, process row and chores.

    Raises ConfigurationError for a database that is not up to date or bound to another currency or timezone, StoreUnavailable.
    """
    database = replace(open_database(database_url), journal=Journal.of(data_dir, settings.backup_dir))
    ledger = open_ledger_and_retries(database_url, connections_max=1).ledger
    try:
        check_schema(await schema_state(database))
        await check_binding(database, settings.currency, settings.timezone)
        peppers = Peppers(await pepper_here(database, settings, settings.currency, settings.timezone))
        relays = relays_from(settings, peppers)
        try:
            yield _administration(settings, database, data_dir, ledger, relays, peppers, sandbox=sandbox)
        finally:
            await relays.close()
    finally:
        await ledger.close()
        await database.close()


def _administration(
    settings: Settings,
    database: Database,
    data_dir: Path,
    ledger: Ledger,
    relays: RelayPool,
    peppers: Peppers,
    *,
    sandbox: bool,
) -> Administration:
    return Administration(
        settings=settings,
        currency=settings.currency,
        zone=settings.zone,
        data_dir=data_dir,
        peppers=peppers,
        sandbox=sandbox,
        notifier=notifier_from(settings),
        database=database,
        clock=Clock(),
        schema_gate=SchemaGate(database, peppers, settings.currency, settings.timezone),
        ledger=ledger,
        relays=relays,
        reconciliations=reconciliations_from(settings, database, ledger, relays, peppers),
        doctor=doctor_from(settings, database, peppers, data_dir, SANDBOX_RELAY if sandbox else relays),
    )


SANDBOX_RELAY = Finding(
    "relay", "ok", "The sandbox relay lives inside `imagegate serve --sandbox`; nothing to ask here."
)


def doctor_from(
    settings: Settings,
    database: Database | None,
    peppers: Peppers | None,
    data_dir: Path,
    relays: RelayPool | Finding,
) -> Doctor:
    """Make the checks of `imagegate doctor`; `database` and `peppers` are None when there is none yet."""
    bills = relays if isinstance(relays, Finding) else bills_from(settings, relays, peppers)
    return Doctor(
        database=database,
        currency=settings.currency,
        zone=settings.zone,
        data_dir=data_dir,
        unknown_settings=unknown_settings(),
        peppers=peppers,
        secret_is_set=settings.secret_key is not None,
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
        bucket=bucket_of(settings),
        disk_free_bytes_min=settings.disk_free_bytes_min,
        pictures_bytes_max=settings.pictures_bytes_max if settings.pictures_keep_days else 0,
        relay=RelayChecks(bills, has_key=bool(relay_key(settings))),
        notifier=notifier_from(settings),
        backup_dir=settings.backup_dir,
        is_sandbox=relays is SANDBOX_RELAY,
    )


def reconciliations_from(
    settings: Settings, database: Database, ledger: Ledger, relays: RelayPool, peppers: Peppers
) -> Reconciliations:
    """Make the comparison of the book with the accounts of all relays."""
    return Reconciliations(database, ledger, bills_from(settings, relays, peppers), settings.zone)


def bucket_of(settings: Settings) -> BucketAddress | None:
    """Return the address of the bucket that all replicas share; None when answers stay in DATA_DIR."""
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


def notifier_from(settings: Settings) -> Notifier:
    """Make the notifier that sends alerts to their channels."""
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


def kept_answers_from(settings: Settings, data_dir: Path, database: Database, clock: Clock) -> KeptAnswers:
    """Make the store of answers and of pictures, in DATA_DIR and the bucket. Raises ConfigurationError."""
    retention = RetentionPolicy(
        settings.result_keep_s, settings.result_keep_keyed_s, settings.result_bytes_max, settings.disk_free_bytes_min
    )
    files = _answer_blobs(settings, data_dir, clock)
    rows = ResultRows(database, keeps_untaken=settings.pictures_keep_days > 0)
    for folder in (PICTURES, THUMBNAILS):
        made_directory(data_dir / folder)
    return KeptAnswers(files, rows, retention, picture_files_from(settings, data_dir, clock), PictureRows(database))


def picture_files_from(settings: Settings, data_dir: Path, clock: Clock, folder: str = PICTURES) -> PictureFiles:
    """Make the files of pictures in a folder of DATA_DIR, which a command that only reads does not make, and of the bucket. Raises
    ConfigurationError."""
    local = FolderBlobs(data_dir / folder, DIGEST_PATTERN, folder)
    return PictureFiles(_blobs(settings, local, f"/{folder}", clock))


def library_from(
    settings: Settings, data_dir: Path, database: Database, clock: Clock, kept_answers: KeptAnswers | None = None
) -> PictureLibrary:
    """Make the library of the pictures that are kept, with the files of `kept_answers`, if given. Raises
    ConfigurationError."""
    rows = PictureRows(database)
    files = kept_answers.picture_files if kept_answers else picture_files_from(settings, data_dir, clock)
    answers = kept_answers.blobs if kept_answers else _answer_blobs(settings, data_dir, clock)
    thumbnails = Thumbnails(rows, files, picture_files_from(settings, data_dir, clock, THUMBNAILS))
    return PictureLibrary(rows, files, answers, thumbnails, clock, settings.pictures_bytes_max)


def pictures_from(
    settings: Settings, kept_answers: KeptAnswers, clock: Clock, sandbox: bool
) -> tuple[PictureTaking, PictureLibrary]:
    """Make what takes pictures from stored answers, and the library of those that are kept. Needs a running event loop."""
    rows, files = kept_answers.picture_rows, kept_answers.picture_files
    fetcher = PictureFetcher(
        networks=[*settings.fetch_networks, *([SANDBOX_NETWORK] if sandbox else [])],
        deadline_s=settings.pictures_fetch_s,
        bytes_max=settings.pictures_fetch_bytes_max,
    )
    library = library_from(settings, kept_answers.directory.parent, rows.database, clock, kept_answers)
    storing = PictureStoring(files, settings.pictures_keep_days * DAY_MS, settings.prompts == "text")
    taking = PictureTaking(kept_answers, rows, storing, fetcher, clock, library.thumbnails.hear)
    return taking, replace(library, take_now=taking.take_now if taking.keep_ms else None)


def duplicates_from(settings: Settings, kept: KeptAnswers, clock: Clock, key: Callable[[], bytes]) -> Duplicates:
    """Make the recognition of duplicates, which needs kept pictures and digests of prompts."""
    rows = PurchaseRows(kept.picture_rows.database)
    is_on = settings.pictures_keep_days > 0 and settings.prompts != "none"
    return Duplicates(rows, kept, clock, key, is_on)


def erasure_from(kept_answers: KeptAnswers, library: PictureLibrary) -> Erasure:
    """Make the service that erases users. The audit log names the actor of the database of `kept_answers`."""
    return Erasure(
        kept_answers.picture_rows.database,
        kept_answers.rows,
        kept_answers.blobs,
        library.remove,
        partial(library.remove_strays, 0),
    )


def _answer_blobs(settings: Settings, data_dir: Path, clock: Clock) -> Blobs:
    return _blobs(settings, FolderBlobs(made_directory(data_dir / "results")), "", clock)


def _blobs(settings: Settings, local: FolderBlobs, folder: str, clock: Clock) -> Blobs:
    """Make blobs in a directory and, where a bucket is set, in a folder of it."""
    address = bucket_of(settings)
    if address is None:
        return local
    bucket = open_bucket(replace(address, url=address.url.rstrip("/") + folder))
    return BucketBlobs(local, bucket, settings.result_bytes_max, clock.now_ms)


def made_directory(path: Path) -> Path:
    """Make a directory that only this user can read, where there is none."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path
