"""The parts of a gateway that its administration works with, made from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from app.blobs.bucket import BucketAddress
from app.control.doctor import Doctor, Finding
from app.control.installation import check_binding, pepper_here
from app.control.matching import MatchingRules
from app.control.reconciliation import Reconciliation
from app.control.schema_gate import SchemaGate, check_schema
from app.notify.notifier import Mailbox, Notifier, WebhookRules
from app.settings import Settings
from app.store.clock import Clock
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.ledger.opening import open_book
from app.store.ledger.types import Ledger
from app.store.schema import schema_state
from app.upstream.addresses import proxy_address
from app.upstream.client import HttpUpstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """Parts of a gateway that the routes under /organization work with; they buy no images."""

    settings: Settings
    """For `main` alone; routes read the fields below."""
    currency: str
    zone: ZoneInfo
    """The timezone in which intervals are cut."""
    data_dir: Path
    pepper: bytes
    """Empty in the command line where the secret of this database's keys is not at hand: it makes no keys there."""
    sandbox: bool
    notifier: Notifier
    database: Database
    clock: Clock
    schema_gate: SchemaGate
    ledger: Ledger
    upstream: HttpUpstream
    reconciliation: Reconciliation
    doctor: Doctor


@asynccontextmanager
async def open_administration(
    settings: Settings, where: DatabaseUrl, data_dir: Path, *, sandbox: bool = False
) -> AsyncIterator[Administration]:
    """The parts for the administration's routes alone, beside a running gateway: no lock, no process row, no chore.

    Raises ConfigurationError for a database that is not up to date or bound to another currency or timezone, StoreUnavailable.
    """
    database, ledger, upstream = (
        open_database(where),
        open_book(where, connections_max=1).ledger,
        upstream_from(settings),
    )
    try:
        check_schema(await schema_state(database))
        await check_binding(database, settings.currency, settings.timezone)
        pepper = await pepper_here(database, settings, settings.currency, settings.timezone)
        yield Administration(
            settings=settings,
            currency=settings.currency,
            zone=settings.zone,
            data_dir=data_dir,
            pepper=pepper,
            sandbox=sandbox,
            notifier=notifier_from(settings),
            database=database,
            clock=Clock(),
            schema_gate=SchemaGate(database, pepper, settings.currency, settings.timezone),
            ledger=ledger,
            upstream=upstream,
            reconciliation=reconciliation_from(settings, database, ledger, upstream),
            doctor=doctor_from(settings, database, pepper, data_dir, SANDBOX_RELAY if sandbox else upstream),
        )
    finally:
        await upstream.close()
        await ledger.close()
        await database.close()


SANDBOX_RELAY = Finding(
    "relay", "ok", "The sandbox relay lives inside `imagegate serve --sandbox`; nothing to ask here."
)
_NO_RELAY_KEY = Finding(
    "relay",
    "failed",
    "There is no key for it. Set IMAGEGATE_UPSTREAM_API_KEY, or try the sandbox: `imagegate serve --sandbox`",
)


def doctor_from(
    settings: Settings,
    database: Database | None,
    pepper: bytes | None,
    data_dir: Path,
    relay: HttpUpstream | Finding,
) -> Doctor:
    """The checks of `imagegate doctor`; `database` and `pepper` are None where there is none yet."""
    return Doctor(
        database=database,
        currency=settings.currency,
        zone=settings.zone,
        data_dir=data_dir,
        pepper=pepper,
        secret_is_set=settings.secret_key is not None,
        redis_url=settings.redis_url.get_secret_value() if settings.redis_url else None,
        bucket=bucket_of(settings),
        disk_free_bytes_min=settings.disk_free_bytes_min,
        relay=relay if isinstance(relay, Finding) or relay_key(settings) else _NO_RELAY_KEY,
    )


def reconciliation_from(
    settings: Settings, database: Database, ledger: Ledger, upstream: HttpUpstream
) -> Reconciliation:
    """Comparison of the book with the accounts of the relay."""
    rules = MatchingRules(int(settings.upstream_deadline_s * 1000), settings.upstream_dollar_micros)
    return Reconciliation(database, ledger, upstream, relay_key(settings), settings.zone, rules)


def upstream_from(settings: Settings) -> HttpUpstream:
    """Make a client of the relay inside the running loop. Raises ConfigurationError on an address, key or file it cannot use."""
    proxy = settings.upstream_proxy.get_secret_value() if settings.upstream_proxy else None
    return HttpUpstream(
        settings.upstream_base_url,
        relay_key(settings),
        connect_timeout_s=settings.upstream_connect_timeout_s,
        read_timeout_s=settings.upstream_deadline_s,
        proxy=proxy_address(proxy, settings.upstream_base_url),
        ca_file=settings.upstream_ca_file,
    )


def relay_key(settings: Settings) -> str:
    """Key of the relay; empty where none is set."""
    return settings.upstream_api_key.get_secret_value() if settings.upstream_api_key else ""


def bucket_of(settings: Settings) -> BucketAddress | None:
    """Address of the bucket all replicas share; None where answers stay in DATA_DIR."""
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
    """Make the notifier that takes alerts to their channels."""
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
