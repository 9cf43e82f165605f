"""Sign-in at an OIDC provider: code flow with PKCE and nonce, and the person behind an identity there."""

import hashlib
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.invitations import free_name
from app.control.members import ensure_member
from app.control.people import add_user, change_user, checked_access_role
from app.control.projects import DEFAULT_PROJECT, get_project
from app.control.sessions import NewSession, start_session
from app.core.ids import new_id
from app.errors import Conflict, PermissionDenied
from app.store import organization
from app.store import sign_in as store
from app.store.engine import Database
from app.store.organization import User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from authlib.integrations.httpx_client import AsyncOAuth2Client

TIMEOUT_S = 10.0
CLOCK_SKEW_S = 60
NOT_INVITED = (
    "You are known there, but not invited here. Ask an owner of this gateway for an invitation to that address."
)
NOT_SIGNED_IN = (
    "The sign-in at the provider did not work. Try again; the log of the gateway tells its administrator why."
)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """Sign-in under way. `secret` stays in the browser's cookie; what the provider is sent follows from it, so that nothing is
    stored here."""

    secret: str
    callback_url: str

    @property
    def state(self) -> str:
        return self._derived("state")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def code_verifier(self) -> str:
        return self._derived("verifier")

    def _derived(self, purpose: str) -> str:
        return hashlib.sha256(f"{purpose} {self.secret}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SingleSignOn:
    """OIDC provider of the settings. People of `domains` enter uninvited. With `roles` (by group) roles follow the groups."""

    issuer: str
    client_id: str
    client_secret: str
    domains: frozenset[str]
    roles: Mapping[str, str]

    async def authorization_url(self, attempt: Attempt) -> str:
        """Return the address at the provider to send the browser to. Raises PermissionDenied while the provider does not answer."""
        async with self._client(attempt) as client:
            metadata = await self._metadata(client)
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.code_verifier,
            )
            return str(url)

    async def claims(self, attempt: Attempt, code: str) -> Mapping[str, Any]:
        """Exchange the code for the checked claims of the ID token. Raises PermissionDenied for whatever is wrong with it."""
        from joserfc import jwt
        from joserfc.jwk import KeySet

        async with self._client(attempt) as client:
            metadata = await self._metadata(client)
            given = {"code": code, "code_verifier": attempt.code_verifier}
            token = await client.fetch_token(metadata["token_endpoint"], grant_type="authorization_code", **given)
            keys = KeySet.import_key_set(
                (await client.request("GET", metadata["jwks_uri"], withhold_token=True)).json()
            )
            # Never "none", and no HMAC with a key that the provider publishes.
            decoded = jwt.decode(token["id_token"], keys, algorithms=["RS256", "PS256", "ES256", "EdDSA"])
            jwt.JWTClaimsRegistry(
                leeway=CLOCK_SKEW_S,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self.client_id},
                nonce={"essential": True, "value": attempt.nonce},
                exp={"essential": True},
                sub={"essential": True},
            ).validate(decoded.claims)
            return decoded.claims

    async def sign_in(self, database: Database, claims: Mapping[str, Any], browser: str) -> NewSession:
        """Start a session for the person of these claims: bound before, invited, or of a domain that may enter.

        Raises PermissionDenied for anybody else.
        """
        now_ms = await database.now_ms()
        async with database.write() as connection:
            user = await self._person(connection, claims, now_ms)
            await store.insert_identity(connection, self.issuer, str(claims["sub"]), user.id, now_ms)
            return await start_session(connection, user.id, browser, now_ms)

    async def _person(self, connection: AsyncConnection, claims: Mapping[str, Any], now_ms: int) -> User:
        user_id = await store.user_of_identity(connection, self.issuer, str(claims["sub"]))
        email = str(claims.get("email", "")).strip().lower() if claims.get("email_verified") is True else ""
        user = await organization.find_user(connection, user_id) if user_id is not None else None
        if user is None and email:
            user = await organization.find_user_by_email(connection, email)
        if user is None and email and email.rpartition("@")[2] in self.domains:
            user = User(new_id("user-"), await free_name(connection, email.partition("@")[0]), email, now_ms)
            await add_user(connection, user)
            await ensure_member(connection, await get_project(connection, DEFAULT_PROJECT), user, now_ms)
        if user is None or user.disabled_at_ms is not None:
            raise PermissionDenied(NOT_INVITED)
        return await self._with_role(connection, user, claims)

    async def _with_role(self, connection: AsyncConnection, user: User, claims: Mapping[str, Any]) -> User:
        """Give a person the highest role of their groups. The last owner keeps theirs, whatever the provider says."""
        if not self.roles:
            return user
        groups = claims.get("groups")
        found = {self.roles.get(str(group)) for group in groups} if isinstance(groups, list) else set()
        role = next((role for role in ("owner", "reader") if role in found), "member")
        if role == user.access_role:
            return user
        try:
            return await change_user(connection, user, access_role=checked_access_role(role))
        except Conflict:
            log.warning("the last owner keeps the role", user_id=user.id)
            return user

    async def _metadata(self, client: "AsyncOAuth2Client") -> dict[str, Any]:
        address = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        found: dict[str, Any] = (await client.request("GET", address, withhold_token=True)).raise_for_status().json()
        if found.get("issuer") != self.issuer:
            raise ValueError(f"the provider names another issuer: {found.get('issuer')!r}")
        return found

    @asynccontextmanager
    async def _client(self, attempt: Attempt) -> "AsyncIterator[AsyncOAuth2Client]":
        """Open a client of the provider. Whatever goes wrong with it is logged, and a PermissionDenied for the browser."""
        from authlib.integrations.httpx_client import AsyncOAuth2Client  # Loaded by the first sign-in there.

        client = AsyncOAuth2Client(
            self.client_id,
            self.client_secret,
            scope="openid email profile",
            redirect_uri=attempt.callback_url,
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
        )
        try:
            async with client:
                yield client
        except Exception as exc:
            log.warning("sign-in at the provider failed", why=f"{type(exc).__name__}: {str(exc)[:200]}")
            raise PermissionDenied(NOT_SIGNED_IN) from exc
