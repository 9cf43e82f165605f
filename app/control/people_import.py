"""Import of a team in one write: people, projects, memberships, limits, and keys or links to sign in with, all or none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.invitations import NewInvitation, free_name, new_invitation
from app.control.keys import CreatedKey, KeyFacts, add_key
from app.control.limits import LimitChange, apply_limits
from app.control.members import ensure_member
from app.control.names import normalized, quoted
from app.control.people import add_user, get_active_user
from app.control.people_files import PersonLine
from app.control.projects import add_project, get_active_project
from app.core.ids import new_id
from app.core.limits import Limit
from app.core.money import decimal_text
from app.errors import Conflict, GatewayError, InvalidValue
from app.store import keys as stored_keys
from app.store import limits as stored_limits
from app.store import organization, sign_in
from app.store.engine import Database
from app.store.limits import LimitKey
from app.store.organization import Project, User


@dataclass(frozen=True, slots=True)
class ImportedPerson:
    """Result of one line. `created` names what it made: of user, project, member, limits, key and link. `notes` tell where
    something that exists is kept although the line says otherwise. `key` is None when the person has a key in the project already,
    and `invitation` when they can sign in already or have no address."""

    line: PersonLine
    user: User
    project: Project
    role: str
    key: CreatedKey | None
    created: tuple[str, ...]
    notes: tuple[str, ...]
    invitation: NewInvitation | None = None


async def import_people(
    database: Database,
    pepper: bytes,
    lines: Sequence[PersonLine],
    *,
    create_projects: bool = False,
    dry_run: bool = False,
    with_links: bool = False,
) -> list[ImportedPerson]:
    """Make what is missing of each line, in one write, which `dry_run` rolls back. Whatever exists stays as it is: a person is
    known by the e-mail address, or else by the name, and keeps a working key. `with_links` makes one-time links to sign in with
    instead of keys, for whoever has an address and never signed in.

    Raises InvalidValue, NotFound and Conflict, whose message begins with the line's number.
    """
    now_ms = await database.now_ms()
    async with database.write() as connection:
        await _check_projects(connection, lines, create_projects)
        team = _Team(connection, None if with_links else pepper)
        for position, line in enumerate(lines):
            with _at_line(line):
                # One millisecond apart, so that lists by creation keep the order of the file.
                await team.add(line, now_ms + position)
        if dry_run:
            await connection.rollback()
    return team.people


class _Team:
    """People of one import so far. With a `pepper` they get keys, without one links to sign in with."""

    def __init__(self, connection: AsyncConnection, pepper: bytes | None):
        self._connection = connection
        self._pepper = pepper
        self._limits: dict[tuple[str, str, str], tuple[int, LimitChange]] = {}
        self.people: list[ImportedPerson] = []

    async def add(self, line: PersonLine, now_ms: int) -> None:
        created: list[str] = []
        notes: list[str] = []
        project = await self._project(line, now_ms, created)
        user = await self._user(line, now_ms, created, notes)
        for other in self.people:
            if (other.user.id, other.project.id) == (user.id, project.id):
                message = f"{quoted(user.name)} is in {quoted(project.name)} already, from line {other.line.number}; leave one out."
                raise Conflict(message, param="file")
        role = await ensure_member(self._connection, project, user, now_ms, line.role)
        if role is None:
            created.append("member")
        elif role != line.role:
            notes.append(f"the role stays {role}")
        if await self._set_limits(line, user, notes):
            created.append("limits")
        key = None if self._pepper is None else await self._key(self._pepper, user, project, now_ms)
        link = await self._link(user, now_ms) if self._pepper is None else None
        created += [name for name, made in (("key", key), ("link", link)) if made]
        made = (role or line.role, key, tuple(created), tuple(notes), link)
        self.people.append(ImportedPerson(line, user, project, *made))

    async def _project(self, line: PersonLine, now_ms: int, created: list[str]) -> Project:
        if await organization.find_project(self._connection, normalized(line.project)) is not None:
            return await get_active_project(self._connection, line.project)
        created.append("project")
        return await add_project(self._connection, line.project, now_ms)

    async def _user(self, line: PersonLine, now_ms: int, created: list[str], notes: list[str]) -> User:
        """Find the person, or create one. Raises Conflict for a name that somebody else has, and a disabled person."""
        there = await organization.find_user_by_email(self._connection, line.email) if line.email else None
        found = there or (await organization.find_user(self._connection, line.name) if line.name else None)
        if found is None:
            name = line.name or await free_name(self._connection, (line.email or "").partition("@")[0])
            user = User(new_id("user-"), name, line.email, now_ms, access_role=line.access_role or "member")
            await add_user(self._connection, user)
            created.append("user")
            return user
        if there is None and line.email is not None and found.email is not None:
            message = (
                f"{quoted(line.name)} is somebody with the mail {quoted(found.email)}; write that one, or another name."
            )
            raise Conflict(message, param="file")
        if line.name and found.name != line.name:
            notes.append(f"the name stays {found.name}")
        if line.access_role not in (None, found.access_role):
            notes.append(f"the access role stays {found.access_role}")
        if line.email is not None and found.email is None:
            notes.append("the mail is not written: this user has none")
        return await get_active_user(self._connection, found.id)

    async def _set_limits(self, line: PersonLine, user: User, notes: list[str]) -> bool:
        """Set the limits that the user lacks. Raises Conflict for two lines with different amounts of one limit."""
        wanted = []
        for change in line.limits:
            number, before = self._limits.setdefault((user.id, change.unit, change.interval), (line.number, change))
            if before.amount != change.amount:
                message = (
                    f"the limits of {quoted(user.name)} hold in all projects and are others than in line {number};"
                )
                raise Conflict(f"{message} write them once.", param="file")
            if number == line.number:
                wanted.append(change)
        missing = [change for change in wanted if await self._lacks(user, change, notes)]
        await apply_limits(self._connection, "user", user.id, None, missing)
        return bool(missing)

    async def _lacks(self, user: User, change: LimitChange, notes: list[str]) -> bool:
        key = LimitKey("user", user.id, "", change.unit, change.interval)
        there = await stored_limits.amount(self._connection, key)  # None also for one that comes from a default.
        if there is not None and there != change.amount:
            amount = decimal_text(there) if change.unit == "micros" else there
            limit = Limit(0, "user", user.id, user.name, "", change.unit, change.interval, there)
            notes.append(f"the {limit.label} stays {amount}")
        return there is None

    async def _link(self, user: User, now_ms: int) -> NewInvitation | None:
        has_one = any(other.user.id == user.id and other.invitation is not None for other in self.people)
        if user.email is None or has_one or await sign_in.can_sign_in(self._connection, user.id):
            return None
        return await new_invitation(self._connection, user, now_ms)

    async def _key(self, pepper: bytes, user: User, project: Project, now_ms: int) -> CreatedKey | None:
        for key in await stored_keys.keys_of_user(self._connection, user.id):
            if key.project_id == project.id and key.status_at(now_ms) == "active":
                return None
        facts = KeyFacts(user.name, None, now_ms, None)
        return await add_key(self._connection, pepper, user, project, facts)


async def _check_projects(connection: AsyncConnection, lines: Sequence[PersonLine], create: bool) -> None:
    """Raise InvalidValue for projects that are missing, so that a misspelt one is not made unasked."""
    missing: dict[str, int] = {}
    for line in lines:
        if not create and await organization.find_project(connection, normalized(line.project)) is None:
            missing.setdefault(line.project, line.number)
    if missing:
        where = ", ".join(f"{quoted(name)} (line {number})" for name, number in list(missing.items())[:10])
        message = (
            f"There is no project {where}. Correct the name, or let --create-projects (create_projects=true) make it."
        )
        raise InvalidValue(f"{message} Nothing is changed.", param="create_projects")


@contextmanager
def _at_line(line: PersonLine) -> Iterator[None]:
    """Name the line in errors, unless it did not come from a file (number 0)."""
    try:
        yield
    except GatewayError as exc:
        if not line.number:
            raise
        exc.message = f"Line {line.number}: {exc.message} Nothing is changed."
        exc.args = (exc.message,)
        raise
