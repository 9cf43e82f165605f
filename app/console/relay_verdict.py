"""Verdict on the relay in one word, which the page tells as a sentence with what to do."""

from typing import Literal, get_args

from app.control.readiness import Readiness
from app.control.relay_health import RelayHealth
from app.control.relay_watch import RelayState
from app.errors import (
    GatewayError,
    UpstreamMisconfigured,
    UpstreamRateLimited,
    UpstreamWalletEmpty,
)
from app.upstream.probe import NotARelay

Verdict = Literal[
    "unready",
    "no_key",
    "wallet_empty",
    "key_refused",
    "not_a_relay",
    "unreachable",
    "garbage",
    "failing",
    "busy",
    "asking",
    "idle",
    "well",
]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FAILING_PERCENT = 50
"""Success of the last hour below which the relay counts as failing, although it answers."""
_TROUBLES: dict[str, Verdict] = {
    "upstream_wallet_empty": "wallet_empty",
    "upstream_misconfigured": "key_refused",
    "upstream_bad_payload": "garbage",
    "upstream_unreachable": "unreachable",
}


def verdict_on(state: RelayState | None, health: RelayHealth, readiness: Readiness, *, has_key: bool) -> Verdict:
    """Return the first of VERDICTS that holds. What requests met counts where the relay's free answers are well."""
    if readiness.status == "unready":
        return "unready"
    if not has_key:
        return "no_key"
    if state is not None and state.error is not None:
        return _of_error(state.error)
    if health.trouble is not None:
        return _TROUBLES[health.trouble]
    percent = health.hour.success_percent
    if percent is not None and percent < FAILING_PERCENT:
        return "failing"
    if state is None:
        return "asking"
    return "well" if health.hour.ended else "idle"


def _of_error(error: GatewayError) -> Verdict:
    if isinstance(error, UpstreamWalletEmpty):
        return "wallet_empty"
    if isinstance(error, NotARelay):
        return "not_a_relay"
    if isinstance(error, UpstreamMisconfigured):
        return "key_refused"
    return "busy" if isinstance(error, UpstreamRateLimited) else "unreachable"
