"""What a person decides about an unknown request: done once, and never without a reason."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control.audit import audit
from app.control.decisions import DecisionReason, Decisions, release_by_hand, settle_by_hand, write_off
from app.core.limits import Limit
from app.core.request import DEFAULT_RELAY
from app.errors import Conflict, InvalidValue, NotFound
from app.store.engine import Database
from app.store.ledger.columns import Ending, Reservation
from app.store.ledger.corrections import corrections_of
from tests.store.purchasing import ENDING, NOW_MS, Desk, open_ledger

ZONE = ZoneInfo("Asia/Shanghai")
WORD = DecisionReason("lin", "support says so")
TOLD = {"status": 424, "code": "upstream_outcome_unknown"}


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with database.transaction() as connection:
        await connection.execute(sa.text("INSERT INTO users (id, name, created_at_ms) VALUES ('user-1', 'lin', 0)"))
        await connection.execute(sa.text("INSERT INTO projects (id, name, created_at_ms) VALUES ('proj_1', 'red', 0)"))
    async with open_ledger(database) as ledger:
        yield Desk(database, ledger)


@pytest.fixture
async def limit(desk: Desk) -> Limit:
    return await desk.limit("micros", 100)


@pytest.fixture
async def order(desk: Desk, limit: Limit) -> Reservation:
    """Unknown, quoted at 30."""
    order = await desk.order(limit, quote_micros=30)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, order.owner, NOW_MS, DEFAULT_RELAY)
    await desk.ledger.give_up(order.request_id, Ending(NOW_MS, 424, "upstream_outcome_unknown", TOLD))
    return order


Decide = Callable[[Decisions, str], Awaitable[Any]]
DECISIONS: dict[str, Decide] = {
    "settle": lambda decisions, id: settle_by_hand(decisions, id, WORD, 25),
    "settle_at_quote": lambda decisions, id: settle_by_hand(decisions, id, WORD, None),
    "write_off": lambda decisions, id: write_off(decisions, id, WORD),
    "release": lambda decisions, id: release_by_hand(decisions, id, WORD),
}


@pytest.mark.parametrize(
    ("what", "state", "cost", "flag", "kind"),
    [
        ("settle", "settled", 25, "by_hand", "settle"),
        ("settle_at_quote", "settled", 30, "by_hand", "settle"),
        ("write_off", "settled", 30, "written_off", "write_off"),
        ("release", "released", None, None, "release"),
    ],
)
async def test_a_decision_ends_the_request_and_keeps_its_reason(
    desk: Desk, limit: Limit, order: Reservation, what: str, state: str, cost: int | None, flag: str | None, kind: str
) -> None:
    decisions = Decisions(desk.database, desk.ledger, ZONE)

    shown = await DECISIONS[what](decisions, order.request_id)

    assert (shown.state, shown.cost_micros, shown.flag) == (state, cost, flag)
    assert await desk.counter(limit) == (cost or 0, 0)
    [word] = await desk.database.ask(corrections_of, order.request_id)
    assert (word.kind, word.reason, word.actor, word.cost_micros) == (kind, "support says so", "lin", 0)
    row = await desk.row(order.request_id)
    assert row is not None and (row["http_status"], row["error"]) == (424, TOLD)
    assert (await audit(desk.database, ZONE)).differences == ()


@pytest.mark.parametrize("what", list(DECISIONS))
async def test_a_request_that_has_ended_is_a_conflict_and_keeps_no_word(
    desk: Desk, limit: Limit, order: Reservation, what: str
) -> None:
    await desk.ledger.release(order.request_id, ENDING)

    with pytest.raises(Conflict, match="released"):
        await DECISIONS[what](Decisions(desk.database, desk.ledger, ZONE), order.request_id)

    assert await desk.database.ask(corrections_of, order.request_id) == []
    assert await desk.counter(limit) == (0, 0)


async def test_a_request_in_flight_and_one_that_is_not_there_cannot_be_decided(desk: Desk, limit: Limit) -> None:
    decisions = Decisions(desk.database, desk.ledger, ZONE)
    order = await desk.order(limit)
    await desk.ledger.reserve(order)

    with pytest.raises(Conflict, match="reserved"):
        await release_by_hand(decisions, order.request_id, WORD)
    with pytest.raises(NotFound):
        await release_by_hand(decisions, "req_none", WORD)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
async def test_a_decision_without_a_reason_is_refused(desk: Desk, order: Reservation, reason: str) -> None:
    with pytest.raises(InvalidValue, match="reason"):
        await write_off(Decisions(desk.database, desk.ledger, ZONE), order.request_id, DecisionReason("lin", reason))
