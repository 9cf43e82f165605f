"""Copies of a PostgreSQL database with its own programs: pg_dump, and pg_restore into an empty database."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from app.errors import ConfigurationError
from app.store.book_facts import BookFacts, facts_of
from app.store.engine import Database, DatabaseUrl
from app.store.tables.base import metadata

_VERSION_ROWS = " TABLE DATA public alembic_version "
_TRIGGER_FUNCTIONS = """
    SELECT DISTINCT tgfoid::regprocedure::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace
"""


async def dump_postgresql(database: Database, target: Path) -> BookFacts:
    """Dump a database into the new file `target`, fsynced, in pg_dump's custom format; returns the facts of the same snapshot.

    `database` is opened with a timeout that leaves time to count its rows. Raises ConfigurationError for a program that is absent
    or fails, StoreUnavailable, OSError.
    """
    await asyncio.to_thread(_make_private, target)
    async with database.read() as connection:
        snapshot = (await connection.execute(sa.text("SELECT pg_export_snapshot()"))).scalar_one()
        facts = await facts_of(connection)
        options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}"]
        await _run("pg_dump", options, database.where)
    await check_dump(target)
    return facts


async def check_dump(path: Path) -> None:
    """Read a dump through to its end. Raises ConfigurationError for one that is damaged."""
    await _run("pg_restore", [f"--file={os.devnull}", str(path)])


async def restore_postgresql(where: DatabaseUrl, path: Path) -> None:
    """Load a dump into an empty database, all or nothing, but without its schema version: until `set_version` no gateway uses it.

    Raises ConfigurationError, for a database that has tables as well.
    """
    listed = await _run("pg_restore", ["--list", str(path)])
    kept = [line for line in listed.splitlines() if _VERSION_ROWS not in line]
    with tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
        chosen.write("\n".join(kept))
        chosen.flush()
        options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
        await _run("pg_restore", [*options, f"--use-list={chosen.name}", str(path)], where)


async def drop_restored(database: Database) -> None:
    """Empty a database again that `restore_postgresql` has filled, before `set_version`."""
    async with database.transaction() as connection:
        for function in (await connection.execute(sa.text(_TRIGGER_FUNCTIONS))).scalars().all():
            await connection.execute(sa.text(f"DROP FUNCTION {function} CASCADE"))
        await connection.run_sync(metadata.drop_all)
        await connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))


async def set_version(database: Database, version: str) -> None:
    """Note the schema version of a restored database, which gateways may use from then on."""
    async with database.transaction() as connection:
        await connection.execute(sa.text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})


async def has_tables(database: Database) -> bool:
    """Return whether a database has tables of any kind in its default schema."""
    async with database.read() as connection:
        return bool(await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()))


def _make_private(target: Path) -> None:
    """Make an empty file that its owner alone may read, in the place of one that is there."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


async def _run(program: str, options: Sequence[str], where: DatabaseUrl | None = None) -> str:
    path = shutil.which(program)
    if path is None:
        raise ConfigurationError(
            f"{program} is not on the PATH. Install PostgreSQL's client programs, of the server's version or newer "
            "(Debian: postgresql-client)."
        )
    address, environment = _address(where)
    process = await asyncio.create_subprocess_exec(
        path,
        *address,
        *options,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode:
        words = err.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
        raise ConfigurationError(f"{program} failed: {words[0]}")
    return out.decode(errors="replace")


def _address(where: DatabaseUrl | None) -> tuple[list[str], dict[str, str]]:
    """Return the command-line option for the address, and the environment, which has the password so that `ps` does not show it."""
    if where is None:
        return [], dict(os.environ)
    parts = urlsplit(where.dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    environment = dict(os.environ) | ({"PGPASSWORD": unquote(password)} if password else {})
    return [f"--dbname={parts._replace(netloc=f'{name}{at}{hosts}').geturl()}"], environment
