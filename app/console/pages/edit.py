"""Page that edits pictures: uploaded ones and the person's own. The first is edited, with a mask that is painted on it; others are
references."""

from collections.abc import Sequence
from dataclasses import replace

from blake3 import blake3
from starlette.responses import Response

from app.console.create_form import FORM_BYTES_MAX, CreateForm
from app.console.creating import ids_in, named_job, purchase, purchase_page
from app.console.language import marked as _
from app.console.visit import Visit, signed_in
from app.core import parameters
from app.core.request import ImageRequest
from app.core.uploads import IMAGES_MAX, FilePart, UploadedForm
from app.errors import BodyTooLarge, GatewayError, MissingParameter
from app.spool import Slice
from app.store.picture_lists import PictureViewer

SOURCE_BYTES_MAX = 10_000_000
NO_PICTURE = _("Choose a picture to edit: a file, or one of your last pictures.")
TOO_LARGE = _("These pictures have more than 10 MB, and models take no more. Scale them down.")


async def show_edit(visit: Visit) -> Response:
    """Show the form; `picture` in the address lists some of the person's own to edit, `job` is an edit to fill the form with."""
    job = await named_job(visit)
    form = CreateForm.from_fields(visit.query) if job is None else CreateForm.from_job(job).chosen_by(visit.query)
    return await _page(visit, form, ids_in(visit, "picture"))


async def show_price(visit: Visit) -> Response:
    """Show the form as it was sent, with its price. Buys and reserves nothing."""
    given = await visit.form_items(FORM_BYTES_MAX)
    return await _page(
        visit, CreateForm.from_fields(dict(given)), [value for name, value in given if name == "picture"]
    )


async def buy(visit: Visit) -> Response:
    """Buy an edit as the API sells it, and lead to the page with its job. A form that is sent twice buys once."""
    form, picture_ids = CreateForm(), list[str]()
    try:
        uploaded = await visit.parts.read_form(visit.request, visit.user.user_id)
        try:
            given = {name: value for name, value in uploaded.fields.items() if isinstance(value, str)}
            chosen = uploaded.fields.get("picture") or []
            form, picture_ids = CreateForm.from_fields(given), [chosen] if isinstance(chosen, str) else chosen
            files = [file for file in uploaded.files if file.piece.length]
            files += [await _own_picture(visit, picture_id, uploaded) for picture_id in picture_ids[:IMAGES_MAX]]
            id = await purchase(visit, form, "edit", lambda: _request(form, replace(uploaded, files=files)))
        except BaseException:
            uploaded.spool.close()
            raise
    except GatewayError as exc:
        return await _page(visit, form, picture_ids, exc)
    return visit.redirect("/create/edit", "jobs", **form.kept, done="bought", picture=",".join(picture_ids), job=id)


async def _page(
    visit: Visit, form: CreateForm, picture_ids: Sequence[str], error: GatewayError | None = None
) -> Response:
    return await purchase_page(visit, form, "edit", error, chosen_pictures=picture_ids, bytes_max=SOURCE_BYTES_MAX)


def _request(form: CreateForm, uploaded: UploadedForm) -> ImageRequest:
    """Make the edit, which owns the spool then. Raises as `parameters.edit` does."""
    if all(file.name == "mask" for file in uploaded.files):
        raise MissingParameter(NO_PICTURE, param="image")
    fields: dict[str, str | list[str]] = {**form.texts()}
    return parameters.edit(fields, uploaded.files, uploaded.spool, pixels_max=uploaded.pixels_max)


async def _own_picture(visit: Visit, picture_id: str, uploaded: UploadedForm) -> FilePart:
    """Copy a picture that the person may see into the form's spool. Raises NotFound, BodyTooLarge."""
    library = visit.parts.gateway.library
    record = (await library.show(PictureViewer(visit.user.user_id), picture_id)).record
    if record.bytes > SOURCE_BYTES_MAX:
        raise BodyTooLarge(TOO_LARGE, param="picture")
    source, digest, start = await library.open(record), blake3(), uploaded.spool.size_bytes
    try:
        for chunk in source.chunks(Slice(0, record.bytes)):
            digest.update(chunk)
            uploaded.spool.write(chunk)
    finally:
        source.close()
    return FilePart("image", Slice(start, record.bytes), digest.hexdigest())


routes = (
    ("GET", "/create/edit", signed_in(show_edit, "owner", "member")),
    ("POST", "/create/edit", signed_in(buy, "owner", "member")),
    ("POST", "/create/edit/price", signed_in(show_price, "owner", "member")),
)
