"""imagegate doctor on alerts, on who may read the files, and on prices that the relay tells by tokens."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from aiohttp import web

from app.control import alerts
from app.control.alerts import NewAlert
from app.control.limits import LimitChange, ScopeRef, set_limits
from app.control.prices import PriceEntry, set_price
from app.core.alerts import Alert, Channel
from app.core.pricing import PerImage
from app.notify.notifier import Mailbox, Notifier
from app.settings import Settings
from app.store.deliveries import fire
from app.store.engine import Database, DatabaseUrl
from app.store.tables import deliveries
from tests.cli.test_doctor import found
from tests.gateways import RELAY_KEY
from tests.receivers import mail_server, served

ZONE = Settings(_env_file=None).zone
MAIL = Channel("email", ("finance@example.com",))
HOOK = Channel("webhook", url="https://93.184.216.34/hook")


async def make_alert(database: Database, *channels: Channel, **given: Any) -> Alert:
    wanted: dict[str, Any] = {"threshold": 5} | given
    new = NewAlert(ScopeRef("organization"), "images", "day", channels=channels, **wanted)
    return await alerts.create_alert(database, Notifier(mailbox=Mailbox("127.0.0.1")), new)


async def test_channels_that_cannot_deliver_are_named_with_the_reason(database: Database, tmp_path: Path) -> None:
    assert "`imagegate alerts create" in (await found(database.where, tmp_path))["alerts"].message
    mailed, hooked = await make_alert(database, MAIL), await make_alert(database, HOOK)
    unset = (await found(database.where, tmp_path))["alerts"]
    closed = (await found(database.where, tmp_path, smtp_host="127.0.0.1", smtp_port=9))["alerts"]
    async with mail_server() as mail:
        server: dict[str, Any] = {"smtp_host": "127.0.0.1", "smtp_port": mail.port, "smtp_security": "none"}
        well = (await found(database.where, tmp_path, **server))["alerts"]

    assert (unset.status, closed.status, well.status) == ("warning", "warning", "ok")
    assert f"{mailed.id} (finance@example.com: No mail server is set" in unset.message
    assert "The mail server cannot be used: ConnectionRefusedError" in closed.message
    assert hooked.id not in unset.message + closed.message
    assert mail.mails == [] and f"`imagegate alerts test {mailed.id}`" in closed.message


async def test_more_room_for_pictures_than_the_disk_has_is_a_warning(database: Database, tmp_path: Path) -> None:
    fits = (await found(database.where, tmp_path, pictures_bytes_max=1))["pictures"]
    large = (await found(database.where, tmp_path, pictures_bytes_max=10**18))["pictures"]
    off = await found(database.where, tmp_path, pictures_bytes_max=10**18, pictures_keep_days=0)

    assert (fits.status, large.status) == ("ok", "warning")
    assert "IMAGEGATE_PICTURES_BYTES_MAX lets pictures take 931322574.6 GiB, but" in large.message
    assert "pictures" not in off


async def test_an_alert_whose_last_message_was_lost_or_whose_limit_is_gone_is_named(
    database: Database, tmp_path: Path
) -> None:
    lost = await make_alert(database, HOOK)
    async with database.transaction() as connection:
        await fire(connection, lost, 0, 5, 1)
        failed = {"state": "failed", "attempts": 10, "error": "The webhook answered 500."}
        await connection.execute(sa.update(deliveries).values(**failed))
    limit = [LimitChange("images", "day", 10)]
    await set_limits(database, ZONE, ScopeRef("organization"), None, limit)
    still = await make_alert(database, HOOK, threshold=None, percent=80)
    await set_limits(database, ZONE, ScopeRef("organization"), None, [LimitChange("images", "day", None)])

    told = (await found(database.where, tmp_path))["alerts"]

    assert told.status == "warning"
    assert f"{lost.id} ({HOOK.url}: its last message did not arrive, The webhook answered 500)" in told.message
    assert f"{still.id} (the limit is not set that 80% is of)" in told.message


async def test_files_that_others_may_read_are_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, data = tmp_path / "here", tmp_path / "data"
    for folder in (here, data, data / "results"):
        folder.mkdir(mode=0o700)
    monkeypatch.chdir(here)
    opened = {here / ".env": 0o640, here / "keys.csv": 0o604}
    for path, mode in {**opened, here / "people.csv": 0o644, data / "imagegate.db": 0o644}.items():
        is_keys = path.name == "keys.csv"
        path.write_text("name,mail,project,key_id,key\n" if is_keys else "name,mail,project,role,limits\n")
        path.chmod(mode)

    warned = await modes(data)
    for path in opened:
        assert f"chmod 600 {path}" in warned.message
        path.chmod(0o600)
    well = await modes(data)
    data.chmod(0o750)
    (data / "results").chmod(0o755)
    entered = await modes(data)

    assert (warned.status, well.status, entered.status) == ("warning", "ok", "warning")
    assert "people.csv" not in warned.message
    book, results = data / "imagegate.db", data / "results"
    assert f"chmod 700 {data} && chmod 600 {book} && chmod 700 {results}" in entered.message


async def modes(data: Path) -> Any:
    return (await found(DatabaseUrl.of("postgresql://x@127.0.0.1:9/book", data), data))["file modes"]


async def test_the_command_for_models_that_are_priced_by_tokens_asks_for_a_ceiling(
    database: Database, tmp_path: Path
) -> None:
    rows = [
        {"model_name": "gpt-image-9", "quota_type": 0, "model_ratio": 2.5, "completion_ratio": 8},
        {"model_name": "flux-9", "quota_type": 1, "model_price": 0.1},
        {"model_name": "gpt-4", "quota_type": 1, "model_price": 0.1},
    ]
    listed = {"data": [{"id": str(row["model_name"])} for row in rows]}
    priced = {"success": True, "data": rows, "group_ratio": {"default": 1}}
    async with served(web.get("/v1/models", _answer(listed)), web.get("/api/pricing", _answer(priced))) as url:
        told = (await found(database.where, tmp_path, upstream_api_key=RELAY_KEY, upstream_base_url=url))["models"]

    named = "--model flux-9 --model gpt-image-9 --ceiling-per-image AMOUNT"
    assert f"`imagegate prices sync --only {named} --apply`" in told.message


async def test_an_alias_that_a_model_hides_is_named(database: Database, tmp_path: Path) -> None:
    await set_price(database, ZONE, PriceEntry("dall-e-3", PerImage(200_000)))

    hidden = (await found(database.where, tmp_path))["models"]

    assert (hidden.status, "`imagegate models alias dall-e-3 --remove`" in hidden.message) == ("warning", True)


def _answer(document: Any) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(document), content_type="application/json")

    return handle
