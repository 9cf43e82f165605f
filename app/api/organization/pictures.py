"""/organization/pictures: the kept pictures of everybody (an extension). The audit log has a line of each look."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as QueryField
from starlette.requests import Request
from starlette.responses import Response

from app.api import openapi
from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.picture_filter import FilterOfPictures
from app.api.picture_response import picture_response, thumbnail
from app.api.schemas.base import DeletedOut, ListOut
from app.api.schemas.pictures import PicturesPrune, PictureWithOwnerOut, PrunedOut
from app.control.people import user_ids_of
from app.control.projects import get_project
from app.images.links import OpenPicture
from app.pictures.administration import PictureAdministration
from app.store.pages import Cursor
from app.store.picture_lists import OrganizationViewer, PictureFilter

router = APIRouter(prefix="/pictures", tags=["Pictures (extension)"])
_Text = Annotated[str | None, QueryField(max_length=200)]


@router.get("")
async def list_all_pictures(
    request: Request,
    caller: Admin,
    wanted: FilterOfPictures,
    user: Annotated[_Text, QueryField(description="Only of this user or service account: name, id or address.")] = None,
    project: Annotated[_Text, QueryField(description="Only of this project: name or id.")] = None,
    after: After = None,
    limit: Limit = LIMIT,
) -> ListOut[PictureWithOwnerOut]:
    """List the kept pictures of everybody, newest first. A reader gets the prompts of shared pictures only, and `words` looks in
    those only."""
    named = await _named(caller, wanted, user, project)
    asked: dict[str, Any] = dict(request.query_params)
    pictures = _pictures(caller)
    page = await pictures.page(Cursor(after, limit, descending=True), named, asked)
    return ListOut[PictureWithOwnerOut].of_page(
        page, lambda found: PictureWithOwnerOut.of_administrator(found, may_read=pictures.may_read(found))
    )


@router.post("/prune")
async def prune_pictures(caller: AdminWriter, body: Body[PicturesPrune]) -> PrunedOut:
    """Remove the pictures that are due, for 2 s: those whose time has passed, then the oldest above IMAGEGATE_PICTURES_BYTES_MAX
    that are older than a day. The gateway does the same every minute."""
    pictures = _pictures(caller)
    if body.dry_run:
        return PrunedOut.of_due(await pictures.library.due())
    return PrunedOut.of_removed(await pictures.prune())


@router.get("/{picture_id}")
async def show_any_picture(caller: Admin, picture_id: str) -> PictureWithOwnerOut:
    """Return a picture of anybody; a reader gets the prompt of a shared one only."""
    pictures = _pictures(caller)
    found = await pictures.show(picture_id)
    return PictureWithOwnerOut.of_administrator(found, may_read=pictures.may_read(found))


@router.get("/{picture_id}/content", **openapi.PICTURE)
async def retrieve_any_picture(request: Request, caller: Admin, picture_id: str) -> Response:
    """Return the bytes of a picture of anybody, as the relay sent them. A reader's key opens shared ones only (403). Answers HEAD
    and one Range."""
    found, spool = await _pictures(caller).open(picture_id)
    record = found.record
    format = record.media_type.removeprefix("image/")
    picture = OpenPicture(record.id, spool, record.bytes, format, None)
    return picture_response(request, picture, caller.gateway.clock.now_ms())


@router.get("/{picture_id}/thumbnail", **openapi.PICTURE)
async def retrieve_any_thumbnail(request: Request, caller: Admin, picture_id: str) -> Response:
    """Return a small copy of a picture of anybody, WebP of at most 320 pixels a side; who may open it and what is logged is as for
    its content."""
    found, spool = await _pictures(caller).open_thumbnail(picture_id)
    picture = thumbnail(found.record.id, spool, None)
    return picture_response(request, picture, caller.gateway.clock.now_ms())


@router.delete("/{picture_id}")
async def delete_any_picture(caller: AdminWriter, picture_id: str) -> DeletedOut:
    """Delete a picture of anybody for good. Its links are 404 from then on, and a replay of its answer is 410."""
    await _pictures(caller).delete(picture_id)
    return DeletedOut.of("image.picture", picture_id)


async def _named(caller: Administrator, wanted: PictureFilter, user: str | None, project: str | None) -> PictureFilter:
    """Look up the names of a filter. Raises NotFound."""
    if user is None and project is None:
        return wanted
    async with caller.database.read() as connection:
        user_ids = None if user is None else await user_ids_of(connection, user)
        project_id = None if project is None else (await get_project(connection, project)).id
    return replace(wanted, user_ids=user_ids, project_id=project_id)


def _pictures(caller: Administrator) -> PictureAdministration:
    viewer = OrganizationViewer(may_open=caller.may_write)
    return PictureAdministration(caller.gateway.pictures(), caller.database, caller.user_id, viewer)
