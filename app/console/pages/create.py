"""Page that makes pictures from text: the price before the click, the purchase, and its jobs, which are rows of the book."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from app.api.schemas.self_service import QuoteOut
from app.console.create_form import BACKGROUNDS, COUNTS, FORM_BYTES_MAX, NO_PROMPT, OUTPUT_FORMATS, CreateForm
from app.console.visit import Visit, signed_in
from app.control.console_keys import console_key, grant_in_project
from app.control.members import active_projects_of
from app.control.quotes import LimitReader
from app.core.browsers import public_path
from app.core.catalog import Model
from app.core.grants import Grant
from app.core.intervals import HOUR_MS
from app.core.request import GPT_IMAGE, ImageRequest
from app.errors import GatewayError, IdempotencyKeyReuse, InvalidApiKey
from app.images.admission import INVALID_KEY
from app.store.console_jobs import ConsoleJobs, Job
from app.store.pages import Cursor
from app.store.picture_lists import PictureDetail, PictureFilter, PictureViewer
from app.store.pictures import PictureRecord

JOBS_MAX = 6
RECENT_MAX = 8
USUAL_SIZES = ("1024x1024", "1536x1024", "1024x1536")
USUAL_QUALITIES = ("low", "medium", "high")
"""Choices for a model of which the catalog lists none, so that it takes any."""
TAKING_MS = 60_000
"""Longest time that a page waits for the pictures of a settled request to be kept."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Model to choose, with the least and the most that one picture costs (micros)."""

    model: Model
    least_micros: int
    most_micros: int

    @property
    def sizes(self) -> list[str]:
        return [size for size in self.model.sizes or USUAL_SIZES if size != "auto"]

    @property
    def qualities(self) -> list[str]:
        """Qualities to choose from. Models of others than OpenAI have none unless the catalog lists some."""
        usual = USUAL_QUALITIES if self.model.id.startswith(GPT_IMAGE) else ()
        return [quality for quality in self.model.qualities or usual if quality != "auto"]


@dataclass(frozen=True, slots=True)
class JobCard:
    """Job with its kept pictures. `is_running`: it will change by itself."""

    job: Job
    pictures: Sequence[PictureRecord]
    is_running: bool


@dataclass(frozen=True, slots=True)
class Price:
    """Quote for a form, or the error that it would be refused with. `earlier_ms` is when its pictures were bought before (Unix
    ms)."""

    quote: QuoteOut | None = None
    earlier_ms: int | None = None
    error: GatewayError | None = None


async def show_create(visit: Visit) -> Response:
    """Show the form; `job` in the address fills it with what that job asked for."""
    job = await _job(visit)
    return await _page(visit, CreateForm.from_fields(visit.query) if job is None else CreateForm.from_job(job))


async def show_price(visit: Visit) -> Response:
    """Show the form as it was sent, with its price. Buys and reserves nothing."""
    return await _page(visit, CreateForm.from_fields(await visit.form(FORM_BYTES_MAX)))


async def show_jobs(visit: Visit) -> Response:
    """Show the jobs only, for a page that follows them."""
    return visit.render("create_jobs.html", **await _jobs(visit))


async def buy(visit: Visit) -> Response:
    """Buy what the form asks for, by the same way as the API, and lead to the page with its job. A form that is sent twice buys
    once. A refusal shows the form again, with its prompt."""
    form = CreateForm.from_fields(await visit.form(FORM_BYTES_MAX))
    try:
        request_id = await _purchase(visit, form)
    except GatewayError as exc:
        return await _page(visit, form, exc)
    return visit.redirect("/create", job=request_id)


async def _purchase(visit: Visit, form: CreateForm) -> str:
    """Submit a form and return the id of its request, or of the one that it bought before. Raises as `ImageService.submit` does."""
    gateway, id = visit.parts.gateway, visit.request.scope["state"]["request_id"]
    key_id = await console_key(visit.database, visit.user.user_id, form.project)
    grant = await gateway.grant(key_id)
    if grant is None or not grant.usable_at(gateway.clock.now_ms()):
        raise InvalidApiKey(INVALID_KEY)
    try:
        request, retry = form.request(), form.retry()
    except GatewayError as exc:
        gateway.image_service.note_refusal(id, grant, exc, "generation")
        raise
    pending = await gateway.image_service.submit(id, grant, request, retry, deferred=True)
    return pending.request_id


