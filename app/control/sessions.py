"""Sessions: sign in with a password, find the session of a cookie, list and revoke sessions."""

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import quoted
from app.control.passwords import hash_password, is_password
from app.control.people import get_person
from app.core.actors import Actor
from app.core.ids import new_id
from app.errors import InvalidValue, NotFound
from app.store import sign_in as store
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.pages import Cursor, Page
from app.store.sign_in import Session

IDLE_MS = 12 * 3_600_000
LIFE_MS = 14 * 86_400_000
SEEN_EVERY_MS = 60_000
"""A session's last use is written at most this often."""
BROWSER_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class NewSession:
    """Session that was just made. `token` is for the cookie; only its hash is stored."""

    id: str
    user_id: str
    token: str


def token_hash(token: str) -> bytes:
    """Compute what is stored of a token. Tokens have 256 random bits, so that no salt or slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def new_token() -> str:
    """Make a token of 256 random bits for a cookie or a link."""
    return secrets.token_urlsafe(32)


async def sign_in(database: Database, email: str, password: str, browser: str) -> NewSession | None:
    """Sign in with a password. None for a wrong one, and after the same time for somebody unknown, disabled or without one."""
    found = await database.ask(store.password_of, email.strip().lower())
    user_id, hash = found or ("", None)
    if not await is_password(hash, password):
        return None
    async with database.transaction() as connection:
        return await start_session(connection, user_id, browser, await database.now_ms())


async def start_session(connection: AsyncConnection, user_id: str, browser: str, now_ms: int) -> NewSession:
    """Make a session in the caller's transaction, and delete those of anybody that ended long ago."""
    new = NewSession(new_id("sess_"), user_id, new_token())
    await store.delete_old_sessions(connection, now_ms - 2 * LIFE_MS)
    await store.insert_session(connection, new.id, user_id, token_hash(new.token), browser[:BROWSER_CHARS_MAX], now_ms)
    return new


async def session_of(database: Database, token: str, now_ms: int) -> Session | None:
    """Return the session of a cookie's token, unless it ended or its person may no longer sign in. Notes its use."""
    session = await database.ask(store.session_of, token_hash(token))
    if session is None or now_ms - session.seen_at_ms > IDLE_MS or now_ms - session.created_at_ms > LIFE_MS:
        return None
    if now_ms - session.seen_at_ms > SEEN_EVERY_MS:
        async with database.transaction() as connection:
            await store.note_seen(connection, session.id, now_ms)
    return session


def actor_of(session: Session) -> Actor:
    """Return the author of changes that a session makes."""
    return Actor("session", session.user_id, session.name, session.email)


async def sign_out(database: Database, session: Session) -> None:
    """End a session."""
    now_ms = await database.now_ms()
    async with database.transaction() as connection:
        await store.revoke_sessions(connection, now_ms, id=session.id)


async def change_password(database: Database, session: Session, current: str, new: str) -> None:
    """Change the password of a session's person, and end their other sessions. Raises InvalidValue for a wrong or an unfit one."""
    hash = await database.ask(store.password_of_user, session.user_id)
    if not await is_password(hash, current):
        raise InvalidValue("The current password is not this one.", param="current")
    hashed, now_ms = await hash_password(new), await database.now_ms()
    async with database.write() as connection:
        await store.set_password(connection, session.user_id, hashed, now_ms)
        await store.revoke_sessions(connection, now_ms, user_id=session.user_id, but=session.id)
        await log_changes(connection, Change("user.updated", session.user_id, {}, {"password": "changed"}))


async def page_of_sessions(database: Database, cursor: Cursor, user: str | None = None) -> Page[Session]:
    """List sessions that can be used, of one person by name or id, or of all. Raises NotFound, and InvalidValue for the cursor."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        user_id = None if user is None else (await get_person(connection, user)).id
        return await store.page_of_sessions(connection, cursor, now_ms - IDLE_MS, now_ms - LIFE_MS, user_id)


async def revoke_session(database: Database, session_id: str, of_user: str | None = None) -> Session:
    """End a session at once. `of_user`: only one of this person's, by id. Raises NotFound, also when it has ended already."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        session = await store.find_session(connection, session_id)
        if session is None or session.revoked_at_ms is not None or of_user not in (None, session.user_id):
            message = f"There is no session {quoted(session_id)}. `imagegate sessions list` shows them all."
            raise NotFound(message, param="session_id")
        await store.revoke_sessions(connection, now_ms, id=session.id)
        before = {"user_id": session.user_id, "created_at_ms": session.created_at_ms}
        await log_changes(connection, Change("session.revoked", session.id, before, None))
    return session
