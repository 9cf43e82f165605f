"""Page of the pictures: a grid by days, one picture beside it, and what can be done with one or several."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from starlette.responses import Response, StreamingResponse

from app.api.schemas.pictures import PictureOut, PictureWithOwnerOut
from app.console.choices import models_and, projects_to_filter
from app.console.gallery import Gallery, PictureQuestion
from app.console.language import marked as _
from app.console.picture_files import BrowserPicture, file_name, placeholder, zipped
from app.console.visit import Visit, signed_in
from app.core.browsers import public_path
from app.core.intervals import DAY_MS
from app.errors import GatewayError, InvalidValue, NotFound, PermissionDenied
from app.store.audit_logs import AuditLogFilter, page_of_changes
from app.store.pages import Cursor
from app.store.picture_lists import PictureDetail

LONGER_DAYS = (30, 90, 365)
LINK_S = {"hour": 3600, "day": 86_400, "week": 7 * 86_400}
"""Seconds that a link works, by the choice in the form."""
LINKS_MAX = 20
"""Most links of a picture that its page shows."""
SELECTED_MAX = 60
_NOTHING_CHOSEN = _("Tick pictures first.")
_NO_ACTION = _("This page does not know what to do. Go back and press one of its buttons.")


async def list_pictures(visit: Visit) -> Response:
    """Show a page of pictures."""
    return await _page(visit)


async def show_picture(visit: Visit) -> Response:
    """Show one picture beside the list that it was opened from."""
    return await _page(visit, await _find(visit))


async def change_picture(visit: Visit) -> Response:
    """Do with one picture what the pressed button says."""
    form, gallery = await visit.form(), Gallery(visit)
    action = form.get("do", "")
    if action != "open":
        gallery.check_may_change()
    found = await _find(visit)
    if found is None:
        return await _page(visit)
    if action == "open":
        return await _opened(visit, found)
    if action == "link":
        return await _with_link(visit, found, form.get("lasts", ""))
    await _do(gallery, action, found, form)
    asked = PictureQuestion.of(visit).query(after=visit.query.get("after"))
    path = "/pictures" if action == "delete" else f"/pictures/{found.record.id}"
    return visit.redirect(path, **asked, done=action, count=1)


async def change_several(visit: Visit) -> Response:
    """Do with the ticked pictures what the pressed button says; `delete` asks first."""
    gallery = Gallery(visit)
    gallery.check_may_change()
    items = await visit.form_items()
    form, ids = dict(items), [value for name, value in items if name == "id"][:SELECTED_MAX]
    chosen = await gallery.library.several(gallery.viewer, ids)
    if not chosen:
        raise InvalidValue(_NOTHING_CHOSEN)
    action = form.get("do", "")
    if action == "delete" and not form.get("sure"):
        return visit.render(
            "pictures_delete.html", ids=[each.record.id for each in chosen], asked=PictureQuestion.of(visit)
        )
    done = 0
    for found in chosen:
        try:
            await _do(gallery, action, found, form)
            done += 1
        except (PermissionDenied, NotFound):
            continue  # Somebody else's: the answer counts what was done.
    asked = PictureQuestion.of(visit).query(after=visit.query.get("after"))
    return visit.redirect("/pictures", **asked, done=action, count=done, others=len(chosen) - done or None)


async def download_several(visit: Visit) -> Response:
    """Answer with the ticked pictures as a ZIP: those that the person sees without opening them by a click that is logged."""
    ids = visit.request.query_params.getlist("id")[:SELECTED_MAX]
    found = await Gallery(visit).several(ids)
    if not found:
        raise InvalidValue(_NOTHING_CHOSEN)
    gateway = visit.parts.gateway
    today = datetime.fromtimestamp(gateway.clock.now_ms() / 1000, UTC).astimezone(gateway.zone).date()
    headers = {"content-disposition": f'attachment; filename="pictures-{today}.zip"', "cache-control": "no-store"}
    chunks = zipped(gateway.library, [each.record for each in found], gateway.zone)
    return StreamingResponse(chunks, 200, headers, "application/zip")


async def show_thumbnail(visit: Visit) -> Response:
    """Answer with the thumbnail of a picture, or with a placeholder while there is none."""
    record = (await Gallery(visit).lookable(visit.request.path_params["picture_id"])).record
    file = BrowserPicture(f"{record.id}-thumbnail", f"{record.id}.webp", "image/webp")
    if file.is_known(visit.request):
        return file.unchanged()
    try:
        return file.answer(await visit.parts.gateway.library.thumbnails.open(record))
    except GatewayError:
        return placeholder()


async def show_content(visit: Visit) -> Response:
    """Answer with the bytes of a picture as the relay sent them; `download` gives them a name to be saved under."""
    record = (await Gallery(visit).lookable(visit.request.path_params["picture_id"])).record
    name, is_download = file_name(record, visit.parts.gateway.zone), "download" in visit.query
    file = BrowserPicture(record.id, name, record.media_type, is_download)
    if file.is_known(visit.request):
        return file.unchanged()
    try:
        return file.answer(await visit.parts.gateway.library.open(record))
    except GatewayError:
        if is_download:
            raise
        return placeholder()


async def _find(visit: Visit) -> PictureDetail | None:
    """Return the picture that the address names; None where it is gone, which its page says."""
    try:
        return await Gallery(visit).show(visit.request.path_params["picture_id"])
    except NotFound:
        return None


async def _do(gallery: Gallery, action: str, found: PictureDetail, form: dict[str, str]) -> None:
    match action:
        case "share":
            await gallery.share(found, "project")
        case "private":
            await gallery.share(found, "private")
        case "keep":
            days = form.get("days", "")
            if days not in map(str, LONGER_DAYS):
                raise InvalidValue(_NO_ACTION, param="days")
            await gallery.keep(found, int(days) * DAY_MS)
        case "delete":
            await gallery.delete(found)
        case _:
            raise InvalidValue(_NO_ACTION, param="do")


async def _opened(visit: Visit, found: PictureDetail) -> Response:
    """Show somebody's private picture to an owner who pressed the button for it; the audit log says so."""
    if visit.role != "owner":
        raise PermissionDenied(_("Only owners open private pictures of others. Ask one of them, or its owner."))
    return await _page(visit, await Gallery(visit).administration.show(found.record.id), is_opened=True)


