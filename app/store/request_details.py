"""Details of requests that lists and pages show beside their records: names of keys, corrections, pictures, tries and times."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.ledger.types import RefusedDispatch
from app.store.picture_lists import PictureViewer
from app.store.pictures import PictureRecord
from app.store.tables import api_keys, corrections, pictures, refused_dispatches, requests, results


@dataclass(frozen=True, slots=True)
class RequestNotes:
    """Facts of a request besides its record: tries of its client's call and the time of the last, when its answer was stored and
    first handed over whole (Unix ms), and its prompt, None where prompts are not kept."""

    tries: int
    tried_at_ms: int | None
    stored_at_ms: int | None
    delivered_at_ms: int | None
    prompt: str | None


async def notes_of(connection: AsyncConnection, request_id: str) -> RequestNotes:
    """Read the notes of a request that there is."""
    columns = requests.c["tries", "tried_at_ms", "delivered_at_ms", "prompt"]
    stored = results.c.created_at_ms.label("stored_at_ms")
    select = sa.select(*columns, stored).outerjoin(results, results.c.request_id == requests.c.id)
    row = (await connection.execute(select.where(requests.c.id == request_id))).mappings().one()
    return RequestNotes(**row)


async def refused_dispatches_of(connection: AsyncConnection, request_id: str) -> list[RefusedDispatch]:
    """List the relays that refused a request before its last dispatch, oldest first."""
    columns = refused_dispatches.c
    select = sa.select(columns.relay, columns.dispatched_at_ms, columns.code).where(columns.request_id == request_id)
    rows = await connection.execute(select.order_by(columns.dispatched_at_ms, columns.relay))
    return [RefusedDispatch(*row) for row in rows]


async def key_names(connection: AsyncConnection, key_ids: Collection[str]) -> dict[str, str]:
    """Return the names of keys by their ids."""
    select = sa.select(api_keys.c.id, api_keys.c.name).where(api_keys.c.id.in_(key_ids))
    return {row.id: row.name for row in await connection.execute(select)}


async def corrected_micros(connection: AsyncConnection, request_ids: Collection[str]) -> dict[str, int]:
    """Sum what corrections added to the cost of these requests, by request; those without one are left out."""
    columns = corrections.c
    total = sa.cast(sa.func.sum(columns.cost_micros), sa.BigInteger)
    select = sa.select(columns.request_id, total).where(columns.request_id.in_(request_ids))
    return {id: int(micros) for id, micros in await connection.execute(select.group_by(columns.request_id))}


async def pictures_of(connection: AsyncConnection, request_ids: Collection[str]) -> dict[str, list[PictureRecord]]:
    """List the kept pictures of these requests in the order of their answers, by request."""
    selected = (pictures.c[name] for name in PictureRecord.__slots__)
    select = sa.select(*selected).where(pictures.c.request_id.in_(request_ids)).order_by(pictures.c.index)
    found: dict[str, list[PictureRecord]] = defaultdict(list)
    for row in (await connection.execute(select)).mappings():
        found[row["request_id"]].append(PictureRecord.of(row))
    return found


async def sources_of(
    connection: AsyncConnection, request_ids: Collection[str], reader_id: str
) -> dict[str, PictureRecord]:
    """Find the pictures that these edits began with, by request, where the user `reader_id` has them kept or shared."""
    its = pictures.c.digest == requests.c.source_digest
    selected = (pictures.c[name] for name in PictureRecord.__slots__)
    select = sa.select(requests.c.id.label("edit_id"), *selected).join(pictures, its)
    select = select.where(requests.c.id.in_(request_ids), PictureViewer(reader_id).seen()).order_by(
        pictures.c.created_at_ms
    )
    return {row["edit_id"]: PictureRecord.of(row) for row in (await connection.execute(select)).mappings()}
