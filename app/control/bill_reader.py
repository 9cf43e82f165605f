"""Reader of the bills of every relay, each over its own connection and with its own key."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.control.matching import SLACK_MS, MatchingRules
from app.core.relays import Relay
from app.errors import ConfigurationError
from app.upstream.billing import NO_BILLS, ChargeLog, KeyAccount, RelayBilling, points_to_micros, read_accounts
from app.upstream.pool import RelayPool


@dataclass(frozen=True, slots=True)
class BillReader:
    """Reader of the relays' bills. `rules` are those of a relay whose points cost what the settings say; `url_key` returns the key
    of a relay where it may be sent in an address, and raises ConfigurationError where it has none."""

    relays: RelayPool
    url_key: Callable[[Relay], str | None]
    rules: MatchingRules

    def rules_of(self, relay: Relay) -> MatchingRules:
        """Return the rules by which charges of a relay are matched, with the price of its points."""
        own = relay.micros_per_dollar
        return self.rules if own is None else replace(self.rules, micros_per_dollar=own)

    def left_micros(self, relay: Relay, account: KeyAccount | None) -> int | None:
        """Return what is left to our key at a relay in the book's currency; None where it is unlimited or unknown."""
        if account is None or account.left_points is None:
            return None
        return points_to_micros(account.left_points, self.rules_of(relay).micros_per_dollar)

    async def read(self, relay: Relay) -> RelayBilling:
        """Read log and account of a relay. What cannot be read is in `missing`; a relay without a usable key raises nothing.

        The log begins where the key of the relay was replaced: what the one before bought is in a log of its own.
        """
        try:
            found = await read_accounts(self.relays.client(relay), self.url_key(relay))
            return replace(found, log=_from_key(found.log, relay.key_replaced_at_ms))
        except ConfigurationError as exc:
            return replace(NO_BILLS, missing=(f"cannot be read: {exc}",))


def _from_key(log: ChargeLog | None, replaced_at_ms: int | None) -> ChargeLog | None:
    """Cut off what may be older than a key. Requests that waited for a place may be sent with the former one a little later."""
    if log is None or replaced_at_ms is None:
        return log
    from_ms = replaced_at_ms + SLACK_MS
    if log.oldest_at_ms is None or log.oldest_at_ms >= from_ms:
        return log
    return ChargeLog(tuple(row for row in log.rows if row.at_ms >= from_ms), from_ms, is_truncated=True)
