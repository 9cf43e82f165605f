"""Kept pictures as their owners, their projects and administrators see them: with prompt and cost, found by model, time, words or
request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.word_bits import SEARCHED_CHARS, word_bits
from app.store.engine import read_in_order
from app.store.pages import Cursor, Page, read_page
from app.store.pictures import PictureRecord, Visibility
from app.store.tables import pictures, project_users, projects, requests, users
from app.store.tables.pictures import WORD_COLUMNS


class Viewer(Protocol):
    """Viewer of pictures, with the conditions of those they may see."""

    def listed(self, *, shared: bool) -> sa.ColumnElement[bool]:
        """Return the condition of the pictures in a list: those that are shared with projects, or else all others."""
        ...

    def seen(self) -> sa.ColumnElement[bool]:
        """Return the condition of pictures that the viewer may see one by one."""
        ...

    def read(self) -> sa.ColumnElement[bool]:
        """Return the condition of pictures whose prompts the viewer may read, and so search."""
        ...


@dataclass(frozen=True, slots=True)
class PictureViewer:
    """User in a project: sees own pictures there, and what others share with the project. Without `project_id`, as in a session,
    it is every project of the user."""

    user_id: str
    project_id: str | None = None

    def own(self) -> sa.ColumnElement[bool]:
        """Return the condition of pictures that the viewer may change."""
        own = pictures.c.user_id == self.user_id
        return own if self.project_id is None else sa.and_(own, pictures.c.project_id == self.project_id)

    def shared(self) -> sa.ColumnElement[bool]:
        """Return the condition of pictures that are shared with the project."""
        theirs = sa.select(project_users.c.project_id).where(project_users.c.user_id == self.user_id)
        of_project = (
            pictures.c.project_id.in_(theirs) if self.project_id is None else pictures.c.project_id == self.project_id
        )
        return sa.and_(of_project, pictures.c.visibility == "project")

    def listed(self, *, shared: bool) -> sa.ColumnElement[bool]:
        return self.shared() if shared else self.own()

    def seen(self) -> sa.ColumnElement[bool]:
        return sa.or_(self.own(), self.shared())

    def read(self) -> sa.ColumnElement[bool]:
        return sa.true()


@dataclass(frozen=True, slots=True)
class OrganizationViewer:
    """Administrator: sees the pictures of everybody, but private prompts and bytes only with `may_open`."""

    may_open: bool

    def listed(self, *, shared: bool) -> sa.ColumnElement[bool]:
        return pictures.c.visibility == "project" if shared else sa.true()

    def seen(self) -> sa.ColumnElement[bool]:
        return sa.true()

    def read(self) -> sa.ColumnElement[bool]:
        return sa.true() if self.may_open else pictures.c.visibility == "project"


@dataclass(frozen=True, slots=True)
class PictureFilter:
    """Filter of pictures; None is any. `since_ms` is inclusive, `until_ms` exclusive. Each of `words` has to be in the prompt's
    first SEARCHED_CHARS. `shared`: only those shared with a project; users see these instead of their own."""

    model: str | None = None
    request_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    words: tuple[str, ...] = ()
    shared: bool = False
    user_ids: Sequence[str] | None = None
    project_id: str | None = None

    def where(self, viewer: Viewer) -> Iterator[sa.ColumnElement[bool]]:
        """Yield the conditions on pictures and their requests."""
        columns = pictures.c
        yield viewer.listed(shared=self.shared)
        if self.words:
            yield viewer.read()
        equal = {columns.model: self.model, columns.request_id: self.request_id, columns.project_id: self.project_id}
        yield from (column == value for column, value in equal.items() if value is not None)
        if self.user_ids is not None:
            yield columns.user_id.in_(self.user_ids)
        if self.since_ms is not None:
            yield columns.created_at_ms >= self.since_ms
        if self.until_ms is not None:
            yield columns.created_at_ms < self.until_ms
        for word in self.words:
            yield _may_have(word)
            yield sa.func.substr(requests.c.prompt, 1, SEARCHED_CHARS, type_=sa.String).icontains(word, autoescape=True)


def _may_have(word: str) -> sa.ColumnElement[bool]:
    """Return the condition of pictures whose prompts may contain a word, so that the prompts of the others are not read."""
    columns = [pictures.c[name] for name in WORD_COLUMNS]
    has_all = [column.bitwise_and(bits) == bits for column, bits in zip(columns, word_bits(word), strict=True) if bits]
    return sa.or_(columns[0].is_(None), sa.and_(sa.true(), *has_all))


@dataclass(frozen=True, slots=True)
class PictureDetail:
    """Picture with facts of its request. `prompt` is None where it is not kept; `cost_micros` is for all `images` together;
    `duplicate_of` is the picture that an equal request had bought before; `size` and `quality` are what was charged for."""

    record: PictureRecord
    prompt: str | None
    cost_micros: int | None
    user: str
    project: str
    duplicate_of: str | None
    images: int | None
    size: str | None
    quality: str | None


async def page_of_pictures(
    connection: AsyncConnection, viewer: Viewer, cursor: Cursor, wanted: PictureFilter
) -> Page[PictureDetail]:
    """Read a page of pictures by the time they were bought. Raises InvalidValue for the cursor."""
    order = (pictures.c.created_at_ms, pictures.c.id)
    if wanted.words:
        await read_in_order(connection)
    select = _SELECT.where(*wanted.where(viewer))
    return await read_page(connection, select, cursor, _detail, order, among=viewer.seen(), removed=_time_of_purchase)


def _time_of_purchase(picture_id: str) -> sa.Select[tuple[int]]:
    """Select the time of a deleted picture from its request, which stays."""
    is_its = sa.and_(requests.c.id == picture_id.rpartition("_")[0], requests.c.state == "settled")
    is_kept = sa.exists().where(pictures.c.id == picture_id)  # Then the viewer may not see it.
    return sa.select(requests.c.ended_at_ms).where(is_its, ~is_kept)


async def find_picture(connection: AsyncConnection, viewer: Viewer, picture_id: str) -> PictureDetail | None:
    """Read a picture that the viewer may see."""
    found = await connection.execute(_SELECT.where(pictures.c.id == picture_id, viewer.seen()))
    row = found.mappings().one_or_none()
    return None if row is None else _detail(row)


async def find_pictures(connection: AsyncConnection, viewer: Viewer, picture_ids: Sequence[str]) -> list[PictureDetail]:
    """Read those of these pictures that the viewer may see, newest first."""
    newest = (pictures.c.created_at_ms.desc(), pictures.c.id.desc())
    found = await connection.execute(_SELECT.where(pictures.c.id.in_(picture_ids), viewer.seen()).order_by(*newest))
    return [_detail(row) for row in found.mappings()]


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


_SELECT = (
    sa.select(
        pictures,
        requests.c.prompt,
        requests.c.cost_micros,
        requests.c.duplicate_of,
        requests.c.images,
        requests.c.size,
        requests.c.quality,
        users.c.name.label("user"),
        projects.c.name.label("project"),
    )
    .join(requests, requests.c.id == pictures.c.request_id)
    # Outer joins, so that the planner reads the pages along the index of pictures and the names last.
    .outerjoin(users, users.c.id == pictures.c.user_id)
    .outerjoin(projects, projects.c.id == pictures.c.project_id)
)


def _detail(row: sa.RowMapping) -> PictureDetail:
    about = (
        row[name] for name in ("prompt", "cost_micros", "user", "project", "duplicate_of", "images", "size", "quality")
    )
    return PictureDetail(PictureRecord.of(row), *about)
