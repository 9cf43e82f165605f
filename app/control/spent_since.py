"""Charges since a backup: read in the log of each relay, and booked to the organization when the backup is restored."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.control.assessment import sent_request
from app.control.bill_reader import BillReader
from app.control.deletion import delete_owner
from app.control.keys import get_key
from app.control.matching import LATE_MS, SLACK_MS, MatchingRules, SentRequest
from app.control.people import add_user
from app.control.projects import DEFAULT_PROJECT, get_project
from app.core import keys as secrets
from app.core.ids import new_id
from app.core.intervals import iso
from app.core.relays import Relay
from app.core.request import DEFAULT_RELAY
from app.errors import ConfigurationError
from app.store import console_keys, prices, reconciliation
from app.store import relays as relay_rows
from app.store.engine import Database
from app.store.keys import StoredKey, insert_key
from app.store.organization import User
from app.store.spent_since import BookedOwner, LostCharge, book_lost_charges
from app.upstream.billing import ChargeLog, LogRow

OWNER = "restored backup"
UNKNOWN_MODEL = "unknown"
SECOND_MS = 1000
"""The relay's log tells times to the second, so that a charge may seem to be from just before the backup."""


def why_incomplete(log: ChargeLog | None, since_ms: int) -> str | None:
    """Return why a log does not show all charges since then (Unix ms); None when it does."""
    if log is None:
        return "the relay's log cannot be read"
    if log.is_truncated and (log.oldest_at_ms or 0) > since_ms - SLACK_MS:
        return "the relay's log does not reach back to it"
    return None


@dataclass(frozen=True, slots=True)
class SpentSince:
    """Finder of the charges of all relays since a backup that was made at `since_ms` (Unix ms, by the database's clock)."""

    database: Database
    bills: BillReader
    zone: ZoneInfo
    since_ms: int

    async def charges(self, stated: int | Mapping[str, int]) -> list[LostCharge]:
        """Read the log of each relay of the restored database for charges that no request of it can have. Changes nothing.

        `stated` is what a person read at the relays as spent since, in micros: at all together, or at those of these names; the
        logs of those are not read. Raises ConfigurationError where a log does not show what was spent.
        """
        now_ms = await self.database.now_ms()
        amounts = {DEFAULT_RELAY: stated} if isinstance(stated, int) else stated
        found = [LostCharge(name, UNKNOWN_MODEL, micros, now_ms) for name, micros in amounts.items() if micros]
        if isinstance(stated, int):
            return found
        relays = [relay for relay in await self._relays() if relay.name not in stated]
        every = await asyncio.gather(*(self.bills.read(relay) for relay in relays))
        gaps = {}
        for relay, bills in zip(relays, every, strict=True):
            why = why_incomplete(bills.log, self.since_ms)
            if why is None and bills.log is not None:
                found += await LostCharges(self.database, self.bills.rules_of(relay), relay.name, self.since_ms).find(
                    bills.log
                )
            else:
                gaps[relay.name] = "; ".join((str(why), *bills.missing[:1]))
        if gaps:
            raise self._incomplete(gaps)
        return found

    async def _relays(self) -> list[Relay]:
        """List the relays that may have charged something since: those that were not removed, and those with open requests."""
        async with self.database.read() as connection:
            every = (await relay_rows.list_relays(connection)).values()
            return [
                relay
                for relay in every
                if relay.removed_at_ms is None
                or (relay.sealed_key is not None and await relay_rows.any_unresolved(connection, relay.name))
            ]

    def _incomplete(self, gaps: Mapping[str, str]) -> ConfigurationError:
        is_default = list(gaps) == [DEFAULT_RELAY]
        why = gaps[DEFAULT_RELAY] if is_default else "; ".join(f"{name}: {why}" for name, why in gaps.items())
        options = "--spent AMOUNT" if is_default else " ".join(f"--spent {name}=AMOUNT" for name in gaps)
        return ConfigurationError(
            f"Nothing is changed: {why}. What was spent since the backup would be missing in the book, and could be spent "
            f"again. Look at the relay what this gateway has spent since {iso(self.since_ms, self.zone)}, and say it: "
            f"{options}, 0 for nothing."
        )


