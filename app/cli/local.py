"""Application of the administration API over the database here, for commands; its actor is the current system account."""

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp
from structlog.testing import capture_logs

from app.administration import open_administration
from app.cli.targets import SANDBOX_FOLDER, LocalTarget
from app.core.actors import Actor
from app.errors import ConfigurationError
from app.main import create_administration_app
from app.store.engine import DatabaseUrl


@asynccontextmanager
async def open_application(target: LocalTarget) -> AsyncIterator[ASGIApp]:
    """Open the application. Raises ConfigurationError for a database that is absent, not up to date, or bound to another currency
    or timezone."""
    if not target.has_database:
        message = (
            f"There is no database in {target.data_dir} yet. `imagegate serve` makes one and starts the gateway; "
            "`imagegate db upgrade` only makes one."
        )
        path = DatabaseUrl.of(None, target.data_dir / SANDBOX_FOLDER).path
        if not target.sandbox and path is not None and path.exists():
            message += " Only the sandbox has one: look there with --sandbox."
        raise ConfigurationError(message)
    # Log lines belong to a server's stderr; a command prints each refusal itself, once.
    with capture_logs():
        async with open_administration(
            target.settings, target.database_url, target.data_dir, sandbox=target.sandbox
        ) as administration:
            yield create_administration_app(administration, current_actor())


def current_actor() -> Actor:
    """Return the current system account as actor: everybody who can run commands here may do everything."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # A container may run under a number nobody has a name for.
        name = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return Actor("cli", f"cli:{name}", name)
