"""Proofs with which people sign in, in the database: passwords, identities, invitations and sessions."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.actors import AccessRole
from app.store.engine import insert
from app.store.pages import Cursor, Page, read_page
from app.store.tables import identities, invitations, passwords, sessions, users


@dataclass(frozen=True, slots=True)
class Invitation:
    """One-time link to set a password with, without its token. `name`, `email` and `access_role` are its person's today."""

    id: str
    user_id: str
    name: str
    email: str | None
    access_role: AccessRole
    created_at_ms: int
    expires_at_ms: int
    accepted_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """Sign-in of a person in one browser, with what the person may do today."""

    id: str
    user_id: str
    name: str
    email: str | None
    access_role: AccessRole
    browser: str
    created_at_ms: int
    seen_at_ms: int
    revoked_at_ms: int | None


_PERSON = (users.c.name, users.c.email, users.c.access_role)
_ACTIVE = sa.and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None), users.c.disabled_at_ms.is_(None))
_INVITATIONS = sa.select(
    *(column for column in invitations.c if column is not invitations.c.token_hash), *_PERSON
).select_from(invitations.join(users, users.c.id == invitations.c.user_id))
_SESSIONS = sa.select(*(column for column in sessions.c if column is not sessions.c.token_hash), *_PERSON).select_from(
    sessions.join(users, users.c.id == sessions.c.user_id)
)


async def insert_invitation(
    connection: AsyncConnection, id: str, user_id: str, token_hash: bytes, created_at_ms: int, expires_at_ms: int
) -> None:
    """Insert a link, in place of those of this person that were not accepted."""
    await connection.execute(
        sa.delete(invitations).where(invitations.c.user_id == user_id, invitations.c.accepted_at_ms.is_(None))
    )
    values = {"id": id, "user_id": user_id, "token_hash": token_hash}
    await connection.execute(
        sa.insert(invitations).values(**values, created_at_ms=created_at_ms, expires_at_ms=expires_at_ms)
    )


async def find_invitation(connection: AsyncConnection, id: str) -> Invitation | None:
    return _invitation((await connection.execute(_INVITATIONS.where(invitations.c.id == id))).mappings().first())


async def open_invitation(connection: AsyncConnection, token_hash: bytes, now_ms: int) -> Invitation | None:
    """Find a link that works at this instant: not accepted, not expired, of an active person."""
    is_open = (invitations.c.accepted_at_ms.is_(None), invitations.c.expires_at_ms > now_ms, _ACTIVE)
    select = _INVITATIONS.where(invitations.c.token_hash == token_hash, *is_open)
    return _invitation((await connection.execute(select)).mappings().first())


async def accept_invitation(connection: AsyncConnection, id: str, now_ms: int) -> bool:
    """Consume a link; False when it was consumed or expired before."""
    is_open = (invitations.c.accepted_at_ms.is_(None), invitations.c.expires_at_ms > now_ms)
    update = sa.update(invitations).where(invitations.c.id == id, *is_open).values(accepted_at_ms=now_ms)
    return (await connection.execute(update)).rowcount > 0


async def delete_invitation(connection: AsyncConnection, id: str) -> None:
    await connection.execute(sa.delete(invitations).where(invitations.c.id == id))


async def page_of_invitations(connection: AsyncConnection, cursor: Cursor) -> Page[Invitation]:
    """Read a page of links by creation."""
    order = (invitations.c.created_at_ms, invitations.c.id)
    return await read_page(connection, _INVITATIONS, cursor, lambda row: Invitation(**row), order)


async def set_password(connection: AsyncConnection, user_id: str, hash: str, now_ms: int) -> None:
    values = {"hash": hash, "set_at_ms": now_ms}
    statement = insert(connection, passwords).values(user_id=user_id, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=values))


async def password_of(connection: AsyncConnection, email: str) -> tuple[str, str] | None:
    """Return id and password hash of the active person with this address, in lower case; None without a password."""
    select = sa.select(passwords.c.user_id, passwords.c.hash).join(users, users.c.id == passwords.c.user_id)
    row = (await connection.execute(select.where(users.c.email == email, _ACTIVE))).first()
    return None if row is None else (row[0], row[1])


