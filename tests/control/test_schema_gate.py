"""Who may open the schema gate: the heartbeat, after which other replicas know this process."""

import pytest

from app.control.pepper import Peppers
from app.control.schema_gate import SchemaGate
from app.errors import StoreUnavailable
from app.store.engine import Database
from tests.gateways import PEPPER


async def test_work_waits_for_the_heartbeat_and_does_not_open_the_gate_itself(database: Database) -> None:
    gate, turns = SchemaGate(database, Peppers(PEPPER), "CNY", "Asia/Shanghai"), list[int]()

    async def turn() -> None:
        turns.append(1)

    with pytest.raises(StoreUnavailable, match="has not answered yet"):
        await gate.when_open(turn)()
    assert turns == []
    await gate.ensure()
    await gate.when_open(turn)()
    assert turns == [1]
