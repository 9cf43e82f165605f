"""Page of one job: its pictures in full size beside others, and the same request as a program."""

from dataclasses import replace

from starlette.responses import Response

from app.console.create_form import CHOICES, CreateForm
from app.console.creating import RECENT_MAX, ids_in, job_card
from app.console.language import marked as _
from app.console.snippets import code_of
from app.console.visit import Visit, signed_in
from app.errors import NotFound
from app.store.console_jobs import ConsoleJobs
from app.store.pages import Cursor
from app.store.picture_lists import PictureFilter, PictureViewer

COMPARED_MAX = 3
PROMPT = "PROMPT"
"""Stands in a program for a prompt that is not kept."""


async def show_job(visit: Visit) -> Response:
    """Show a job of the person; `with` in the address names own or shared pictures to compare it with."""
    job = await ConsoleJobs(visit.database).find(visit.user.user_id, visit.request.path_params["job_id"])
    if job is None:
        raise NotFound(_("There is no such job of yours."))
    library, viewer = visit.parts.gateway.library, PictureViewer(visit.user.user_id)
    form, card = CreateForm.from_job(job).chosen_by(visit.query), await job_card(visit, job)
    compared = await library.several(viewer, ids_in(visit, "with")[:COMPARED_MAX])
    recent = await library.page(viewer, Cursor(limit=RECENT_MAX, descending=True), PictureFilter())
    shown = {each.id for each in card.pictures} | {each.record.id for each in compared}
    whole = replace(form, prompt=form.prompt or PROMPT)
    return visit.render(
        "create_job.html",
        card=card,
        code=code_of(whole, "edit" if job.operation == "edit" else "generation", f"{visit.address}/v1"),
        kept=form.kept if visit.query.keys() & {*CHOICES} else {},
        compared=compared,
        others=[each for each in recent.records if each.record.id not in shown],
    )


routes = (("GET", "/create/jobs/{job_id}", signed_in(show_job, "owner", "member")),)
