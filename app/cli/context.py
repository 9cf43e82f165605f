"""Where a command works beside its database: the settings as it was called, and its directory and database."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.settings import Settings
    from app.store.engine import DatabaseUrl

SANDBOX_FOLDER = "sandbox"


@dataclass(frozen=True, slots=True)
class Home:
    """`settings` and `data_dir` are those in effect: in the sandbox a folder of its own in DATA_DIR, with its own SQLite
    database and its own pepper, no Redis and no bucket. `data_dir` is absolute. `flags` begins with a space where it is not empty.
    """

    settings: "Settings"
    data_dir: Path
    sandbox: bool
    flags: str
    database_url: "DatabaseUrl"

    def command(self, words: str) -> str:
        """A command for somebody to type, which works on this same home."""
        return f"imagegate {words}{self.flags}"

    @property
    def where(self) -> str:
        """The directory, or the database without its password."""
        kind = " (sandbox)" if self.sandbox else ""
        return f"{self.data_dir}{kind}" if self.database_url.dialect == "sqlite" else self.database_url.public


def find_home(*, sandbox: bool, data_dir: str | None) -> Home:
    """From the options as given, the environment and `.env`. Raises ConfigurationError."""
    from app.settings import read_settings
    from app.store.engine import DatabaseUrl

    settings = read_settings(data_dir=data_dir)
    folder = settings.data_dir.expanduser().absolute()
    if sandbox:
        folder = folder / SANDBOX_FOLDER
        # Toy money never meets real limits, nor real keys, nor what the environment says about the real ones.
        real = ("database_url", "redis_url", "results_url", "secret_key")
        settings = settings.model_copy(update=dict.fromkeys(real))
    settings = settings.model_copy(update={"data_dir": folder})
    url = settings.database_url.get_secret_value() if settings.database_url else None
    return Home(settings, folder, sandbox, _flags(sandbox, data_dir), DatabaseUrl.of(url, folder))


def _flags(sandbox: bool, data_dir: str | None) -> str:
    where = "" if data_dir is None else f" --data-dir {shlex.quote(data_dir)}"
    return (" --sandbox" if sandbox else "") + where
