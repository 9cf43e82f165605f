"""A gateway whose disk is lost: what was backed up is restored elsewhere, and what happened since is known there."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx2
import pytest

from app.control.audit import audit
from app.control.relay_keys import seal_relay_key
from app.control.sessions import start_session
from app.core.relays import Relay
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.relays import insert_relay
from app.store.tables import relays, users
from tests.databases import postgres_with_all
from tests.faults.conftest import StartProcess
from tests.gateways import PEPPER, RELAY_KEY, GatewayProcess, book, gateway_process, new_key, prepare, set_limit
from tests.money.books import ask, limited, opened, until
from tests.server_programs import postgres_folders

ZONE = ZoneInfo("Asia/Shanghai")
YUAN = 1_000_000


@pytest.fixture
def postgres_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pg_dump and pg_restore of the server's own version, on the PATH."""
    for folder in postgres_folders(tmp_path / "programs"):
        if (folder / "pg_dump").exists():
            monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
            return
    pytest.skip("no pg_dump on this machine")


class Lost:
    """A gateway of a team, which is backed up and then lost."""

    def __init__(self, folder: Path, relay: RunningSandbox, database_url: str | None):
        self.folder, self.relay, self.database_url = folder, relay, database_url

    async def begin(self, process: GatewayProcess) -> None:
        self.process = process
        self.database = open_database(DatabaseUrl.of(self.database_url, self.folder))
        self.key = await new_key(self.database)
        self.leaked = await new_key(self.database, "mei")
        await set_limit(self.database, "user", "lin", "micros", "month", 100 * YUAN)
        await set_limit(self.database, "organization", "", "micros", "month", 100 * YUAN)

    async def buy(self, key: str, prompt: str, **given: str) -> httpx2.Response:
        async with opened(self.process.url, key) as client:
            answer = await ask(client, prompt, **given)
        assert answer.status_code == 200, answer.text
        return answer


@pytest.fixture
def url(request: pytest.FixtureRequest, database_kind: str) -> str | None:
    """Address of PostgreSQL, whose programs are on the PATH."""
    if database_kind == "sqlite":
        return None
    request.getfixturevalue("postgres_programs")
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, database_kind: str) -> str | None:
    """Address of an empty database on PostgreSQL."""
    return None if database_kind == "sqlite" else str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture
async def lost(url: str | None, processes: StartProcess, relay: RunningSandbox, tmp_path: Path) -> AsyncIterator[Lost]:
    made = Lost(tmp_path, relay, url)
    await prepare(DatabaseUrl.of(url, tmp_path))
    await made.begin(await processes(database_url=url))
    yield made
    await made.database.close()


async def organization_spent(database: Database) -> int:
    [counter] = [each for each in await limited(database) if each["scope"] == "organization"]
    return int(counter["spent"])


async def test_a_lost_gateway_lives_on_from_its_backup_with_what_happened_since(
    lost: Lost, tmp_path: Path, empty_url: str | None
) -> None:
    first = (await lost.buy(lost.key.key, "before the backup")).headers["x-request-id"]
    async with lost.database.transaction() as connection:
        [lin] = (await connection.execute(users.select().where(users.c.name == "lin"))).mappings().all()
        await start_session(connection, lin["id"], "a browser", await lost.database.now_ms())
    await until(lambda: all_pictures_kept(lost, 1))
    file = tmp_path / "elsewhere" / "book.backup"
    file.parent.mkdir()

    made = await lost.process.cli("backup", str(file))
    await lost.buy(lost.key.key, "after the backup")
    await lost.buy(lost.key.key, "after the backup, too")
    await lost.process.cli("keys", "revoke", lost.leaked.id, "--yes")
    await lost.process.stop(signal.SIGKILL)

    other = tmp_path / "restored"
    other.mkdir()
    shutil.copy(tmp_path / "revocations.jsonl", file.parent)
    restoring = GatewayProcess(other, lost.relay.base_url, database_url=empty_url)
    done = await restoring.cli("restore", str(file), "--data-dir", str(other))

    assert (made["totals"]["requests"], made["totals"]["booked_micros"], made["picture_files"]) == (1, YUAN, 1)
    assert (done["pictures"], done["sessions"], done["revocations"]) == (1, 1, 1)
    assert [charge["cost_micros"] for charge in done["charges"]] == [YUAN, YUAN]
    database = open_database(DatabaseUrl.of(empty_url, other))
    assert (await audit(database, ZONE)).differences == ()
    assert await organization_spent(database) == 3 * YUAN
    async with gateway_process(other, lost.relay.base_url, database_url=empty_url) as process:
        async with opened(process.url, lost.key.key) as client:
            assert (await client.get(f"/v1/images/pictures/{first}_0/content")).status_code == 200
            assert (await ask(client, "in the new home")).status_code == 200
        async with opened(process.url, lost.leaked.key) as client:
            assert (await ask(client)).status_code == 401
        report = await process.cli("audit")
    assert report["differences"] == []
    assert await organization_spent(database) == 4 * YUAN
    await database.close()


