"""Kept answers: pruned as fast as they come, and by nobody but their own chore."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl
from app.store.results import PRUNE_MAX
from app.store.tables import results
from tests.gateways import Running, running_gateway


@pytest.fixture
async def running(tmp_path: Path, database_where: DatabaseUrl, relay: RunningSandbox) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, relay.base_url, database_url=database_where.url or None) as gateway:
        await gateway.gateway.chores.stop()
        yield gateway


async def keep(running: Running, count: int, *, created_at_ms: int, expires_at_ms: int) -> None:
    """So many answers of 10 bytes, without pictures that are still to be kept."""
    row = {
        "body": b"{}",
        "body_bytes": 10,
        "created_at_ms": created_at_ms,
        "expires_at_ms": expires_at_ms,
        "cuts": [],
    }
    async with running.database.transaction() as connection:
        await connection.execute(
            sa.insert(results), [{"request_id": f"req_{created_at_ms}_{number}"} | row for number in range(count)]
        )


async def kept(running: Running) -> int:
    async with running.database.read() as connection:
        count: int = (await connection.execute(sa.select(sa.func.count()).select_from(results))).scalar_one()
        return count


async def test_one_turn_prunes_all_that_has_expired(running: Running) -> None:
    """10,000 come in the 10 s between two turns at 1,000 a second."""
    await keep(running, 4 * PRUNE_MAX + 1, created_at_ms=1, expires_at_ms=1000)
    await keep(running, 3, created_at_ms=2, expires_at_ms=3000)

    assert await running.gateway.kept_answers.prune(2000) == 4 * PRUNE_MAX + 1

    assert await kept(running) == 3


@pytest.mark.both
async def test_one_turn_prunes_all_that_stands_above_the_cap_oldest_first(running: Running) -> None:
    answers, now_ms = running.gateway.kept_answers, 10**12
    object.__setattr__(answers.retention, "bytes_max", 25)
    await keep(running, 3 * PRUNE_MAX, created_at_ms=1, expires_at_ms=2 * now_ms)
    await keep(running, 2, created_at_ms=2, expires_at_ms=2 * now_ms)
    await keep(running, 5, created_at_ms=now_ms, expires_at_ms=2 * now_ms)

    assert await answers.prune(now_ms) == 3 * PRUNE_MAX + 2

    assert await kept(running) == 5


async def test_the_heartbeat_does_no_other_work_and_pruning_does(running: Running) -> None:
    await keep(running, 1, created_at_ms=1, expires_at_ms=1)
    chores = running.gateway.chores

    assert await chores.run_once("heartbeat")
    assert await kept(running) == 1

    assert await chores.run_once("pruning")
    assert await kept(running) == 0
