"""Check after the storm: a client that paid for a picture and repeats its Idempotency-Key gets it again and pays nothing."""

from collections.abc import Iterable
from dataclasses import replace

from tests.storm.books import Arrival, Snapshot, Violation
from tests.storm.client import Client, Try
from tests.storm.plan import Call

ASKED_MAX = 12
TIMEOUT_S = 15.0


async def lost_violations(
    client: Client, calls: Iterable[Call], seen: Snapshot, bill: list[Arrival]
) -> list[Violation]:
    """Asks a gateway again for the pictures of settled requests with a key."""
    bought = {row["idempotency_key"]: row for row in seen.rows.values() if _can_be_replayed(row)}
    markers = {line.request_id: line.marker for line in bill}
    found: list[Violation] = []
    asked: set[str] = set()
    for call in calls:
        row = bought.get(call.idempotency_key)
        if row is None or markers[row["id"]] != call.marker or row["id"] in asked or len(asked) == ASKED_MAX:
            continue
        asked.add(row["id"])
        tries: list[Try] = []
        await client.make(replace(call, retries=0, timeout_s=TIMEOUT_S, leaves_s=None), tries)
        found += _wrong(row["id"], call, tries[0])
    return found


def _can_be_replayed(row: dict[str, object]) -> bool:
    return row["state"] == "settled" and row["idempotency_key"] is not None and row["flag"] != "bad_payload"


def _wrong(id: str, call: Call, one: Try) -> list[Violation]:
    got = {picture.request_id for picture in one.pictures}
    if one.status == 200 and one.whole and one.replayed and got == {id}:
        return []
    what = f"{id} is paid for, and asked again with its key it gave {one.status} {one.code or one.error}, pictures of {got}"
    return [Violation(what, (id,), (call.marker,))]
