"""Command `imagegate serve`: starts the server."""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.command import LocalContext, local_command
from app.cli.output import say
from app.cli.targets import LocalTarget
from app.errors import ConfigurationError, StoreUnavailable

if TYPE_CHECKING:
    from app.control.installation import FirstKey
    from app.core.catalog import Catalog
    from app.settings import Settings
    from app.store.control_data import ControlData

START_BYTES_MIN = 1024 * 1024
"""Free bytes of the disk below which a start is refused: SQLite could not even open its book."""

app = typer.Typer()


@local_command(app, "serve")
def serve(
    ctx: LocalContext,
    host: Annotated[str | None, typer.Option("--host", metavar="H", help="Instead of HOST.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="P", help="Instead of PORT; 0 picks a free one.")
    ] = None,
    uds: Annotated[
        Path | None, typer.Option("--uds", metavar="PATH", help="Listen on this Unix socket instead of HOST and PORT.")
    ] = None,
) -> None:
    """Start the gateway. With --sandbox it buys from a built-in relay that draws pictures for toy money."""
    import uvloop

    from app.cli.logs import set_up_logs
    from app.unknown_settings import unknown_settings

    settings = ctx.target.settings.model_copy(
        update={name: value for name, value in (("host", host), ("port", port)) if value is not None}
    )
    _check_relay_key(ctx.target)
    if hasattr(signal, "SIGHUP"):  # A closed terminal must not end exchanges that are paid for.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    set_up_logs(as_json=settings.log_json)
    if unknown := unknown_settings():
        names = ", ".join(unknown)
        say(
            f"imagegate: these names are not settings and have no effect: {names}. All settings are in docs/settings.md."
        )
    with _locked(ctx.target), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(ctx.target, settings, uds))


def _check_relay_key(target: LocalTarget) -> None:
    key = target.settings.upstream_api_key
    if not target.sandbox and (key is None or "..." in key.get_secret_value()):
        raise ConfigurationError(
            "There is no key of the relay. Set IMAGEGATE_UPSTREAM_API_KEY in the environment or in .env, or try the gateway "
            "without one: `imagegate serve --sandbox`."
        )


@contextmanager
def _locked(target: LocalTarget) -> Iterator[None]:
    """Lock the data directory on SQLite, so that one server uses the file. On PostgreSQL there may be many servers."""
    from app.control.pepper import make_private_folder
    from app.store.lock import locked

    os.umask(0o077)  # SQLite makes its files with the mode that this leaves.
    make_private_folder(target.data_dir)
    free_bytes = shutil.disk_usage(target.data_dir).free
    if free_bytes < START_BYTES_MIN:
        raise ConfigurationError(
            f"The disk of {target.data_dir} is full: {free_bytes // 1024} KiB are free, and a start needs "
            f"{START_BYTES_MIN // 1024} KiB. Make room there, or name another directory with IMAGEGATE_DATA_DIR."
        )
    with locked(target.data_dir) if target.database_url.dialect == "sqlite" else contextlib.nullcontext():
        yield


async def _serve(target: LocalTarget, settings: "Settings", uds: Path | None) -> None:
    from app.cli.welcome import address_of
    from app.control.pepper import load_pepper
    from app.control.served_address import note_address
    from app.main import create_app
    from app.memory import keep_freed_memory, tune_garbage_collector
    from app.server import Server, allow_many_files, listen, listen_at
    from app.wiring import open_gateway

    allow_many_files()
    keep_freed_memory()
    pepper = load_pepper(settings)
    first = await _first_start(target, pepper)
    with contextlib.closing(listen_at(uds) if uds else listen(settings.host, settings.port)) as sock:
        async with (
            _with_relay(target, settings) as settings,
            open_gateway(settings, target.database_url, target.data_dir, pepper, sandbox=target.sandbox) as gateway,
        ):
            catalog = await _catalog(gateway.control_data)

            if uds is None:
                note_address(target.data_dir, address_of(*sock.getsockname()[:2]))

            def started() -> None:
                tune_garbage_collector()
                _print_welcome(target, uds or sock.getsockname()[:2], first, catalog)

            server = Server(create_app(gateway), gateway.image_service, settings.drain_s, started)
            await server.serve([sock])


async def _catalog(control_data: "ControlData") -> "Catalog":
    """Read the models for the welcome text; none while PostgreSQL is away, which the gateway serves without until it is back."""
    from app.core.catalog import Catalog

    try:
        return await control_data.catalog()
    except StoreUnavailable:
        return Catalog({})


async def _first_start(target: LocalTarget, pepper: bytes) -> "FirstKey | None":
    """Bring SQLite's schema up to date, and give an empty installation its first user and key."""
    if target.database_url.dialect != "sqlite":
        return None
    from app.control.installation import claim, first_key
    from app.control.pepper import with_former
    from app.control.schema_gate import check_not_newer
    from app.store.engine import open_database
    from app.store.schema import schema_state

    database = open_database(target.database_url)
    try:
        state = await schema_state(database)
        check_not_newer(state)
        if not state.up_to_date:
            from app.control.upgrade import upgrade_with_copy

            _, copy = await upgrade_with_copy(database)
            if copy is not None:
                say(f"imagegate: the database as it was is in {copy}.")
        peppers = with_former(pepper, target.settings)
        await claim(database, peppers, target.settings.currency, target.settings.timezone)
        return await first_key(database, pepper)
    finally:
        await database.close()


@asynccontextmanager
async def _with_relay(target: LocalTarget, settings: "Settings") -> "AsyncIterator[Settings]":
    """Yield the settings with the relay to buy from; in the sandbox, start a relay that stops with the server."""
    if not target.sandbox:
        yield settings
        return
    from pydantic import SecretStr

    from app.sandbox import SandboxOptions, running_sandbox

    key = f"sk-{secrets.token_hex(24)}"
    async with running_sandbox(SandboxOptions(key=key, profile=settings.sandbox_profile)) as relay:
        update = {"upstream_base_url": relay.base_url, "upstream_api_key": SecretStr(key), "upstream_proxy": None}
        update["upstream_log_key_in_url"] = True  # The relay is in this process, and its key is of no use elsewhere.
        yield settings.model_copy(update=update)


def _print_welcome(
    target: LocalTarget, where: Path | tuple[str, int], first: "FirstKey | None", catalog: "Catalog"
) -> None:
    from app.cli.welcome import welcome

    print(welcome(target, where, first, catalog), flush=True)
