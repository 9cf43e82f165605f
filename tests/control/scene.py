"""A book and a relay whose log it is compared with."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.control.audit import audit
from app.control.bill_reader import BillReader
from app.control.matching import MatchingRules
from app.control.reconciliation import Reconciliation, ReconciliationReport
from app.control.reconciliations import Reconciliations
from app.core.intervals import hour_start_ms, local_day
from app.core.limits import Limit
from app.core.request import DEFAULT_RELAY
from app.sandbox import BillLine, RunningSandbox
from app.store.ledger.columns import Ending
from app.upstream.billing import read_accounts
from app.upstream.client import HttpUpstream
from app.upstream.pool import PoolRules, RelayPool
from tests.gateways import RELAY_KEY
from tests.store.purchasing import Desk, settlement

ZONE = ZoneInfo("Asia/Shanghai")
MINUTE = 60_000
HOUR = 60 * MINUTE
YUAN = 1_000_000
RULES = MatchingRules(deadline_ms=30 * MINUTE, micros_per_dollar=YUAN)


@dataclass
class Scene:
    """A book and a relay, and what happened on both sides: `at` counts milliseconds from two hours ago."""

    desk: Desk
    relay: RunningSandbox
    reconciliation: Reconciliation
    upstream: HttpUpstream
    spend: Limit
    start_ms: int
    _ids: Any = field(default_factory=count)

    async def unknown(self, at: int = 0, *, upstream_request_id: str | None = None, **given: Any) -> str:
        id = await self._dispatched(at, **given)
        ending = Ending(self.start_ms + at + 5000, 424, "upstream_outcome_unknown", None, upstream_request_id, 5000)
        await self.desk.ledger.give_up(id, ending)
        return id

    async def settled(self, at: int = 0, cost: int = YUAN, **given: Any) -> str:
        flag, upstream_request_id = given.pop("flag", None), given.pop("upstream_request_id", None)
        id = await self._dispatched(at, **given)
        end_ms = self.start_ms + at + 10_000
        booked = settlement(
            cost_micros=cost,
            ending=Ending(end_ms, 200, None, None, upstream_request_id, 10_000),
            flag=flag,
            hour_at_ms=hour_start_ms(self.start_ms + at),
            day=local_day(self.start_ms + at, ZONE),
        )
        await self.desk.ledger.settle(id, booked)
        return id

    async def released(self, at: int = 0, **given: Any) -> str:
        upstream_request_id = given.pop("upstream_request_id", None)
        id = await self._dispatched(at, **given)
        ending = Ending(self.start_ms + at + 1000, 400, "moderation_blocked", None, upstream_request_id, 1000)
        await self.desk.ledger.release(id, ending)
        return id

    def charge(
        self,
        at: int = 10_000,
        micros: int = YUAN,
        model: str = "gpt-image-1",
        request_id: str = "",
        relay: RunningSandbox | None = None,
    ) -> None:
        id, bill = request_id or f"relay-{next(self._ids)}", (relay or self.relay).sandbox.bill
        bill.append(BillLine(id, model, "generation", 1, micros // 2, self.start_ms + at, 1))
        bill.sort(key=lambda charge: charge.at_ms)

    def reconciliations(self, pool: RelayPool) -> Reconciliations:
        """Reconciliation with every relay of the database, over the clients of a pool."""
        bills = BillReader(pool, lambda _: RELAY_KEY, RULES)
        return Reconciliations(self.desk.database, self.desk.ledger, bills, ZONE)

    async def row(self, id: str) -> dict[str, Any]:
        row = await self.desk.row(id)
        assert row is not None
        return row

    async def run(self, **given: Any) -> ReconciliationReport:
        accounts = await read_accounts(given.pop("upstream", self.upstream), RELAY_KEY)
        reconciliation: Reconciliation = given.pop("reconciliation", self.reconciliation)
        report = await reconciliation.run(accounts, **given)
        assert (await audit(self.desk.database, ZONE)).differences == ()
        return report

    async def _dispatched(self, at: int, **given: Any) -> str:
        relay = given.pop("relay", DEFAULT_RELAY)
        given = {"quote_micros": YUAN, "starts_at_ms": 0, "reserved_at_ms": self.start_ms + at} | given
        order = await self.desk.order(self.spend, **given)
        await self.desk.ledger.reserve(order)
        await self.desk.ledger.dispatch(order.request_id, order.owner, self.start_ms + at, relay)
        return order.request_id


def pool_of(upstream: HttpUpstream, **others: str) -> RelayPool:
    """Pool of a default relay and of others, whose addresses are given by name."""
    return RelayPool(upstream, lambda relay: HttpUpstream(others[relay.name], RELAY_KEY), PoolRules(1, 1.0))


only_c = pytest.mark.parametrize("profile", ["C"], indirect=True)
only_n = pytest.mark.parametrize("profile", ["N"], indirect=True)


def told(report: ReconciliationReport) -> list[tuple[str, str, int]]:
    return [(step.request_id, step.action, step.cost_micros) for step in report.steps]
