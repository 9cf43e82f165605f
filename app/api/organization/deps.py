"""Authentication of administrators. Admin API keys are valid for the administration API only, API keys for everything else."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.administration import Administration
from app.api.deps import authenticated, guard, parts, session_of_request
from app.control import admin_keys, sessions
from app.core.actors import Actor
from app.errors import Conflict, PermissionDenied, StoreUnavailable
from app.store.admin_keys import AdminKeyRecord
from app.store.engine import AWAY, Database

WRONG_KEY = (
    "Incorrect admin API key provided. This part of the API takes admin API keys (sk-ig-admin-...) only; "
    "`imagegate admin-keys create` makes one."
)


MEMBERS_SESSION = "You are signed in as a member, who sees only their own. Ask an owner for another role."


@dataclass(frozen=True, slots=True)
class Administrator:
    """Caller of the administration API. `database` records the caller as author of its changes. `user_id` is the owner of the
    caller's admin API key or session, None for a key without one and for the command line. `public_url` is the setting."""

    actor: Actor
    may_write: bool
    user_id: str | None
    gateway: Administration
    database: Database
    public_url: str | None = None

    @property
    def pepper(self) -> bytes:
        """Secret that new keys are hashed with. Raises Conflict in the command line where this machine does not have it."""
        if not self.gateway.pepper:
            message = "The secret that the keys of this database are made with is not here: none made now would work. Put back "
            raise Conflict(f"{message}the IMAGEGATE_SECRET_KEY or the file secret_key that belongs to it.")
        return self.gateway.pepper


async def admin(request: Request) -> Administrator:
    """Authenticate by the admin API key in `Authorization: Bearer ...` or, without that header, by the session of an owner or
    reader.

    The command line calls an application in its own process whose `Parts.local_actor` is set: its caller is that actor, without a
    key. Only the code that builds an application can set it; no request can, and `imagegate serve` does not. Raises
    InvalidApiKey, PermissionDenied, RateLimited, StoreUnavailable.
    """
    found = parts(request)
    gateway, local_actor, public_url = found.gateway, found.local_actor, found.public_url
    if local_actor is not None:
        return Administrator(local_actor, True, None, gateway, gateway.database.by(local_actor), public_url)
    guard(request).count_admin_call(request)
    if "authorization" not in request.headers and (session := await session_of_request(request)) is not None:
        if session.access_role == "member":
            raise PermissionDenied(MEMBERS_SESSION)
        actor, may_write = sessions.actor_of(session), session.access_role == "owner"
        return Administrator(actor, may_write, session.user_id, gateway, gateway.database.by(actor), public_url)
    key = await authenticated(request, lambda secret: _key(gateway, secret), WRONG_KEY)
    request.scope["state"]["key_id"] = key.id
    actor = Actor("admin_api_key", key.id, key.name, key.owner_email)
    return Administrator(actor, key.role == "owner", key.user_id, gateway, gateway.database.by(actor), public_url)


Admin = Annotated[Administrator, Depends(admin)]
"""Caller with an admin API key."""


async def admin_writer(caller: Admin) -> Administrator:
    """Require a key that may write. Raises PermissionDenied for a reader's."""
    if not caller.may_write:
        message = "This is a reader's admin API key or session: it may look at everything and change nothing."
        raise PermissionDenied(message)
    return caller


AdminWriter = Annotated[Administrator, Depends(admin_writer)]
"""Caller who may write. Put it before the body among a route's parameters: then other callers' bodies are not read."""


async def _key(gateway: Administration, secret: str) -> AdminKeyRecord | None:
    if gateway.schema_gate.problem is not None:
        raise StoreUnavailable(AWAY)
    return await admin_keys.authenticate(gateway.database, gateway.peppers, secret, gateway.clock.now_ms())