@dataclass(frozen=True, slots=True)
class LostCharges:
    """Finder of the charges of one relay since a backup."""

    database: Database
    rules: MatchingRules
    relay: str
    since_ms: int

    async def find(self, log: ChargeLog) -> list[LostCharge]:
        """Return the charges in the log that no request of the restored database can have. Changes nothing.

        Near the backup, charges are told apart by the relay's ids or, without them, by model, amount and time: as exactly as the
        clocks of the relay and the database agree. An open request keeps a charge that may be its own, for reconciliation.
        """
        longest_ms = self.rules.deadline_ms + LATE_MS + SLACK_MS
        from_ms, until_ms = self.since_ms - 2 * longest_ms, self.since_ms + SLACK_MS
        async with self.database.read() as connection:
            catalog = await prices.read_catalog(connection)
            near = await reconciliation.around(connection, self.relay, from_ms, until_ms, longest_ms)
        sent = [sent_request(each, catalog) for each in near]
        sent = [each for each in sent if each.state != "settled" or _end_ms(each) >= self.since_ms - 3 * SLACK_MS]
        known = {each.matched_row_id for each in sent}
        rows = [
            row
            for row in log.rows
            if row.points > 0 and row.row_id not in known and row.at_ms >= self.since_ms - 2 * SLACK_MS
        ]
        begin_ms = self.since_ms - SECOND_MS
        return [self._lost(row) for row in _without_booked(sent, rows, self.rules, begin_ms) if row.at_ms >= begin_ms]

    def _lost(self, row: LogRow) -> LostCharge:
        cost_micros = self.rules.micros(row)
        return LostCharge(self.relay, row.model, cost_micros, row.at_ms, row.row_id, row.points, row.request_id or None)


async def book_charges(database: Database, zone: ZoneInfo, charges: Sequence[LostCharge]) -> None:
    """Book charges under the name of a deleted service account. Raises StoreUnavailable."""
    if not charges:
        return
    now_ms = await database.now_ms()
    async with database.write() as connection:
        project = await get_project(connection, DEFAULT_PROJECT)
        user = User(new_id("user-"), OWNER, None, now_ms, kind="service_account", project_id=project.id)
        await add_user(connection, user)
        id = secrets.new_key().id
        key = StoredKey(id, user.id, project.id, OWNER, console_keys.NO_SECRET, "", None, now_ms, None)
        await insert_key(connection, key)
        owner = BookedOwner((await get_key(connection, id)).id, user.id, project.id)
        await book_lost_charges(connection, owner, charges, zone, now_ms)
        await delete_owner(connection, user, now_ms)


def _without_booked(
    sent: Sequence[SentRequest], rows: Iterable[LogRow], rules: MatchingRules, begin_ms: int
) -> list[LogRow]:
    """Take from the rows one for each request that has or may have been charged: by id, else the nearest in time that fits. For a
    settled request one from before `begin_ms` (Unix ms), when the backup began, goes before nearer ones: in steady traffic that
    may leave a row that was booked, but never hides a charge that is not in the book."""
    free = {row.row_id: row for row in rows}
    by_id = {row.request_id: row for row in free.values() if row.request_id}
    left = []
    for each in sent:
        own = by_id.get(each.upstream_request_id or "")
        if own is not None:
            free.pop(own.row_id, None)
        elif each.matched_row_id is None:
            left.append(each)
    # Those that ended last come first: what was charged after the backup begins where they end.
    for each in sorted(left, key=lambda each: (each.state != "settled", -_end_ms(each))):
        fitting = [row for row in free.values() if rules.fits(each, row)]
        if fitting:
            is_booked = each.state == "settled"
            own = min(fitting, key=lambda row: (is_booked and row.at_ms >= begin_ms, abs(row.at_ms - _end_ms(each))))
            free.pop(own.row_id)
    return list(free.values())


def _end_ms(sent: SentRequest) -> int:
    return sent.dispatched_at_ms + (sent.upstream_ms or 0)