async def all_pictures_kept(lost: Lost, count: int) -> bool:
    async with lost.database.read() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM pictures")
        return int(found.scalar_one()) == count


async def test_what_each_relay_charged_since_is_booked_at_that_relay(
    lost: Lost, tmp_path: Path, empty_url: str | None
) -> None:
    """A log that cannot be read leaves nothing behind. Relay `b` makes flux-kontext-pro; its points cost twice as much."""
    options = SandboxOptions(RELAY_KEY, "N", latency_scale=0)
    async with running_sandbox(options) as b:
        sealed = seal_relay_key(PEPPER, "b", RELAY_KEY)
        only_flux = Relay(
            "b", b.base_url, sealed, "N", models=frozenset({"flux-kontext-pro"}), micros_per_dollar=2 * YUAN
        )
        async with lost.database.write() as connection:
            await insert_relay(connection, only_flux)
            await connection.execute(relays.update().where(relays.c.name == "default").values(models=["gpt-image-1"]))
        await lost.buy(lost.key.key, "before the backup")
        await lost.buy(lost.key.key, "before the backup", model="flux-kontext-pro")
        file, other = tmp_path / "elsewhere" / "book.backup", tmp_path / "restored"
        file.parent.mkdir()
        other.mkdir()
        await lost.process.cli("backup", str(file))
        await lost.buy(lost.key.key, "after the backup")
        await lost.buy(lost.key.key, "after the backup", model="flux-kontext-pro")
        await lost.process.stop(signal.SIGKILL)
        restoring = GatewayProcess(other, lost.relay.base_url, database_url=empty_url)

        b.sandbox.options = replace(options, key="sk-another")
        with pytest.raises(AssertionError, match="--spent b=AMOUNT"):
            await restoring.cli("restore", str(file), "--data-dir", str(other))
        assert [path.name for path in other.glob("imagegate.db*")] == []
        database = open_database(DatabaseUrl.of(empty_url, other))
        if empty_url is not None:  # The dump has the schema that keeps the rows of the tests, too.
            async with database.transaction() as connection:
                await connection.exec_driver_sql("DROP SCHEMA seed CASCADE")
        b.sandbox.options = options
        done = await restoring.cli("restore", str(file), "--data-dir", str(other))

    charges = {(each["relay"], each["model"], each["cost_micros"]) for each in done["charges"]}
    assert charges == {("default", "gpt-image-1", YUAN), ("b", "flux-kontext-pro", 2 * YUAN // 5)}
    assert (await audit(database, ZONE)).differences == ()
    assert sorted(row["relay"] for row in await book(database)) == ["b", "b", "default", "default"]
    assert await organization_spent(database) == 2 * YUAN + YUAN // 5 + 2 * YUAN // 5
    await database.close()


@postgres_with_all
async def test_a_restore_is_refused_while_a_server_runs_and_with_another_secret(lost: Lost, tmp_path: Path) -> None:
    file = tmp_path / "book.backup"
    await lost.process.cli("backup", str(file))

    with pytest.raises(AssertionError, match=r"Another imagegate|has tables"):
        await lost.process.cli("restore", str(file))

    other = tmp_path / "other"
    other.mkdir()
    stranger = GatewayProcess(other, lost.relay.base_url, secret_key="another secret, 0123456789abcdefgh")
    if lost.database_url is None:
        with pytest.raises(AssertionError, match="The secret here is not the one of the backup"):
            await stranger.cli("restore", str(file), "--data-dir", str(other))
        assert not (other / "imagegate.db").exists()


@postgres_with_all
async def test_a_restore_without_the_relays_log_asks_what_was_spent(lost: Lost, tmp_path: Path) -> None:
    if lost.database_url is not None:
        pytest.skip("the same on both databases")
    file, other = tmp_path / "book.backup", tmp_path / "other"
    await lost.process.cli("backup", str(file))
    other.mkdir()
    blind = GatewayProcess(other, "http://127.0.0.1:9")

    with pytest.raises(AssertionError, match="--spent AMOUNT"):
        await blind.cli("restore", str(file), "--data-dir", str(other))
    done = await blind.cli("restore", str(file), "--data-dir", str(other), "--spent", "12.50")

    assert [charge["cost_micros"] for charge in done["charges"]] == [12_500_000]
    database = open_database(DatabaseUrl.of(None, other))
    assert await organization_spent(database) == 12_500_000
    assert (await audit(database, ZONE)).differences == ()
    await database.close()
