"""Pictures whose link of the relay is all there was: counted once the answer is finished, whatever died before."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from blake3 import blake3

from app.errors import StorageFull
from app.store.ledger.columns import LINK_ONLY, Cut
from app.store.pictures import TakenAnswer
from app.store.tables import pictures, results
from tests.images.client import SMALL, Client
from tests.images.linking_relay import PNG, gone, linking_relay, picture
from tests.images.test_linked import LOOPBACK, Opened, link_only, taken
from tests.images.test_linked import opened as opened  # a fixture
from tests.upstream.raw_server import RawServer


def fails_at(name: str) -> Callable[[str], None]:
    def crash_point(passed: str) -> None:
        if passed == name:
            raise StorageFull("The process died here.")

    return crash_point


async def kept(opened: Opened, relay: RawServer) -> tuple[Client, dict[str, Any]]:
    """Buy a picture that comes as a link, and keep it; returns its row, too."""
    client = await opened(relay.url, **LOOPBACK)
    relay.script += [picture]
    await client.ask(SMALL)
    [row], _ = await taken(client)
    return client, row


async def test_a_link_that_works_again_after_a_crash_is_not_counted_as_lost(
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with linking_relay("{}/one") as relay:
        client = await opened(relay.url, **LOOPBACK)
        relay.script += [gone, picture]
        with monkeypatch.context() as crashing:
            crashing.setattr("app.images.taking.crash_point", fails_at("after_pictures"))
            await client.ask(SMALL)
        [row], cuts = await taken(client)

    assert (row["digest"], cuts) == (blake3(PNG).hexdigest(), [[0, 0, 0]])
    assert await link_only(client) == ([None], 0)


async def test_a_picture_that_was_recorded_before_a_crash_is_not_counted_as_lost(
    opened: Opened,
) -> None:
    async with linking_relay("{}/one") as relay:
        client, row = await kept(opened, relay)
        rows = client.gateway.gateway.taking.rows
        async with client.gateway.database.transaction() as connection:
            await connection.execute(sa.update(results).values(cuts=None))
        assert await rows.finish([TakenAnswer(row["request_id"], (), (Cut(0, LINK_ONLY, 0),), None)])
        [row], cuts = await taken(client)

    assert cuts == [[0, 0, 0]]
    assert await link_only(client) == ([None], 0)


@pytest.mark.both
async def test_a_picture_that_another_replica_records_at_that_moment_is_not_counted_as_lost(
    opened: Opened,
) -> None:
    async with linking_relay("{}/one") as relay:
        client, row = await kept(opened, relay)
        rows = client.gateway.gateway.taking.rows
        async with client.gateway.database.transaction() as connection:
            await connection.execute(sa.delete(pictures))
            await connection.execute(sa.update(results).values(cuts=None))
        async with client.gateway.database.transaction() as replica:
            await replica.execute(sa.update(results).values(created_at_ms=results.c.created_at_ms))
            finishing = asyncio.create_task(
                rows.finish([TakenAnswer(row["request_id"], (), (Cut(0, LINK_ONLY, 0),), None)])
            )
            await asyncio.wait({finishing}, timeout=0.5)
            await replica.execute(sa.insert(pictures).values(row))
        assert await finishing == [row["request_id"]]
        [row], cuts = await taken(client)

    assert cuts == [[0, 0, 0]]
    assert await link_only(client) == ([None], 0)
