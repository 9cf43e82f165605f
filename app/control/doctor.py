"""Checks of everything a gateway depends on. No check changes anything."""

import asyncio
import re
import shlex
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from app.blobs.objects import BucketAddress, open_bucket
from app.control.doctor_alerts import check_alerts
from app.control.doctor_files import check_backups, check_disk, check_modes, check_picture_room
from app.control.doctor_relay import AskedRelays, RelayChecks, check_models, check_prices
from app.control.doctor_secret import check_secret_change
from app.control.findings import Finding
from app.control.installation import check_binding
from app.control.limits import show_limits
from app.control.pepper import FILE, Peppers
from app.control.schema_gate import check_schema
from app.errors import ConfigurationError, GatewayError
from app.notify.notifier import Notifier
from app.rates import open_rates
from app.store import organization
from app.store.engine import Database
from app.store.organization import list_users
from app.store.pictures import PictureRows
from app.store.processes import count_other_processes
from app.store.schema import schema_state

DATABASE_TIMEOUT_S = 10.0
ALERTS_TIMEOUT_S = 60.0
"""Longest time of the check of alerts, which asks the mail server."""
CLOCK_MS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Doctor:
    """Examines the parts of a gateway.

    `database` is None before the first start, `peppers` is None where none is set or made. `secret_is_set`: the pepper is from the
    environment, not from a file. `pictures_bytes_max` is 0 where no pictures are kept.
    """

    database: Database | None
    currency: str
    zone: ZoneInfo
    data_dir: Path
    unknown_settings: list[str]
    """Names that begin like a setting and are none."""
    peppers: Peppers | None
    secret_is_set: bool
    redis_url: str | None
    bucket: BucketAddress | None
    disk_free_bytes_min: int
    pictures_bytes_max: int
    relay: RelayChecks
    notifier: Notifier
    backup_dir: Path | None
    """Folder of the nightly backups; None where there are none."""
    is_sandbox: bool
    """Toy money needs no backups."""

    async def examine(self) -> list[Finding]:
        """Run every check, each after those it depends on. Problems become findings, not exceptions."""
        relays = await self.relay.ask(self.database)
        bucket = [await self._bucket(self.bucket)] if self.bucket is not None else []
        files = [
            check_disk(self.data_dir, self.disk_free_bytes_min),
            await asyncio.to_thread(check_modes, self.data_dir, Path.cwd()),
        ]
        book = await self._book(relays)
        return [self._configuration(), *book, await self._redis(), *bucket, *files, *relays.all_findings()]

    def _configuration(self) -> Finding:
        if self.unknown_settings:
            names = ", ".join(self.unknown_settings)
            message = f"These names are not settings and have no effect: {names}. All settings are in docs/settings.md."
            return Finding("configuration", "warning", message)
        return Finding("configuration", "ok", f"Read; the data is in {self.data_dir}.")

    async def _book(self, relays: AskedRelays) -> list[Finding]:
        """Check the database and all that is read from it."""
        if self.database is None:
            message = f"There is none in {self.data_dir} yet; `imagegate serve` makes it."
            return [Finding("database", "warning", message)]
        database = self.database
        first = await _checked("database", database, self._schema(database))
        if first.status != "ok":
            return [first]
        checks = {
            "secret key": self._secret_key(database),
            "clock": _clock(database),
            "prices": check_prices(database, relays),
            "models": check_models(database, relays),
            "limits": self._limits(database),
        }
        if not self.is_sandbox:
            checks["backups"] = check_backups(database, self.backup_dir)
        if self.bucket is None:
            checks["results"] = self._results(database)
            if self.pictures_bytes_max:
                checks["pictures"] = self._pictures(database)
        found = [await _checked(name, database, check) for name, check in checks.items()]
        alerts = await _checked("alerts", database, check_alerts(database, self.notifier), ALERTS_TIMEOUT_S)
        return [first, *found, alerts]

    async def _schema(self, database: Database) -> Finding:
        state = await schema_state(database)
        check_schema(state)
        await check_binding(database, self.currency, self.zone.key)
        return Finding("database", "ok", f"{database.where.public}, schema {state.current}, {self.currency}.")

    async def _secret_key(self, database: Database) -> Finding:
        async with database.read() as connection:
            known = (await organization.book_binding(connection)).pepper_fingerprint
        path = self.data_dir / FILE
        if self.peppers is None and known is None:
            return Finding("secret key", "ok", f"None is needed yet; the first start makes {path}.")
        if self.peppers is None:
            return Finding("secret key", "failed", f"{path} is gone, and no API key works without it. Put it back.")
        if known is not None and self.peppers.of(known) is None:
            message = (
                "It is not the one the API keys were made with: none of them works. Put the old one back "
                f"({path} or IMAGEGATE_SECRET_KEY)."
            )
            return Finding("secret key", "failed", message)
        if not self.secret_is_set and path.exists() and path.stat().st_mode & 0o077:
            return Finding("secret key", "warning", f"Others can read {path}. Run: chmod 600 {shlex.quote(str(path))}")
        return await check_secret_change(database, self.peppers)

    async def _limits(self, database: Database) -> Finding:
        users = [user for user in await database.ask(list_users) if user.disabled_at_ms is None]
        limited = {state.limit.scope_id for state in await show_limits(database, self.zone)}
        free = [user.name for user in users if user.id not in limited]
        if not users:
            return Finding("limits", "warning", "There is no user yet. Make one with: `imagegate users create NAME`")
        if free:
            cure = f"`imagegate limits set --user {shlex.quote(free[0])} --spend 20 --spend-per month`"
            return Finding("limits", "warning", f"No limit of their own: {', '.join(free)}. Set one with: {cure}")
        return Finding("limits", "ok", f"Every user has one ({len(users)} in all).")

    async def _results(self, database: Database) -> Finding:
        """Check that every process stores results in one DATA_DIR, where there is no bucket."""
        folder = self.data_dir / "processes"
        near = [path.name for path in folder.iterdir()] if folder.exists() else []
        if others := await count_other_processes(database, near):
            message = (
                f"{others} other gateway{'s' * (others > 1)} with a directory elsewhere: none can replay what another has "
                f"bought. Let all share {self.data_dir}, or set IMAGEGATE_RESULTS_URL."
            )
            return Finding("results", "warning", message)
        return Finding("results", "ok", f"Stored answers are kept in the database and in {self.data_dir / 'results'}.")

    async def _pictures(self, database: Database) -> Finding:
        used_bytes = await PictureRows(database).total_bytes()
        return check_picture_room(self.data_dir, self.pictures_bytes_max, used_bytes)

    async def _bucket(self, address: BucketAddress) -> Finding:
        try:
            wrong = await open_bucket(address).check()
        except ConfigurationError as exc:
            return Finding("results", "failed", str(exc))
        if wrong is not None:
            cure = "Look at IMAGEGATE_RESULTS_URL, _ENDPOINT and the keys; no picture is lost meanwhile."
            return Finding("results", "failed", f"{address.url} cannot be used: {wrong}. {cure}")
        return Finding("results", "ok", f"{address.url} can be written to, read and cleared.")

    async def _redis(self) -> Finding:
        if self.redis_url is None and self.database is not None and not self.database.is_sqlite:
            message = (
                "None is set: each replica counts requests per minute by itself. Set IMAGEGATE_REDIS_URL to share them."
            )
            return Finding("redis", "warning", message)
        if self.redis_url is None:
            return Finding("redis", "ok", "None is set, and one process needs none: rates are counted in memory.")
        try:
            rates = open_rates(self.redis_url)
        except ValueError:
            return Finding("redis", "failed", "IMAGEGATE_REDIS_URL must be like redis://host:6379/0.")
        found = await rates.check()
        await rates.close()
        if found != "redis":
            message = f"It does not serve ({found}). Look whether it runs, and at IMAGEGATE_REDIS_URL."
            return Finding("redis", "failed", message)
        return Finding("redis", "ok", "It answers, and can be written to.")


