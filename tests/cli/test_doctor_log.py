"""imagegate doctor on the relay's log of charges, which an older relay shows only to a key in the address."""

from pathlib import Path
from typing import Any

from app.cli.doctor import examine
from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl
from tests.cli.test_doctor import local
from tests.gateways import RELAY_KEY


async def test_a_log_that_the_relay_shows_only_to_a_key_in_the_address_is_named(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    given: dict[str, Any] = {"upstream_api_key": RELAY_KEY, "upstream_base_url": relay.base_url}

    findings = (await examine(local(DatabaseUrl.of(None, tmp_path), tmp_path, **given))).findings
    [finding] = [each for each in findings if each.check == "relay log"]

    assert finding.status == "warning"
    assert "IMAGEGATE_UPSTREAM_LOG_KEY_IN_URL=true allows that" in finding.message
    assert "no request of unknown outcome is proved" in finding.message
    assert not any(seen.query for seen in relay.sandbox.seen)
