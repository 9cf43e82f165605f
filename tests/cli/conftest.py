"""The command line, as a person calls it."""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli.root import run
from app.store.engine import Database, DatabaseUrl, open_database


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The only document on stderr."""
        assert self.out == ""
        error: dict[str, Any] = json.loads(self.err)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error


@dataclass(frozen=True, slots=True)
class Cli:
    """Runs commands in a folder of the test's own, whose `data` is the data directory."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, line: str, *more: str, code: int | None = 0) -> Done:
        """The words of `line`, then `more` as they are. With `code` None any exit code will do."""
        self.capsys.readouterr()
        done = Done(run([*line.split(), *more]), *self.capsys.readouterr())
        assert code in (None, done.code), done
        return done

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def database(self, work: Callable[[Database], Coroutine[Any, Any, None]], folder: str = "data") -> None:
        """Do something to the SQLite database of a folder, as a running gateway would."""

        async def do() -> None:
            database = open_database(DatabaseUrl.of(None, self.folder / folder))
            await work(database)
            await database.close()

        asyncio.run(do())


@pytest.fixture
def empty_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Nothing is there yet."""
    for name in os.environ:
        if name.startswith("IMAGEGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("IMAGEGATE_SMTP_HOST", "127.0.0.1")
    monkeypatch.setenv("IMAGEGATE_SMTP_PORT", "9")  # Nobody listens there.
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path, capsys)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test keeps the data directory of `cli` for all others: making one takes longer than most tests."""
    return tmp_path_factory.mktemp("installed") / "data"


@pytest.fixture
def cli(empty_cli: Cli, installed: Path) -> Cli:
    """A database with one user, lin."""
    if installed.exists():
        shutil.copytree(installed, empty_cli.data)
    else:
        empty_cli("db upgrade")
        empty_cli("users create lin")
        shutil.copytree(empty_cli.data, installed)
    return empty_cli