async def _checked(
    check: str, database: Database, finding: Awaitable[Finding], timeout_s: float = DATABASE_TIMEOUT_S
) -> Finding:
    """Await a finding; an error of the database becomes a finding too."""
    public = database.where.public
    try:
        async with asyncio.timeout(timeout_s):
            return await finding
    except ConfigurationError as exc:
        return Finding(check, "failed", str(exc))
    except (GatewayError, TimeoutError) as exc:
        why = "no answer" if isinstance(exc, TimeoutError) else _reason(exc.__cause__ or exc)
        cure = "Look after the disk and the file" if database.is_sqlite else "Look whether it runs, and at the URL"
        return Finding(check, "failed", f"{public} does not answer ({why}). {cure}.")
    except _database_errors() as exc:
        return Finding(check, "failed", f"{public} cannot be used: {_reason(exc)}.")


async def _clock(database: Database) -> Finding:
    before_s = time.time()
    there_ms = await database.now_ms()
    off_ms = round(there_ms - (before_s + time.time()) * 500)
    if abs(off_ms) > CLOCK_MS_MAX:
        ahead = "ahead of" if off_ms > 0 else "behind"
        message = f"The database is {abs(off_ms) / 1000:.1f} s {ahead} this machine. Let both keep time by NTP."
        return Finding("clock", "warning", message)
    return Finding("clock", "ok", f"The database and this machine agree ({abs(off_ms)} ms apart).")


def _reason(exc: BaseException) -> str:
    """Return the first line of the driver's message, without the statement that SQLAlchemy adds."""
    said = str(getattr(exc, "orig", None) or exc).strip().splitlines() or [type(exc).__name__]
    return re.sub(r"^<class '[\w.]*'>: ", "", said[0]).rstrip(".")


def _database_errors() -> tuple[type[Exception], ...]:
    from asyncpg import InterfaceError, PostgresError  # 5 MiB, which a server on SQLite does without.

    return SQLAlchemyError, PostgresError, InterfaceError
