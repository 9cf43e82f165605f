"""Who may administer. An admin API key is valid here and nowhere else, an API key everywhere else and not here."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.api.deps import MISSING_KEY, Wired
from app.api.guard import Guard
from app.api.organization.bodies import Body, body
from app.control import admin_keys
from app.control.admin_keys import AdminKeyRecord
from app.core.actors import Actor
from app.errors import InvalidApiKey, PermissionDenied, StoreUnavailable
from app.store.engine import AWAY, Database
from app.wiring import Gateway

__all__ = ["Admin", "AdminWriter", "Administrator", "Body", "body"]

WRONG_KEY = (
    "Incorrect admin API key provided. This part of the API takes admin API keys (sk-ig-admin-...) only; "
    "`imagegate admin-keys create` makes one."
)


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who calls. What is written through `database` is theirs in the audit log."""

    key: AdminKeyRecord
    gateway: Gateway
    database: Database


async def admin(request: Request, gateway: Wired) -> Administrator:
    """The admin API key in `Authorization: Bearer ...`. Raises InvalidApiKey, RateLimited, StoreUnavailable."""
    guard: Guard = request.app.state.guard
    guard.count_admin_call(request)
    given = request.headers.getlist("authorization")
    scheme, _, secret = (given[0] if len(given) == 1 else "").partition(" ")
    key = await _key(gateway, secret.strip(" ")) if scheme.lower() == "bearer" else None
    if key is None:
        guard.count_bad_key(request)
        raise InvalidApiKey(WRONG_KEY if secret else MISSING_KEY)
    request.scope["state"]["key_id"] = key.id
    return Administrator(key, gateway, gateway.database.by(_actor(key)))


Admin = Annotated[Administrator, Depends(admin)]
"""Whoever may read."""


async def admin_writer(caller: Admin) -> Administrator:
    """Raises PermissionDenied for a reader's key."""
    if caller.key.role != "owner":
        message = "This admin API key is a reader's: it may look at everything and change nothing."
        raise PermissionDenied(message)
    return caller


AdminWriter = Annotated[Administrator, Depends(admin_writer)]
"""Whoever may change things. Comes before the body among a route's parameters: nobody else's is read."""


async def _key(gateway: Gateway, secret: str) -> AdminKeyRecord | None:
    if gateway.schema_gate.complaint is not None:
        raise StoreUnavailable(AWAY)
    return await admin_keys.authenticate(gateway.database, gateway.pepper, secret, gateway.clock.now_ms())


def _actor(key: AdminKeyRecord) -> Actor:
    return Actor("admin_api_key", key.id, key.name, key.owner_email)