async def _with_link(visit: Visit, found: PictureDetail, lasts: str) -> Response:
    """Show a link to an own picture, which needs no sign-in, and log it. It ends when the picture is kept no longer."""
    gallery = Gallery(visit)
    gallery.check_own(found)
    url, expires_s = visit.parts.links.link(found.record, LINK_S.get(lasts, LINK_S["day"]), visit.address)
    await gallery.administration.log_link(found, expires_s * 1000)
    return await _page(visit, found, link={"url": url, "expires_at": expires_s})


async def _links(visit: Visit, found: PictureDetail) -> list[int]:
    """List until when (Unix s) links work that were made here, the newest first, for the picture's owner and for owners."""
    if not (visit.sees_all or Gallery(visit).is_own(found)):
        return []
    now_ms = visit.parts.gateway.clock.now_ms()
    since_ms = now_ms - max(LINK_S.values()) * 1000  # Older ones have ended, and the log is long.
    wanted = AuditLogFilter(events=["picture.linked"], target_ids=[found.record.id], from_ms=since_ms)
    page = await visit.database.ask(page_of_changes, Cursor(limit=LINKS_MAX, descending=True), wanted)
    ends_ms = [min((each.after or {})["expires_at_ms"], found.record.kept_until_ms) for each in page.records]
    return [end_ms // 1000 for end_ms in ends_ms if end_ms > now_ms]


async def _page(
    visit: Visit, found: PictureDetail | None = None, *, is_opened: bool = False, link: dict[str, Any] | None = None
) -> Response:
    gallery, asked, after = Gallery(visit), PictureQuestion.of(visit), visit.query.get("after")
    try:
        page = await gallery.page(asked, after)
    except InvalidValue:  # The address begins after a picture that never was, or is somebody else's.
        page, after = await gallery.page(asked, None), None
    is_gone = "picture_id" in visit.request.path_params and found is None
    ids = [each.record.id for each in page.records]
    at = ids.index(found.record.id) if found is not None and found.record.id in ids else None
    return visit.render(
        "pictures.html",
        status=404 if is_gone else 200,
        secret=link is not None,
        asked=asked,
        days=_by_day(visit, page.records, gallery),
        count=len(ids),
        after=after,
        more=ids[-1] if page.has_more else None,
        choices={"model": await models_and(visit, asked.model), "project": await projects_to_filter(visit)},
        open=None if found is None else _shown(gallery, found, is_opened=is_opened),
        neighbours=(None, None)
        if at is None
        else (ids[at - 1] if at else None, ids[at + 1] if at + 1 < len(ids) else None),
        is_gone=is_gone,
        audited=None if found is None else _audited_content(visit, found),
        link=link,
        links=[] if found is None else await _links(visit, found),
        may_change=gallery.may_change,
        longer=LONGER_DAYS,
        done_counts=(_number(visit, "count"), _number(visit, "others")),
    )


def _by_day(visit: Visit, found: Sequence[PictureDetail], gallery: Gallery) -> list[tuple[str, list[dict[str, Any]]]]:

    def day(each: PictureDetail) -> str:
        at = datetime.fromtimestamp(each.record.created_at_ms / 1000, UTC)
        return at.astimezone(visit.parts.gateway.zone).date().isoformat()

    return [(name, [_shown(gallery, each) for each in group]) for name, group in groupby(found, day)]


def _shown(gallery: Gallery, found: PictureDetail, *, is_opened: bool = False) -> dict[str, Any]:
    """Return what a template says about a picture: the API's form of it, and the names that members are told, too."""
    may_look = gallery.may_look(found)
    picture: PictureOut
    if gallery.visit.sees_all:
        picture = PictureWithOwnerOut.of_administrator(found, may_read=may_look or is_opened)
    else:
        picture = PictureOut.of(found, gallery.own)
    return {
        "picture": picture,
        "person": found.user,
        "project": found.project,
        "charged_as": (found.size, found.quality, found.images),
        "may_look": may_look,
        "is_own": gallery.is_own(found),
        "is_opened": is_opened,
        "has_thumbnail": found.record.thumbnail_bytes != 0,
    }


def _audited_content(visit: Visit, found: PictureDetail) -> str:
    """Return the address at which an owner gets the bytes of somebody's private picture, with a line in the audit log."""
    return f"{public_path(visit.parts.public_url)}/v1/organization/pictures/{found.record.id}/content"


def _number(visit: Visit, name: str) -> int:
    text = visit.query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


routes = (
    ("GET", "/pictures", signed_in(list_pictures)),
    ("POST", "/pictures", signed_in(change_several)),
    ("GET", "/pictures.zip", signed_in(download_several)),
    ("GET", "/pictures/{picture_id}", signed_in(show_picture)),
    ("POST", "/pictures/{picture_id}", signed_in(change_picture)),
    ("GET", "/pictures/{picture_id}/thumbnail", signed_in(show_thumbnail)),
    ("GET", "/pictures/{picture_id}/content", signed_in(show_content)),
)
