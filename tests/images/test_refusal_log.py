"""The log of refusals: what is recorded, folded, dropped and pruned, on both databases and behind a real gateway."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.endings import RequestRefused
from app.core.intervals import DAY_MS, MINUTE_MS
from app.errors import StoreUnavailable
from app.images.refusal_log import RefusalBounds, RefusalLog
from app.store.clock import Clock
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.refusals import Refusal, RefusalRows
from app.store.tables import refusal_log
from tests.images.client import SMALL, Client

REFUSED = RequestRefused(
    request_id="req_0",
    api_key_id="key_lin",
    user_id="user-lin",
    project_id="proj_default",
    operation="generation",
    model="gpt-image-1",
    status=429,
    code="insufficient_quota",
    limit="daily request quota of user lin",
    message="The quota has nothing left.",
)


class SetClock(Clock):
    """Clock that a test sets."""

    at_ms = 40 * DAY_MS

    def now_ms(self) -> int:
        return self.at_ms


@pytest.fixture
async def recorder(database: Database) -> AsyncIterator[RefusalLog]:
    yield RefusalLog(RefusalRows(database), SetClock(), RefusalBounds(groups_max=3, queued_max=30))


async def rows_of(database: Database) -> list[tuple[str, int, str | None]]:
    """Id, count and model of each row, oldest first."""
    columns = refusal_log.c
    async with database.read() as connection:
        found = await connection.execute(
            sa.select(columns.id, columns.count, columns.model).order_by(columns.at_ms, columns.id)
        )
        return [(row.id, row[1], row.model) for row in found]


def hear(recorder: RefusalLog, *numbers: int, **changed: Any) -> None:
    for number in numbers:
        recorder.hear(replace(REFUSED, request_id=f"req_{number:03}", **changed))


async def test_equal_refusals_beyond_ten_a_minute_share_a_row_with_their_count(recorder: RefusalLog) -> None:
    hear(recorder, *range(12))
    await recorder.write()
    hear(recorder, *range(12, 15))
    hear(recorder, 100, api_key_id="key_bo")
    await recorder.write()
    await recorder.write()  # Writing again counts nothing twice.
    recorder.clock.at_ms += MINUTE_MS  # type: ignore[attr-defined]
    hear(recorder, 200)
    await recorder.write()

    counts = [(id, count) for id, count, _ in await rows_of(recorder.rows.database)]
    own = [(f"req_{number:03}", 1) for number in range(10)]
    assert counts == [*own, ("req_010", 5), ("req_100", 1), ("req_200", 1)]


async def test_a_key_cannot_fill_the_log_by_naming_ever_other_models(recorder: RefusalLog) -> None:
    for number in range(20):
        hear(recorder, number, model=f"model-{number}")
    await recorder.write()

    rows = await rows_of(recorder.rows.database)
    assert [row[2] for row in rows] == ["model-0", "model-1", "model-2", *[None] * 11]
    assert rows[-1][1] == 7


async def test_a_full_queue_drops_and_counts_and_goes_on_once_it_is_written(recorder: RefusalLog) -> None:
    for number in range(33):
        hear(recorder, number, api_key_id=f"key_{number}")
    dropped = recorder.dropped
    await recorder.write()
    hear(recorder, 50)
    await recorder.write()

    assert (dropped, recorder.dropped) == (3, 0)
    ids = [id for id, _, _ in await rows_of(recorder.rows.database)]
    assert ids == [f"req_{number:03}" for number in (*range(30), 50)]


async def test_what_could_not_be_written_is_written_later(recorder: RefusalLog) -> None:
    database = recorder.rows.database
    lost = open_database(DatabaseUrl("postgresql", url="postgresql://nobody@127.0.0.1:1/none"))
    recorder.rows = RefusalRows(lost)
    hear(recorder, 1)
    with pytest.raises(StoreUnavailable):
        await recorder.write()
    recorder.rows = RefusalRows(database)
    await recorder.write()
    await lost.close()

    assert [id for id, _, _ in await rows_of(database)] == ["req_001"]


async def test_what_is_counted_up_while_it_is_written_is_written_again(recorder: RefusalLog) -> None:
    class BusyRows(RefusalRows):
        """Rows during whose writing another equal refusal comes."""

        async def write(self, refusals: Sequence[Refusal]) -> None:
            hear(recorder, 99)
            await super().write(refusals)

    rows = recorder.rows
    hear(recorder, *range(11))
    recorder.rows = BusyRows(rows.database)
    await recorder.write()
    recorder.rows = rows
    await recorder.write()

    assert (await rows_of(rows.database))[-1][:2] == ("req_010", 2)


@pytest.mark.both
async def test_old_refusals_and_the_oldest_above_the_bound_are_pruned(
    recorder: RefusalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.refusals.PRUNE_MAX", 2)
    clock = recorder.clock
    for day in range(12):
        clock.at_ms = day * 5 * DAY_MS  # type: ignore[attr-defined]
        hear(recorder, day)
        await recorder.write()
    await recorder.prune()
    kept = [id for id, _, _ in await rows_of(recorder.rows.database)]
    recorder.bounds = replace(recorder.bounds, rows_max=2)
    await recorder.prune()

    assert kept == [f"req_{day:03}" for day in range(5, 12)]
    assert [id for id, _, _ in await rows_of(recorder.rows.database)] == ["req_010", "req_011"]


@pytest.mark.both
async def test_what_a_database_would_not_take_and_pasted_keys_are_not_stored(recorder: RefusalLog) -> None:
    key = "sk-ig-abcdefghijkl-0123456789abcdefghijklmnopqrstuv-ABCDEF"
    hear(recorder, 1, model="a\x00b\ud800", message=f"The key {key}\x00 is wrong.")
    hear(recorder, 2, model=key)
    await recorder.write()

    async with recorder.rows.database.read() as connection:
        rows = (await connection.execute(sa.select(refusal_log).order_by(refusal_log.c.id))).mappings().all()
    assert [(row["model"], row["message"]) for row in rows] == [
        ("a b ", "The key is wrong."),
        ("", "The quota has nothing left."),
    ]


async def test_refusals_behind_a_gateway_are_recorded_with_their_x_request_id(client: Client) -> None:
    await client.gateway.limit("user", "lin", "requests", "day", 0)
    by_limit = await client.ask(SMALL)
    unread = await client.ask({"model": SMALL["model"], "n": "many"})
    unknown = await client.http.post("/v1/images/generations", json=SMALL, headers={"Authorization": "Bearer sk-ig-no"})
    assert await client.gateway.gateway.chores.run_once("refusals")

    rows = await rows_of(client.gateway.database)
    ids = {answer.headers["x-request-id"]: answer.status_code for answer in (by_limit, unread, unknown)}
    assert list(ids.values()) == [429, 400, 401]
    assert [id for id, _, _ in rows] == list(ids)[:2]
    assert await operations_of(client.gateway.database) == {"generation"}


async def operations_of(database: Database) -> set[str | None]:
    async with database.read() as connection:
        return set((await connection.execute(sa.select(refusal_log.c.operation))).scalars())


@pytest.mark.both
@pytest.mark.parametrize(("path", "operation"), [("edits", "edit"), ("variations", "variation")])
async def test_a_refusal_before_the_body_is_read_tells_the_operation(client: Client, path: str, operation: str) -> None:
    key = (await client.gateway.key()).key
    answer = await client.http.post(
        f"/v1/images/{path}", content=b"no form", headers={"Authorization": f"Bearer {key}", "Content-Type": "text/x"}
    )
    assert await client.gateway.gateway.chores.run_once("refusals")

    [(id, _, model)] = await rows_of(client.gateway.database)
    assert (id, model) == (answer.headers["x-request-id"], None)
    assert await operations_of(client.gateway.database) == {operation}


async def test_equal_refusals_of_two_operations_share_no_row(recorder: RefusalLog) -> None:
    hear(recorder, *range(0, 20))
    hear(recorder, *range(20, 40), operation="edit")
    await recorder.write()

    assert [count for _, count, _ in await rows_of(recorder.rows.database)] == [*[1] * 10, 10, *[1] * 10, 10]
