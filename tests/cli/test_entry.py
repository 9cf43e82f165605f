"""The real program, in a process of its own."""

import os
import pty
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import __version__
from tests import forks
from tests.cli.conftest import Cli

PROGRAM = str(Path(sys.executable).with_name("imagegate"))


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMAGEGATE_")}
    yield {**kept, "IMAGEGATE_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "200", "TERM": "xterm"}


def imagegate(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True, timeout=60)


def modules_after(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """What a command prints, and on stderr after it all that it has loaded."""
    code = "import sys; from app.cli.root import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_help_and_version_need_no_server_and_no_database(environment: dict[str, str]) -> None:
    for line in ("--version", "--help", "users --help", "keys create --help", "limits set --help"):
        done = modules_after(environment, *line.split())
        assert done.stdout
        modules = set(done.stderr.split())
        assert modules.isdisjoint({"fastapi", "starlette", "sqlalchemy", "alembic", "uvicorn", "aiohttp"})


async def test_a_server_on_sqlite_loads_nothing_that_it_needs_rarely_or_never(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # It has loaded everything by the time it looks for its port.
        words = ["serve", "--sandbox", "--host", "127.0.0.1", "--port", str(taken.getsockname()[1])]
        await forks.run(words, environment, tmp_path)  # The first start makes the database, which takes more.
        done = modules_after(environment, *words)

    assert "Cannot listen" in done.stderr
    modules = set(done.stderr.split())
    assert modules >= {"fastapi", "sqlalchemy", "structlog"}
    rare = {"prometheus_client", "jinja2", "app.api.organization.users", "app.cli.users"}
    assert modules.isdisjoint({"alembic", "asyncpg", "redis", *rare})


@pytest.mark.parametrize("words", [["serve", "--sandbox"], ["db", "upgrade"], ["db", "upgrade", "--sandbox"]])
async def test_what_the_first_command_makes_is_its_owner_s_alone(
    environment: dict[str, str], tmp_path: Path, words: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:  # The server makes its files before it finds the port taken.
        environment["IMAGEGATE_PORT"] = str(taken.getsockname()[1])
        await forks.run(words, environment, tmp_path)

    data = Path(environment["IMAGEGATE_DATA_DIR"])
    made = [data, *data.rglob("*")]
    assert [path for path in made if path.suffix == ".db"]
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_the_version_is_the_packages(environment: dict[str, str]) -> None:
    assert imagegate(environment, "--version").stdout == f"imagegate {__version__}\n"


def test_exit_codes_reach_the_shell(cli: Cli, environment: dict[str, str]) -> None:
    codes = [imagegate(environment, *line.split()).returncode for line in ("users create lin", "--help")]

    assert codes == [4, 0]


async def test_a_table_is_drawn_on_a_terminal_and_not_for_a_pipe(cli: Cli, environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()

    with (cli.folder / "stderr").open("wb") as errors:
        command = await forks.fork(["projects", "list"], environment, cli.folder, theirs, errors.fileno())
        await command.wait()
    os.close(theirs)
    drawn = os.read(ours, 65536).decode()
    os.close(ours)

    assert "─" in drawn and "proj_default" in drawn
    code, out, _ = await forks.run(["projects", "list"], environment, cli.folder)
    assert (code, out.splitlines()[0]) == (0, "id\tname\tcreated at\tarchived at")
    assert out.splitlines()[1].startswith("proj_default\tdefault\t")


def test_a_reader_who_leaves_early_gets_no_traceback(cli: Cli, environment: dict[str, str]) -> None:
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        [PROGRAM, "prices", "list"], env=environment, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(write)

    assert "Traceback" not in done.stderr
