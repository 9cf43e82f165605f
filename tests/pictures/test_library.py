"""Removal of kept pictures: by age, by bytes, and never a file that another picture names."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.intervals import DAY_MS
from app.errors import Overloaded
from app.pictures.library import PictureLibrary
from app.store.pages import Cursor
from app.store.picture_lists import OrganizationViewer, PictureFilter
from app.store.results import PRUNE_MAX
from app.store.tables import pictures
from tests.images.client import LARGE, Client


async def bought(client: Client, count: int) -> list[str]:
    """Buy pictures and have them kept; returns their ids, oldest first."""
    await client.gateway.gateway.chores.stop()
    for number in range(count):
        await client.ask(LARGE | {"prompt": f"cat {number}"})
    await client.gateway.gateway.taking.take_all()
    return [row["id"] for row in await rows(client)]


async def rows(client: Client) -> list[dict[str, Any]]:
    wanted = sa.select(pictures).order_by(pictures.c.created_at_ms)
    async with client.gateway.database.read() as connection:
        return [dict(row) for row in (await connection.execute(wanted)).mappings()]


async def change(client: Client, id: str, **values: object) -> None:
    async with client.gateway.database.transaction() as connection:
        await connection.execute(sa.update(pictures).where(pictures.c.id == id).values(values))


async def copy(client: Client, id: str, *others: str, **values: object) -> None:
    """Insert pictures with the same bytes as one of them."""
    [row] = [row for row in await rows(client) if row["id"] == id]
    async with client.gateway.database.transaction() as connection:
        await connection.execute(sa.insert(pictures), [row | {"id": other} | values for other in others])


def files(client: Client) -> set[str]:
    return {path.name for path in (client.gateway.gateway.data_dir / "pictures").iterdir()}


def library(client: Client) -> PictureLibrary:
    return client.gateway.gateway.library


@pytest.mark.both
async def test_a_picture_is_removed_when_its_days_have_passed(client: Client) -> None:
    first, second = await bought(client, 2)
    await change(client, first, kept_until_ms=1)

    assert (await library(client).prune()).pictures == 1

    [left] = await rows(client)
    assert left["id"] == second
    assert files(client) == {left["digest"]}


@pytest.mark.both
async def test_above_the_cap_the_oldest_go_but_none_younger_than_a_day(client: Client) -> None:
    ids = await bought(client, 4)
    now_ms = client.gateway.gateway.clock.now_ms()
    for id, days in zip(ids, (4, 3, 2, 0), strict=True):
        await change(client, id, created_at_ms=now_ms - days * DAY_MS, bytes=100)
    object.__setattr__(library(client), "bytes_max", 250)

    assert (await library(client).prune()).pictures == 2
    assert [row["id"] for row in await rows(client)] == ids[2:]

    object.__setattr__(library(client), "bytes_max", 50)
    assert (await library(client).prune()).pictures == 1
    assert [row["id"] for row in await rows(client)] == ids[3:]
    assert len(files(client)) == 1


async def test_a_file_goes_with_the_last_picture_that_names_it(client: Client) -> None:
    [id] = await bought(client, 1)
    await copy(client, id, "equal")

    await library(client).remove([id])
    assert len(files(client)) == 1

    await library(client).remove(["equal"])
    assert files(client) == set()


async def test_one_turn_removes_all_that_is_due_in_steps(client: Client) -> None:
    [id] = await bought(client, 1)
    await copy(client, id, *(f"old_{number}" for number in range(2 * PRUNE_MAX + 1)), kept_until_ms=1)

    assert (await library(client).prune()).pictures == 2 * PRUNE_MAX + 1

    assert [row["id"] for row in await rows(client)] == [id]
    assert len(files(client)) == 1


@pytest.mark.both
async def test_a_search_that_waits_too_long_for_others_is_refused(client: Client) -> None:
    await bought(client, 1)
    hurried = replace(library(client), search_s=0.05)
    viewer, wanted = OrganizationViewer(may_open=True), PictureFilter(words=("cat",))

    async with hurried.searching:
        with pytest.raises(Overloaded, match="Try again in a few seconds"):
            await hurried.page(viewer, Cursor(limit=10), wanted)

    assert len((await hurried.page(viewer, Cursor(limit=10), wanted)).records) == 1
