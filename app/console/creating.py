"""Purchases in the console: the page with form, price and jobs, which are rows of the book, and the way to the image service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from app.api.schemas.self_service import QuoteOut
from app.console.create_form import BACKGROUNDS, CHOICES, COUNTS, NO_PROMPT, OUTPUT_FORMATS, CreateForm
from app.console.visit import Visit
from app.control.console_keys import console_key, grant_in_project
from app.control.members import active_projects_of
from app.control.quotes import LimitReader
from app.core.catalog import Model
from app.core.grants import Grant
from app.core.intervals import HOUR_MS
from app.core.request import GPT_IMAGE, ImageRequest, Operation
from app.errors import GatewayError, IdempotencyKeyReuse, InvalidApiKey
from app.images.admission import INVALID_KEY
from app.store.console_jobs import ConsoleJobs, Job
from app.store.pages import Cursor
from app.store.picture_lists import PictureFilter, PictureViewer
from app.store.pictures import PictureRecord

JOBS_MAX = 6
RECENT_MAX = 8
IDS_MAX = 6
MODEL_FIRST = "gpt-image-1"
"""Model that is chosen to begin with, where the project may use it."""
USUAL_SIZES = ("1024x1024", "1536x1024", "1024x1536")
USUAL_QUALITIES = ("low", "medium", "high")
"""Choices for a model of which the catalog lists none, so that it takes any."""
TAKING_MS = 60_000
"""Longest time that a page waits for the pictures of a settled request to be kept."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Model to choose, with the least and the most that one picture costs (micros), and its usual time where that is known."""

    model: Model
    least_micros: int
    most_micros: int
    usual_ms: int | None

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
    """Job with its kept pictures. `is_running`: it will change by itself. `usual_ms` is the usual time of its model, where that is
    known."""

    job: Job
    pictures: Sequence[PictureRecord]
    is_running: bool
    usual_ms: int | None


@dataclass(frozen=True, slots=True)
class FormPrice:
    """Quote for a form, or the error that it would be refused with. `earlier_ms` is when its pictures were bought before (Unix
    ms)."""

    quote: QuoteOut | None = None
    earlier_ms: int | None = None
    error: GatewayError | None = None


async def purchase(visit: Visit, form: CreateForm, operation: Operation, request: Callable[[], ImageRequest]) -> str:
    """Submit what a form asks for by the same way as the API does. Return the id of its request, or of
    the one that it bought before.

    Raises what `request` raises and as `ImageService.submit` does.
    """
    gateway, id = visit.parts.gateway, visit.request.scope["state"]["request_id"]
    key_id = await console_key(visit.database, visit.user.user_id, form.project)
    grant = await gateway.grant(key_id)
    if grant is None or not grant.usable_at(gateway.clock.now_ms()):
        raise InvalidApiKey(INVALID_KEY)
    try:
        retry, wanted = form.retry(), request()
    except GatewayError as exc:
        gateway.image_service.note_refusal(id, grant, exc, operation)
        raise
    return (await gateway.image_service.submit(id, grant, wanted, retry, deferred=True)).request_id


async def purchase_page(
    visit: Visit, form: CreateForm, operation: Operation, error: GatewayError | None = None, **more: Any
) -> Response:
    """Show the form of an operation with its price, the person's jobs and pictures. `error`: what was refused."""
    projects = await active_projects_of(visit.database, visit.user.user_id)
    if form.project not in [id for id, _ in projects]:
        form = replace(form, project=next((id for id, _ in projects), ""))
    grant = await grant_in_project(visit.database, visit.user.user_id, form.project) if projects else None
    cards = [] if grant is None else await _cards(visit, grant, operation)
    by_id = {card.model.id: card for card in cards}
    chosen = by_id.get(form.model) or by_id.get(MODEL_FIRST) or next(iter(cards), None)
    form = _fitting(form, chosen).renewed()
    seen = await jobs(visit)  # Before the price: a page whose jobs have ended shows what is left after them.
    price = FormPrice() if grant is None or chosen is None else await _price(visit, grant, form, operation)
    return visit.render(
        "create.html",
        form=form,
        operation=operation,
        projects=projects,
        cards=cards,
        chosen=chosen,
        price=price,
        error=error,
        is_reused=isinstance(error, IdempotencyKeyReuse),
        counts=COUNTS,
        backgrounds=BACKGROUNDS,
        output_formats=OUTPUT_FORMATS,
        **more,
        **seen,
    )


