"""Endpoint for the content of pictures. A signed link is the permission; without one, an API key."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import openapi
from app.api.deps import Wired, caller, guard, links, session_of_request
from app.api.picture_response import ANY_PAGE, picture_response, thumbnail
from app.errors import GatewayError
from app.images.links import OpenPicture
from app.store.picture_lists import PictureViewer
from app.wiring import Gateway

router = APIRouter(prefix="/images/pictures", tags=["Images"])


@router.get("/{picture_id}/content", **openapi.PICTURE)
async def retrieve_picture(
    request: Request, gateway: Wired, picture_id: str, expires: str = "", signature: str = ""
) -> Response:
    """Return the picture that a signed link names or, without a signature, one that the API key may see. Answers HEAD and one
    Range.

    Calls of each address are counted, with right and wrong signatures alike.
    """
    try:
        guard(request).count_picture(request)
        picture = await _open(request, gateway, picture_id, expires, signature)
    except GatewayError as exc:
        exc.headers = exc.headers | ANY_PAGE
        raise
    return picture_response(request, picture, gateway.clock.now_ms())


@router.get("/{picture_id}/thumbnail", **openapi.PICTURE)
async def retrieve_thumbnail(
    request: Request, gateway: Wired, picture_id: str, expires: str = "", signature: str = ""
) -> Response:
    """Return a small copy of a picture, WebP of at most 320 pixels a side, for whoever may have the picture: with the `expires` and
    `signature` of its link, or an API key. One that is not made yet takes a moment; 503 with Retry-After where it takes longer
    than 5 s, 404 where the picture cannot be decoded."""
    try:
        guard(request).count_picture(request)
        viewer = None if expires or signature else await _viewer(request)
        expires_at_ms = None
        if viewer is None:
            *_, expires_at_ms = await links(request).check(picture_id, expires, signature)
            record = await gateway.library.find(picture_id)
        else:
            record = (await gateway.library.show(viewer, picture_id)).record
        spool = await gateway.library.thumbnails.open(record)
    except GatewayError as exc:
        exc.headers = exc.headers | ANY_PAGE
        raise
    return picture_response(request, thumbnail(record.id, spool, expires_at_ms), gateway.clock.now_ms())


async def _open(request: Request, gateway: Gateway, picture_id: str, expires: str, signature: str) -> OpenPicture:
    """Open a picture by its signature or, without one, by the API key or the session of somebody who may see it."""
    viewer = None if expires or signature else await _viewer(request)
    if viewer is None:
        return await links(request).open(picture_id, expires, signature)
    found = await gateway.library.show(viewer, picture_id)
    return await links(request).open_kept(found.record, None)


async def _viewer(request: Request) -> PictureViewer | None:
    if "authorization" in request.headers:
        grant = await caller(request)
        return PictureViewer(grant.user_id, grant.project_id)
    session = await session_of_request(request)
    return None if session is None else PictureViewer(session.user_id)
