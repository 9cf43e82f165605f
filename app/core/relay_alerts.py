"""Troubles of relays, and what the messages of alerts on relays say about them."""

from dataclasses import dataclass
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from app.core.intervals import iso
from app.core.money import decimal_text

TroubleOutcome = Literal["well", "unused"]
"""How a trouble ended: the relay is well again, or no longer in use."""
CONSOLE: Final = "Look at the relay's own console"
_PAUSED: Final = {
    "upstream_misconfigured": (
        "it refuses our key, or cannot be asked with it",
        "Give it a key that works: `imagegate relays replace-key {relay} --key-stdin` (`default`: IMAGEGATE_UPSTREAM_API_KEY).",
    ),
    "upstream_wallet_empty": ("its wallet, or the quota of our key there, is used up", "Top it up at the relay."),
    "upstream_unreachable": ("it cannot be reached", "See whether its address answers from this machine."),
    "upstream_slow": ("its answers take several times as long as usual", f"{CONSOLE} for what it says about itself."),
}
_COSTLY: Final = (
    "its last answers were no images, or did not come, and may have been charged",
    f"{CONSOLE}; `imagegate requests list` shows the requests, whose money is held until `imagegate reconcile` knows more.",
)


@dataclass(frozen=True, slots=True)
class RelayTrouble:
    """Trouble of a relay from its begin to its end (Unix ms), over all replicas.

    With `balance_days` 0 a breaker is not closed because of `code`. Otherwise the balance lasts for fewer days than that: when it
    was noticed `left_micros` were left, and `daily_micros` were spent there in a day.
    """

    id: int
    relay: str
    balance_days: int
    code: str | None
    left_micros: int | None
    daily_micros: int | None
    began_at_ms: int
    ended_at_ms: int | None = None
    outcome: TroubleOutcome | None = None


def relay_title(balance_days: int) -> str:
    """Return what an alert on relays is about, for its test."""
    balance = f", or its balance lasts for fewer than {days_text(balance_days)}" if balance_days else ""
    return f"A relay is paused or well again{balance}"


def trouble_title(trouble: RelayTrouble, *, is_over: bool) -> str:
    """Return the title of a message about the begin or the end of a trouble."""
    if is_over and trouble.outcome == "unused":
        return f"Relay {trouble.relay} is no longer in use"
    if trouble.balance_days:
        days = days_text(trouble.balance_days)
        return f"The balance of relay {trouble.relay} lasts for {f'{days} or more again' if is_over else f'fewer than {days}'}"
    return (
        f"Relay {trouble.relay} is well again" if is_over else f"Relay {trouble.relay} is paused: {_reason(trouble)[0]}"
    )


def trouble_text(trouble: RelayTrouble, currency: str, zone: ZoneInfo, *, is_over: bool) -> str:
    """Return the text of such a message below its title: what was seen, and what to do."""
    began = iso(trouble.began_at_ms, zone)
    if trouble.balance_days:
        seen = _balance_text(trouble, currency)
        return f"At {began}: {seen}.\n" if is_over else f"{seen}.\nTop it up at the relay.\n\nNoticed at {began}.\n"
    reason, cure = _reason(trouble)
    if is_over:
        return f"It was paused at {began}: {reason}.\nOver at {iso(trouble.ended_at_ms or 0, zone)}.\n"
    return (
        "Requests for its models go to the other relays that serve them; where there is none, clients are told. It is asked again "
        f"by itself, and a message follows once it has served a request.\n{cure.format(relay=trouble.relay)}\n\n"
        f"Code: {trouble.code}.\nNoticed at {began}.\n"
    )


def trouble_document(trouble: RelayTrouble, *, is_over: bool) -> dict[str, Any]:
    """Return what the document of such a message says about the relay. Money is in decimals."""
    return {
        "name": trouble.relay,
        "is_over": is_over,
        "code": trouble.code,
        "balance_days": trouble.balance_days or None,
        "left": None if trouble.left_micros is None else decimal_text(trouble.left_micros),
        "spent_per_day": None if trouble.daily_micros is None else decimal_text(trouble.daily_micros),
        "began_at": trouble.began_at_ms // 1000,
        "ended_at": trouble.ended_at_ms // 1000 if is_over and trouble.ended_at_ms is not None else None,
    }


def days_text(days: int) -> str:
    """Return a number of days in words."""
    return "1 day" if days == 1 else f"{days} days"


def _balance_text(trouble: RelayTrouble, currency: str) -> str:
    left, daily = trouble.left_micros or 0, trouble.daily_micros or 0
    return f"{decimal_text(left)} {currency} were left, and {decimal_text(daily)} {currency} were spent in a day"


def _reason(trouble: RelayTrouble) -> tuple[str, str]:
    return _PAUSED.get(trouble.code or "", _COSTLY)
