"""Erasure of a person: their data goes, their money stays in the book under a pseudonym."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.blobs.folder import Blobs
from app.control.deletion import delete_owner
from app.control.names import normalized, quoted
from app.core.intervals import MINUTE_MS
from app.errors import Conflict, NotFound
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database, block_reservations
from app.store.erasure import (
    ErasureRows,
    PersonalData,
    deleted_people,
    pending_users,
    personal_data,
    replace_everywhere,
)
from app.store.organization import User, find_user, update_user
from app.store.results import ResultRows
from app.store.tables import admin_api_keys, api_keys

GRACE_MS = 5 * MINUTE_MS
"""Time in which the gateways write what they still have in memory, like refusals, and after which files that a process which died
has left unfinished or set aside are old enough to be removed (`app/blobs/picture_files.py`)."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """State of an erasure. `left` is what is still to be erased; `has_more`: the call ended before it had gone through all."""

    user: User
    pseudonym: str
    left: PersonalData
    has_more: bool


def pseudonym_of(user: User) -> str:
    """Return the name that replaces an erased user's in reports."""
    return f"erased-{user.id[-8:]}"


async def begin_erasure(connection: AsyncConnection, user_id: str, now_ms: int) -> User:
    """Delete a user for good and note that their data is to be erased, in the caller's transaction. Idempotent.

    Raises Conflict for the last owner.
    """
    current = await find_user(connection, user_id)
    assert current is not None
    if current.erased_at_ms is None:
        if current.deleted_at_ms is None:
            await delete_owner(connection, current, now_ms)
        await update_user(connection, user_id, erased_at_ms=now_ms)
        await log_changes(connection, Change("user.erased", user_id, None, {"name": pseudonym_of(current)}))
    found = await find_user(connection, user_id)
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Erasure:
    """Erasure of users, in steps that can be repeated: after a kill, the next call or chore goes on. `remove_pictures` removes
    kept pictures with their files, `remove_strays` the files that a process stored and did not record because it died."""

    database: Database
    answers: ResultRows
    blobs: Blobs
    remove_pictures: Callable[[Sequence[str]], Awaitable[object]]
    remove_strays: Callable[[], Awaitable[object]]

    async def preview(self, name_or_id: str) -> ErasureReport:
        """Count what an erasure takes. Raises NotFound; Conflict for a name that several deleted people had."""
        user = await self._person(name_or_id)
        async with self.database.read() as connection:
            return ErasureReport(user, pseudonym_of(user), await personal_data(connection, user.id), has_more=True)

    async def erase(self, name_or_id: str, for_s: float = math.inf) -> ErasureReport:
        """Delete a person for good, then erase their data for up to `for_s` seconds. Raises as `preview` does, StoreUnavailable,
        and BlobUnavailable while the bucket fails; the same call goes on."""
        until_s = time.monotonic() + for_s
        user = await self._person(name_or_id)
        if user.erased_at_ms is None:
            user = await self._begin(user)
        has_more = not await self._pass(user, until_s)
        user = await self._person(user.id)
        async with self.database.read() as connection:
            return ErasureReport(user, pseudonym_of(user), await personal_data(connection, user.id), has_more)

    async def turn(self) -> None:
        """Go on with all erasures that have not ended. Raises as `erase` does."""
        pending = await self.database.ask(pending_users)
        for user in pending:
            await self._pass(user, math.inf)

    async def _person(self, reference: str) -> User:
        async with self.database.read() as connection:
            user = await find_user(connection, normalized(reference))
            found = [user] if user is not None else await deleted_people(connection, normalized(reference))
        if len(found) > 1:
            ids = ", ".join(each.id for each in found)
            raise Conflict(
                f"Several deleted people were named {quoted(reference)}; name one by id: {ids}.", param="user"
            )
        if not found or found[0].is_service_account:
            message = f"There is no person {quoted(reference)}, also among the deleted ones. `imagegate users list` names people; "
            message += "whoever was erased is found by id."
            raise NotFound(message, param="user")
        return found[0]

    async def _begin(self, user: User) -> User:
        """Delete a person, so that no request of theirs is admitted any more, and log who erases them."""
        now_ms = await self.database.now_ms()
        async with self.database.write() as connection:
            await block_reservations(connection)
            return await begin_erasure(connection, user.id, now_ms)

    async def _pass(self, user: User, until_s: float) -> bool:
        """Erase all that is there now. Return False when the time was over before; else note the end, once nothing is under way."""
        rows = ErasureRows(self.database, user.id)
        has_open = await rows.has_open()  # Before the first step: what ends later is left to the next pass.
        if not await self._erase_requests(rows, until_s):
            return False
        await rows.refusals()
        await self._rename(user)
        is_overwritten = await rows.overwrite()
        now_ms = await self.database.now_ms()
        if is_overwritten and not has_open and user.erased_at_ms is not None and now_ms >= user.erased_at_ms + GRACE_MS:
            async with self.database.transaction() as connection:
                await update_user(connection, user.id, erasure_ended_at_ms=now_ms)
        return True

    async def _erase_requests(self, rows: ErasureRows, until_s: float) -> bool:
        """Erase facts of requests, then stored answers, then pictures: an answer without a row gives no more pictures away."""
        after: tuple[int, str] | None = (0, "")
        while after is not None:
            after = await rows.requests(after)
            if time.monotonic() >= until_s:
                return False
        while ids := await rows.answers():
            await self.blobs.remove(ids)
            await self.answers.forget(ids)
            if time.monotonic() >= until_s:
                return False
        await self.blobs.remove(await rows.ended(await asyncio.to_thread(self.blobs.names)))
        while ids := await rows.pictures():
            await self.remove_pictures(ids)
            if time.monotonic() >= until_s:
                return False
        await self.remove_strays()
        return True

    async def _rename(self, user: User) -> None:
        """Replace name and address by the pseudonym: first wherever they are written, so that a kill in between loses neither."""
        pseudonym = pseudonym_of(user)
        if user.name == pseudonym and user.email is None:
            return
        await replace_everywhere(self.database, user, pseudonym)
        async with self.database.write() as connection:
            for keys in (api_keys, admin_api_keys):
                await connection.execute(sa.update(keys).where(keys.c.user_id == user.id).values(name=pseudonym))
            await update_user(connection, user.id, name=pseudonym, email=None)
        await replace_everywhere(self.database, user, pseudonym)
