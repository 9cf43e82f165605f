"""What `imagegate doctor` looks at: everything a gateway depends on. No check changes anything."""

import asyncio
import contextlib
import re
import shlex
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from app.cli.command import with_flags
from app.cli.context import Home
from app.errors import ConfigurationError, GatewayError

if TYPE_CHECKING:
    from app.store.engine import Database

DATABASE_TIMEOUT_S = 10.0
CLOCK_MS_MAX = 2_000
FREE_BYTES_LOW = 1024 * 1024 * 1024

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A warning works and wants care; what has failed will refuse or lose requests. Both name the next step."""

    check: str
    status: Status
    message: str


async def examine(home: Home) -> list[Finding]:
    """Every check, in the order of what depends on what. Never raises for something that is amiss."""
    configuration = Finding("configuration", "ok", f"Read; the data is in {home.data_dir}.")
    relay, offered = await _relay(home)
    return [configuration, *await _book(home, offered), await _redis(home), *await _bucket(home), _disk(home), relay]


async def _book(home: Home, offered: Sequence[str]) -> list[Finding]:
    """The database, and what only the database knows."""
    from app.cli.database import exists

    if not exists(home):
        start = home.command("serve")
        return [Finding("database", "warning", f"There is none in {home.data_dir} yet; `{start}` makes it.")]
    checks: list[tuple[str, Callable[[Home, Database], Awaitable[Finding]]]] = [
        ("secret key", _secret_key),
        ("clock", _clock),
        ("prices", lambda home, database: _prices(home, database, offered)),
        ("limits", _limits),
    ]
    if home.settings.results_url is None:
        checks.append(("results", _results))
    async with _database(home) as (database, first):
        findings = [first]
        if first.status == "ok":
            findings += [await _asked(home, name, check(home, database)) for name, check in checks]
        return findings


@contextlib.asynccontextmanager
async def _database(home: Home) -> "AsyncIterator[tuple[Database, Finding]]":
    from app.store.engine import open_database

    database = open_database(home.database_url)
    try:
        yield database, await _asked(home, "database", _schema(home, database))
    finally:
        await database.close()


async def _asked(home: Home, check: str, finding: Awaitable[Finding]) -> Finding:
    """The finding; or, where the database refuses, does not answer or is no database, that."""
    from asyncpg import InterfaceError, PostgresError
    from sqlalchemy.exc import SQLAlchemyError

    public = home.database_url.public
    try:
        async with asyncio.timeout(DATABASE_TIMEOUT_S):
            return await finding
    except ConfigurationError as exc:
        return Finding(check, "failed", with_flags(str(exc), home.flags))
    except (GatewayError, TimeoutError) as exc:
        why = "no answer" if isinstance(exc, TimeoutError) else _reason(exc.__cause__ or exc)
        cure = "Look after the disk and the file" if home.database_url.path else "Look whether it runs, and at the URL"
        return Finding(check, "failed", f"{public} does not answer ({why}). {cure}.")
    except (SQLAlchemyError, PostgresError, InterfaceError) as exc:
        return Finding(check, "failed", f"{public} cannot be used: {_reason(exc)}.")


async def _schema(home: Home, database: "Database") -> Finding:
    from app.control.installation import check_binding
    from app.control.schema_gate import check_schema
    from app.store.schema import schema_state

    state = await schema_state(database)
    check_schema(state)
    await check_binding(database, home.settings.currency, home.settings.timezone)
    return Finding("database", "ok", f"{home.database_url.public}, schema {state.current}, {home.settings.currency}.")


async def _secret_key(home: Home, database: "Database") -> Finding:
    from app.control.pepper import FILE, fingerprint, load_pepper
    from app.store import organization

    async with database.read() as connection:
        known = (await organization.book_binding(connection)).pepper_fingerprint
    path = home.data_dir / FILE
    if home.settings.secret_key is None and not path.exists():  # Loading it would make one.
        if known is None:
            return Finding("secret key", "ok", f"None is needed yet; the first start makes {path}.")
        return Finding("secret key", "failed", f"{path} is gone, and no API key works without it. Put it back.")
    if known not in (None, fingerprint(load_pepper(home.settings))):
        message = "It is not the one the API keys were made with: none of them works. Put the old one back"
        return Finding("secret key", "failed", f"{message} ({path} or IMAGEGATE_SECRET_KEY).")
    if home.settings.secret_key is None and path.stat().st_mode & 0o077:
        return Finding("secret key", "warning", f"Others can read {path}. Run: chmod 600 {shlex.quote(str(path))}")
    return Finding("secret key", "ok", "The one the API keys depend on. Keep a copy apart from the database.")


async def _clock(_home: Home, database: "Database") -> Finding:
    before_s = time.time()
    there_ms = await database.now_ms()
    off_ms = round(there_ms - (before_s + time.time()) * 500)
    if abs(off_ms) > CLOCK_MS_MAX:
        ahead = "ahead of" if off_ms > 0 else "behind"
        message = f"The database is {abs(off_ms) / 1000:.1f} s {ahead} this machine. Let both keep time by NTP."
        return Finding("clock", "warning", message)
    return Finding("clock", "ok", f"The database and this machine agree ({abs(off_ms)} ms apart).")


async def _prices(home: Home, database: "Database", offered: Sequence[str]) -> Finding:
    from app.control.prices import list_prices

    listed = await list_prices(database)
    priced = dict.fromkeys(row.model for row in listed if row.in_force)
    if unpriced := [model for model in dict.fromkeys(row.model for row in listed) if model not in priced]:
        cure = home.command(f"prices set {unpriced[0]} --per-image AMOUNT")
        return Finding("prices", "warning", f"None yet, so refused: {', '.join(unpriced)}. Price one with: {cure}")
    if missing := [model for model in priced if offered and model not in offered]:
        message = f"The relay does not offer to this gateway's key: {', '.join(missing)}. Ask its operator."
        return Finding("prices", "warning", message)
    return Finding("prices", "ok", f"Every model of the catalog has one: {', '.join(priced)}.")


async def _limits(home: Home, database: "Database") -> Finding:
    from app.control.limits import show_limits
    from app.control.people import list_users

    users = [user for user in await list_users(database) if user.disabled_at_ms is None]
    limited = {state.limit.scope_id for state in await show_limits(database, home.settings.zone)}
    free = [user.name for user in users if user.id not in limited]
    if not users:
        return Finding("limits", "warning", f"There is no user yet. Make one with: {home.command('users create NAME')}")
    if free:
        cure = home.command(f"limits set --user {shlex.quote(free[0])} --spend 20 --spend-per month")
        return Finding("limits", "warning", f"No limit of their own: {', '.join(free)}. Set one with: {cure}")
    return Finding("limits", "ok", f"Every user has one ({len(users)} in all).")


async def _results(home: Home, database: "Database") -> Finding:
    """Of those that have no bucket: whether others keep theirs elsewhere."""
    from app.store.processes import elsewhere

    folder = home.data_dir / "processes"
    near = [path.name for path in folder.iterdir()] if folder.exists() else []
    if others := await elsewhere(database, near):
        message = (
            f"{others} other gateway{'s' * (others > 1)} with a directory elsewhere: none can replay what another has bought. Let "
            f"all share {home.data_dir}, or set IMAGEGATE_RESULTS_URL."
        )
        return Finding("results", "warning", message)
    return Finding("results", "ok", f"Stored answers are kept in the database and in {home.data_dir / 'results'}.")


async def _bucket(home: Home) -> list[Finding]:
    """Of those that have one."""
    from app.administration import bucket_of
    from app.blobs.bucket import open_bucket

    address = bucket_of(home.settings)
    if address is None:
        return []
    try:
        wrong = await open_bucket(address).check()
    except ConfigurationError as exc:
        return [Finding("results", "failed", str(exc))]
    if wrong is not None:
        cure = "Look at IMAGEGATE_RESULTS_URL, _ENDPOINT and the keys; no picture is lost meanwhile."
        return [Finding("results", "failed", f"{address.url} cannot be used: {wrong}. {cure}")]
    return [Finding("results", "ok", f"{address.url} can be written to, read and cleared.")]


async def _redis(home: Home) -> Finding:
    from app.rates import open_rates

    url = home.settings.redis_url
    if url is None and home.database_url.path is None:
        message = (
            "None is set: each replica counts requests per minute by itself. Set IMAGEGATE_REDIS_URL to share them."
        )
        return Finding("redis", "warning", message)
    if url is None:
        return Finding("redis", "ok", "None is set, and one process needs none: rates are counted in memory.")
    try:
        rates = open_rates(url.get_secret_value())
    except ValueError:
        return Finding("redis", "failed", "IMAGEGATE_REDIS_URL must be like redis://host:6379/0.")
    with _no_log_lines():
        found = await rates.check()
        await rates.close()
    if found != "redis":
        return Finding(
            "redis", "failed", f"It does not serve ({found}). Look whether it runs, and at IMAGEGATE_REDIS_URL."
        )
    return Finding("redis", "ok", "It answers, and can be written to.")


def _disk(home: Home) -> Finding:
    import shutil
    import tempfile

    folder = home.data_dir
    while not folder.exists():  # Before the first start.
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"imagegate")
            file.flush()
    except OSError as exc:
        message = f"{folder} cannot be written to: {exc.strerror}. Run as the user it belongs to, or make room."
        return Finding("disk", "failed", message)
    free_bytes = shutil.disk_usage(folder).free
    status: Status = "ok"
    if free_bytes < FREE_BYTES_LOW:
        status = "failed" if free_bytes < home.settings.disk_free_bytes_min else "warning"
    room = "" if status == "ok" else " Make room: answers and the book are written here."
    return Finding("disk", status, f"{folder} can be written to, {free_bytes / 1024**3:.1f} GiB free.{room}")


async def _relay(home: Home) -> tuple[Finding, Sequence[str]]:
    """With the models it offers; none where it could not be asked."""
    from app.administration import upstream_from
    from app.upstream.probe import models

    settings = home.settings
    if home.sandbox:
        return Finding(
            "relay", "ok", "The sandbox relay lives inside `imagegate serve --sandbox`; nothing to ask here."
        ), ()
    if settings.upstream_api_key is None:
        cure = f"Set IMAGEGATE_UPSTREAM_API_KEY, or try the sandbox: {home.command('serve --sandbox')}"
        return Finding("relay", "failed", f"There is no key for it. {cure}"), ()
    try:
        upstream = upstream_from(settings)
    except ConfigurationError as exc:
        return Finding("relay", "failed", str(exc)), ()
    started_s = time.monotonic()
    try:
        offered = await models(upstream)
    except GatewayError as exc:
        return Finding("relay", "failed", exc.message), ()
    finally:
        await upstream.close()
    took_ms = round((time.monotonic() - started_s) * 1000)
    return Finding("relay", "ok", f"{upstream.base_url} took {took_ms} ms to list {len(offered)} models."), offered


@contextlib.contextmanager
def _no_log_lines() -> Iterator[None]:
    """What the parts would log is said in the finding; outside the server their lines would land among the data."""
    from structlog.testing import capture_logs

    with capture_logs():
        yield


def _reason(exc: BaseException) -> str:
    """The first line of what the driver said, without the statement that SQLAlchemy adds."""
    said = str(getattr(exc, "orig", None) or exc).strip().splitlines() or [type(exc).__name__]
    return re.sub(r"^<class '[\w.]*'>: ", "", said[0]).rstrip(".")
