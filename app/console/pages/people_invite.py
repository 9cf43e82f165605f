"""Pages that invite people: one, or a list with a preview; the links are shown once, and mailed where mail is set."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from starlette.responses import Response

from app.api.schemas.sign_in import InviteOut
from app.console.choices import all_projects
from app.console.language import marked as _
from app.console.visit import Visit, signed_in
from app.control import invitations
from app.control.invitation_mail import mail_invitations
from app.control.invitations import NewInvitation
from app.control.names import checked_email, checked_name
from app.control.people import ACCESS_ROLES, checked_access_role
from app.control.people_files import FILE_BYTES_MAX, HEAD, PEOPLE_MAX, PersonLine, limits_of_text, read_people
from app.control.people_import import ImportedPerson, import_people
from app.control.projects import DEFAULT_PROJECT
from app.control.served_address import served_address
from app.errors import GatewayError, InvalidValue

EXAMPLE = f"{HEAD.replace('role,limits', 'limit')}\nLin,lin@example.com,posters,20.00\nBo,bo@example.com,posters,50.00"


@dataclass(frozen=True, slots=True)
class InvitationForm:
    """Fields of the form as they were sent. `spend` is the most per month, empty for no limit of their own."""

    email: str = ""
    name: str = ""
    role: str = "member"
    project: str = DEFAULT_PROJECT
    spend: str = ""

    def line(self) -> PersonLine:
        """Return the person to invite. Raises InvalidValue."""
        try:
            limits = limits_of_text(self.spend)
        except InvalidValue:
            raise InvalidValue(_("Write the limit like 20 or 12.50."), param="spend") from None
        name, role = checked_name(self.name) if self.name else "", checked_access_role(self.role)
        return PersonLine(0, name, checked_email(self.email), self.project, "member", limits, role)


async def show_invitation_form(visit: Visit) -> Response:
    """Show the form that invites one person."""
    return await _form_page(visit, InvitationForm())


async def invite_one(visit: Visit) -> Response:
    """Invite one person into a project, with a role and a limit, in one write."""
    given = await visit.form()
    form = InvitationForm(**{field.name: given[field.name] for field in fields(InvitationForm) if field.name in given})
    try:
        address = served_address(visit.parts.public_url, visit.parts.gateway.data_dir)
        people = await import_people(visit.database, visit.parts.gateway.pepper, [form.line()], with_links=True)
    except GatewayError as exc:
        return await _form_page(visit, form, exc)
    return await _made_page(visit, people, address)


async def show_list_form(visit: Visit) -> Response:
    """Show the form that takes a list."""
    return _list_page(visit, "", create_projects=False)


async def invite_list(visit: Visit) -> Response:
    """Show what a list would make or, at the second click, make it: all or nothing."""
    form = await visit.form(FILE_BYTES_MAX)
    text, create_projects = form.get("people", ""), form.get("create_projects") == "yes"
    is_preview = form.get("do") != "apply"
    try:
        address = served_address(visit.parts.public_url, visit.parts.gateway.data_dir)
        people = await import_people(
            visit.database,
            visit.parts.gateway.pepper,
            read_people(text),
            create_projects=create_projects,
            dry_run=is_preview,
            with_links=True,
        )
    except GatewayError as exc:
        return _list_page(visit, text, create_projects=create_projects, error=exc)
    if is_preview:
        return _list_page(visit, text, create_projects=create_projects, preview=people)
    return await _made_page(visit, people, address)


async def links_page(
    visit: Visit, made: Sequence[NewInvitation], address: str, people: Sequence[ImportedPerson] = ()
) -> Response:
    """Show new links, once, and mail them where a mail server is set."""
    found = [(await visit.database.ask(invitations.get_invitation, new.id), new.url(address)) for new in made]
    mailed = await mail_invitations(visit.parts.gateway.notifier, found)
    now_ms = visit.parts.gateway.clock.now_ms()
    rows = [InviteOut.at(each, now_ms, url=url, mailed=was) for (each, url), was in zip(found, mailed, strict=True)]
    return visit.render("people_links.html", secret=True, rows=rows, people=people)


async def _made_page(visit: Visit, people: Sequence[ImportedPerson], address: str) -> Response:
    made = [each.invitation for each in people if each.invitation is not None]
    return await links_page(visit, made, address, [each for each in people if each.invitation is None])


async def _form_page(visit: Visit, form: InvitationForm, error: GatewayError | None = None) -> Response:
    return visit.render(
        "people_invite.html",
        form=form,
        error=error,
        roles=ACCESS_ROLES,
        projects=[name for _, name in await all_projects(visit, include_archived=False)],
    )


def _list_page(
    visit: Visit,
    text: str,
    *,
    create_projects: bool,
    preview: Sequence[ImportedPerson] | None = None,
    error: GatewayError | None = None,
) -> Response:
    return visit.render(
        "people_list.html",
        text=text,
        create_projects=create_projects,
        preview=preview,
        error=error,
        example=EXAMPLE,
        people_max=PEOPLE_MAX,
    )


routes = (
    ("GET", "/people/invite", signed_in(show_invitation_form, "owner")),
    ("POST", "/people/invite", signed_in(invite_one, "owner")),
    ("GET", "/people/list", signed_in(show_list_form, "owner")),
    ("POST", "/people/list", signed_in(invite_list, "owner")),
)