async def password_of_user(connection: AsyncConnection, user_id: str) -> str | None:
    select = sa.select(passwords.c.hash).where(passwords.c.user_id == user_id)
    found: str | None = (await connection.execute(select)).scalar_one_or_none()
    return found


async def can_sign_in(connection: AsyncConnection, user_id: str) -> bool:
    """Return whether a person has a password or an identity at a provider."""
    proofs = [sa.select(proof.c.user_id).where(proof.c.user_id == user_id) for proof in (passwords, identities)]
    return (await connection.execute(sa.union_all(*proofs).limit(1))).first() is not None


async def insert_session(
    connection: AsyncConnection, id: str, user_id: str, token_hash: bytes, browser: str, now_ms: int
) -> None:
    values = {"id": id, "user_id": user_id, "token_hash": token_hash, "browser": browser}
    await connection.execute(sa.insert(sessions).values(**values, created_at_ms=now_ms, seen_at_ms=now_ms))


async def find_session(connection: AsyncConnection, id: str) -> Session | None:
    row = (await connection.execute(_SESSIONS.where(sessions.c.id == id))).mappings().first()
    return None if row is None else Session(**row)


async def session_of(connection: AsyncConnection, token_hash: bytes) -> Session | None:
    """Find the session of a token; None if it was revoked or its person is not active."""
    select = _SESSIONS.where(sessions.c.token_hash == token_hash, sessions.c.revoked_at_ms.is_(None), _ACTIVE)
    row = (await connection.execute(select)).mappings().first()
    return None if row is None else Session(**row)


async def note_seen(connection: AsyncConnection, id: str, now_ms: int) -> None:
    await connection.execute(sa.update(sessions).where(sessions.c.id == id).values(seen_at_ms=now_ms))


async def revoke_sessions(
    connection: AsyncConnection, now_ms: int, *, id: str | None = None, user_id: str | None = None, but: str = ""
) -> int:
    """Revoke one session, or those of a person except `but`. Returns how many."""
    chosen = [sessions.c[name] == value for name, value in {"id": id, "user_id": user_id}.items() if value is not None]
    assert chosen
    update = sa.update(sessions).where(*chosen, sessions.c.id != but, sessions.c.revoked_at_ms.is_(None))
    return (await connection.execute(update.values(revoked_at_ms=now_ms))).rowcount


async def page_of_sessions(
    connection: AsyncConnection, cursor: Cursor, seen_after_ms: int, created_after_ms: int, user_id: str | None
) -> Page[Session]:
    """Read a page of sessions that are not revoked and were seen and made after these instants, newest first as a rule."""
    select = _SESSIONS.where(
        sessions.c.revoked_at_ms.is_(None),
        sessions.c.seen_at_ms > seen_after_ms,
        sessions.c.created_at_ms > created_after_ms,
        _ACTIVE,
    )
    if user_id is not None:
        select = select.where(sessions.c.user_id == user_id)
    return await read_page(
        connection, select, cursor, lambda row: Session(**row), (sessions.c.created_at_ms, sessions.c.id)
    )


async def delete_old_sessions(connection: AsyncConnection, created_before_ms: int) -> None:
    """Delete sessions that nobody can use any more."""
    await connection.execute(sa.delete(sessions).where(sessions.c.created_at_ms < created_before_ms))


async def user_of_identity(connection: AsyncConnection, issuer: str, subject: str) -> str | None:
    """Return the id of the active person bound to a subject of an OIDC provider."""
    select = sa.select(identities.c.user_id).join(users, users.c.id == identities.c.user_id)
    found: str | None = (
        await connection.execute(select.where(identities.c.issuer == issuer, identities.c.subject == subject, _ACTIVE))
    ).scalar_one_or_none()
    return found


async def insert_identity(connection: AsyncConnection, issuer: str, subject: str, user_id: str, now_ms: int) -> None:
    values = {"issuer": issuer, "subject": subject, "user_id": user_id, "created_at_ms": now_ms}
    await connection.execute(insert(connection, identities).values(**values).on_conflict_do_nothing())


def _invitation(row: sa.RowMapping | None) -> Invitation | None:
    return None if row is None else Invitation(**row)


async def forget_person(connection: AsyncConnection, user_id: str) -> None:
    """Delete whatever a person could sign in with, and their sessions."""
    for table in (sessions, invitations, identities, passwords):
        await connection.execute(sa.delete(table).where(table.c.user_id == user_id))
