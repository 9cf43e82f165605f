"""The money of a request as a state machine: whatever is called in whatever order, the row, its counters and the roll-up agree."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from app.core.limits import Limit, Scope, Unit
from app.core.request import DEFAULT_RELAY
from app.store.engine import DatabaseUrl, open_database
from app.store.ledger.columns import UNRESOLVED, Reservation, State
from app.store.ledger.types import IdempotencyKeyTaken, LimitExceeded, Reserved, Stale
from app.store.migrations import upgrade
from app.store.tables import counters, limits, requests, results, usage
from tests.store.purchasing import ENDING, Desk, open_ledger, settlement

T = TypeVar("T")
UNITS: tuple[Unit, ...] = ("micros", "images", "requests", "in_flight")
OWNER = "proc_1"
EXAMPLES = 20
STEPS = 20


@dataclass
class Known:
    """What must be in the book about one request."""

    order: Reservation
    state: State = "reserved"
    cost_micros: int = 0
    images: int = 0


class Purchasing(RuleBasedStateMachine):
    """One database, emptied for each run."""

    orders = Bundle("orders")

    def __init__(self, where: DatabaseUrl):
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.known: dict[str, Known] = {}
        self.limits: list[Limit] = []
        self.desk: Desk = self.do(self._open(where))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.runner.close()

    @initialize(amounts=st.tuples(*(st.integers(0, 60), st.integers(0, 8), st.integers(0, 8), st.integers(0, 4))))
    def set_limits(self, amounts: tuple[int, ...]) -> None:
        for unit, amount in zip(UNITS, amounts, strict=True):
            scope: Scope = "organization" if unit == "micros" else "user"
            self.limits.append(self.do(self.desk.limit(unit, amount, scope, "lifetime")))

    @rule(
        target=orders,
        units=st.sets(st.sampled_from(UNITS)),
        quote_micros=st.integers(0, 30),
        n=st.integers(1, 4),
        key=st.sampled_from([None, "a", "b"]),
    )
    def reserve(self, units: set[Unit], quote_micros: int, n: int, key: str | None) -> Any:
        held = [limit for limit in self.limits if limit.unit in units]
        order = self.do(self.desk.order(*held, quote_micros=quote_micros, n=n, idempotency_key=key))

        outcome = self.do(self.desk.ledger.reserve(order))

        tight = [key for key in order.counter_keys if self._room(key.limit) < _holds(order, key.limit.unit)]
        if key is not None and any(
            one.order.idempotency_key == key for one in self.known.values() if one.state != "released"
        ):
            # Which of two reasons is told is left open; that nothing is written is not.
            assert isinstance(outcome, IdempotencyKeyTaken) or (tight and isinstance(outcome, LimitExceeded))
            return multiple()
        if tight:
            assert isinstance(outcome, LimitExceeded)
            assert outcome.key in tight
            return multiple()
        assert outcome == Reserved()
        self.known[order.request_id] = Known(order)
        return order.request_id

    @rule(quote_micros=st.integers(0, 5))
    def reserve_on_old_control_data(self, quote_micros: int) -> None:
        order = self.do(self.desk.order(*self.limits, quote_micros=quote_micros, revision=self.desk.revision - 1))

        assert self.do(self.desk.ledger.reserve(order)) == Stale()

    @rule(id=orders, owner=st.sampled_from([OWNER, OWNER, "proc_2"]))
    def dispatch(self, id: str, owner: str) -> None:
        one = self.known[id]
        may = owner == OWNER and one.state in ("reserved", "dispatched")

        assert self.do(self.desk.ledger.dispatch(id, owner, 1, DEFAULT_RELAY)) == may

        one.state = "dispatched" if may else one.state

    @rule(id=orders, share=st.floats(0, 1), images=st.integers(1, 4))
    def settle(self, id: str, share: float, images: int) -> None:
        one, cost_micros = self.known[id], int(self.known[id].order.quote_micros * share)
        may = one.state in ("dispatched", "unknown")

        booked = self.do(self.desk.ledger.settle(id, settlement(cost_micros, images)))

        assert (booked is not None) == may
        if may:
            one.state, one.cost_micros, one.images = "settled", cost_micros, images

    @rule(id=orders, states=st.sampled_from([UNRESOLVED, ("reserved",), ("reserved", "dispatched")]),
          owner=st.sampled_from([None, OWNER, "proc_2"]))  # fmt: skip
    def release(self, id: str, states: Sequence[State], owner: str | None) -> None:
        one = self.known[id]
        may = one.state in states and owner != "proc_2"

        assert self.do(self.desk.ledger.release(id, ENDING, states, owner)) == may

        one.state = "released" if may else one.state

    @rule(id=orders)
    def give_up(self, id: str) -> None:
        one = self.known[id]
        may = one.state == "dispatched"

        assert self.do(self.desk.ledger.give_up(id, ENDING)) == may

        one.state = "unknown" if may else one.state

    @rule(ids=st.lists(orders, min_size=2, max_size=4), chosen=st.randoms(use_true_random=False))
    def many_at_once(self, ids: list[str], chosen: Any) -> None:
        """Several transitions of several requests together: each row takes one of the ways that are open to it."""
        ledger = self.desk.ledger
        ways: list[Callable[[str], Coroutine[Any, Any, Any]]] = [
            lambda id: ledger.settle(id, settlement(self.known[id].order.quote_micros, 1)),
            lambda id: ledger.release(id, ENDING),
            lambda id: ledger.give_up(id, ENDING),
        ]

        async def together() -> None:
            await asyncio.gather(*(chosen.choice(ways)(id) for id in ids))

        self.do(together())
        for row in self.do(self._rows()):
            one = self.known[row["id"]]
            one.state = row["state"]
            if one.state == "settled":
                one.cost_micros, one.images = row["cost_micros"], row["images"]

    @invariant()
    def the_book_is_what_was_done(self) -> None:
        found = {row["id"]: (row["state"], row["cost_micros"] or 0) for row in self.do(self._rows())}

        assert found == {id: (one.state, one.cost_micros) for id, one in self.known.items()}

    @invariant()
    def every_counter_is_what_its_requests_add_up_to_and_within_its_limit(self) -> None:
        for limit in self.limits:
            spent, held = self.do(self.desk.counter(limit))
            assert (spent, held) == self._due(limit)
            assert spent + held <= limit.amount or limit.amount < 0

    @invariant()
    def the_roll_up_is_the_settled_requests(self) -> None:
        settled = [one for one in self.known.values() if one.state == "settled"]
        rows = self.do(self.desk.usage())

        assert sum(row["requests"] for row in rows) == len(settled)
        assert sum(row["cost_micros"] for row in rows) == sum(one.cost_micros for one in settled)
        assert sum(row["images"] for row in rows) == sum(one.images for one in settled)

    async def _open(self, where: DatabaseUrl) -> Desk:
        database = open_database(where)
        self.stack.push_async_callback(database.close)
        async with database.transaction() as connection:
            for table in (results, usage, requests, counters, limits):
                await connection.execute(sa.delete(table))
        return Desk(database, await self.stack.enter_async_context(open_ledger(database)))

    async def _rows(self) -> list[dict[str, Any]]:
        async with self.desk.database.read() as connection:
            return [dict(row) for row in (await connection.execute(sa.select(requests))).mappings()]

    def _room(self, limit: Limit) -> int:
        return limit.amount - sum(self._due(limit))

    def _due(self, limit: Limit) -> tuple[int, int]:
        """(spent, held)"""
        spent = held = 0
        for one in self.known.values():
            if not any(key.limit == limit for key in one.order.counter_keys):
                continue
            if one.state == "settled":
                spent += {"micros": one.cost_micros, "images": max(one.order.n, one.images), "requests": 1}.get(
                    limit.unit, 0
                )
            elif one.state in ("reserved", "dispatched") or (one.state == "unknown" and limit.unit != "in_flight"):
                held += _holds(one.order, limit.unit)
        return spent, held


def _holds(order: Reservation, unit: Unit) -> int:
    return {"micros": order.quote_micros, "images": order.n}.get(unit, 1)


@pytest.mark.slow
def test_no_order_of_calls_brings_the_book_and_its_counters_apart(empty_where: DatabaseUrl) -> None:
    async def with_schema() -> None:
        database = open_database(empty_where)
        await upgrade(database)
        await database.close()

    asyncio.run(with_schema())

    class Here(Purchasing):
        def __init__(self) -> None:
            super().__init__(empty_where)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
