"""The invariants of what clients are told: each 200 carries their own picture, the same one the same bytes, and never a 500."""

from collections.abc import Iterable, Sequence
from typing import Any

from tests.storm.arrivals import marker_of
from tests.storm.books import Snapshot, Violation
from tests.storm.client import Try
from tests.storm.plan import Call
from tests.storm.stage import Key

ALLOWED = frozenset({200, 400, 413, 424, 429, 502, 503})
ALLOWED_KEYED = ALLOWED | {409, 410, 422}


def answer_violations(
    calls: Iterable[Call], tries: dict[str, list[Try]], seen: Snapshot, keys: Sequence[Key]
) -> list[Violation]:
    """`keys` are in the order of the numbers that calls name them by."""
    found: list[Violation] = []
    bodies: dict[tuple[str, ...], set[str]] = {}
    for call in calls:
        for one in tries.get(call.name, []):
            found += _violations(call, one, seen, keys[call.key])
            if one.status == 200 and one.whole and not call.stream and one.pictures:
                # A link of the relay is sent where this gateway or its database was in no state to fetch it.
                forms = (picture.form for picture in one.pictures)
                of = (one.pictures[0].request_id, "served" if one.served else "bought", *forms)
                # What is served is made of the stored answer or, once they are kept, of the pictures alone.
                shown = " ".join(picture.sha256 for picture in one.pictures) if one.served else one.sha256
                bodies.setdefault(of, set()).add(shown)
    found += [
        Violation(f"the picture of {id} was sent with {len(hashes)} different bodies", (id,))
        for (id, *_), hashes in bodies.items()
        if len(hashes) > 1
    ]
    return found


def _violations(call: Call, one: Try, seen: Snapshot, key: Key) -> list[Violation]:
    about = (f"try {one.count} of {call.name}", tuple({picture.request_id for picture in one.pictures}))
    found = []
    allowed = (ALLOWED_KEYED if call.idempotency_key else ALLOWED) | ({401, 410} if key.is_erased else set())
    if one.status and one.status not in allowed:
        found.append(f"was answered {one.status} ({one.code})")
    if one.status == 200 and one.error.startswith("unreadable"):
        found.append(f"got a 200 that is {one.error}")
    for picture in one.pictures:
        row = seen.rows.get(picture.request_id)
        # A link of ours names no marker, and the prompt of an erased user is gone.
        marker = picture.marker or ("" if row is None else marker_of(str(row["prompt"]).encode()))
        if marker != call.marker and (picture.marker or not key.is_erased):
            found.append(f"got the picture of {marker}")
        if row is None or not _is_own(row, key, served=one.served):
            found.append("got a picture bought with another key, or by another user or in another project")
        elif row["state"] != "settled" and one.whole and not call.stream:
            found.append(f"got a picture whose row is {row['state']}")
    if one.served:
        found += _served_violations(call, one, seen)
    return [Violation(f"{about[0]} {what}", (*about[1], one.request_id), (call.marker,)) for what in found]


def _is_own(row: dict[str, Any], key: Key, *, served: bool) -> bool:
    """A served duplicate may have been bought with another key of the same user in the same project."""
    if served:
        return (row["user_id"], row["project_id"]) == (key.user_id, key.project_id)
    return bool(row["api_key_id"] == key.id)


def _served_violations(call: Call, one: Try, seen: Snapshot) -> list[str]:
    """What is served is asked for, costs nothing and is in the book under no id of its own."""
    found = []
    if not call.serves:
        found.append("was served what was bought before, and did not ask for that")
    if one.request_id in seen.rows:
        found.append("was served what was bought before, and is in the book")
    if one.whole and not call.stream and one.cost != "0.00":
        found.append(f"was served what was bought before, for {one.cost}")
    return found
