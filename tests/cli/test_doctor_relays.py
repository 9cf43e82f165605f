"""imagegate doctor on several relays: a finding for each that is in use, by its name."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.doctor import examine
from app.control.findings import Finding
from app.control.prices import PriceEntry, set_price
from app.control.relays import RelayChange, change_relay, create_relay
from app.core.pricing import PerImage
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.settings import Settings
from app.store.engine import Database
from tests.cli.test_doctor import local
from tests.gateways import PEPPER, RELAY_KEY

KEY = "sk-of-the-second-relay-0123456789abcdefghijklmnop"


@pytest.fixture
async def second(database: Database) -> AsyncIterator[RunningSandbox]:
    """A relay beside that of the settings, whose key may stand in the address of its log."""
    async with running_sandbox(SandboxOptions(KEY, profile="C", latency_scale=0)) as running:
        await create_relay(database, PEPPER, "second", RelayChange(running.base_url, KEY, profile="C"))
        yield running


@pytest.fixture
def given(relay: RunningSandbox) -> dict[str, Any]:
    return {"upstream_api_key": RELAY_KEY, "upstream_base_url": relay.base_url}


async def findings(database: Database, folder: Path, given: dict[str, Any]) -> dict[str, Finding]:
    return {each.check: each for each in (await examine(local(database.where, folder, **given))).findings}


async def test_each_relay_in_use_is_checked_by_its_name(
    database: Database, tmp_path: Path, given: dict[str, Any], second: RunningSandbox
) -> None:
    found = await findings(database, tmp_path, given)

    assert [name for name in found if "relay" in name] == ["relay", "relay log", "relay second", "log of relay second"]
    assert (found["relay"].status, found["relay second"].status) == ("ok", "ok")
    assert second.base_url in found["relay second"].message
    assert (found["relay log"].status, found["log of relay second"].status) == ("warning", "ok")

    await change_relay(database, None, "second", RelayChange(disabled=True))
    assert "relay second" not in await findings(database, tmp_path, given)
    await change_relay(database, None, "default", RelayChange(disabled=True))
    none = (await findings(database, tmp_path, given))["relay"]
    assert none.status == "failed" and "every request is refused" in none.message


async def test_a_key_that_is_refused_or_unreadable_is_that_of_one_relay(
    database: Database, tmp_path: Path, given: dict[str, Any], second: RunningSandbox
) -> None:
    await change_relay(database, PEPPER, "second", RelayChange(key="sk-wrong-key"))
    refused = await findings(database, tmp_path, given)
    await change_relay(database, b"another pepper, which nobody has", "second", RelayChange(key=KEY))
    unread = await findings(database, tmp_path, given)

    assert refused["relay"].status == unread["relay"].status == "ok"
    assert refused["relay second"].status == unread["relay second"].status == "failed"
    assert "does not accept" in refused["relay second"].message and "sk-wrong-key" not in str(refused)
    assert "`imagegate relays replace-key second --key-stdin`" in unread["relay second"].message


async def test_a_model_that_one_relay_lacks_is_named_there_and_one_that_all_lack_with_the_prices(
    database: Database, tmp_path: Path, given: dict[str, Any], relay: RunningSandbox, second: RunningSandbox
) -> None:
    zone = Settings(_env_file=None).zone
    await set_price(database, zone, PriceEntry("dall-e-9", PerImage(200_000)))

    both = await findings(database, tmp_path, given)
    await change_relay(database, None, "second", RelayChange(models=["gpt-image-1"]))
    one = await findings(database, tmp_path, given)

    assert "No relay that is in use offers: dall-e-9." in both["prices"].message
    assert both["relay second"].status == "warning"
    assert "does not offer dall-e-9, and gets requests" in both["relay second"].message
    assert "`imagegate relays set second --models " in both["relay second"].message
    assert (one["relay second"].status, one["relay"].status) == ("ok", "warning")
