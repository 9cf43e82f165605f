"""Search of requests and refusals: whatever is searched for, its pages are what a look at every row finds, in order and once."""

from itertools import combinations
from typing import Any, get_args

import pytest
import sqlalchemy as sa

from app.core.intervals import DAY_MS
from app.store import request_search
from app.store.engine import Database
from app.store.request_search import Outcome, Position, RequestSearch, search
from app.store.tables import api_keys, corrections
from tests.databases import insert, insert_refusal, insert_request
from tests.gateways import new_key

NOW_MS = 1_795_000_000_000
STATES: tuple[dict[str, Any], ...] = (
    {"state": "settled", "cost_micros": 1_500_000, "ended_at_ms": 9_000, "http_status": 200},
    {"state": "settled", "cost_micros": 80_000, "ended_at_ms": 900, "size": "1024x1024", "quality": "low"},
    {"state": "released", "ended_at_ms": 700, "http_status": 400, "error_code": "content_policy_violation"},
    {"state": "released", "ended_at_ms": 5_000},
    {"state": "unknown", "ended_at_ms": 120_000, "http_status": 424, "error_code": "upstream_outcome_unknown"},
    {"state": "dispatched"},
    {"state": "reserved"},
)
"""What requests end as; times are after their reservation."""
LATE = 2
"""Of those that were refused, every so many turned out to be charged."""


@pytest.fixture
async def rows(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Fill a book with 60 requests and 20 refusals of two people, some of one instant. A step looks at 7 rows of each table."""
    monkeypatch.setattr(request_search, "WINDOW_ROWS", 7)
    keys = [await new_key(database, name) for name in ("lin", "mia")]
    async with database.read() as connection:
        rows = await connection.execute(sa.select(api_keys.c.id, api_keys.c.user_id))
    owners: dict[str, str] = {row.id: row.user_id for row in rows}
    found: list[dict[str, Any]] = []
    for number in range(80):
        key = keys[number % 3 % 2].id
        row: dict[str, Any] = {
            "id": f"req_{number:03}",
            "at_ms": NOW_MS - number // 3 * DAY_MS // 7,
            "model": ("a", "b")[number % 5 % 2],
        }
        row |= {"user_id": owners[key], "api_key_id": key}
        found.append(row)
        if number % 4 == 3:
            row |= {"refusal": True, "error_code": ("insufficient_quota", "rate_limit_exceeded")[number % 8 // 4]}
            row["message"] = f"The quota of Mond {number} is used up."
            stored = {name: row[name] for name in ("id", "at_ms", "model", "error_code", "message")}
            await insert_refusal(database, row["user_id"], key, **stored)
            continue
        row |= STATES[number % len(STATES)]
        if "ended_at_ms" in row:
            row["ended_at_ms"] += row["at_ms"]
        stored = {name: value for name, value in row.items() if name not in ("at_ms", "user_id", "api_key_id")}
        await insert_request(database, row["user_id"], key, reserved_at_ms=row["at_ms"], **stored)
        if row["state"] == "released" and number % LATE == 0:
            row["late"] = True
            late = {"request_id": row["id"], "kind": "late", "cost_micros": 5, "images": 1, "requests": 1}
            await insert(database, corrections, late | {"reason": "billed", "actor": "x", "created_at_ms": NOW_MS})
    return sorted(found, key=lambda row: (row["at_ms"], row["id"]), reverse=True)


def fits(row: dict[str, Any], wanted: RequestSearch) -> bool:
    """Say from a row, without SQL, whether it is searched for."""
    is_refusal, state = "refusal" in row, row.get("state", "")
    released = "refused" if row.get("http_status") else "given_up"
    ended = {"settled": "booked", "unknown": "unknown", "released": released}
    outcome = "refused" if is_refusal else ended.get(state, "open")
    outcomes = {outcome, "booked"} if "late" in row else {outcome}
    amount = row.get("cost_micros", 0 if state == "released" else 1_000_000)
    took_ms = row["ended_at_ms"] - row["at_ms"] if "ended_at_ms" in row else -1
    return all(
        (
            wanted.outcome is None or wanted.outcome in outcomes,
            wanted.user_ids is None or row["user_id"] in wanted.user_ids,
            wanted.model is None or row["model"] == wanted.model,
            wanted.error_code is None or row.get("error_code") == wanted.error_code,
            wanted.size is None or (not is_refusal and row.get("size", "") == wanted.size),
            wanted.cost_min_micros is None or (not is_refusal and amount >= wanted.cost_min_micros),
            wanted.total_min_ms is None or (not is_refusal and took_ms >= wanted.total_min_ms),
            all(is_refusal and word.lower() in row["message"].lower() for word in wanted.words),
            wanted.since_ms is None or row["at_ms"] >= wanted.since_ms,
            wanted.until_ms is None or row["at_ms"] < wanted.until_ms,
        )
    )


async def everything(database: Database, wanted: RequestSearch, limit: int) -> list[str]:
    """Follow a search to its end."""
    ids: list[str] = []
    after: Position | None = None
    for _ in range(200):
        page = await database.ask(search, wanted, after, limit, () if wanted.words else None)
        assert len(page.records) <= limit
        ids += [each.id for each in page.records]
        after = page.following
        if after is None:
            return ids
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow)])
async def test_pages_of_a_search_are_what_a_look_at_every_row_finds(
    database: Database, rows: list[dict[str, Any]], every: int
) -> None:
    """Search for each condition, and for each pair of them or, in short, every tenth one."""
    people = sorted({row["user_id"] for row in rows})
    choices: dict[str, tuple[Any, ...]] = {
        "outcome": get_args(Outcome),
        "user_ids": (tuple(people), (people[0],), ()),
        "model": ("a", "b", "c"),
        "error_code": ("insufficient_quota", "content_policy_violation"),
        "size": ("", "1024x1024"),
        "cost_min_micros": (0, 80_001, 1_000_001),
        "total_min_ms": (0, 900, 6_000),
        "words": (("mond",), ("mond", "7"), ("%",)),
        "since_ms": (NOW_MS - 2 * DAY_MS,),
        "until_ms": (NOW_MS - DAY_MS,),
    }
    singles = [{name: value} for name, values in choices.items() for value in values]
    for one, other in [({}, {}), *((single, {}) for single in singles), *list(combinations(singles, 2))[::every]]:
        wanted = RequestSearch(**(one | other))

        found = await everything(database, wanted, limit=1 + len(repr(wanted)) % 9)

        assert found == [row["id"] for row in rows if fits(row, wanted)], wanted