def _fitting(form: CreateForm, card: ModelCard | None) -> CreateForm:
    """Leave out size and quality that the model does not take, such as those of the model that was chosen before."""
    if card is None:
        return form
    size = form.size if form.size in card.sizes else ""
    quality = form.quality if form.quality in card.qualities else ""
    return replace(form, model=card.model.id, size=size, quality=quality)


async def _cards(visit: Visit, grant: Grant, operation: Operation) -> list[ModelCard]:
    """List the models that do an operation and that the project may use."""
    now_ms, catalog = visit.parts.gateway.clock.now_ms(), await visit.parts.gateway.control_data.catalog()
    cards = []
    for model in grant.usable_models(catalog, now_ms):
        request = replace(CreateForm(model=model.id).request(NO_PROMPT), operation=operation)
        amounts = model.prices.quotes_micros(request, now_ms)
        if amounts and operation in model.operations:
            usual_ms = await visit.parts.usual_times.of(visit.database, model.id, now_ms)
            cards.append(ModelCard(model, min(amounts), max(amounts), usual_ms))
    return cards


async def _price(visit: Visit, grant: Grant, form: CreateForm, operation: Operation) -> FormPrice:
    """Quote a form. The error of one that cannot be bought is a part of the answer. An edit is quoted without its pictures, so that
    no earlier purchase is found for it."""
    gateway = visit.parts.gateway
    reader = LimitReader(gateway.database, gateway.rates, gateway.zone)
    try:
        request = replace(form.request("" if form.prompt else NO_PROMPT), operation=operation)
        quote = await reader.quote(await gateway.control_data.catalog(), grant, request, gateway.clock.now_ms())
        is_whole = bool(form.prompt) and operation == "generation"
        earlier = await gateway.image_service.duplicates.find(grant, quote.request) if is_whole else None
    except GatewayError as exc:
        return FormPrice(error=exc)
    if earlier is None:
        return FormPrice(QuoteOut.of(quote, gateway.currency, None))
    return FormPrice(QuoteOut.of(quote, gateway.currency, earlier.picture_id), earlier.reserved_at_ms)


async def named_job(visit: Visit) -> Job | None:
    """Return the job that the address names; None without one of this person."""
    wanted = visit.query.get("job", "")
    return await ConsoleJobs(visit.database).find(visit.user.user_id, wanted) if wanted else None


async def jobs(visit: Visit) -> dict[str, Any]:
    """Read the jobs of the last hour, the job that the address names, and the person's newest pictures."""
    gateway, user_id = visit.parts.gateway, visit.user.user_id
    now_ms = gateway.clock.now_ms()
    found = await ConsoleJobs(visit.database).recent(user_id, now_ms - HOUR_MS, JOBS_MAX)
    named = await named_job(visit)
    if named is not None and named.id not in [job.id for job in found]:
        found = [*found, named]
    left = ids_in(visit, "without")  # Jobs that the person waits for no longer.
    cards = [await job_card(visit, job) for job in found if not (job.is_open and job.id in left)]
    newest = await gateway.library.page(
        PictureViewer(user_id), Cursor(limit=RECENT_MAX, descending=True), PictureFilter()
    )
    return {
        "jobs": cards,
        "without": ",".join(left),
        "choices": {name: visit.query[name] for name in CHOICES if name in visit.query},
        "recent": newest.records,
        "now_ms": now_ms,
    }


def ids_in(visit: Visit, name: str) -> list[str]:
    """Return the ids that a parameter of the address lists, parted by commas."""
    return [id for id in visit.query.get(name, "").split(",") if id][:IDS_MAX]


async def job_card(visit: Visit, job: Job) -> JobCard:
    """Read the pictures and, of one that is being made, the usual time of a job."""
    gateway = visit.parts.gateway
    now_ms = gateway.clock.now_ms()
    pictures = [] if job.state != "settled" else await gateway.library.rows.of_request(job.id)
    expected = job.state == "settled" and len(pictures) + (job.link_only or 0) < (job.images or 0)
    is_taking = expected and job.ended_at_ms is not None and now_ms - job.ended_at_ms < TAKING_MS
    usual_ms = await visit.parts.usual_times.of(visit.database, job.model, now_ms) if job.is_open else None
    return JobCard(job, pictures, job.is_open or is_taking, usual_ms)
