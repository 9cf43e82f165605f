"""Telling what happened to the requests of a violation, so that nobody has to guess."""

from dataclasses import asdict
from typing import Any

from tests.storm.books import Violation
from tests.storm.run import Outcome

STORIES_MAX = 3
_COLUMNS = ("state", "owner", "relay", "api_key_id", "n", "quote_micros", "cost_micros", "images", "flag", "http_status",
            "error_code", "reserved_at_ms", "dispatched_at_ms", "ended_at_ms", "idempotency_key", "tries")  # fmt: skip


def tell(outcome: Outcome) -> str:
    """Every violation, and the whole story of the first few."""
    lines = [f"seed {outcome.seed}: {len(outcome.violations)} violations"]
    lines += [f"  {violation.what}" for violation in outcome.violations]
    for violation in outcome.violations[:STORIES_MAX]:
        lines += ["", f"The story of: {violation.what}", *(f"  {line}" for line in _story(outcome, violation))]
    lines += ["", "The chronicle:", *(f"  {line}" for line in sorted(outcome.told))]
    return "\n".join(lines)


def _story(outcome: Outcome, violation: Violation) -> list[str]:
    ids = {id for id in violation.request_ids if id}
    markers = set(violation.markers) | {line.marker for line in outcome.bill if line.request_id in ids}
    ids |= {line.request_id for line in outcome.bill if line.marker in markers}
    events = [(line.at, f"the relay: {asdict(line)}") for line in outcome.bill if line.marker in markers]
    for call in outcome.plan.calls:
        if call.marker in markers:
            events.append((0.0, f"call: {call}"))
            events += [(one.at, f"{call.name}: {one}") for one in outcome.tries.get(call.name, [])]
    lines = [f"{at:.3f} {what}" if at else what for at, what in sorted(events)]
    rows = outcome.book.rows if outcome.book else {}
    lines += [f"row {id}: {_shown(rows[id])}" for id in sorted(ids)[:12] if id in rows]
    for id in sorted(ids)[:12]:
        lines += outcome.fleet.logs(id) if outcome.fleet else []
    return lines


def _shown(row: dict[str, Any]) -> str:
    return ", ".join(f"{name}={row[name]}" for name in _COLUMNS if row.get(name) is not None)
