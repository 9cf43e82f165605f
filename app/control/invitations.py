"""Invitations: one-time links with which people set their password and sign in for the first time, or again."""

from dataclasses import dataclass, replace

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.members import ensure_member
from app.control.names import checked_email, normalized, quoted
from app.control.passwords import hash_password
from app.control.people import add_user, change_user, checked_access_role, get_active_user
from app.control.projects import DEFAULT_PROJECT, get_project
from app.control.sessions import NewSession, new_token, start_session, token_hash
from app.core.ids import new_id
from app.errors import Conflict, InvalidValue, NotFound
from app.store import organization
from app.store import sign_in as store
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.organization import User
from app.store.sign_in import Invitation

LIFE_MS = 72 * 3_600_000
PATH = "/console/invite/"
GONE = "This link was used already, has expired, or was replaced by a newer one. Whoever runs this gateway can send another."


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """Link that was just made. Only the hash of its `token` is stored.

    `user_name` is whom it is for, `is_new_user` where they were made for it. `namesake` is somebody else without an address who
    has the name that the address begins with.
    """

    id: str
    token: str
    user_name: str
    is_new_user: bool = False
    namesake: str | None = None

    def url(self, address: str) -> str:
        return f"{address.rstrip('/')}{PATH}{self.token}"


async def invite(database: Database, email: str, role: str | None = None, name: str | None = None) -> NewInvitation:
    """Make a link for a person by address; somebody new becomes a user in the project `default`. It replaces an unused one. With
    `name` a person of that name who has no address yet gets this one, and somebody new that name.

    A role that is given is theirs at once, a new person without one is a member. Nobody is known by the address before its @: it
    proves nothing about who reads the mail. Raises InvalidValue; Conflict for a disabled person, a name that is taken or is not of
    the person who has the address, and the last owner who would be something else.
    """
    address, access_role = checked_email(email), None if role is None else checked_access_role(role)
    assert address is not None
    now_ms = await database.now_ms()
    async with database.write() as connection:
        user = await organization.find_user_by_email(connection, address)
        if name is not None:
            user = await _known_by_name(connection, name, address, user)
        is_new, namesake = user is None, None
        if user is None:
            namesake = None if name else await _namesake(connection, address)
            free = name or await free_name(connection, address.partition("@")[0])
            user = User(new_id("user-"), free, address, now_ms, access_role=access_role or "member")
            await add_user(connection, user)
            await ensure_member(connection, await get_project(connection, DEFAULT_PROJECT), user, now_ms)
        elif access_role not in (None, user.access_role):
            user = await change_user(connection, user, access_role=access_role)
        await get_active_user(connection, user.id)
        new = await new_invitation(connection, user, now_ms)
    return replace(new, is_new_user=is_new, namesake=namesake)


async def _namesake(connection: AsyncConnection, address: str) -> str | None:
    """Return the name that an address begins with if a person without an address has it."""
    user = await organization.find_user(connection, address.partition("@")[0])
    return user.name if user is not None and user.email is None and not user.is_service_account else None


async def _known_by_name(connection: AsyncConnection, name: str, address: str, known: User | None) -> User | None:
    """Give a person of this name the address to sign in with, unless it is theirs already. Raises Conflict for one who has another
    address, and for the address of somebody else, `known`."""
    user = await organization.find_user(connection, normalized(name))
    if known is not None:
        if user is None or user.id != known.id:
            message = f"The address {quoted(address)} is that of the user {quoted(known.name)}; "
            raise Conflict(f"{message}leave out the name, or give that one.", param="name")
        return known
    if user is None or user.is_service_account:
        return None
    if user.email is not None:
        raise Conflict(
            f"The user {quoted(user.name)} signs in as {quoted(user.email)}; invite that address.", param="name"
        )
    return await change_user(connection, user, email=address)


async def new_invitation(connection: AsyncConnection, user: User, now_ms: int) -> NewInvitation:
    """Make a link for a person in the caller's transaction."""
    new = NewInvitation(new_id("invite-"), new_token(), user.name)
    await store.insert_invitation(connection, new.id, user.id, token_hash(new.token), now_ms, now_ms + LIFE_MS)
    sent = {"user_id": user.id, "email": user.email, "access_role": user.access_role}
    await log_changes(connection, Change("invite.sent", new.id, None, sent))
    return new


async def open_invitation(database: Database, token: str) -> Invitation:
    """Return the invitation of a link that still works, without using it up. Raises NotFound."""
    now_ms = await database.now_ms()
    found = await database.ask(store.open_invitation, token_hash(token), now_ms)
    if found is None:
        raise NotFound(GONE)
    return found


async def accept_invitation(
    database: Database, token: str, password: str, browser: str, email: str | None = None
) -> NewSession:
    """Use up a link: set the password, end the person's sessions, and start one. `email` is for somebody without an address.

    Raises NotFound for a link that works no more, InvalidValue, and Conflict for an address of somebody else.
    """
    await open_invitation(database, token)  # Before the costly hash.
    hashed, now_ms = await hash_password(password), await database.now_ms()
    async with database.write() as connection:
        found = await store.open_invitation(connection, token_hash(token), now_ms)
        if found is None or not await store.accept_invitation(connection, found.id, now_ms):
            raise NotFound(GONE)
        if found.email is None:
            if (address := checked_email(email or None)) is None:
                raise InvalidValue("Give the e-mail address that you will sign in with.", param="email")
            await change_user(connection, await get_active_user(connection, found.user_id), email=address)
        await store.set_password(connection, found.user_id, hashed, now_ms)
        await store.revoke_sessions(connection, now_ms, user_id=found.user_id)
        await log_changes(connection, Change("invite.accepted", found.id, {"accepted": False}, {"accepted": True}))
        return await start_session(connection, found.user_id, browser, now_ms)


async def delete_invitation(database: Database, invitation_id: str) -> Invitation:
    """Delete an invitation; its link works no more. Raises NotFound."""
    async with database.write() as connection:
        found = await get_invitation(connection, invitation_id)
        await store.delete_invitation(connection, found.id)
        await log_changes(connection, Change("invite.deleted", found.id, {"user_id": found.user_id}, None))
    return found


async def get_invitation(connection: AsyncConnection, invitation_id: str) -> Invitation:
    """Return an invitation. Raises NotFound."""
    found = await store.find_invitation(connection, invitation_id)
    if found is None:
        raise NotFound(f"There is no invitation {quoted(invitation_id)}.", param="invite_id")
    return found


async def free_name(connection: AsyncConnection, wanted: str) -> str:
    """Return a name that nobody has, made of `wanted`, the part of an address before the @."""
    for number in range(1, 1000):
        name = wanted[:56] if number == 1 else f"{wanted[:56]} {number}"
        if await organization.find_user(connection, name) is None:
            return name
    return new_id(f"{wanted[:40]} ", 8)
