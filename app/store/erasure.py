"""Erasure of a person's data: what the book, the stored answers, the logs and the alerts hold of them, but not their money."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import Database
from app.store.ledger.columns import ERASED_COLUMNS, IN_PROGRESS
from app.store.organization import User
from app.store.sqlite import BUSY_TIMEOUT_S
from app.store.tables import (
    admin_api_keys,
    alerts,
    api_keys,
    audit_logs,
    corrections,
    deliveries,
    is_unresolved,
    limit_increases,
    pictures,
    refusal_log,
    refusals,
    requests,
    results,
    statements,
    users,
    weekly_notes,
)

STEP = 500
"""Rows that one transaction changes, so that requests never wait for long."""
CHECKPOINT_WAIT_MS = 100
ERASED = "erased"
"""Text in place of words that may quote a person."""


@dataclass(frozen=True, slots=True)
class PersonalData:
    """Counts of what is to be erased of one user. `open` requests may still end with an answer."""

    requests: int
    open: int
    answers: int
    pictures: int
    picture_bytes: int
    keys: int


async def personal_data(connection: AsyncConnection, user_id: str) -> PersonalData:
    """Count what there is of a user."""
    own = requests.c.user_id == user_id

    def count(table: sa.Table, *where: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
        return sa.select(sa.func.count()).select_from(table).where(*where).scalar_subquery()

    size = sa.select(sa.func.coalesce(sa.func.sum(pictures.c.bytes), 0)).where(pictures.c.user_id == user_id)
    counts = (
        count(requests, own, _has_facts()),
        count(requests, own, requests.c.state.in_(IN_PROGRESS)),
        count(results, results.c.request_id.in_(sa.select(requests.c.id).where(own))),
        count(pictures, pictures.c.user_id == user_id),
        size.scalar_subquery(),
        count(api_keys, api_keys.c.user_id == user_id, api_keys.c.revoked_at_ms.is_(None)),
    )
    return PersonalData(*(int(value) for value in (await connection.execute(sa.select(*counts))).one()))


async def pending_users(connection: AsyncConnection) -> list[User]:
    """List the users whose erasure has begun and not ended."""
    wanted = sa.select(users).where(users.c.erased_at_ms.is_not(None), users.c.erasure_ended_at_ms.is_(None))
    return [User(**row) for row in (await connection.execute(wanted)).mappings()]


async def deleted_people(connection: AsyncConnection, name: str) -> list[User]:
    """List deleted people of this name, which is not unique."""
    gone = sa.and_(users.c.kind == "person", users.c.deleted_at_ms.is_not(None), users.c.name == name)
    return [User(**row) for row in (await connection.execute(sa.select(users).where(gone))).mappings()]


@dataclass(frozen=True, slots=True)
class ErasureRows:
    """Rows of one user that are erased, in steps of STEP. Each step may be repeated. Raises StoreUnavailable or StorageFull."""

    database: Database
    user_id: str

    async def requests(self, after: tuple[int, str]) -> tuple[int, str] | None:
        """Erase one step of the requests after (time, id); return the last of them, None when there is none."""
        columns = requests.c
        place = sa.tuple_(columns.reserved_at_ms, columns.id)
        own = (columns.user_id == self.user_id, columns.reserved_at_ms >= after[0], place > sa.tuple_(*after))
        wanted = sa.select(columns.id, columns.reserved_at_ms, columns.error).where(*own, _has_facts())
        async with self.database.transaction() as connection:
            rows = (await connection.execute(wanted.order_by(columns.reserved_at_ms, columns.id).limit(STEP))).all()
            ids = [row.id for row in rows]
            await connection.execute(
                sa.update(requests).where(columns.id.in_(ids)).values(dict.fromkeys(ERASED_COLUMNS))
            )
            for row in rows:
                if row.error is not None:
                    error = {**row.error, "message": ERASED}
                    await connection.execute(sa.update(requests).where(columns.id == row.id).values(error=error))
        return (rows[-1].reserved_at_ms, rows[-1].id) if rows else None

    async def answers(self) -> list[str]:
        """List one step of requests with a stored answer."""
        wanted = sa.select(results.c.request_id).join(requests, requests.c.id == results.c.request_id)
        return await self.database.column(wanted.where(requests.c.user_id == self.user_id).limit(STEP))

    async def ended(self, request_ids: Sequence[str]) -> list[str]:
        """List those of these requests that are the user's and have ended."""
        found: list[str] = []
        own = sa.select(requests.c.id).where(requests.c.user_id == self.user_id, requests.c.state.not_in(IN_PROGRESS))
        for first in range(0, len(request_ids), STEP):
            found += await self.database.column(own.where(requests.c.id.in_(request_ids[first : first + STEP])))
        return found

    async def pictures(self) -> list[str]:
        """List one step of kept pictures."""
        wanted = sa.select(pictures.c.id).where(pictures.c.user_id == self.user_id)
        return await self.database.column(wanted.limit(STEP))

    async def refusals(self) -> None:
        """Erase the words of refusals and of requests for more, what retries look up, and where the weekly note goes."""
        keys = sa.select(api_keys.c.id).where(api_keys.c.user_id == self.user_id)
        own = sa.and_(refusal_log.c.user_id == self.user_id, refusal_log.c.message != ERASED)
        asked = sa.update(limit_increases).where(limit_increases.c.user_id == self.user_id)
        async with self.database.transaction() as connection:
            await connection.execute(sa.delete(refusals).where(refusals.c.api_key_id.in_(keys)))
            await connection.execute(sa.update(refusal_log).where(own).values(message=ERASED, limit=None, model=None))
            await connection.execute(asked.values(reason="", answer=""))
            await connection.execute(sa.delete(weekly_notes).where(weekly_notes.c.user_id == self.user_id))

    async def has_open(self) -> bool:
        """Return whether a request of the user may still get an answer or an error."""
        own = (is_unresolved, requests.c.user_id == self.user_id, requests.c.state.in_(IN_PROGRESS))
        return bool(await self.database.column(sa.select(requests.c.id).where(*own)))

    async def overwrite(self) -> bool:
        """Write what SQLite's log holds into the database and empty the log. Return False when a reader prevents that now."""
        if not self.database.is_sqlite:
            return True
        async with self.database.read() as connection:
            await connection.exec_driver_sql("COMMIT")  # A checkpoint cannot run inside a transaction.
            try:  # Requests wait as long as the checkpoint waits for a reader.
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={CHECKPOINT_WAIT_MS}")
                row = (await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")).one()
            finally:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={int(BUSY_TIMEOUT_S * 1000)}")
                await connection.exec_driver_sql("BEGIN")
            return bool(row[0] == 0)


async def replace_everywhere(database: Database, user: User, pseudonym: str) -> None:
    """Replace a person's names and addresses, also former ones, in the audit log, in corrections, statements and alerts, step by
    step. The names of their keys, and the words that lists of their pictures were searched for, go as well."""
    async with database.read() as connection:
        keys: set[str] = set()
        for table in (api_keys, admin_api_keys):
            keys |= set((await connection.execute(sa.select(table.c.id).where(table.c.user_id == user.id))).scalars())
        replacement = await _replacement(connection, user, pseudonym)

    def of_line(row: sa.RowMapping) -> dict[str, Any]:
        told = (row["before"], row["after"])
        is_own = bool({row["target_id"], row["actor_id"]} & {user.id, *keys}) or user.id in str(told)
        is_own = is_own or row["event"].startswith("request.")  # Its reason stands in a correction, too.
        before, after = (replacement.in_value(facts, is_own=is_own) for facts in told)
        if row["target_id"] in keys:
            before, after = ({**facts, "name": pseudonym} if facts else facts for facts in (before, after))
        if row["event"] == "pictures.listed" and after.get("user", pseudonym) in (pseudonym, user.id):
            after = {**after, "words": ERASED} if "words" in after else after
        actor = {name: replacement.in_value(row[name], is_own=is_own) for name in ("actor_name", "actor_email")}
        return {"before": before, "after": after, **actor}

    def of_other_line(row: sa.RowMapping) -> dict[str, Any]:
        return {} if row["target_id"] == user.id else of_line(row)

    def of_alert(row: sa.RowMapping) -> dict[str, Any]:
        channels = [replacement.without(channel) for channel in row["channels"]]
        return {"channels": [channel for channel in channels if channel.get("recipients") != []]}

    def of_delivery(row: sa.RowMapping) -> dict[str, Any]:
        channel = replacement.without(row["channel"])
        state = "dropped" if channel.get("recipients") == [] and row["state"] == "pending" else row["state"]
        return {"channel": channel, "state": state, "error": replacement.in_value(row["error"], is_own=False)}

    def of_increase(row: sa.RowMapping) -> dict[str, Any]:
        return {"decided_by": replacement.in_value(row["decided_by"], is_own=False)}

    def of_correction(row: sa.RowMapping) -> dict[str, Any]:
        return {name: replacement.in_value(row[name], is_own=True) for name in ("reason", "actor")}

    def of_statement(row: sa.RowMapping) -> dict[str, Any]:
        return {"closed_by": replacement.in_value(row["closed_by"], is_own=False)}

    await _rewrite(database, audit_logs, audit_logs.c.number, of_other_line)
    await _rewrite(database, corrections, corrections.c.id, of_correction)
    await _rewrite(database, limit_increases, limit_increases.c.id, of_increase)
    await _rewrite(database, alerts, alerts.c.id, of_alert)
    await _rewrite(database, deliveries, deliveries.c.id, of_delivery)
    await _rewrite(database, statements, statements.c.id, of_statement)
    await _rewrite(database, audit_logs, audit_logs.c.number, of_line)  # Last, because former names are read there.


async def _rewrite(
    database: Database, table: sa.Table, id: sa.Column[Any], changed: Callable[[sa.RowMapping], dict[str, Any]]
) -> None:
    """Write the columns that `changed` returns wherever they differ, a step of rows at a time."""
    after: Any = None
    while True:
        wanted = sa.select(table).order_by(id).limit(STEP)
        async with database.read() as connection:
            rows = (await connection.execute(wanted if after is None else wanted.where(id > after))).mappings().all()
        if not rows:
            return
        after = rows[-1][id.name]
        updates = {row[id.name]: values for row in rows if (values := _differing(row, changed(row)))}
        if updates:
            async with database.transaction() as connection:
                for key, values in updates.items():
                    await connection.execute(sa.update(table).where(id == key).values(values))


def _differing(row: sa.RowMapping, values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != row[name]}


async def _replacement(connection: AsyncConnection, user: User, pseudonym: str) -> "_Replacement":
    """Make the replacement of all names and addresses that a user had, without those that others have or had, too."""
    lines = sa.select(audit_logs.c.before, audit_logs.c.after).where(audit_logs.c.target_id == user.id)
    names, emails = {user.name}, {user.email} if user.email else set()
    for row in await connection.execute(lines):
        for facts in filter(None, row):
            names.add(facts.get("name") or user.name)
            emails |= {facts["email"]} if facts.get("email") else set()
    others = list(await connection.execute(sa.select(users.c.name, users.c.email).where(users.c.id != user.id)))
    foreign = {text.casefold() for other in others for text in other if text} - {user.name.casefold()}
    if user.email:
        foreign.discard(user.email.casefold())
    names = {name for name in names if name.casefold() not in foreign}
    return _Replacement(names, {email for email in emails if email.casefold() not in foreign}, pseudonym)


class _Replacement:
    """Replacement of names and addresses by a pseudonym, in texts and in the texts of JSON."""

    def __init__(self, names: set[str], emails: set[str], pseudonym: str):
        self._names = {name.casefold() for name in names}
        self._emails = {email.casefold() for email in emails}
        self._pseudonym = pseudonym
        self._word = re.compile(rf"(?<!\w)(?:{_any_of(names)})(?!\w)", re.IGNORECASE)
        self._email = re.compile(_any_of(emails), re.IGNORECASE) if emails else None

    def in_value(self, value: Any, *, is_own: bool) -> Any:
        """Return `value` with addresses replaced wherever they stand, and names where they are the whole text or, in what is the
        person's own, a word of it."""
        if isinstance(value, dict):
            return {key: self.in_value(each, is_own=is_own) for key, each in value.items()}
        if isinstance(value, list):
            return [self.in_value(each, is_own=is_own) for each in value]
        if not isinstance(value, str):
            return value
        if value.casefold() in self._names:
            return self._pseudonym
        text = value if self._email is None else self._email.sub(self._pseudonym, value)
        return self._word.sub(self._pseudonym, text) if is_own else text

    def without(self, channel: dict[str, Any]) -> dict[str, Any]:
        """Return a channel of an alert without the person's addresses."""
        if "recipients" not in channel:
            return channel
        return {
            **channel,
            "recipients": [each for each in channel["recipients"] if each.casefold() not in self._emails],
        }


def _any_of(texts: set[str]) -> str:
    return "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))


def _has_facts() -> sa.ColumnElement[bool]:
    message = requests.c.error["message"].as_string()
    told = sa.and_(requests.c.error.is_not(None), sa.func.coalesce(message, "") != ERASED)
    return sa.or_(*(requests.c[name].is_not(None) for name in ERASED_COLUMNS), told)
