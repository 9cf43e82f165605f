"""/images/pictures: the kept pictures of the user of an API key, and those shared with its project (an extension)."""

from fastapi import APIRouter, Depends
from starlette.requests import Request

from app.api import openapi
from app.api.deps import Caller, Wired, counted_own_call, links
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.picture_filter import FilterOfPictures
from app.api.picture_urls import public_url
from app.api.schemas.base import EXTENSION, DeletedOut, ListOut
from app.api.schemas.pictures import LinkCreate, LinkOut, PictureChange, PictureOut
from app.core.grants import Grant
from app.errors import BadRequest, PermissionDenied
from app.store.pages import Cursor
from app.store.picture_lists import PictureViewer

ONLY_LOOKS = "This API key only looks: it may change nothing. Use another key of yours."
NOT_OWN = "This picture is shared with your project by its owner, and only its owner makes links to it. Fetch it with your API key."
NO_ADDRESS = "No link can be made without a Host header. Set IMAGEGATE_PUBLIC_URL, or send one."
router = APIRouter(prefix="/images/pictures", tags=["Pictures (extension)"], dependencies=[Depends(counted_own_call)])


@router.get("", openapi_extra=EXTENSION)
async def list_pictures(
    caller: Caller,
    gateway: Wired,
    wanted: FilterOfPictures,
    after: After = None,
    limit: Limit = LIMIT,
) -> ListOut[PictureOut]:
    """List the kept pictures of the key's owner in its project, newest first, or those that are shared with the project."""
    viewer = _viewer(caller)
    page = await gateway.library.page(viewer, Cursor(after, limit, descending=True), wanted)
    return ListOut[PictureOut].of_page(page, lambda found: PictureOut.of(found, viewer))


@router.get("/{picture_id}", openapi_extra=EXTENSION)
async def show_picture(caller: Caller, gateway: Wired, picture_id: str) -> PictureOut:
    """Return a picture of the key's owner, or one that is shared with its project; 404 for any other."""
    viewer = _viewer(caller)
    return PictureOut.of(await gateway.library.show(viewer, picture_id), viewer)


@router.post("/{picture_id}", openapi_extra=EXTENSION, responses=openapi.ONLY_OWNER)
async def change_picture(caller: Caller, gateway: Wired, picture_id: str, body: Body[PictureChange]) -> PictureOut:
    """Share an own picture with the project or make it private, and keep it longer or shorter."""
    viewer = _changer(caller)
    kept_until_ms = None if body.kept_until is None else body.kept_until * 1000
    changed = await gateway.library.change(viewer, picture_id, visibility=body.visibility, kept_until_ms=kept_until_ms)
    return PictureOut.of(changed, viewer)


@router.post("/{picture_id}/link", openapi_extra=EXTENSION, responses=openapi.ONLY_OWNER)
async def create_picture_link(
    request: Request, caller: Caller, gateway: Wired, picture_id: str, body: Body[LinkCreate]
) -> LinkOut:
    """Make a link to an own picture that needs no key, for exactly so many seconds, but never longer than the picture is kept."""
    found = await gateway.library.show(_changer(caller), picture_id)
    if found.record.user_id != caller.user_id:
        raise PermissionDenied(NOT_OWN)
    base_url = public_url(request)
    if base_url is None:
        raise BadRequest(NO_ADDRESS)
    url, expires_s = links(request).link(found.record, body.seconds, base_url)
    return LinkOut(url=url, expires_at=expires_s)


@router.delete("/{picture_id}", openapi_extra=EXTENSION, responses=openapi.ONLY_OWNER)
async def delete_picture(caller: Caller, gateway: Wired, picture_id: str) -> DeletedOut:
    """Delete an own picture for good. Its links are 404 from then on, and a replay of its answer is 410."""
    await gateway.library.delete(_changer(caller), picture_id)
    return DeletedOut.of("image.picture", picture_id)


def _viewer(grant: Grant) -> PictureViewer:
    return PictureViewer(grant.user_id, grant.project_id)


def _changer(grant: Grant) -> PictureViewer:
    """Return the viewer, who may change pictures. Raises PermissionDenied for a key that only looks."""
    if grant.models is not None and not grant.models:
        raise PermissionDenied(ONLY_LOOKS)
    return _viewer(grant)
