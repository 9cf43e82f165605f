"""Moods of a relay that is told what to do, instead of drawing a fault for each request."""

import asyncio
from dataclasses import replace
from functools import partial

from tests.storm.faults import FAULTS, Fault, good
from tests.storm.wire import Wire

BIG = "-big"
"""End of the marker of a call that gets a picture of BIG_BYTES."""
BIG_BYTES = 2 * 1024 * 1024
WELL_S = 0.4
SLOW_S = 4.0
HANG_S = 25.0
"""Longer than the gateway of a fault run waits for an answer."""
SOUND = frozenset({"well", "slow"})
"""Faults that are none: whoever paid can have a picture."""


async def _well(wire: Wire, *, delay_s: float) -> None:
    await asyncio.sleep(delay_s * wire.random.uniform(0.5, 1))
    await good(wire, size_bytes=BIG_BYTES if wire.asked.marker.endswith(BIG) else None)


async def _hang(wire: Wire) -> None:
    await asyncio.sleep(HANG_S)
    wire.writer.close()


_GARBAGE = ("page_200", "page_502", "invalid_json", "error_object", "empty_data", "bad_payload", "cut_body")
MOODS: dict[str, dict[str, Fault]] = {
    "well": {"well": Fault(1, True, partial(_well, delay_s=WELL_S))},
    "slow": {"slow": Fault(1, True, partial(_well, delay_s=SLOW_S))},
    "garbage": {name: replace(FAULTS[name], weight=1) for name in _GARBAGE},
    "hang": {"hang": Fault(1, True, _hang)},
    "key": {"key_wrong": FAULTS["key_wrong"]},
    "wallet": {"wallet_empty": FAULTS["wallet_empty"]},
}
"""Faults of each mood, by name. The first is that of a free question."""
ANSWERED_AS_WELL = frozenset({"well", "slow"})
"""Moods in which free questions are answered."""
