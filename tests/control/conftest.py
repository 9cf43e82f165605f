from collections.abc import AsyncIterator

import pytest

from app.control.reconciliation import Reconciliation
from app.core.relays import DEFAULT
from app.sandbox import SandboxOptions, running_sandbox
from app.sandbox.records import Profile
from app.store.engine import Database
from app.upstream.client import HttpUpstream
from tests.control.scene import HOUR, RULES, YUAN, ZONE, Scene
from tests.gateways import RELAY_KEY
from tests.store.purchasing import Desk, open_ledger


@pytest.fixture(params=["C", "N"])
def profile(request: pytest.FixtureRequest) -> Profile:
    found: Profile = request.param
    return found


@pytest.fixture
async def scene(database: Database, profile: Profile) -> AsyncIterator[Scene]:
    """A relay whose log reaches back a day beyond the scene."""
    options = SandboxOptions(RELAY_KEY, profile, latency_scale=0)
    async with running_sandbox(options) as relay, open_ledger(database) as ledger:
        upstream = HttpUpstream(relay.base_url, RELAY_KEY)
        desk = Desk(database, ledger)
        spend = await desk.limit("micros", 100 * YUAN)
        work = Reconciliation(database, ledger, ZONE, RULES, DEFAULT)
        scene = Scene(desk, relay, work, upstream, spend, await database.now_ms() - 2 * HOUR)
        scene.charge(-24 * HOUR, model="flux-kontext-max")
        yield scene
        await upstream.close()
