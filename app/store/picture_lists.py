"""Kept pictures as their owners and their projects see them: with prompt and cost, found by model, time, words or request."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.pages import Cursor, Page, read_page
from app.store.pictures import PictureRecord, Visibility
from app.store.tables import pictures, requests

SEARCHED_CHARS = 2_000
"""Characters at the beginning of a prompt that are searched for words: a search reads many prompts."""


@dataclass(frozen=True, slots=True)
class PictureViewer:
    """User in a project: sees own pictures there, and what others share with the project."""

    user_id: str
    project_id: str

    def own(self) -> sa.ColumnElement[bool]:
        """Return the condition of pictures that the viewer may change."""
        return sa.and_(pictures.c.user_id == self.user_id, pictures.c.project_id == self.project_id)

    def shared(self) -> sa.ColumnElement[bool]:
        """Return the condition of pictures that are shared with the project."""
        return sa.and_(pictures.c.project_id == self.project_id, pictures.c.visibility == "project")


@dataclass(frozen=True, slots=True)
class PictureFilter:
    """Filter of pictures; None is any. `since_ms` is inclusive, `until_ms` exclusive. Each of `words` has to be in the prompt's
    first SEARCHED_CHARS. `shared`: those shared with the project, instead of the viewer's own."""

    model: str | None = None
    request_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    words: tuple[str, ...] = ()
    shared: bool = False

    def where(self, viewer: PictureViewer) -> Iterator[sa.ColumnElement[bool]]:
        """Yield the conditions on pictures and their requests."""
        yield viewer.shared() if self.shared else viewer.own()
        if self.model is not None:
            yield pictures.c.model == self.model
        if self.request_id is not None:
            yield pictures.c.request_id == self.request_id
        if self.since_ms is not None:
            yield pictures.c.created_at_ms >= self.since_ms
        if self.until_ms is not None:
            yield pictures.c.created_at_ms < self.until_ms
        for word in self.words:
            yield sa.func.substr(requests.c.prompt, 1, SEARCHED_CHARS, type_=sa.String).icontains(word, autoescape=True)


@dataclass(frozen=True, slots=True)
class PictureDetail:
    """Picture with the prompt of its request, None where it is not kept, and the request's cost, which all its pictures share."""

    record: PictureRecord
    prompt: str | None
    cost_micros: int | None


async def page_of_pictures(
    connection: AsyncConnection, viewer: PictureViewer, cursor: Cursor, wanted: PictureFilter
) -> Page[PictureDetail]:
    """Read a page of pictures by the time they were bought. Raises InvalidValue for the cursor."""
    order = (pictures.c.created_at_ms, pictures.c.id)
    seen = sa.or_(viewer.own(), viewer.shared())
    return await read_page(connection, _SELECT.where(*wanted.where(viewer)), cursor, _detail, order, among=seen)


async def find_picture(connection: AsyncConnection, viewer: PictureViewer, picture_id: str) -> PictureDetail | None:
    """Read a picture that the viewer may see."""
    seen = sa.or_(viewer.own(), viewer.shared())
    found = await connection.execute(_SELECT.where(pictures.c.id == picture_id, seen))
    row = found.mappings().one_or_none()
    return None if row is None else _detail(row)


async def change_picture(
    connection: AsyncConnection,
    viewer: PictureViewer,
    picture_id: str,
    *,
    visibility: Visibility | None,
    kept_until_ms: int | None,
) -> bool:
    """Change an own picture; None leaves a value as it is. Return False when there is none of that id."""
    columns = pictures.c
    values = {
        "visibility": sa.func.coalesce(visibility, columns.visibility),
        "kept_until_ms": sa.func.coalesce(sa.literal(kept_until_ms, columns.kept_until_ms.type), columns.kept_until_ms),
    }
    statement = sa.update(pictures).where(columns.id == picture_id, viewer.own()).values(values)
    return (await connection.execute(statement)).rowcount > 0


_SELECT = sa.select(pictures, requests.c.prompt, requests.c.cost_micros).join(
    requests, requests.c.id == pictures.c.request_id
)


def _detail(row: sa.RowMapping) -> PictureDetail:
    record = PictureRecord(
        **{name: row[name] for name in PictureRecord.__slots__ if name != "c2pa"}, c2pa=bool(row["c2pa"])
    )
    return PictureDetail(record, row["prompt"], row["cost_micros"])
