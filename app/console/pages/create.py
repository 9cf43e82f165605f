"""Page that makes pictures from text: the price before the click, the purchase, and its jobs."""

from starlette.responses import Response

from app.console.create_form import FORM_BYTES_MAX, CreateForm
from app.console.creating import jobs, named_job, purchase, purchase_page
from app.console.visit import Visit, signed_in
from app.errors import GatewayError


async def show_create(visit: Visit) -> Response:
    """Show the form; `job` in the address fills it with what that job asked for."""
    job = await named_job(visit)
    form = CreateForm.from_fields(visit.query) if job is None else CreateForm.from_job(job).chosen_by(visit.query)
    return await purchase_page(visit, form, "generation")


async def show_price(visit: Visit) -> Response:
    """Show the form as it was sent, with its price. Buys and reserves nothing."""
    return await purchase_page(visit, CreateForm.from_fields(await visit.form(FORM_BYTES_MAX)), "generation")


async def show_jobs(visit: Visit) -> Response:
    """Show the jobs and the line about the purchase only, for a page that follows them."""
    return visit.render("create_followed.html", **await jobs(visit))


async def buy(visit: Visit) -> Response:
    """Buy what the form asks for, by the same way as the API, and lead to the page with its job. A form that is sent twice buys
    once. A refusal shows the form again, with its prompt."""
    form = CreateForm.from_fields(await visit.form(FORM_BYTES_MAX))
    try:
        request_id = await purchase(visit, form, "generation", form.request)
    except GatewayError as exc:
        return await purchase_page(visit, form, "generation", exc)
    return visit.redirect("/create", "jobs", **form.kept, done="bought", job=request_id)


routes = (
    ("GET", "/create", signed_in(show_create, "owner", "member")),
    ("POST", "/create", signed_in(buy, "owner", "member")),
    ("POST", "/create/price", signed_in(show_price, "owner", "member")),
    ("GET", "/create/jobs", signed_in(show_jobs, "owner", "member")),
)
