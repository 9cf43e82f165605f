"""The invariants of what clients are told: each 200 carries their own picture, the same one the same bytes, and never a 500."""

from collections.abc import Iterable

from tests.storm.arrivals import marker_of
from tests.storm.books import Snapshot, Violation
from tests.storm.client import Try
from tests.storm.plan import Call

ALLOWED = frozenset({200, 400, 413, 424, 429, 502, 503})
ALLOWED_KEYED = ALLOWED | {409, 410, 422}


def answer_violations(
    calls: Iterable[Call], tries: dict[str, list[Try]], seen: Snapshot, key_ids: list[str]
) -> list[Violation]:
    """`key_ids` are those of the keys by the number that calls name them by."""
    found: list[Violation] = []
    bodies: dict[tuple[str, ...], set[str]] = {}
    for call in calls:
        for one in tries.get(call.name, []):
            found += _violations(call, one, seen, key_ids[call.key])
            if one.status == 200 and one.whole and not call.stream and one.pictures:
                # A link of the relay is sent where this gateway or its database was in no state to fetch it.
                of = (one.pictures[0].request_id, *(picture.form for picture in one.pictures))
                bodies.setdefault(of, set()).add(one.sha256)
    found += [
        Violation(f"the picture of {id} was sent with {len(hashes)} different bodies", (id,))
        for (id, *_), hashes in bodies.items()
        if len(hashes) > 1
    ]
    return found


def _violations(call: Call, one: Try, seen: Snapshot, key_id: str) -> list[Violation]:
    about = (f"try {one.count} of {call.name}", tuple({picture.request_id for picture in one.pictures}))
    found = []
    if one.status and one.status not in (ALLOWED_KEYED if call.idempotency_key else ALLOWED):
        found.append(f"was answered {one.status} ({one.code})")
    if one.status == 200 and one.error.startswith("unreadable"):
        found.append(f"got a 200 that is {one.error}")
    for picture in one.pictures:
        row = seen.rows.get(picture.request_id)
        marker = picture.marker or ("" if row is None else marker_of(str(row["prompt"]).encode()))
        if marker != call.marker:
            found.append(f"got the picture of {marker}")
        if row is None or row["api_key_id"] != key_id:
            found.append("got a picture bought with another key")
        elif row["state"] != "settled" and one.whole and not call.stream:
            found.append(f"got a picture whose row is {row['state']}")
    return [Violation(f"{about[0]} {what}", (*about[1], one.request_id), (call.marker,)) for what in found]
