"""imagegate doctor: finds what is amiss, says what to do, changes nothing, tells no secret."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.cli.doctor import examine
from app.cli.root import run
from app.cli.targets import LocalTarget
from app.control.findings import Finding
from app.control.installation import claim
from app.control.people import create_user
from app.control.pepper import Peppers
from app.control.prices import PriceEntry, set_price
from app.core.pricing import PerImage
from app.sandbox import RunningSandbox
from app.settings import Settings
from app.store.backups import BackupRows, LastBackup
from app.store.engine import Database, DatabaseUrl
from app.store.processes import Processes
from app.store.tables import models, prices
from tests.administration import DOCTOR_CHECKS, disable_user
from tests.buckets import TestBucket
from tests.gateways import PEPPER, RELAY_KEY, set_limit
from tests.servers import RedisServer

OTHER_PEPPER = "another pepper for the tests, long enough"
NOWHERE = "http://127.0.0.1:9"


def local(where: DatabaseUrl, data_dir: Path, *, sandbox: bool = False, **given: Any) -> LocalTarget:
    chosen: dict[str, Any] = {"secret_key": PEPPER.decode(), "data_dir": data_dir} | given
    settings = Settings(_env_file=None, **chosen)
    return LocalTarget(settings, data_dir, sandbox, "", where)


async def found(*where: Any, **given: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in (await examine(local(*where, **given))).findings}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No .env, and no settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("UPSTREAM_API_KEY", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "DATA_DIR"):
        monkeypatch.delenv(f"IMAGEGATE_{name}", raising=False)


async def test_a_gateway_without_a_fault_is_told_so(
    database: Database, tmp_path: Path, relay: RunningSandbox, redis_url: str, alone: None
) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")
    await set_price(database, Settings(_env_file=None).zone, PriceEntry("imagen4", PerImage(200_000)))
    await create_user(database, "lin")
    await set_limit(database, "user", "lin", "micros", "month", 20_000_000)
    await BackupRows(database).end(LastBackup(await database.now_ms(), "book.db"))

    relay_settings = {"upstream_base_url": f"{relay.base_url}/v1", "upstream_api_key": RELAY_KEY}
    given = {"redis_url": redis_url, "upstream_log_key_in_url": True, "pictures_bytes_max": 1, **relay_settings}
    findings = await found(database.where, tmp_path, **given)

    assert [(finding.check, finding.status) for finding in findings.values()] == [
        (check, "ok") for check in DOCTOR_CHECKS
    ]


async def test_nothing_there_yet_is_no_failure_and_stays_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "none" / "yet"

    findings = await found(DatabaseUrl.of(None, data_dir), data_dir, sandbox=True)

    assert findings["database"].status == "warning"
    assert "`imagegate serve`" in findings["database"].message
    assert {finding.status for finding in findings.values()} == {"ok", "warning"}
    assert list(tmp_path.iterdir()) == []


async def test_the_sandbox_which_makes_no_backups_is_not_told_to(database: Database, tmp_path: Path) -> None:
    findings = await found(database.where, tmp_path, sandbox=True)

    assert findings["database"].status == "ok"
    assert "backups" not in findings


async def test_models_without_a_price_and_users_without_a_limit_are_named(database: Database, tmp_path: Path) -> None:
    for user in ("ada", "bob", "gone"):
        await create_user(database, user)
    await disable_user(database, "gone")
    await set_limit(database, "user", "ada", "requests", "minute", 10)

    findings = await found(database.where, tmp_path)

    assert findings["prices"].status == findings["limits"].status == "warning"
    assert "refused: imagen4." in findings["prices"].message
    assert "imagegate prices set imagen4 --per-image AMOUNT" in findings["prices"].message
    assert "their own: bob." in findings["limits"].message
    assert "imagegate limits set --user bob" in findings["limits"].message


async def test_an_empty_database_fails_with_the_command_that_fills_it(empty_where: DatabaseUrl, tmp_path: Path) -> None:
    if empty_where.path is not None:
        empty_where.path.touch()

    database = (await found(empty_where, tmp_path))["database"]

    assert database.status == "failed"
    assert "`imagegate db upgrade`" in database.message


async def test_a_database_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    findings = await found(DatabaseUrl.of("postgresql://gate:hush-hush@127.0.0.1:9/book", tmp_path), tmp_path)

    assert findings["database"].status == "failed"
    assert "gate:***@127.0.0.1:9/book does not answer" in findings["database"].message
    assert "prices" not in findings
    assert "hush-hush" not in str(findings)


async def test_a_database_that_is_not_there_is_told_in_the_servers_words(postgres_url: str, tmp_path: Path) -> None:
    findings = await found(DatabaseUrl.of(postgres_url.replace("/test_", "/no_such_"), tmp_path), tmp_path)

    assert findings["database"].status == "failed"
    assert "does not exist" in findings["database"].message


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    where = DatabaseUrl.of(None, tmp_path)
    assert where.path is not None
    where.path.write_bytes(b"not a database at all" * 100)

    database = (await found(where, tmp_path))["database"]

    assert database.status == "failed"
    assert "file is not a database" in database.message


async def test_a_book_in_another_currency_fails(database: Database, tmp_path: Path) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")

    assert (await found(database.where, tmp_path, currency="USD"))["database"].status == "failed"


async def test_another_secret_key_fails(database: Database, tmp_path: Path) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")

    secret = (await found(database.where, tmp_path, secret_key=OTHER_PEPPER))["secret key"]

    assert secret.status == "failed"
    assert "Put the old one back" in secret.message


async def test_a_secret_key_that_is_gone_fails_and_no_other_is_made(database: Database, tmp_path: Path) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")

    secret = (await found(database.where, tmp_path, secret_key=None))["secret key"]

    assert secret.status == "failed"
    assert not (tmp_path / "secret_key").exists()


async def test_a_secret_key_that_others_can_read_is_named(database: Database, tmp_path: Path) -> None:
    await claim(database, Peppers(PEPPER), "CNY", "Asia/Shanghai")
    (tmp_path / "secret_key").write_bytes(PEPPER)
    (tmp_path / "secret_key").chmod(0o644)

    assert "chmod 600" in (await found(database.where, tmp_path, secret_key=None))["secret key"].message


async def test_a_redis_that_is_away_fails_and_nothing_else_is_printed(
    tmp_path: Path, redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    where = DatabaseUrl.of(None, tmp_path)

    assert (await found(where, tmp_path, redis_url="redis://127.0.0.1:9/0"))["redis"].status == "failed"
    assert (await found(where, tmp_path, redis_url="http://127.0.0.1:9"))["redis"].status == "failed"
    assert capsys.readouterr().out == ""


async def test_several_replicas_want_a_redis(tmp_path: Path) -> None:
    where = DatabaseUrl.of("postgresql://gate:hush-hush@127.0.0.1:9/book", tmp_path)

    assert (await found(where, tmp_path))["redis"].status == "warning"


async def test_a_bucket_is_tried_and_one_that_does_not_work_fails_with_the_settings_to_look_at(
    tmp_path: Path, bucket: TestBucket
) -> None:
    where, good = DatabaseUrl.of(None, tmp_path), bucket.settings

    well = (await found(where, tmp_path, **good))["results"]
    missing = (await found(where, tmp_path, **good | {"results_url": "s3://no-such-bucket"}))["results"]
    away = (await found(where, tmp_path, **good | {"results_endpoint": NOWHERE}))["results"]
    wrong = (await found(where, tmp_path, **good | {"results_url": "https://bucket"}))["results"]

    assert (well.status, missing.status, away.status, wrong.status) == ("ok", "failed", "failed", "failed")
    assert "NoSuchBucket" in missing.message
    assert "IMAGEGATE_RESULTS_URL" in missing.message
    assert "like s3://bucket/prefix" in wrong.message
    assert "\n" not in missing.message + away.message


async def test_gateways_that_share_no_results_are_told_so(postgres_database: Database, tmp_path: Path) -> None:
    (tmp_path / "processes").mkdir()
    (tmp_path / "processes" / "proc_near").touch()
    await Processes(postgres_database, "proc_near").beat()
    near = (await found(postgres_database.where, tmp_path))["results"]
    await Processes(postgres_database, "proc_far").beat()

    far = (await found(postgres_database.where, tmp_path))["results"]

    assert (near.status, far.status) == ("ok", "warning")
    assert "1 other gateway" in far.message
    assert "IMAGEGATE_RESULTS_URL" in far.message


async def test_a_folder_that_cannot_be_written_to_fails(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.touch()

    assert (await found(DatabaseUrl.of(None, tmp_path), folder))["disk"].status == "failed"


@pytest.mark.parametrize(
    ("key", "url", "says"),
    [
        (None, NOWHERE, "IMAGEGATE_UPSTREAM_API_KEY"),
        ("sk-wrong", None, "does not accept"),
        (RELAY_KEY, NOWHERE, "cannot be reached"),
        (RELAY_KEY, "ftp://relay", "must be an address"),
    ],
)
async def test_a_relay_that_cannot_be_used_fails_with_the_cure(
    tmp_path: Path, relay: RunningSandbox, key: str | None, url: str | None, says: str
) -> None:
    given: dict[str, Any] = {"upstream_api_key": key, "upstream_base_url": url or relay.base_url}

    found_relay = (await found(DatabaseUrl.of(None, tmp_path), tmp_path, **given))["relay"]

    assert found_relay.status == "failed"
    assert says in found_relay.message
    assert RELAY_KEY not in found_relay.message


async def test_a_priced_model_the_relay_does_not_offer_is_named(
    database: Database, tmp_path: Path, relay: RunningSandbox
) -> None:
    zone = Settings(_env_file=None).zone
    for model in ("imagen4", "dall-e-9"):
        await set_price(database, zone, PriceEntry(model, PerImage(200_000)))

    given = {"upstream_api_key": RELAY_KEY, "upstream_base_url": relay.base_url}
    priced = (await found(database.where, tmp_path, **given))["prices"]

    assert priced.status == "warning"
    assert "key: dall-e-9." in priced.message and "`imagegate models remove dall-e-9`" in priced.message

    async with database.write() as connection:
        await connection.execute(sa.delete(prices).where(prices.c.model == "imagen4"))
    both = (await found(database.where, tmp_path, **given))["prices"].message
    assert "refused: imagen4." in both and "key: dall-e-9." in both


async def test_models_and_aliases_are_told_and_what_the_relay_sells_beside_them(
    database: Database, tmp_path: Path, relay: RunningSandbox
) -> None:
    async with database.write() as connection:
        for table, column in ((prices, prices.c.model), (models, models.c.id)):
            await connection.execute(sa.delete(table).where(column == "flux-kontext-max"))
    given = {"upstream_api_key": RELAY_KEY, "upstream_base_url": relay.base_url}
    told = (await found(database.where, tmp_path, **given))["models"]

    assert told.status == "ok"
    assert "dall-e-3 stands for gpt-image-1" in told.message and "`imagegate models alias NAME MODEL`" in told.message
    assert "also sells flux-kontext-max; " in told.message
    assert "`imagegate prices sync --only --model flux-kontext-max --apply`" in told.message


def test_json_goes_to_stdout_and_a_failure_exits_with_1(
    alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["doctor", "--json", "--data-dir", str(tmp_path)])

    said = json.loads(capsys.readouterr().out)
    assert code == 1
    assert all(set(finding) == {"check", "status", "message"} for finding in said["findings"])
    assert {finding["check"]: finding["status"] for finding in said["findings"]}["relay"] == "failed"


def test_the_sandbox_alone_exits_with_0_and_says_on_stderr_what_to_look_at(
    alone: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["doctor", "--sandbox", "--data-dir", str(tmp_path)])

    out, err = capsys.readouterr()
    assert code == 0
    assert "relay\tok\tThe sandbox relay lives inside" in out
    assert "nothing failed, 1 to look at." in err