async def _page(visit: Visit, form: CreateForm, error: GatewayError | None = None) -> Response:
    projects = await active_projects_of(visit.database, visit.user.user_id)
    if form.project not in [id for id, _ in projects]:
        form = replace(form, project=next((id for id, _ in projects), ""))
    grant = await grant_in_project(visit.database, visit.user.user_id, form.project) if projects else None
    cards = [] if grant is None else await _cards(visit, grant)
    chosen = next((card for card in cards if card.model.id == form.model), cards[0] if cards else None)
    form = _fitting(form, chosen).renewed()
    price = Price() if grant is None or chosen is None else await _price(visit, grant, form)
    return visit.render(
        "create.html",
        status=error.status if error else 200,
        form=form,
        projects=projects,
        cards=cards,
        chosen=chosen,
        price=price,
        error=error,
        is_reused=isinstance(error, IdempotencyKeyReuse),
        counts=COUNTS,
        backgrounds=BACKGROUNDS,
        output_formats=OUTPUT_FORMATS,
        **await _jobs(visit),
    )


def _fitting(form: CreateForm, card: ModelCard | None) -> CreateForm:
    """Leave out size and quality that the model does not take, such as those of the model that was chosen before."""
    if card is None:
        return form
    size = form.size if form.size in card.sizes else ""
    quality = form.quality if form.quality in card.qualities else ""
    return replace(form, model=card.model.id, size=size, quality=quality)


async def _cards(visit: Visit, grant: Grant) -> list[ModelCard]:
    """List the models that make pictures from text and that the project may use."""
    now_ms, catalog = visit.parts.gateway.clock.now_ms(), await visit.parts.gateway.control_data.catalog()
    cards = []
    for model in grant.usable_models(catalog, now_ms):
        amounts = model.prices.quotes_micros(CreateForm(model=model.id).request(NO_PROMPT), now_ms)
        if amounts and "generation" in model.operations:
            cards.append(ModelCard(model, min(amounts), max(amounts)))
    return cards


async def _price(visit: Visit, grant: Grant, form: CreateForm) -> Price:
    """Quote a form. The error of one that cannot be bought is a part of the answer."""
    gateway = visit.parts.gateway
    reader = LimitReader(gateway.database, gateway.rates, gateway.zone)
    try:
        request: ImageRequest = form.request("" if form.prompt else NO_PROMPT)
        quote = await reader.quote(await gateway.control_data.catalog(), grant, request, gateway.clock.now_ms())
        earlier = await gateway.image_service.duplicates.find(grant, quote.request) if form.prompt else None
    except GatewayError as exc:
        return Price(error=exc)
    if earlier is None:
        return Price(QuoteOut.of(quote, gateway.currency, None))
    return Price(QuoteOut.of(quote, gateway.currency, earlier.picture_id), earlier.reserved_at_ms)


async def _job(visit: Visit) -> Job | None:
    """Return the job that the address names; None without one of this person."""
    wanted = visit.query.get("job", "")
    return await ConsoleJobs(visit.database).find(visit.user.user_id, wanted) if wanted else None


async def _jobs(visit: Visit) -> dict[str, Any]:
    """Read the jobs of the last hour, the one in the address, and the person's newest pictures."""
    gateway, user_id = visit.parts.gateway, visit.user.user_id
    now_ms = gateway.clock.now_ms()
    found = await ConsoleJobs(visit.database).recent(user_id, now_ms - HOUR_MS, JOBS_MAX)
    named = await _job(visit)
    if named is not None and named.id not in [job.id for job in found]:
        found = [*found, named]
    cards = [await _card(visit, job, now_ms) for job in found]
    newest = await gateway.library.page(
        PictureViewer(user_id), Cursor(limit=RECENT_MAX, descending=True), PictureFilter()
    )
    recent: Sequence[PictureDetail] = newest.records
    return {"jobs": cards, "recent": recent, "now_ms": now_ms, "thumbnail": lambda id: _thumbnail(visit, id)}


async def _card(visit: Visit, job: Job, now_ms: int) -> JobCard:
    pictures = [] if job.state != "settled" else await visit.parts.gateway.library.rows.of_request(job.id)
    expected = job.state == "settled" and len(pictures) + (job.link_only or 0) < (job.images or 0)
    is_taking = expected and job.ended_at_ms is not None and now_ms - job.ended_at_ms < TAKING_MS
    return JobCard(job, pictures, job.is_open or is_taking)


def _thumbnail(visit: Visit, picture_id: str) -> str:
    """Return the address of a small copy, which the session opens."""
    return f"{public_path(visit.parts.public_url)}/v1/images/pictures/{picture_id}/thumbnail"


routes = (
    ("GET", "/create", signed_in(show_create, "owner", "member")),
    ("POST", "/create", signed_in(buy, "owner", "member")),
    ("POST", "/create/price", signed_in(show_price, "owner", "member")),
    ("GET", "/create/jobs", signed_in(show_jobs, "owner", "member")),
)
